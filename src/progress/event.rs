//! The events and the handle that emits them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::lsn::Lsn;

/// The phases of a migration, by the names that users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[allow(missing_docs)]
pub enum Phase {
    Validate,
    PrepareSnapshot,
    Dump,
    Restore,
    StreamApply,
    CaughtUp,
    Cutover,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// One thing that happened. Names and fields are part of the `--log-format json` contract.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Event {
    /// A phase began.
    PhaseStarted { phase: Phase },
    /// A phase ended well.
    PhaseFinished {
        phase: Phase,
        #[serde(rename = "seconds", serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// What Restore is going to do.
    Planned {
        tables: u64,
        rows_estimate: u64,
        bytes_estimate: u64,
        parts: u64,
        indexes: u64,
        constraints: u64,
        statements: u64,
    },
    /// A table's copy began (its first part).
    TableStarted { table: String, bytes_estimate: u64, parts: u64, binary: bool },
    /// Rows and bytes moved since the last such event, all tables together.
    Copied { table: String, rows: u64, bytes: u64 },
    /// All parts of a table are copied.
    TableFinished {
        table: String,
        rows: u64,
        bytes: u64,
        #[serde(rename = "seconds", serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// An index, constraint, refresh or ANALYZE began; `kind` in pg_dump's words.
    TaskStarted { kind: String, object: String },
    /// It ended well.
    TaskFinished {
        kind: String,
        object: String,
        #[serde(rename = "seconds", serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// Something the operator should know; the migration goes on.
    Warning { object: String, message: String },
    /// An object failed (`--allow-restore-errors`) or was skipped because what it needs failed.
    ObjectFailed {
        kind: String,
        object: String,
        message: String,
        skipped_because_of: Option<String>,
        statements: Vec<String>,
    },
    /// A line of narration.
    Note { message: String },
    /// The slot exists; the copy sees the source as of `lsn`.
    SlotCreated { slot: String, lsn: Lsn },
    /// The slot's creation waits for transactions that are older; one event per look, with all of them in words.
    SlotWaits { slot: String, holders: Vec<String> },
    /// A lock on this table of the source is waited for; repeated seldom, with all that stand before us in words.
    LockWaits { table: String, holders: Vec<String> },
    /// Changes are being applied from here on; `resumed`: an earlier run of this migration had begun to.
    StreamStarted { lsn: Lsn, resumed: bool },
    /// The heartbeat, every `--cutover-poll-secs`.
    Lag(Lag),
    /// Lag is under the threshold.
    CaughtUp { lag_bytes: u64 },
    /// It no longer is.
    FellBehind { lag_bytes: u64 },
    /// A connection broke during StreamApply and is being made again.
    Reconnecting { message: String, attempt: u32 },
    /// Cutover was asked for, by a signal or by `pg_migrator cutover`.
    CutoverRequested { by: String },
    /// Everything up to the source's flush position is applied and durable on the target.
    Drained {
        lsn: Lsn,
        #[serde(rename = "seconds", serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// Sequences stand where the source's stand.
    SequencesSet { sequences: u64 },
}

fn seconds<S: serde::Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(d.as_secs_f64())
}

/// Where an online migration stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lag {
    /// The source's flush position.
    pub source_lsn: Lsn,
    /// Received from the source.
    pub received_lsn: Lsn,
    /// Applied on the target.
    pub applied_lsn: Lsn,
    /// Durable on the target and confirmed to the source.
    pub confirmed_lsn: Lsn,
    /// Bytes of WAL from applied to the source's position.
    pub lag_bytes: u64,
    /// Changes applied per second since the last heartbeat.
    pub changes_per_second: f64,
    /// WAL positions applied per second since the last heartbeat, bytes.
    pub bytes_per_second: f64,
    /// WAL that the source wrote per second since the last heartbeat, bytes.
    pub source_bytes_per_second: f64,
    /// Seconds until lag is 0 at these rates; `None`: never.
    pub seconds_to_zero: Option<f64>,
    /// WAL that the slot holds back on the source, bytes.
    pub slot_wal_bytes: Option<u64>,
}

/// What an online migration did after Restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamSummary {
    /// Transactions applied, empty ones not counted.
    pub transactions: u64,
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Tables truncated.
    pub truncates: u64,
    /// Updates and deletes that found no row on the target.
    pub missing: u64,
    /// Changes to published tables that do not take part.
    pub ignored: u64,
    /// Where the source stood when it was drained.
    pub final_lsn: Lsn,
    /// From the request for cutover to its end, seconds.
    pub cutover_seconds: f64,
    /// Sequences set at cutover.
    pub sequences: u64,
    /// The subscription that was kept, with its slot.
    pub kept_subscription: Option<String>,
    /// What the operator should do next.
    pub next_steps: Vec<String>,
}

/// What a finished (or failed) migration did; printed at the end and returned to library users.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Time per phase, seconds, in order.
    pub phases: Vec<(String, f64)>,
    /// Tables copied.
    pub tables: u64,
    /// Rows copied.
    pub rows: u64,
    /// Bytes of COPY data moved.
    pub bytes: u64,
    /// Large objects copied.
    pub large_objects: u64,
    /// Indexes built.
    pub indexes: u64,
    /// Constraints made.
    pub constraints: u64,
    /// What was applied after Restore; `None`: offline, or not begun.
    pub stream: Option<StreamSummary>,
    /// Warnings, in the order in which they came.
    pub warnings: Vec<String>,
    /// Objects that failed or were skipped: kind, identity, message, statements to apply by hand.
    pub failed: Vec<FailedObject>,
}

/// One object that is not on the target.
#[derive(Clone, Debug, Serialize)]
pub struct FailedObject {
    /// In pg_dump's words.
    pub kind: String,
    /// Quoted identity.
    pub object: String,
    /// Why.
    pub message: String,
    /// The object whose failure made this one be skipped.
    pub skipped_because_of: Option<String>,
    /// What to run by hand once the cause is mended.
    pub statements: Vec<String>,
}

/// Emits events to whoever listens. Cheap to clone; the default one throws everything away.
#[derive(Clone, Default)]
pub struct Reporter {
    sink: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

impl Reporter {
    /// A reporter that calls `sink` for each event, on the thread where it happened; `sink` must be quick.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Reporter { sink: Some(Arc::new(sink)) }
    }

    /// Tells `event`.
    pub fn emit(&self, event: Event) {
        if let Some(sink) = &self.sink {
            sink(event);
        }
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}
