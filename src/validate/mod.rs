//! Validate: everything that would stop or disturb a migration, found before anything is changed, all at once.
//!
//! Facts are read by a fixed number of queries ([`facts`]); what they mean is decided by pure functions, one
//! file per concern. Invariant: nothing is changed on either side, and one failing check hides no other.

mod carried;
mod compatibility;
mod contents;
mod extensions;
mod facts;
mod finding;
mod limits;
mod roles;
mod servers;
mod source_rights;
#[cfg(test)]
mod testing;

use facts::{Server, Source, Target};
pub use finding::{Finding, Report, Severity};

use crate::config::{Filter, RestoreOptions};
use crate::error::Side;
use crate::pg::{ConnectError, Session};
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
}

/// A server's session, or why there is none.
pub type Reached<'a> = Result<&'a Session, &'a ConnectError>;

/// Looks at both servers and says everything that is found, except about what only the schema's model shows
/// ([`of_schema`]). Neither session may be inside a transaction that has failed.
pub async fn of_servers(source: Reached<'_>, target: Reached<'_>, asked: Asked<'_>) -> Report {
    let (source, target) = tokio::join!(read_source(source), read_target(target));
    let mut findings = Vec::new();
    let unreachable = match (&source, &target) {
        (Err(_), _) => Some(Side::Source),
        (_, Err(_)) => Some(Side::Target),
        _ => None,
    };
    let source = source.map_err(|finding| findings.push(*finding)).ok();
    let target = target.map_err(|finding| findings.push(*finding)).ok();
    judge(source.as_ref(), target.as_ref(), asked, &mut findings);
    Report::new(findings, unreachable)
}

/// Says what the model of the source's schema shows: what cannot be carried, what a filter tears apart.
pub fn of_schema(schema: &Schema, asked: Asked<'_>) -> Report {
    let mut findings = Vec::new();
    carried::judge_schema(schema, asked, &mut findings);
    Report::new(findings, None)
}

impl Report {
    /// Both reports in one.
    pub fn and(self, other: Report) -> Report {
        let findings = self.findings.into_iter().chain(other.findings).collect();
        Report::new(findings, self.unreachable.or(other.unreachable))
    }
}

async fn read_source(reached: Reached<'_>) -> Result<(Server, Source), Box<Finding>> {
    let session = reached.map_err(|e| Box::new(servers::unreachable(e)))?;
    tokio::try_join!(facts::server::read(session), facts::source::read(session))
        .map_err(|e| Box::new(Finding::unreadable(&e)))
}

async fn read_target(reached: Reached<'_>) -> Result<(Server, Target), Box<Finding>> {
    let session = reached.map_err(|e| Box::new(servers::unreachable(e)))?;
    tokio::try_join!(facts::server::read(session), facts::target::read(session))
        .map_err(|e| Box::new(Finding::unreadable(&e)))
}

/// All checks that the facts at hand allow.
fn judge(
    source: Option<&(Server, Source)>,
    target: Option<&(Server, Target)>,
    asked: Asked<'_>,
    out: &mut Vec<Finding>,
) {
    if let Some((server, contents)) = source {
        servers::judge_source(server, out);
        source_rights::judge(server, contents, asked, out);
        carried::judge_source(server, contents, asked, out);
        limits::judge_source(server, contents, asked, out);
    }
    if let Some((server, contents)) = target {
        servers::judge_target(server, contents, out);
        limits::judge_connections(Side::Target, server, asked, out);
    }
    if let (Some((source, from)), Some((target, to))) = (source, target) {
        servers::judge_pair(source, target, out);
        compatibility::judge(source, from, target, to, asked, out);
        contents::judge(source, from, to, asked, out);
        extensions::judge(from, target, to, asked, out);
        roles::judge(from, target, to, asked, out);
    }
}
