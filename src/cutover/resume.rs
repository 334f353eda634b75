//! What was suspended on the target while changes were applied (triggers, rules, identity) comes back.
//!
//! Invariant: the statements and the removal of their record are one transaction, so nothing is left half resumed
//! and nothing is resumed twice.

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

/// Runs everything that undoes what this migration suspended, and forgets it.
///
/// # Errors
/// [`CutoverError::Sql`] naming the object; then all is as before.
pub async fn suspended(target: &Session, name: &str) -> Result<Resumed, CutoverError> {
    let statements = journal::resume_statements(target, name).await?;
    if statements.is_empty() {
        return Ok(Resumed::default());
    }
    match all_at_once(target, name, &statements).await {
        Ok(()) => Ok(Resumed { count: statements.len() as u64, gone: Vec::new() }),
        Err(error) if is_gone(&error) => one_by_one(target, name, &statements).await,
        Err(error) => Err(failed(error)),
    }
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
    let mut batch = vec!["BEGIN"];
    batch.extend(statements.iter().map(|(_, sql)| sql.as_str()));
    batch.push(&forget);
    let results = target.pipeline("bringing back what was suspended", &batch).await;
    for (i, result) in results.into_iter().enumerate() {
        if let Err(error) = result {
            // COMMIT is not sent with the rest: after an error it would look like a success.
            let _ = target.batch("ending the attempt", "ROLLBACK").await;
            let object = i.checked_sub(1).and_then(|i| statements.get(i)).map(|(object, _)| what(object));
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
) -> Result<Resumed, CutoverError> {
    let mut resumed = Resumed::default();
    target.batch("beginning to bring back what was suspended", "BEGIN").await.map_err(failed)?;
    for (object, sql) in statements {
        match target.batch(&what(object), &format!("SAVEPOINT one; {sql}; RELEASE SAVEPOINT one")).await {
            Ok(()) => resumed.count += 1,
            Err(error) if is_gone(&error) => {
                resumed.gone.push(object.clone());
                target.batch(&what(object), "ROLLBACK TO SAVEPOINT one").await.map_err(failed)?;
            }
            Err(error) => {
                let _ = target.batch("ending the attempt", "ROLLBACK").await;
                return Err(failed(error));
            }
        }
    }
    target.batch(COMMITTING, &format!("{}; COMMIT", forget(name))).await.map_err(failed)?;
    Ok(resumed)
}

fn failed(error: SqlError) -> CutoverError {
    CutoverError::sql(error, "mend the cause on the target, then cut over again")
}
