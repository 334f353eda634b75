//! The state all workers of one Restore share: the plan, the scheduler, what failed, what is counted.
//!
//! Invariant: a task's outcome is told to the scheduler exactly once; an object that failed is known before
//! anything that needs it is handed out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::error::RestoreError;
use super::plan::{Plan, Work};
use super::refresh::PutOff;
use super::scheduler::{Scheduler, TaskId};
use super::statistics::Carried;
use crate::config::RestoreOptions;
use crate::pg::{CancelHandle, Server, SqlError};
use crate::progress::{Event, FailedObject, Reporter};
use crate::schema::secret::{shown, without_secrets};
use crate::schema::{Address, Step};

/// What Restore works on; the same for every worker.
pub(super) struct Run {
    pub source: Server,
    pub target: Server,
    /// The exported snapshot's identifier.
    pub snapshot: String,
    /// The source's server encoding: both ends of a copy speak it.
    pub encoding: String,
    /// The migration's name in the journal.
    pub name: String,
    pub steps: Vec<Step>,
    pub plan: Plan,
    /// Statistics that are carried over, by table or materialized view.
    pub statistics: HashMap<Address, Carried>,
    pub options: RestoreOptions,
    pub reporter: Reporter,
    /// Where a running statement can be cancelled, by worker.
    pub cancels: Mutex<HashMap<(usize, &'static str), CancelHandle>>,
    pub changed: Notify,
    put_off: Mutex<Vec<PutOff>>,
    state: Mutex<State>,
}

struct State {
    scheduler: Scheduler,
    /// Steps not on the target: why.
    failed: HashMap<usize, String>,
    tables: HashMap<usize, TableState>,
    totals: Totals,
}

/// What has been done so far.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Tables complete.
    pub tables: u64,
    /// Rows copied.
    pub rows: u64,
    /// Bytes of COPY data.
    pub bytes: u64,
    /// Large objects copied.
    pub large_objects: u64,
    /// Indexes built, keys' own included.
    pub indexes: u64,
    /// Constraints made after the data.
    pub constraints: u64,
    /// Objects that failed or were skipped.
    pub failed: Vec<FailedObject>,
}

struct TableState {
    started: Instant,
    slices_left: usize,
    rows: u64,
    bytes: u64,
}

/// What a worker does next.
pub(super) enum Next {
    Task {
        id: TaskId,
        /// Other tasks keep every worker at work: nobody would gain if this one used parallel workers of the server.
        crowded: bool,
    },
    Wait,
    Done,
}

impl Run {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        source: Server,
        target: Server,
        snapshot: String,
        encoding: String,
        name: String,
        steps: Vec<Step>,
        plan: Plan,
        statistics: HashMap<Address, Carried>,
        options: RestoreOptions,
        reporter: Reporter,
    ) -> Self {
        let nodes = plan.tasks.iter().map(|t| t.node.clone()).collect();
        let state = State {
            scheduler: Scheduler::new(nodes),
            failed: HashMap::new(),
            tables: HashMap::new(),
            totals: Totals::default(),
        };
        Run {
            source,
            target,
            snapshot,
            encoding,
            name,
            steps,
            plan,
            statistics,
            options,
            reporter,
            cancels: Mutex::default(),
            changed: Notify::new(),
            put_off: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves counters at worst one event behind; the run is being ended anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn next(&self) -> Next {
        let mut state = self.state();
        match state.scheduler.next() {
            Some(id) => Next::Task { id, crowded: state.scheduler.busy() >= self.options.jobs },
            None if state.scheduler.is_done() => Next::Done,
            None => Next::Wait,
        }
    }

    pub fn finish(&self, id: TaskId) {
        self.state().scheduler.finish(id);
        self.changed.notify_waiters();
    }

    pub fn totals(&self) -> Totals {
        self.state().totals.clone()
    }

    /// The step whose failure keeps step `i` from being made, if there is one.
    pub fn blocked_by(&self, i: usize) -> Option<String> {
        let state = self.state();
        self.steps[i]
            .needs
            .iter()
            .find(|n| state.failed.contains_key(n))
            .map(|&n| format!("{} {}", self.steps[n].kind, self.steps[n].identity))
    }

    /// Whether step `i` is not on the target.
    pub fn has_failed(&self, i: usize) -> bool {
        self.state().failed.contains_key(&i)
    }

    /// Whether the table's own step failed, so that there is nothing to copy into.
    pub fn table_failed(&self, table: usize) -> Option<String> {
        let address = self.plan.tables[table].address;
        let state = self.state();
        state
            .failed
            .keys()
            .find(|&&i| self.steps[i].address == address && self.steps[i].kind == "TABLE")
            .map(|&i| format!("{} {}", self.steps[i].kind, self.steps[i].identity))
    }

    /// A step failed and the operator allowed that, or it is skipped because of another's failure.
    pub fn step_failed(&self, i: usize, message: String, because: Option<String>) {
        let step = &self.steps[i];
        self.state().failed.insert(i, message.clone());
        self.object_failed(FailedObject {
            kind: step.kind.to_owned(),
            object: step.identity.clone(),
            message,
            skipped_because_of: because,
            statements: step
                .create
                .iter()
                .chain(&step.acl)
                .map(|s| format!("{};", shown(step.kind, s)))
                .collect(),
        });
    }

    /// Whether `error` says that the target's version does not have what step `i` says something of: a member of an extension, one
    /// of the server's own, a column of one. Then that is left out, and told, as psql would go on after it.
    pub fn leaves_out(&self, i: usize, statement: &str, error: &SqlError) -> bool {
        let step = &self.steps[i];
        // Roles are not meant: those that are missing Validate has told of.
        let gone = ["42883", "42703", "42704", "42P01", "42809", "3F000"];
        let gone = error.sqlstate.as_deref().is_some_and(|state| gone.contains(&state));
        let only_said = step.address.is_attached() && ["ACL", "COMMENT"].contains(&step.kind);
        if gone && only_said {
            self.reporter.emit(Event::Warning {
                object: format!("{} {}", step.kind, step.identity),
                message: format!(
                    "left out, because the target does not have what it is about ({}): {statement};",
                    error.message
                ),
            });
        }
        gone && only_said
    }

    /// A refresh is to be tried again when all else is done.
    pub fn put_off(&self, id: TaskId, i: usize) {
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner).push((id, i));
    }

    /// What was put off, to be tried by the caller.
    pub fn take_put_off(&self) -> Vec<PutOff> {
        std::mem::take(&mut *self.put_off.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something of the migration is not on the target.
    pub fn object_failed(&self, failed: FailedObject) {
        self.state().totals.failed.push(failed.clone());
        self.reporter.emit(Event::ObjectFailed {
            kind: failed.kind,
            object: failed.object,
            message: failed.message,
            skipped_because_of: failed.skipped_because_of,
            statements: failed.statements,
        });
    }

    /// A step is on the target.
    pub fn step_done(&self, i: usize) {
        let mut state = self.state();
        match self.steps[i].kind {
            "INDEX" => state.totals.indexes += 1,
            "CONSTRAINT" => {
                state.totals.indexes += 1;
                state.totals.constraints += 1;
            }
            "FK CONSTRAINT" | "CHECK CONSTRAINT" => state.totals.constraints += 1,
            _ => {}
        }
    }

    pub fn large_objects_done(&self, count: u64, bytes: u64) {
        let mut state = self.state();
        state.totals.large_objects += count;
        state.totals.bytes += bytes;
    }

    /// A slice of a table's copy begins.
    pub fn slice_started(&self, table: usize) {
        let t = &self.plan.tables[table];
        let mut state = self.state();
        let first = !state.tables.contains_key(&table);
        state.tables.entry(table).or_insert_with(|| TableState {
            started: Instant::now(),
            slices_left: t.slices.len(),
            rows: 0,
            bytes: 0,
        });
        drop(state);
        if first {
            self.reporter.emit(Event::TableStarted {
                table: t.source.identity(),
                bytes_estimate: t.size.bytes,
                parts: t.slices.len() as u64,
                binary: t.source.binary,
            });
        }
    }

    /// A slice is committed on the target.
    pub fn slice_done(&self, table: usize, rows: u64, bytes: u64) {
        let identity = self.plan.tables[table].source.identity();
        let mut state = self.state();
        state.totals.rows += rows;
        state.totals.bytes += bytes;
        let Some(t) = state.tables.get_mut(&table) else { return };
        t.rows += rows;
        t.bytes += bytes;
        t.slices_left = t.slices_left.saturating_sub(1);
        if t.slices_left > 0 {
            return;
        }
        let event = Event::TableFinished {
            table: identity,
            rows: t.rows,
            bytes: t.bytes,
            elapsed: t.started.elapsed(),
        };
        state.totals.tables += 1;
        drop(state);
        self.reporter.emit(event);
    }

    /// A table without a block: nothing to copy.
    pub fn empty_table_done(&self) {
        self.state().totals.tables += 1;
    }

    /// Remembers how to cancel what a worker runs on one of its connections.
    pub fn register_cancel(&self, worker: usize, end: &'static str, handle: CancelHandle) {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner).insert((worker, end), handle);
    }

    /// Cancels whatever runs on any worker's connection, so that no server goes on with abandoned work.
    pub async fn cancel_all(&self) {
        let handles: Vec<CancelHandle> = {
            let mut cancels = self.cancels.lock().unwrap_or_else(PoisonError::into_inner);
            cancels.drain().map(|(_, handle)| handle).collect()
        };
        let all = futures_util::future::join_all(handles.iter().map(|h| h.cancel()));
        // A server that does not answer is not waited for: its side of the connection is closed in any case.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), all).await;
    }

    /// What a task is about, for the journal and the display.
    pub fn describe(&self, work: &Work) -> (&'static str, String) {
        let steps = |steps: &[usize]| match steps {
            [] => String::new(),
            [i] => self.steps[*i].identity.clone(),
            [i, rest @ ..] => format!("{} and {} more", self.steps[*i].identity, rest.len()),
        };
        match work {
            Work::Copy { table, slice } => {
                let t = &self.plan.tables[*table];
                let object = match t.slices.len() {
                    1 => t.source.identity(),
                    n => format!("{} part {} of {n}", t.source.identity(), slice + 1),
                };
                ("TABLE DATA", object)
            }
            Work::Bundle { tables, .. } => {
                let first =
                    tables.first().map(|&t| self.plan.tables[t].source.identity()).unwrap_or_default();
                match tables.len() {
                    1 => ("TABLE DATA", first),
                    n => ("TABLE DATA", format!("{first} and {} more", n - 1)),
                }
            }
            Work::KeyIndex(i) => ("INDEX", self.steps[*i].identity.clone()),
            Work::KeyConstraint(i) => ("CONSTRAINT", self.steps[*i].identity.clone()),
            Work::Steps(list) => (list.first().map_or("", |&i| self.steps[i].kind), steps(list)),
            Work::Grants(list) => ("ACL", steps(list)),
            Work::LargeObjects(oids) => ("BLOBS", format!("{} large objects", oids.len())),
            Work::Analyze(tables) => ("ANALYZE", tables.join(", ")),
            Work::Statistics(relations) => ("STATISTICS DATA", format!("{} relations", relations.len())),
            Work::Barrier => ("", String::new()),
        }
    }

    /// A statement's failure as an error of step `i`.
    pub fn object_error(&self, i: usize, statement: &str, mut source: SqlError) -> RestoreError {
        let kind = self.steps[i].kind;
        source.what = format!("creating {kind} {}", self.steps[i].identity);
        // A server may quote what it was sent.
        source.message = without_secrets(kind, statement, source.message);
        for text in [&mut source.detail, &mut source.hint, &mut source.context] {
            *text = text.take().map(|text| without_secrets(kind, statement, text));
        }
        let statement = shown(kind, statement);
        const SHOWN: usize = 400;
        let mut statement: String = statement.chars().take(SHOWN + 1).collect();
        if statement.chars().count() > SHOWN {
            statement = statement.chars().take(SHOWN).chain("…".chars()).collect();
        }
        RestoreError::Object {
            kind: kind.to_owned(),
            object: self.steps[i].identity.clone(),
            statement,
            source,
        }
    }
}
