//! A worker: one connection pair, and what a task can do with it on the target: steps, keys, grants, statistics.
//!
//! Invariant: a task's work and its journal entry are one transaction on the target. A connection on which
//! something unexpected happened is closed, never used again.

use std::sync::Arc;

use super::error::RestoreError;
use super::run::Run;
use super::scheduler::TaskId;
use super::transaction;
use crate::journal;
use crate::pg::{Server, SqlError, Wire};
use crate::progress::Event;

/// Sent at the start of every transaction that builds or writes: losing the last moments of an unfinished copy to
/// a crash of the server loses nothing, because the journal's rows are lost with them.
pub(super) const FAST_COMMIT: &str = "SET LOCAL synchronous_commit = off";

/// [`FAST_COMMIT`], and an index build without parallel workers: with all jobs busy they only add the cost of merging.
const CROWDED: &str = "SET LOCAL synchronous_commit = off; SET LOCAL max_parallel_maintenance_workers = 0";

/// One connection pair.
pub(super) struct Worker {
    pub run: Arc<Run>,
    pub id: usize,
    source: Option<Wire>,
    target: Option<Wire>,
    /// See [`super::run::Next::Task`].
    pub crowded: bool,
}

impl Worker {
    pub fn new(run: Arc<Run>, id: usize) -> Self {
        Worker { run, id, source: None, target: None, crowded: false }
    }

    /// The target's connection, opened when first needed.
    pub async fn target(&mut self) -> Result<&mut Wire, RestoreError> {
        if self.target.is_none() {
            let wire = self.open(&self.run.target, "target").await?;
            self.target = Some(wire);
        }
        self.target.as_mut().ok_or_else(|| unreachable_wire(&self.run.target))
    }

    /// Both connections, opened when first needed.
    pub async fn pair(&mut self) -> Result<(&mut Wire, &mut Wire), RestoreError> {
        if self.source.is_none() {
            let wire = self.open(&self.run.source, "source").await?;
            self.source = Some(wire);
        }
        self.target().await?;
        match (self.source.as_mut(), self.target.as_mut()) {
            (Some(source), Some(target)) => Ok((source, target)),
            _ => Err(unreachable_wire(&self.run.target)),
        }
    }

    async fn open(&self, server: &Server, end: &'static str) -> Result<Wire, RestoreError> {
        let mut wire = server.connect_wire(&self.run.encoding).await?;
        self.run.register_cancel(self.id, end, wire.cancel_handle());
        if end == "target" {
            wire.simple("saying that a worker is here", journal::PRESENCE).await?;
        }
        if let (Some(kb), "target") = (self.run.options.maintenance_work_mem_kb, end) {
            wire.simple("setting maintenance_work_mem", &format!("SET maintenance_work_mem = '{kb}kB'"))
                .await?;
        }
        Ok(wire)
    }

    /// Closes both connections after an error in the middle of a copy: what they hold is rolled back.
    pub fn give_up_connections(&mut self) {
        self.source = None;
        self.target = None;
    }

    /// Closes the target's connection if it broke.
    fn after(&mut self, error: &SqlError) {
        if error.is_broken() {
            self.target = None;
        }
    }

    /// Runs statements and the task's journal entry as one transaction; the error's index is that of `statements`.
    pub async fn transaction(
        &mut self,
        id: TaskId,
        statements: &[&str],
    ) -> Result<Result<(), (usize, SqlError)>, RestoreError> {
        let done = journal::task_done(&self.run.name, id, 0, 0);
        let settings = if self.crowded { CROWDED } else { FAST_COMMIT };
        let mut all = vec![settings];
        all.extend(statements);
        all.push(&done);
        let result = transaction::run(self.target().await?, &all).await;
        Ok(result.map_err(|(index, error)| {
            self.after(&error);
            (index.saturating_sub(1), error)
        }))
    }

    /// Steps' statements in one transaction, without those that are left out, which are gone from the list then
    /// ([`Run::leaves_out`]).
    async fn together(
        &mut self,
        id: TaskId,
        owners: &mut Vec<(usize, &str)>,
    ) -> Result<Result<(), (usize, SqlError)>, RestoreError> {
        loop {
            let statements: Vec<&str> = owners.iter().map(|(_, s)| *s).collect();
            let Err((index, error)) = self.transaction(id, &statements).await? else { return Ok(Ok(())) };
            match owners.get(index) {
                Some(&(i, statement)) if self.run.leaves_out(i, statement, &error) => owners.remove(index),
                _ => return Ok(Err((index, error))),
            };
        }
    }

    /// A step failed: an error, or a warning where the operator allowed that.
    pub async fn step_failed(
        &mut self,
        id: TaskId,
        i: usize,
        statement: &str,
        error: SqlError,
    ) -> Result<(), RestoreError> {
        let error = self.run.object_error(i, statement, error);
        if !self.run.options.allow_restore_errors || !error.is_tolerable() {
            return Err(error);
        }
        let RestoreError::Object { source, .. } = &error else { return Err(error) };
        let message = source.to_string();
        self.run.step_failed(i, message.clone(), None);
        self.journal_failure(id, &message).await
    }

    pub async fn journal_failure(&mut self, id: TaskId, message: &str) -> Result<(), RestoreError> {
        let sql = journal::task_failed(&self.run.name, id, message);
        let wire = self.target().await?;
        wire.simple("recording a failed object", &sql).await?;
        Ok(())
    }

    /// The steps of `steps` that can be made: those that need a failed one are reported as skipped.
    fn possible(&self, steps: &[usize]) -> Vec<usize> {
        let mut possible = Vec::with_capacity(steps.len());
        for &i in steps {
            match self.run.blocked_by(i) {
                Some(because) => {
                    let message = format!("skipped, because {because} failed");
                    self.run.step_failed(i, message, Some(because));
                }
                None => possible.push(i),
            }
        }
        possible
    }

    /// Steps together; where one of them fails, each by itself, so that one failure costs only what needs it.
    pub async fn steps(&mut self, id: TaskId, steps: &[usize]) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let steps = self.possible(steps);
        let mut owners: Vec<(usize, &str)> =
            steps.iter().flat_map(|&i| run.steps[i].create.iter().map(move |s| (i, s.as_str()))).collect();
        match self.together(id, &mut owners).await? {
            Ok(()) => {
                steps.iter().for_each(|&i| run.step_done(i));
                return Ok(());
            }
            Err((index, error)) => {
                let Some(&(i, statement)) = owners.get(index) else { return Err(error.into()) };
                let alone = steps.len() == 1 || !run.options.allow_restore_errors;
                if alone && !run.may_come_later(i, &error) {
                    return self.step_failed(id, i, statement, error).await;
                }
            }
        }
        for i in steps {
            for i in self.possible(&[i]) {
                let mut own: Vec<(usize, &str)> = owners.iter().filter(|o| o.0 == i).copied().collect();
                match self.together(id, &mut own).await? {
                    Ok(()) => run.step_done(i),
                    Err((_, error)) if run.may_come_later(i, &error) => run.put_off(id, i),
                    Err((index, error)) => {
                        let statement = own.get(index).map(|o| o.1).unwrap_or_default();
                        self.step_failed(id, i, statement, error).await?;
                    }
                }
            }
        }
        Ok(())
    }

    pub async fn key_index(&mut self, id: TaskId, i: usize) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let Some((index, _)) = &run.steps[i].index_first else { return Ok(()) };
        if self.possible(&[i]).is_empty() {
            return Ok(());
        }
        match self.transaction(id, &[index]).await? {
            Ok(()) => Ok(()),
            Err((_, error)) => self.step_failed(id, i, index, error).await,
        }
    }

    pub async fn key_constraint(&mut self, id: TaskId, i: usize) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let step = &run.steps[i];
        let Some((_, attach)) = &step.index_first else { return Ok(()) };
        if run.has_failed(i) {
            return Ok(()); // its index did, and was told
        }
        let mut statements = vec![attach.as_str()];
        statements.extend(step.create.iter().skip(1).map(String::as_str));
        match self.transaction(id, &statements).await? {
            Ok(()) => {
                run.step_done(i);
                Ok(())
            }
            Err((index, error)) => {
                let statement = statements.get(index).copied().unwrap_or_default();
                self.step_failed(id, i, statement, error).await
            }
        }
    }

    pub async fn grants(&mut self, id: TaskId, steps: &[usize]) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let possible = |i: &&usize| !run.has_failed(**i);
        let mut owners: Vec<(usize, &str)> = steps
            .iter()
            .filter(possible)
            .flat_map(|&i| run.steps[i].acl.iter().map(move |s| (i, s.as_str())))
            .collect();
        let Err((index, error)) = self.together(id, &mut owners).await? else { return Ok(()) };
        let Some(&(i, statement)) = owners.get(index) else { return Err(error.into()) };
        if !run.options.allow_restore_errors {
            return Err(run.object_error(i, statement, error));
        }
        for &i in steps.iter().filter(possible) {
            let mut own: Vec<(usize, &str)> = owners.iter().filter(|o| o.0 == i).copied().collect();
            if let Err((index, error)) = self.together(id, &mut own).await? {
                let error = run.object_error(i, own.get(index).map(|o| o.1).unwrap_or_default(), error);
                if !error.is_tolerable() {
                    return Err(error);
                }
                let step = &run.steps[i];
                run.object_failed(crate::progress::FailedObject {
                    kind: "ACL".to_owned(),
                    object: format!("{} {}", step.kind, step.identity),
                    message: error.to_string(),
                    skipped_because_of: None,
                    statements: step.acl.iter().map(|s| format!("{s};")).collect(),
                });
                self.journal_failure(id, &error.to_string()).await?;
            }
        }
        Ok(())
    }

    pub async fn analyze(&mut self, id: TaskId, tables: &[String]) -> Result<(), RestoreError> {
        for table in tables {
            let sql = format!("ANALYZE {table}");
            if let Err((_, error)) = self.transaction(id, &[&sql]).await? {
                if error.is_broken() {
                    return Err(error.into());
                }
                // Statistics can be had later; the data is there.
                self.run.reporter.emit(Event::Warning {
                    object: table.clone(),
                    message: format!("ANALYZE failed: {error}; run it by hand"),
                });
            }
        }
        Ok(())
    }
}

/// Both ends are opened before they are used; this is the error instead of a panic should that ever change.
fn unreachable_wire(server: &Server) -> RestoreError {
    SqlError::local(server.side, "taking a connection", "it is not open").into()
}
