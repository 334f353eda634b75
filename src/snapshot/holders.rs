//! Who holds up the creation of a slot: transactions with a number of their own that are older, and prepared ones; and who holds up
//! a lock on a table.
//!
//! Invariant: what a role may not see of others' sessions is left out of the words; the process is named all the same.

use std::time::Duration;

use crate::pg::{Session, SqlError};

/// A transaction that may be in the way.
#[derive(Clone, Debug, Default, PartialEq)]
struct Holder {
    /// Its backend; `None`: prepared.
    pid: Option<i32>,
    /// Its number, as text.
    xid: String,
    gid: Option<String>,
    role: Option<String>,
    database: Option<String>,
    application: Option<String>,
    seconds: Option<f64>,
    state: Option<String>,
    query: Option<String>,
}

/// All that may be in the way at one moment, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders(Vec<Holder>);

/// Looks. `walsender` is the process that waits: what the server itself says it waits for is always among the holders, and others once they
/// are older than a second, so that the short transactions of a busy source are not.
pub(super) async fn holders(session: &Session, walsender: Option<i32>) -> Result<Holders, SqlError> {
    let walsender = walsender.unwrap_or(0);
    let sql = format!(
        "SELECT pid, backend_xid::text AS xid, NULL::text AS gid, usename::text AS role, datname::text AS database, \
         application_name AS application, extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::float8 AS seconds, \
         state, pg_catalog.left(query, 300) AS query, pg_catalog.age(backend_xid) AS age \
         FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> {walsender} \
         AND (pid = ANY (pg_catalog.pg_blocking_pids({walsender})) \
              OR xact_start < pg_catalog.clock_timestamp() - '1 second'::pg_catalog.interval) \
         UNION ALL SELECT NULL, transaction::text, gid, owner::text, database::text, NULL, \
         extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::float8, NULL, NULL, pg_catalog.age(transaction) \
         FROM pg_catalog.pg_prepared_xacts ORDER BY age DESC, xid"
    );
    read(session, "looking at what the slot waits for", &sql).await
}

/// What the backend `waiting` waits to lock, quoted and qualified, and who is ahead of it, in words: those that hold the lock, and those that
/// stand in the queue before it. `None`: it does not wait for a table.
///
/// # Errors
/// [`SqlError`] when the connection breaks.
pub async fn lock_holders(
    session: &Session,
    waiting: i32,
) -> Result<Option<(String, Vec<String>)>, SqlError> {
    let what = "looking at what is waited for";
    let table = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = {waiting} AND NOT l.granted"
    );
    let Some(table) = session.value::<String>(what, &table).await? else { return Ok(None) };
    // A prepared transaction is process 0 among those that block, and in pg_locks none.
    let sql = format!(
        "WITH RECURSIVE ahead (pid) AS (SELECT b FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids({waiting})) b \
           UNION SELECT b FROM ahead a, pg_catalog.unnest(pg_catalog.pg_blocking_pids(a.pid)) b WHERE a.pid <> 0) \
         SELECT s.pid, coalesce(s.backend_xid::text, '') AS xid, NULL::text AS gid, s.usename::text AS role, s.datname::text AS database, \
         s.application_name AS application, extract(epoch FROM pg_catalog.clock_timestamp() - s.xact_start)::float8 AS seconds, \
         s.state, pg_catalog.left(s.query, 300) AS query FROM pg_catalog.pg_stat_activity s WHERE s.pid IN (SELECT a.pid FROM ahead a) \
         UNION ALL SELECT NULL, p.transaction::text, p.gid, p.owner::text, p.database::text, NULL, \
         extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8, NULL, NULL FROM pg_catalog.pg_prepared_xacts p \
         WHERE 0 IN (SELECT a.pid FROM ahead a) AND EXISTS (SELECT FROM pg_catalog.pg_locks h JOIN pg_catalog.pg_locks l \
           ON l.relation = h.relation AND l.database = h.database WHERE l.pid = {waiting} AND NOT l.granted \
           AND h.granted AND h.virtualtransaction = '-1/' || p.transaction) ORDER BY seconds DESC NULLS LAST"
    );
    let holders = read(session, what, &sql).await?;
    Ok(Some((table, holders.in_words())))
}

async fn read(session: &Session, what: &str, sql: &str) -> Result<Holders, SqlError> {
    let mut found = Vec::new();
    for row in session.query(what, sql).await? {
        found.push(Holder {
            pid: row.get("pid")?,
            xid: row.get("xid")?,
            gid: row.get("gid")?,
            role: row.get("role")?,
            database: row.get("database")?,
            application: row.get("application")?,
            seconds: row.get("seconds")?,
            state: row.get("state")?,
            query: row.get("query")?,
        });
    }
    Ok(Holders(found))
}

impl Holders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these are the same transactions, however old they have become.
    pub(super) fn same_as(&self, other: &Holders) -> bool {
        self.0.iter().map(|h| (h.pid, &h.xid)).eq(other.0.iter().map(|h| (h.pid, &h.xid)))
    }

    /// One line each.
    pub(super) fn in_words(&self) -> Vec<String> {
        self.0.iter().map(Holder::in_words).collect()
    }
}

impl Holder {
    fn in_words(&self) -> String {
        let mut words = match (&self.pid, &self.gid) {
            (Some(pid), _) => format!("process {pid}"),
            (None, gid) => format!("prepared transaction '{}'", gid.as_deref().unwrap_or_default()),
        };
        let named = |label: &str, value: &Option<String>| {
            value.as_deref().filter(|v| !v.is_empty()).map(|v| format!("{label} {v}"))
        };
        let who: Vec<String> = [
            named("role", &self.role),
            named("database", &self.database),
            named("application", &self.application),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !who.is_empty() {
            words += &format!(" ({})", who.join(", "));
        }
        if let Some(seconds) = self.seconds {
            let verb = if self.pid.is_some() { "open" } else { "prepared" };
            words += &format!(", {verb} for {}", age(seconds));
        }
        if let Some(state) = &self.state {
            words += &format!(", {state}");
        }
        if let Some(query) = self.query.as_deref().filter(|q| !q.trim().is_empty()) {
            let line: Vec<&str> = query.split_whitespace().collect();
            words += &format!(": {}", line.join(" "));
        }
        words
    }
}

fn age(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e12)).as_secs();
    match (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let session = Holder {
            pid: Some(42),
            xid: "700".into(),
            role: Some("ann".into()),
            application: Some("psql".into()),
            seconds: Some(303.9),
            state: Some("idle in transaction".into()),
            query: Some("UPDATE t\n  SET a = 1".into()),
            ..Holder::default()
        };
        let prepared = Holder {
            xid: "701".into(),
            gid: Some("g1".into()),
            database: Some("d".into()),
            seconds: Some(90_000.0),
            ..Holder::default()
        };
        // Of a session that the role may not look into, hardly more than the process is known.
        let hidden = Holder {
            pid: Some(43),
            xid: "702".into(),
            application: Some(String::new()),
            ..Holder::default()
        };
        let holders = Holders(vec![session, prepared, hidden]);
        assert_eq!(
            holders.in_words(),
            [
                "process 42 (role ann, application psql), open for 5 min 3 s, idle in transaction: UPDATE t SET a = 1",
                "prepared transaction 'g1' (database d), prepared for 1 d 1 h",
                "process 43"
            ]
        );
        let mut older = holders.clone();
        older.0[0].seconds = Some(400.0);
        assert!(older.same_as(&holders));
        older.0.remove(1);
        assert!(!older.same_as(&holders));
    }
}
