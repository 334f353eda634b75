//! Refreshes that find another materialized view without its rows: `pg_depend` does not know what the text of a function
//! reads, so no order that is made beforehand is right for all of them.
//!
//! Invariant: such a refresh is put off, not failed; when all else is done those that were put off are tried again, as long as
//! each round brings at least one of them further.

use super::error::RestoreError;
use super::run::Run;
use super::scheduler::TaskId;
use super::worker::Worker;
use crate::pg::SqlError;

/// A refresh to be tried again: its task, and its step.
pub(super) type PutOff = (TaskId, usize);

impl Run {
    /// Whether step `i` refreshes a materialized view and the server says that what it reads has no rows yet
    /// (`object_not_in_prerequisite_state`).
    pub fn may_come_later(&self, i: usize, error: &SqlError) -> bool {
        self.steps[i].kind == "MATERIALIZED VIEW DATA" && error.sqlstate.as_deref() == Some("55000")
    }
}

impl Worker {
    /// Tries again what was put off; whichever worker comes first does it for all.
    pub async fn refresh_again(&mut self) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let mut left = run.take_put_off();
        while !left.is_empty() {
            let (tried, mut still) = (left.len(), Vec::new());
            for (id, i) in left {
                let statements: Vec<&str> = run.steps[i].create.iter().map(String::as_str).collect();
                let Err((index, error)) = self.transaction(id, &statements).await? else {
                    run.step_done(i);
                    continue;
                };
                if run.may_come_later(i, &error) {
                    still.push((id, i, index, error));
                } else {
                    self.step_failed(id, i, statements.get(index).copied().unwrap_or_default(), error)
                        .await?;
                }
            }
            if still.len() == tried {
                for (id, i, index, error) in still {
                    let statement = run.steps[i].create.get(index).map(String::as_str).unwrap_or_default();
                    self.step_failed(id, i, statement, error).await?;
                }
                return Ok(());
            }
            left = still.into_iter().map(|(id, i, ..)| (id, i)).collect();
        }
        Ok(())
    }
}
