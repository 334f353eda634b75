//! Validate: everything that would stop or disturb a migration, found before anything is changed, all at once.
//!
//! Facts are read by a fixed number of queries ([`facts`]); what they mean is decided by pure functions, one
//! file per concern. Invariant: nothing is changed on either side, and one failing check hides no other.

mod carried;
mod compatibility;
mod contents;
mod damaged;
mod database;
mod extensions;
mod facts;
mod finding;
mod gone;
mod limits;
mod named;
mod privileged;
mod providers;
mod publication;
mod replica_identity;
mod replication;
mod retired;
mod roles;
mod routed;
mod servers;
mod source_rights;
mod subscription;
mod tablespaces;
#[cfg(test)]
mod testing;
mod unmet;
mod unstreamed;

use std::collections::BTreeSet;

use facts::{Replication, Server, Source, Subscriber, Target};
pub use finding::{Finding, Report, Severity};

use crate::config::{Filter, OnlineOptions, RestoreOptions};
use crate::error::Side;
use crate::pg::{ConnectError, Session, SqlError};
use crate::schema::Schema;

/// What the migration is going to be, and what is known before Validate looks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Which schemas and tables take part.
    pub filter: &'a Filter,
    /// What Restore may do.
    pub restore: &'a RestoreOptions,
    /// The journal on the target explains what is there: an earlier run of this same migration was interrupted, and
    /// this one clears or goes on with what that one made.
    pub resumes: bool,
    /// The target database is not there and will be made; the session is on another one of the same server.
    pub makes_database: bool,
    /// `None`: offline, where nothing is asked about replication.
    pub online: Option<Online<'a>>,
}

/// What an online migration is going to be.
#[derive(Clone, Copy, Debug)]
pub struct Online<'a> {
    /// Its options.
    pub options: &'a OnlineOptions,
    /// The migration's name, and its subscription's.
    pub subscription: &'a str,
    /// The journal on the target says that the slot of that name is this migration's own; then so is the subscription.
    pub ours: bool,
    /// An earlier run of this migration reached StreamApply: a subscription of its name on that slot is its own, also when the slot is gone.
    pub subscribed: bool,
    /// An unfinished migration's slot, subscription and publication go before this one begins (`--drop-target-first`).
    pub clears: bool,
    /// An earlier run of this migration reached StreamApply and this one goes on from there: slot and publication stay.
    pub streams: bool,
}

/// A server's session, or why there is none.
pub type Reached<'a> = Result<&'a Session, &'a ConnectError>;

/// What was read from the servers that could be reached: what [`of_schema`] judges the model by.
#[derive(Debug, Default)]
pub struct Servers {
    source: Option<(Server, Source)>,
    target: Option<(Server, Target)>,
    replication: Option<Replication>,
    subscriber: Option<Subscriber>,
}

impl Servers {
    /// Whether the target sorts text otherwise than the source, as far as both were read and tell it.
    pub fn sort_otherwise(&self) -> bool {
        match (&self.source, &self.target) {
            (Some((source, _)), Some((target, _))) => {
                !compatibility::sorted_otherwise(source, target).is_empty()
            }
            _ => false,
        }
    }
}

/// Looks at both servers and says everything that is found, except about what the schema's model shows
/// ([`of_schema`]). Neither session may be inside a transaction that has failed.
pub async fn of_servers(source: Reached<'_>, target: Reached<'_>, asked: Asked<'_>) -> (Report, Servers) {
    let (source, target) = tokio::join!(read_source(source, asked), read_target(target, asked));
    let mut findings = Vec::new();
    let unreachable = match (&source, &target) {
        (Err(_), _) => Some(Side::Source),
        (_, Err(_)) => Some(Side::Target),
        _ => None,
    };
    let source = source.map_err(|finding| findings.push(*finding)).ok();
    let target = target.map_err(|finding| findings.push(*finding)).ok();
    let (source, replication) = source.unzip();
    let (target, subscriber) = target.unzip();
    let (replication, subscriber) = (replication.flatten(), subscriber.flatten());
    let servers = Servers { source, target, replication, subscriber };
    judge(&servers, asked, &mut findings);
    (Report::new(softened(findings, asked), unreachable), servers)
}

/// Says what the model of the source's schema shows: what cannot be carried, what a filter tears apart, what the
/// target lacks for it, which is asked where no catalog says it. The target's session may not be inside a transaction.
pub async fn of_schema(
    schema: &Schema,
    servers: &Servers,
    target: Option<&Session>,
    asked: Asked<'_>,
) -> Report {
    let mut findings = Vec::new();
    carried::judge_schema(schema, asked, &mut findings);
    damaged::judge(schema, &mut findings);
    if let (Some(session), Some((server, _))) = (target, &servers.target) {
        match facts::answers::read(session, schema, asked).await {
            Ok(answers) => unmet::judge(schema, server, &answers, asked, &mut findings),
            Err(e) => findings.push(Finding::unreadable(&e)),
        }
    }
    if let (Some((_, from)), Some((target, to))) = (&servers.source, &servers.target) {
        extensions::judge(schema, target, to, &mut findings);
        roles::judge(schema, from, target, to, asked, &mut findings);
        if let Some((source, _)) = servers.source.as_ref().filter(|_| !asked.makes_database) {
            compatibility::judge_schema(schema, source, from, target, asked, &mut findings);
        }
        retired::judge(schema, target, &mut findings);
        gone::judge(schema, from, to, &mut findings);
        privileged::judge(schema, target, &mut findings);
        database::judge(schema, target, to, asked, &mut findings);
        tablespaces::judge(schema, target, to, asked, &mut findings);
        contents::judge_outside(schema, to, asked, &mut findings);
    }
    if let (Some((server, _)), Some(replication), Some(online)) =
        (&servers.source, &servers.replication, asked.online)
    {
        let everything = asked.filter.is_everything();
        publication::judge(schema, server, replication, everything, online, &mut findings);
        routed::judge(schema, server, replication, online, &mut findings);
        replica_identity::judge(schema, replication, online, &mut findings);
        unstreamed::judge_schema(schema, online, &mut findings);
    }
    Report::new(softened(findings, asked), None)
}

/// Says why comparing these two databases would tell nothing: the filter's patterns fit nothing, or it is one and the same database.
pub async fn of_comparison(source: &Session, target: &Session, filter: &Filter) -> Report {
    let read = tokio::try_join!(
        facts::server::read(source),
        facts::source::read(source),
        facts::server::read(target)
    );
    match read {
        Ok((from, contents, to)) => {
            let mut findings = Vec::new();
            carried::judge_source(&contents, filter, &mut findings);
            findings.extend(servers::same_database(&from, &to));
            Report::new(findings, None)
        }
        Err(e) => Report::from(Finding::unreadable(&e)),
    }
}

/// What makes single objects fail, and not the migration.
const OF_SINGLE_OBJECTS: [&str; 17] = [
    "collation-missing",
    "extension-missing",
    "extension-needs-superuser",
    "foreign-key-damaged",
    "label-provider-missing",
    "library-missing",
    "locale-missing",
    "retired-in-target",
    "owner-no-create",
    "role-missing",
    "schema-no-create",
    "search-file-missing",
    "statistics-refused",
    "tablespace-missing",
    "tablespace-not-permitted",
    "target-needs-superuser",
    "target-not-member",
];

/// What says something of the database that the session is on, where that is not the one that will be made.
const OF_ANOTHER_DATABASE: [&str; 10] = [
    "encoding-converted",
    "encoding-lossy",
    "locale-differs",
    "same-database",
    "target-event-triggers",
    "target-has-large-objects",
    "target-no-create",
    "target-not-empty",
    "target-read-only",
    "collation-missing",
];

/// With `--allow-restore-errors`, what makes single objects fail is only warned of.
fn softened(mut findings: Vec<Finding>, asked: Asked<'_>) -> Vec<Finding> {
    if asked.makes_database {
        findings.retain(|f| !OF_ANOTHER_DATABASE.contains(&f.code));
    }
    if asked.restore.allow_restore_errors {
        for finding in findings.iter_mut().filter(|f| OF_SINGLE_OBJECTS.contains(&f.code)) {
            finding.severity = Severity::Warning;
        }
    }
    findings
}

/// The server's own objects that the target does not have, of those whose privileges were changed on the source: how
/// `GRANT` names them. [`of_schema`] says so.
///
/// # Errors
/// When the connection breaks.
pub async fn lacking_of_server(target: &Session, schema: &Schema) -> Result<BTreeSet<String>, SqlError> {
    facts::answers::lacking(target, schema).await
}

impl Report {
    /// Both reports in one.
    pub fn and(self, other: Report) -> Report {
        let findings = self.findings.into_iter().chain(other.findings).collect();
        Report::new(findings, self.unreachable.or(other.unreachable))
    }
}

/// Facts of a server, and those that only an online migration asks for.
type Read<A, B> = Result<((Server, A), Option<B>), Box<Finding>>;

async fn read_source(reached: Reached<'_>, asked: Asked<'_>) -> Read<Source, Replication> {
    let session = reached.map_err(|e| Box::new(servers::unreachable(e)))?;
    let replication = async {
        match asked.online {
            // Before 10 there are no publications, and that the version is too old says it all.
            Some(online) if session.version() >= 100_000 => {
                facts::replication::read(session, &online.options.publication).await.map(Some)
            }
            _ => Ok(None),
        }
    };
    let read = tokio::try_join!(facts::server::read(session), facts::source::read(session), replication);
    read.map(|(server, source, replication)| ((server, source), replication))
        .map_err(|e| Box::new(Finding::unreadable(&e)))
}

async fn read_target(reached: Reached<'_>, asked: Asked<'_>) -> Read<Target, Subscriber> {
    let session = reached.map_err(|e| Box::new(servers::unreachable(e)))?;
    let subscriber = async {
        match asked.online {
            Some(_) if session.version() >= 100_000 => facts::subscription::read(session).await.map(Some),
            _ => Ok(None),
        }
    };
    let read = tokio::try_join!(facts::server::read(session), facts::target::read(session), subscriber);
    read.map(|(server, target, subscriber)| ((server, target), subscriber))
        .map_err(|e| Box::new(Finding::unreadable(&e)))
}

/// All checks that the facts at hand allow.
fn judge(servers: &Servers, asked: Asked<'_>, out: &mut Vec<Finding>) {
    if let Some((server, contents)) = &servers.source {
        servers::judge_source(server, out);
        source_rights::judge(server, contents, asked, out);
        carried::judge_source(contents, asked.filter, out);
        limits::judge_source(server, contents, asked, out);
        if let (Some(online), Some(replication)) = (asked.online, &servers.replication) {
            replication::judge(server, replication, online, out);
            unstreamed::judge_source(server, contents, asked, out);
        }
    }
    if let Some((server, contents)) = &servers.target {
        servers::judge_target(server, contents, out);
        limits::judge_connections(Side::Target, server, asked, out);
        if let (Some(online), Some(subscriber)) = (asked.online, &servers.subscriber) {
            subscription::judge(server, subscriber, online, out);
        }
    }
    if let (Some((source, from)), Some((target, to))) = (&servers.source, &servers.target) {
        servers::judge_pair(source, target, out);
        compatibility::judge(source, from, target, to, asked, out);
        contents::judge(source, from, to, asked, out);
    }
}

#[cfg(test)]
mod tests {
    use super::testing::asking;
    use super::*;

    #[test]
    fn what_single_objects_need_is_softened_on_request() {
        let findings = || vec![Finding::error("role-missing", ""), Finding::error("target-not-empty", "")];
        let severities = |findings: Vec<Finding>| findings.iter().map(|f| f.severity).collect::<Vec<_>>();
        asking(
            |_, _| (),
            |asked| assert_eq!(severities(softened(findings(), asked)), [Severity::Error, Severity::Error]),
        );
        asking(
            |_, r| r.allow_restore_errors = true,
            |asked| assert_eq!(severities(softened(findings(), asked)), [Severity::Warning, Severity::Error]),
        );
    }
}
