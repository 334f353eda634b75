//! The subscription on the target: a real one of PostgreSQL's, disabled, that stands for the migration while it runs, and from which
//! PostgreSQL's own worker goes on after cutover where it is kept (CREATE SUBSCRIPTION, "Logical Replication").
//!
//! Invariants: it never owns the slot's making or dropping (`create_slot = false`, detached before it is dropped); it lists exactly the
//! tables that the source publishes (a subscription without them skips their changes without a word); its origin is advanced only to
//! where the target has applied everything; and its connection string gets into no message.

use std::collections::HashSet;

use tokio_postgres::types::Type;

use super::{CutoverError, RedactedConnInfo};
use crate::journal::{self, Quiet};
use crate::lsn::Lsn;
use crate::pg::{Param, Session, SqlError};
use crate::schema::quote::{qualified, quote_ident, quote_literal};

/// How long the target may take to reach the source, milliseconds.
const PATIENCE_MS: u32 = 30_000;

/// What making a subscription needs.
#[derive(Debug)]
pub struct Make<'a> {
    /// A session on the source, to compare what is published.
    pub source: &'a Session,
    /// A session on the target, not in a transaction.
    pub target: &'a Session,
    /// The subscription's name.
    pub name: &'a str,
    /// How the target reaches the source.
    pub conninfo: &'a RedactedConnInfo,
    /// What is published.
    pub publication: &'a str,
    /// The slot, which is there already.
    pub slot: &'a str,
}

/// Whether there is a subscription now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// There is, made now or by an earlier run.
    There(Subscription),
    /// There is none, and why: without one the journal alone stands for the migration.
    Not(String),
}

/// A subscription on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// Its slot; `None`: detached.
    pub slot: Option<String>,
    /// Whether PostgreSQL's worker runs.
    pub enabled: bool,
    /// Its publications.
    pub publications: Vec<String>,
}

impl Subscription {
    /// Whether it can be the one that a migration with this slot and publication made: disabled, and of just these.
    pub fn is_of(&self, slot: &str, publication: &str) -> bool {
        !self.enabled && self.slot.as_deref().is_none_or(|s| s == slot) && self.publications == [publication]
    }
}

/// The subscription of this name in the target's database, if there is one.
///
/// # Errors
/// [`CutoverError::Sql`] when the connection breaks.
pub async fn find(target: &Session, name: &str) -> Result<Option<Subscription>, CutoverError> {
    look(target, name).await.map_err(broken)
}

async fn look(target: &Session, name: &str) -> Result<Option<Subscription>, SqlError> {
    let sql = "SELECT subslotname::text AS slot, subenabled AS enabled, subpublications AS publications \
               FROM pg_catalog.pg_subscription WHERE subname = $1 AND subdbid = \
               (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
    let params: [Param<'_>; 1] = [(&name, Type::NAME)];
    let rows = target.query_with("looking for the subscription", sql, &params).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Subscription {
        name: name.to_owned(),
        slot: row.get("slot")?,
        enabled: row.get("enabled")?,
        publications: row.get("publications")?,
    }))
}

/// Makes the subscription, disabled, on the slot that is there. One that an earlier run of this migration made is taken as it is.
///
/// # Errors
/// [`CutoverError::Sql`] only when a connection breaks; everything else is a reason ([`Made::Not`]).
pub async fn create(make: Make<'_>) -> Result<Made, CutoverError> {
    if let Some(there) = find(make.target, make.name).await? {
        if there.is_of(make.slot, make.publication) && there.slot.is_some() {
            return Ok(Made::There(there));
        }
        return Ok(Made::Not(format!(
            "target: a subscription {} of someone else's is there: drop it, or choose another --subscription-name",
            quote_ident(make.name)
        )));
    }
    match attempt(&make).await {
        Ok(Ok(())) => {
            let there = find(make.target, make.name).await?;
            Ok(there.map_or_else(|| Made::Not("target: it is gone again".to_owned()), Made::There))
        }
        Ok(Err(reason)) => Ok(Made::Not(reason)),
        Err(error) => Err(broken(error)),
    }
}

/// One transaction on the target; `Ok(Err(reason))` where it was rolled back.
async fn attempt(make: &Make<'_>) -> Result<Result<(), String>, SqlError> {
    const WHAT: &str = "creating the subscription";
    make.target.batch(WHAT, "BEGIN").await?;
    let create = format!(
        "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} \
         WITH (create_slot = false, slot_name = {}, copy_data = false, enabled = false)",
        quote_ident(make.name),
        quote_literal(make.conninfo.expose()),
        quote_ident(make.publication),
        quote_literal(make.slot),
    );
    // The statement holds a password. Where we may, the server is asked not to write it down.
    let quiet = "SELECT pg_catalog.set_config(name, value, true) FROM (VALUES ('log_statement', 'none'), \
                 ('log_min_duration_statement', '-1'), ('log_min_error_statement', 'panic'), \
                 ('pg_stat_statements.track_utility', 'off')) AS s (name, value) \
                 WHERE pg_catalog.current_setting('is_superuser') = 'on'";
    make.target.batch(WHAT, quiet).await?;
    // Restore has made the source's event triggers, and the subscription is no concern of theirs.
    let silence = journal::quiet(make.target).await?;
    make.target.batch(WHAT, &silence.before).await?;
    make.target.batch(WHAT, &format!("SET LOCAL statement_timeout = {PATIENCE_MS}")).await?;
    let reason = match make.target.batch(WHAT, &create).await {
        Ok(()) => differing(make).await?,
        Err(error) if error.is_broken() && make.target.is_closed() => {
            return Err(redacted(make.conninfo, error));
        }
        Err(error) => Some(reason(&redacted(make.conninfo, error))),
    };
    match reason {
        None => {
            make.target.batch(WHAT, &format!("{}COMMIT", silence.after)).await?;
            Ok(Ok(()))
        }
        Some(reason) => {
            make.target.batch(WHAT, "ROLLBACK").await?;
            Ok(Err(reason))
        }
    }
}

fn redacted(conninfo: &RedactedConnInfo, error: SqlError) -> SqlError {
    let clean = |text: &Option<String>| text.as_deref().map(|t| conninfo.redact(t));
    SqlError {
        message: conninfo.redact(&error.message),
        detail: clean(&error.detail),
        hint: clean(&error.hint),
        // The server quotes the statement here.
        context: None,
        ..error
    }
}

/// Why it could not be made, with what to do about it.
fn reason(error: &SqlError) -> String {
    let remedy = match error.sqlstate.as_deref() {
        Some("42501") => {
            "; making one takes a superuser, or from 16 on membership in pg_create_subscription and CREATE on the database"
        }
        Some("42P01") => "; a subscription is possible only where every published table is on the target",
        Some("2F003") => {
            "; who is no superuser needs a password in --subscription-conninfo that the source asks for"
        }
        Some("57014") => "; the target does not reach the source: say how with --subscription-conninfo",
        Some(state) if state.starts_with("08") => {
            "; the target does not reach the source by this way: say how with --subscription-conninfo"
        }
        _ => "",
    };
    format!("{error}{remedy}")
}

/// Why what was made is not a subscription to what the source publishes: the target may have reached another server by the same words.
async fn differing(make: &Make<'_>) -> Result<Option<String>, SqlError> {
    let (published, subscribed) = both(make.source, make.publication, make.target, make.name).await?;
    let mut odd: Vec<&String> = published.symmetric_difference(&subscribed).collect();
    odd.sort();
    let Some(first) = odd.first() else { return Ok(None) };
    Ok(Some(format!(
        "target: it finds another set of published tables than the source has ({first} among the differences), so it reaches another \
         server: say how to reach the source with --subscription-conninfo"
    )))
}

/// Tables that are published and that the subscription does not know, because they came after it was made: PostgreSQL's own worker would pass
/// over their changes.
///
/// # Errors
/// [`CutoverError::Sql`] when a connection breaks.
pub async fn unknown_tables(
    source: &Session,
    publication: &str,
    target: &Session,
    name: &str,
) -> Result<Vec<String>, CutoverError> {
    let (published, subscribed) = both(source, publication, target, name).await.map_err(broken)?;
    let mut unknown: Vec<String> = published.difference(&subscribed).cloned().collect();
    unknown.sort();
    Ok(unknown)
}

/// The tables that are published, and those that are subscribed to.
async fn both(
    source: &Session,
    publication: &str,
    target: &Session,
    name: &str,
) -> Result<(HashSet<String>, HashSet<String>), SqlError> {
    let published = "SELECT schemaname::text AS namespace, tablename::text AS name FROM pg_catalog.pg_publication_tables WHERE pubname = $1";
    let subscribed = "SELECT n.nspname::text AS namespace, c.relname::text AS name FROM pg_catalog.pg_subscription s \
         JOIN pg_catalog.pg_subscription_rel r ON r.srsubid = s.oid JOIN pg_catalog.pg_class c ON c.oid = r.srrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE s.subname = $1 AND s.subdbid = \
         (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
    let published = tables(source, "reading what is published", published, publication).await?;
    Ok((published, tables(target, "reading what is subscribed to", subscribed, name).await?))
}

async fn tables(session: &Session, what: &str, sql: &str, name: &str) -> Result<HashSet<String>, SqlError> {
    let params: [Param<'_>; 1] = [(&name, Type::NAME)];
    let rows = session.query_with(what, sql, &params).await?;
    rows.iter()
        .map(|row| Ok(qualified(&row.get::<String>("namespace")?, &row.get::<String>("name")?)))
        .collect()
}

/// Leaves the subscription as PostgreSQL's own worker can go on from it: disabled, on its slot, its origin at `at`, the position
/// before which the target has applied everything and after which nothing. Durable when this returns.
///
/// # Errors
/// [`CutoverError::Sql`] where it is not there, its worker runs, or the role may not.
pub async fn keep(target: &Session, name: &str, at: Lsn) -> Result<(), CutoverError> {
    const WHAT: &str = "advancing the subscription's origin";
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = on; \
         SELECT pg_catalog.pg_replication_origin_advance('pg_' || s.oid, '{at}'), pg_catalog.txid_current() \
         FROM pg_catalog.pg_subscription s WHERE s.subname = {n} AND s.subdbid = \
         (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()); COMMIT",
        n = quote_literal(name)
    );
    if find(target, name).await?.is_none() {
        let error =
            SqlError::local(target.side, WHAT, format!("there is no subscription {}", quote_ident(name)));
        return Err(CutoverError::sql(error, "cut over without --keep-subscription"));
    }
    if let Err(error) = target.batch(WHAT, &sql).await {
        let _ = target.batch("ending the attempt", "ROLLBACK").await;
        return Err(CutoverError::sql(
            error,
            "see that the role may execute pg_replication_origin_advance and that the subscription is disabled; or cut over without --keep-subscription",
        ));
    }
    Ok(())
}

/// Detaches the subscription from its slot and drops it; `false`: there was none. The slot stays.
///
/// # Errors
/// [`CutoverError::Sql`] where the role may not drop it.
pub async fn drop(target: &Session, name: &str) -> Result<bool, CutoverError> {
    let Some(there) = find(target, name).await? else { return Ok(false) };
    let name = quote_ident(name);
    let disable = if there.enabled { format!("ALTER SUBSCRIPTION {name} DISABLE; ") } else { String::new() };
    let Quiet { before, after } = journal::quiet(target).await.map_err(broken)?;
    let sql = format!(
        "BEGIN; {before}{disable}ALTER SUBSCRIPTION {name} SET (slot_name = NONE); DROP SUBSCRIPTION {name}; {after}COMMIT"
    );
    if let Err(error) = target.batch("dropping the subscription", &sql).await {
        let _ = target.batch("ending the attempt", "ROLLBACK").await;
        return Err(CutoverError::sql(
            error,
            format!(
                "have its owner run on the target: ALTER SUBSCRIPTION {name} DISABLE; ALTER SUBSCRIPTION {name} SET (slot_name = NONE); DROP SUBSCRIPTION {name}"
            ),
        ));
    }
    Ok(true)
}

fn broken(error: SqlError) -> CutoverError {
    CutoverError::sql(error, "run the same command again once the server answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_disabled_and_of_our_slot_and_publication() {
        let sub = |slot: Option<&str>, enabled, publications: &[&str]| Subscription {
            name: "m".to_owned(),
            slot: slot.map(str::to_owned),
            enabled,
            publications: publications.iter().map(|p| (*p).to_owned()).collect(),
        };
        assert!(sub(Some("s"), false, &["p"]).is_of("s", "p"));
        assert!(sub(None, false, &["p"]).is_of("s", "p"));
        assert!(!sub(Some("s"), true, &["p"]).is_of("s", "p"));
        assert!(!sub(Some("t"), false, &["p"]).is_of("s", "p"));
        assert!(!sub(Some("s"), false, &["p", "q"]).is_of("s", "p"));
    }
}
