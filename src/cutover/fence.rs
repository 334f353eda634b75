//! The fence (`--fence-source`): nobody but us writes to the source's database any more.
//!
//! The database becomes read-only for new sessions (`ALTER DATABASE … SET default_transaction_read_only`), and the sessions
//! that were there before are ended. A session that sets the parameter back can still write; that is what the look for
//! late writes is for. Invariant: what takes the fence down is in the journal from before it stands, and restores what was
//! set before, however often a fence is raised on top of one that a crash left.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::CutoverError;
use crate::journal::{self, SourceUndo, UndoKind};
use crate::pg::{Param, Row, Session, SqlError};
use crate::schema::quote::{quote_ident, quote_literal};

const PAUSE: Duration = Duration::from_millis(20);

/// How long a prepared transaction may stay one while the fence stands: longer, and nobody seems to be about to end it.
const TWO_PHASES: Duration = Duration::from_secs(3);

/// Every statement on a database that is read-only by default, our own fence perhaps.
const WRITABLE: &str = "BEGIN READ WRITE";

/// What raising a fence needs.
#[derive(Debug)]
pub struct Raise<'a> {
    /// A session on the source, not in a transaction.
    pub source: &'a Session,
    /// A session on the target, for the journal.
    pub target: &'a Session,
    /// The migration's name.
    pub name: &'a str,
    /// The source's system identifier, as in the journal.
    pub system_identifier: &'a str,
    /// Our further sessions on the source, which stay (walsenders stay anyway).
    pub ours: &'a [&'a Session],
    /// How long sessions may take to end.
    pub patience: Duration,
}

/// A fence that stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// The statement that takes it down, for the summary: sessions that began meanwhile stay read-only until they reconnect.
    pub lower: String,
    /// Sessions that were ended.
    pub ended: u64,
    /// What the operator should know: roles whose own setting is stronger.
    pub warnings: Vec<String>,
}

/// Makes the source's database read-only for new sessions, ends all others, and waits until they are gone.
///
/// # Errors
/// [`CutoverError::Held`] where someone stays who can write, [`CutoverError::Sql`] where the role may not do it; the fence is down
/// again then, or [`CutoverError::FenceStands`] says that it is not.
pub async fn raise(input: Raise<'_>) -> Result<Fence, CutoverError> {
    // Before anything is changed: those that nobody seems to end would hold up the cutover whatever we did.
    prepared_transactions(input.source, TWO_PHASES).await?;
    let (undo, known) = record(&input).await?;
    if let Err(error) = forbid(&input, &undo).await {
        let remedy = "have the database's owner do it, or stop the writers yourself and cut over without --fence-source";
        if error.is_broken() || known {
            // It may stand.
            return Err(lower(
                input.source,
                input.target,
                &undo,
                input.ours,
                CutoverError::sql(error, remedy),
            )
            .await);
        }
        journal::forget_undo(input.target, &undo).await?;
        return Err(CutoverError::sql(error, remedy));
    }
    match stand(&input, &undo).await {
        Ok(fence) => Ok(fence),
        Err(cause) => Err(lower(input.source, input.target, &undo, input.ours, cause).await),
    }
}

/// Takes down the fence of this migration if the journal knows of one; the number of sessions that were ended because they would have stayed
/// read-only, `None`: there was none.
///
/// # Errors
/// [`CutoverError`] where the role may not, or a connection broke.
pub async fn undo(
    source: &Session,
    target: &Session,
    name: &str,
    ours: &[&Session],
) -> Result<Option<u64>, CutoverError> {
    let mut ended = None;
    for record in journal::recorded_undos(target).await? {
        if record.kind == UndoKind::Fence && record.migration == name {
            let sessions = take_down(source, &record, ours)
                .await
                .map_err(|error| CutoverError::sql(error, format!("run on the source: {}", record.undo)))?;
            journal::forget_undo(target, &record).await?;
            ended = Some(ended.unwrap_or(0) + sessions);
        }
    }
    Ok(ended)
}

/// The statement that takes down the fence of this migration, if one stands.
///
/// # Errors
/// [`CutoverError::Journal`]
pub async fn standing(target: &Session, name: &str) -> Result<Option<String>, CutoverError> {
    let records = journal::recorded_undos(target).await?;
    Ok(records.into_iter().find(|r| r.kind == UndoKind::Fence && r.migration == name).map(|r| r.undo))
}

/// The fence goes, because of `cause`.
async fn lower(
    source: &Session,
    target: &Session,
    undo: &SourceUndo,
    ours: &[&Session],
    cause: CutoverError,
) -> CutoverError {
    match take_down(source, undo, ours).await {
        Ok(_) => match journal::forget_undo(target, undo).await {
            Ok(()) => cause,
            Err(error) => error.into(),
        },
        Err(error) => CutoverError::FenceStands {
            code: cause.exit_code(),
            cause: cause.to_string(),
            error: Box::new(error),
            lower: undo.undo.clone(),
        },
    }
}

/// Reads what is set now and records how to get back to it, unless an earlier run has: then `true`.
async fn record(input: &Raise<'_>) -> Result<(SourceUndo, bool), CutoverError> {
    let known = journal::recorded_undos(input.target).await?;
    if let Some(known) = known.into_iter().find(|r| r.kind == UndoKind::Fence && r.migration == input.name) {
        return Ok((known, true));
    }
    let sql = "SELECT d.datname::text AS database, pg_catalog.clock_timestamp()::text AS now, \
                 (SELECT pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS c \
                  WHERE s.setdatabase = d.oid AND s.setrole = 0 AND c ~ '^default_transaction_read_only=') AS earlier \
               FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
    let row = one(input.source, "reading the database's settings", sql).await.map_err(plain)?;
    let database: String = row.get("database").map_err(plain)?;
    let earlier: Option<String> = row.get("earlier").map_err(plain)?;
    let undo = SourceUndo {
        migration: input.name.to_owned(),
        kind: UndoKind::Fence,
        object: quote_ident(&database),
        undo: restoring(&database, earlier.as_deref()),
        system_identifier: input.system_identifier.to_owned(),
        database,
        since: row.get("now").map_err(plain)?,
    };
    journal::record_undo(input.target, &undo).await?;
    Ok((undo, false))
}

/// The statement that restores what was set for the database before.
fn restoring(database: &str, earlier: Option<&str>) -> String {
    let database = quote_ident(database);
    match earlier {
        Some(value) => {
            format!("ALTER DATABASE {database} SET default_transaction_read_only = {}", quote_literal(value))
        }
        None => format!("ALTER DATABASE {database} RESET default_transaction_read_only"),
    }
}

/// Makes the database read-only for new sessions.
async fn forbid(input: &Raise<'_>, undo: &SourceUndo) -> Result<(), SqlError> {
    let sql =
        format!("{WRITABLE}; ALTER DATABASE {} SET default_transaction_read_only = on; COMMIT", undo.object);
    let made = input.source.batch("making the source's database read-only", &sql).await;
    if made.is_err() {
        let _ = input.source.batch("ending the attempt", "ROLLBACK").await;
    }
    made
}

/// Ends everybody else.
async fn stand(input: &Raise<'_>, undo: &SourceUndo) -> Result<Fence, CutoverError> {
    let source = input.source;
    let deadline = Instant::now() + input.patience;
    let ours = pids(source, input.ours).await.map_err(plain)?;
    wait_for_logins(source, &ours, deadline).await.map_err(plain)?;
    let mut ended = HashSet::new();
    let mut refused = HashSet::new();
    let others = sessions(source, &ours).await.map_err(plain)?;
    let before: HashSet<i32> = others.iter().map(|o| o.pid).collect();
    let mut left = others;
    while !left.is_empty() {
        // Asked once each: a backend that has got the signal ends when it can.
        for session in &left {
            if !ended.contains(&session.pid) && !refused.contains(&session.pid) {
                let asked = end(source, session.pid).await;
                match asked {
                    Ok(()) => ended.insert(session.pid),
                    Err(error) if error.is_broken() => return Err(plain(error)),
                    Err(_) => refused.insert(session.pid),
                };
            }
        }
        let may_not = left.iter().all(|session| refused.contains(&session.pid));
        if may_not || Instant::now() > deadline {
            let remedy = if may_not {
                "the role may not end them (that takes membership in pg_signal_backend, and for a superuser's session a superuser): have them end, then cut over again"
            } else {
                "they were told to end and have not yet: cut over again in a moment"
            };
            return Err(CutoverError::Held {
                what: "sessions",
                holders: left.into_iter().map(|session| session.shown).collect(),
                remedy: remedy.to_owned(),
            });
        }
        tokio::time::sleep(PAUSE).await;
        // Who came later is read-only already.
        left = sessions(source, &ours).await.map_err(plain)?;
        left.retain(|session| before.contains(&session.pid));
    }
    // They can be ended through the fence.
    let deadline = Instant::now() + TWO_PHASES.min(input.patience);
    while let Err(held) = prepared_transactions(source, Duration::ZERO).await {
        if held.is_broken() || Instant::now() > deadline {
            return Err(held);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Fence {
        lower: undo.undo.clone(),
        ended: ended.len() as u64,
        warnings: stronger_settings(source).await.map_err(plain)?,
    })
}

/// Restores the setting, and ends the sessions that began under the fence: a pool would keep them, read-only, for ever.
async fn take_down(source: &Session, undo: &SourceUndo, ours: &[&Session]) -> Result<u64, SqlError> {
    // Who comes from the moment of the commit on is not read-only.
    let sql = format!(
        "{WRITABLE}; {}; COMMIT; \
         SELECT pg_catalog.set_config('pg_migrator.lowered', pg_catalog.clock_timestamp()::text, false)",
        undo.undo
    );
    if let Err(error) = source.batch("taking the fence down", &sql).await {
        let _ = source.batch("ending the attempt", "ROLLBACK").await;
        return Err(error);
    }
    if undo.undo.ends_with("'on'") {
        return Ok(0);
    }
    let ours = pids(source, ours).await?;
    let sql = format!(
        "SELECT pid FROM pg_catalog.pg_stat_activity WHERE {OTHERS} AND backend_type = 'client backend' \
         AND backend_start >= $2::text::timestamptz \
         AND backend_start <= pg_catalog.current_setting('pg_migrator.lowered')::timestamptz"
    );
    let params: [Param<'_>; 2] = [(&ours, Type::INT4_ARRAY), (&undo.since, Type::TEXT)];
    let mut ended = 0;
    for row in source.query_with("looking for sessions that began under the fence", &sql, &params).await? {
        ended += u64::from(end(source, row.get("pid")?).await.is_ok());
    }
    Ok(ended)
}

/// Sessions on this database that are not ours (`$1`).
const OTHERS: &str = "datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
    AND pid <> ALL ($1) AND pid <> pg_catalog.pg_backend_pid()";

/// The server processes of our sessions.
async fn pids(source: &Session, ours: &[&Session]) -> Result<Vec<i32>, SqlError> {
    let mut pids = Vec::with_capacity(ours.len() + 1);
    for session in ours.iter().chain([&source]) {
        let row =
            one(session, "asking for our own process", "SELECT pg_catalog.pg_backend_pid() AS pid").await?;
        pids.push(row.get("pid")?);
    }
    Ok(pids)
}

/// Waits for sessions that are just logging in: they may have read the old setting and are not yet listed. Each holds a lock on its
/// database until it is (`InitPostgres` in `src/backend/utils/init/postinit.c`).
async fn wait_for_logins(source: &Session, ours: &[i32], deadline: Instant) -> Result<(), SqlError> {
    let sql = "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'object' AND classid = 'pg_catalog.pg_database'::pg_catalog.regclass \
               AND objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
               AND mode = 'RowExclusiveLock' AND granted AND pid <> ALL ($1)";
    let ours = ours.to_vec();
    let look = async || -> Result<HashSet<i32>, SqlError> {
        let params: [Param<'_>; 1] = [(&ours, Type::INT4_ARRAY)];
        let rows = source.query_with("looking for sessions that log in", sql, &params).await?;
        rows.iter().map(|row| row.get("pid")).collect()
    };
    let mut first = look().await?;
    while !first.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
        let now = look().await?;
        first.retain(|pid| now.contains(pid));
    }
    Ok(())
}

/// A session that is not ours.
struct Other {
    pid: i32,
    shown: String,
}

/// Who is to be ended: every client, and what else is in a transaction that has written. What the role may not see of a session is NULL:
/// that is taken for a client.
async fn sessions(source: &Session, ours: &[i32]) -> Result<Vec<Other>, SqlError> {
    let sql = format!(
        "SELECT a.pid, a.usename::text AS role, a.application_name AS application, a.backend_type AS kind, a.state AS state \
         FROM pg_catalog.pg_stat_activity a WHERE {OTHERS} \
         AND a.pid NOT IN (SELECT pid FROM pg_catalog.pg_stat_replication WHERE pid IS NOT NULL) \
         AND CASE a.backend_type WHEN 'client backend' THEN true WHEN 'walsender' THEN false WHEN 'parallel worker' THEN false \
             WHEN 'autovacuum worker' THEN false ELSE a.backend_type IS NULL OR a.backend_xid IS NOT NULL END ORDER BY a.pid"
    );
    let ours = ours.to_vec();
    let params: [Param<'_>; 1] = [(&ours, Type::INT4_ARRAY)];
    let mut found = Vec::new();
    for row in source.query_with("looking for sessions on the source", &sql, &params).await? {
        let text = |column: &str| row.get::<Option<String>>(column).map(Option::unwrap_or_default);
        let pid = row.get("pid")?;
        found.push(Other {
            pid,
            shown: shown(pid, &text("role")?, &text("application")?, &text("kind")?, &text("state")?),
        });
    }
    Ok(found)
}

fn shown(pid: i32, role: &str, application: &str, kind: &str, state: &str) -> String {
    let mut out = format!("pid {pid}");
    if !matches!(kind, "" | "client backend") {
        out += &format!(", {kind}");
    }
    for (label, value) in [("role", role), ("application", application), ("state", state)] {
        if !value.is_empty() {
            out += &format!(", {label} {value}");
        }
    }
    out
}

async fn end(source: &Session, pid: i32) -> Result<(), SqlError> {
    let params: [Param<'_>; 1] = [(&pid, Type::INT4)];
    source
        .query_with("ending a session", "SELECT pg_catalog.pg_terminate_backend($1) AS ended", &params)
        .await?;
    Ok(())
}

/// Where nobody stays to end them (no fence, no subscription that goes on): transactions that were prepared and would commit, if anyone
/// remembers them, on a source that nobody reads from any more.
///
/// # Errors
/// [`CutoverError::Held`] with each of them.
pub async fn forgotten_transactions(source: &Session) -> Result<(), CutoverError> {
    prepared_transactions(source, TWO_PHASES).await
}

/// Transactions that have been prepared for this long, and can be committed from any session, read-only or not.
async fn prepared_transactions(source: &Session, since: Duration) -> Result<(), CutoverError> {
    let sql = format!(
        "SELECT gid, owner::text AS owner, prepared::text AS prepared FROM pg_catalog.pg_prepared_xacts \
         WHERE database = pg_catalog.current_database() \
         AND prepared <= pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => {}) ORDER BY prepared, gid",
        since.as_secs_f64()
    );
    let rows = source.query("looking for prepared transactions", &sql).await.map_err(plain)?;
    let mut holders = Vec::new();
    for row in rows.iter().take(10) {
        let text = |column: &str| row.get::<String>(column).map_err(plain);
        holders.push(format!(
            "{} (of {}, since {})",
            quote_literal(&text("gid")?),
            text("owner")?,
            text("prepared")?
        ));
    }
    if rows.len() > 10 {
        holders.push(format!("and {} more", rows.len() - 10));
    }
    if holders.is_empty() {
        return Ok(());
    }
    Err(CutoverError::Held {
        what: "prepared transactions",
        holders,
        remedy: "COMMIT PREPARED or ROLLBACK PREPARED each of them on the source, then cut over again"
            .to_owned(),
    })
}

/// Roles whose own setting wins over the database's (`process_settings` in `postinit.c`).
async fn stronger_settings(source: &Session) -> Result<Vec<String>, SqlError> {
    let sql = "SELECT DISTINCT pg_catalog.pg_get_userbyid(s.setrole)::text AS role \
               FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS c WHERE s.setrole <> 0 \
               AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())) \
               AND c ~ '^default_transaction_read_only=' AND c !~* '=(on|true|yes|1|t|y|tr|tru|ye)$' ORDER BY 1";
    let mut warnings = Vec::new();
    for row in source.query("looking for roles with a setting of their own", sql).await? {
        let role: String = row.get("role")?;
        warnings.push(format!(
            "role {} has default_transaction_read_only set to off for itself: its new sessions can write through the fence",
            quote_ident(&role)
        ));
    }
    Ok(warnings)
}

async fn one(session: &Session, what: &str, sql: &str) -> Result<Row, SqlError> {
    let mut rows = session.query(what, sql).await?;
    rows.pop().ok_or_else(|| SqlError::local(session.side, what, "the server returned no row"))
}

fn plain(error: SqlError) -> CutoverError {
    CutoverError::sql(error, "cut over again once the source answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_before_is_restored() {
        assert_eq!(restoring("db", None), "ALTER DATABASE db RESET default_transaction_read_only");
        assert_eq!(
            restoring("My DB", Some("off")),
            "ALTER DATABASE \"My DB\" SET default_transaction_read_only = 'off'"
        );
    }

    #[test]
    fn a_session_is_shown_by_what_is_known_of_it() {
        assert_eq!(
            shown(7, "app", "web", "client backend", "idle"),
            "pid 7, role app, application web, state idle"
        );
        assert_eq!(shown(7, "", "", "logical replication worker", ""), "pid 7, logical replication worker");
    }
}
