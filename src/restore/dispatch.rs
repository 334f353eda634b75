//! From the scheduler to the work: a worker takes task after task until none is left.
//!
//! Invariant: a task that was taken is given back to the scheduler exactly if it ended well; an error ends the worker,
//! and with it the run.

use std::time::Instant;

use super::error::RestoreError;
use super::plan::Work;
use super::run::Next;
use super::scheduler::TaskId;
use super::worker::Worker;
use super::{copy_task, large_objects};
use crate::progress::Event;

impl Worker {
    /// Works until all tasks are done, or one fails.
    pub async fn work(mut self) -> Result<(), RestoreError> {
        loop {
            // Listen before looking: a task that is finished in between must not be missed.
            let run = self.run.clone();
            let changed = run.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.run.next() {
                Next::Done => return self.refresh_again().await,
                Next::Wait => changed.await,
                Next::Task { id, crowded } => {
                    self.crowded = crowded;
                    self.task(id).await?;
                    self.run.finish(id);
                }
            }
        }
    }

    async fn task(&mut self, id: TaskId) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let work = &run.plan.tasks[id].work;
        let started = Instant::now();
        let (kind, object) = run.describe(work);
        let shown = !matches!(work, Work::Copy { .. } | Work::Bundle { .. } | Work::Barrier);
        if shown {
            run.reporter.emit(Event::TaskStarted { kind: kind.to_owned(), object: object.clone() });
        }
        match work {
            Work::Copy { table, slice } => copy_task::part(self, id, *table, *slice).await?,
            Work::Bundle { tables, steps } => copy_task::bundle(self, id, tables, steps).await?,
            Work::LargeObjects(oids) => large_objects::copy(self, id, oids).await?,
            Work::KeyIndex(i) => self.key_index(id, *i).await?,
            Work::KeyConstraint(i) => self.key_constraint(id, *i).await?,
            Work::Steps(steps) => self.steps(id, steps).await?,
            Work::Grants(steps) => self.grants(id, steps).await?,
            Work::Analyze(tables) => self.analyze(id, tables).await?,
            Work::Statistics(relations) => self.statistics(id, relations).await?,
            Work::Barrier => {}
        }
        if shown {
            let elapsed = started.elapsed();
            run.reporter.emit(Event::TaskFinished { kind: kind.to_owned(), object, elapsed });
        }
        Ok(())
    }
}
