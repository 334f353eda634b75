//! What was suspended on the target while changes were applied (triggers, rules, identity) comes back.
//!
//! Invariant: the statements and the removal of their record are one transaction, so nothing is left half resumed
//! and nothing is resumed twice. A lock that another session holds is waited for in short turns: what waits for a lock like these keeps
//! everybody else from the table, and the source may be fenced meanwhile.

use std::time::{Duration, Instant};

use super::CutoverError;
use crate::journal;
use crate::pg::{Session, SqlError};
use crate::schema::quote::quote_literal;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Statements that ran.
    pub count: u64,
    /// Objects that are no longer there: someone dropped them meanwhile.
    pub gone: Vec<String>,
}

/// undefined_table, undefined_object, undefined_column, undefined_function, invalid_schema_name: the object was dropped since.
const GONE: [&str; 5] = ["42P01", "42704", "42703", "42883", "3F000"];

/// How long a lock is waited for, and the pause before the next time.
const TURN: &str = "SET LOCAL lock_timeout = '1s'";
const PAUSE: Duration = Duration::from_millis(250);

/// Runs everything that undoes what this migration suspended, and forgets it. Other sessions on the target may hold it up for so long.
///
/// # Errors
/// [`CutoverError::Sql`] naming the object, and the sessions that may be in the way; then all is as before.
pub async fn suspended(target: &Session, name: &str, patience: Duration) -> Result<Resumed, CutoverError> {
    let statements = journal::resume_statements(target, name).await?;
    if statements.is_empty() {
        return Ok(Resumed::default());
    }
    let deadline = Instant::now() + patience;
    loop {
        let result = match all_at_once(target, name, &statements).await {
            Ok(()) => return Ok(Resumed { count: statements.len() as u64, gone: Vec::new() }),
            Err(error) if is_gone(&error) => one_by_one(target, name, &statements).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(resumed) => return Ok(resumed),
            Err(error) if is_locked(&error) && Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(error) if is_locked(&error) => {
                let remedy = format!(
                    "have them end on the target, then cut over again: {}",
                    in_the_way(target).await.map_err(failed)?.join("; ")
                );
                return Err(CutoverError::sql(error, remedy));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// lock_not_available.
fn is_locked(error: &SqlError) -> bool {
    error.sqlstate.as_deref() == Some("55P03")
}

/// Sessions with an open transaction on this database, the oldest first: among them is what holds a lock.
async fn in_the_way(target: &Session) -> Result<Vec<String>, SqlError> {
    let sql = "SELECT pg_catalog.format('pid %s of %s, %s, for %s s: %s', pid, usename, state, \
                 pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - xact_start)::pg_catalog.int8, \
                 pg_catalog.left(pg_catalog.regexp_replace(query, '\\s+', ' ', 'g'), 80)) AS shown \
               FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND xact_start IS NOT NULL \
               AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() ORDER BY xact_start LIMIT 5";
    let rows = target.query("looking for sessions that hold locks", sql).await?;
    rows.iter().map(|row| row.get("shown")).collect()
}

fn is_gone(error: &SqlError) -> bool {
    error.sqlstate.as_deref().is_some_and(|state| GONE.contains(&state))
}

fn what(object: &str) -> String {
    format!("bringing back what was suspended for the migration: {object}")
}

const COMMITTING: &str = "committing what was brought back";

fn forget(name: &str) -> String {
    format!("DELETE FROM _pg_migrator.suspended WHERE migration = {}", quote_literal(name))
}

async fn all_at_once(target: &Session, name: &str, statements: &[(String, String)]) -> Result<(), SqlError> {
    let forget = forget(name);
    let mut batch = vec!["BEGIN", TURN];
    batch.extend(statements.iter().map(|(_, sql)| sql.as_str()));
    batch.push(&forget);
    let results = target.pipeline("bringing back what was suspended", &batch).await;
    for (i, result) in results.into_iter().enumerate() {
        if let Err(error) = result {
            // COMMIT is not sent with the rest: after an error it would look like a success.
            let _ = target.batch("ending the attempt", "ROLLBACK").await;
            let object = i.checked_sub(2).and_then(|i| statements.get(i)).map(|(object, _)| what(object));
            return Err(SqlError { what: object.unwrap_or_else(|| error.what.clone()), ..error });
        }
    }
    target.batch(COMMITTING, "COMMIT").await
}

/// The same with a savepoint before each, so that what is gone can be passed over.
async fn one_by_one(
    target: &Session,
    name: &str,
    statements: &[(String, String)],
) -> Result<Resumed, SqlError> {
    let mut resumed = Resumed::default();
    target.batch("beginning to bring back what was suspended", &format!("BEGIN; {TURN}")).await?;
    for (object, sql) in statements {
        match target.batch(&what(object), &format!("SAVEPOINT one; {sql}; RELEASE SAVEPOINT one")).await {
            Ok(()) => resumed.count += 1,
            Err(error) if is_gone(&error) => {
                resumed.gone.push(object.clone());
                target.batch(&what(object), "ROLLBACK TO SAVEPOINT one").await?;
            }
            Err(error) => {
                let _ = target.batch("ending the attempt", "ROLLBACK").await;
                return Err(error);
            }
        }
    }
    target.batch(COMMITTING, &format!("{}; COMMIT", forget(name))).await?;
    Ok(resumed)
}

fn failed(error: SqlError) -> CutoverError {
    CutoverError::sql(error, "mend the cause on the target, then cut over again")
}
