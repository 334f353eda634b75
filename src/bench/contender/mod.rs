//! Who drains a backlog: a receiver that throws it away, PostgreSQL's own subscription, and pg_migrator's stream; and, where it is only
//! inserts, COPY, which has nothing to do with the stream.
//!
//! Invariants: each of the first has a slot of its own that was made before the backlog, so that all get the same WAL; the clock runs from the first
//! connection (the subscription's: from ENABLE) until the last transaction of the backlog is applied.

pub(super) mod copy_alone;
pub(super) mod migrator;
pub(super) mod receiver;
pub(super) mod subscription;

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use super::BenchError;
use super::measure::{Trace, Watch};
use crate::lsn::Lsn;
use crate::pg::Server;

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Receives the stream and throws it away: what the source can send.
    Receiver,
    /// PostgreSQL's own subscription.
    Subscription,
    /// pg_migrator.
    Migrator,
    /// The rows of a workload that only inserts, by COPY.
    CopyAlone,
    /// `COPY TO` into `COPY FROM`, in text format.
    CopyText,
    /// The same in binary, and frozen.
    CopyBinary,
}

impl Name {
    /// The contenders of `bench apply` that drain the backlog, in the order in which they run: what the receiver counts, the others need.
    pub const APPLY: [Name; 3] = [Name::Receiver, Name::Subscription, Name::Migrator];
    /// The contenders of `bench copy`.
    pub const COPY: [Name; 3] = [Name::CopyText, Name::CopyBinary, Name::Migrator];

    /// Whether it shows what can be reached at most.
    pub fn is_limit(self) -> bool {
        matches!(self, Name::Receiver | Name::CopyText | Name::CopyBinary)
    }

    fn text(self) -> &'static str {
        match self {
            Name::Receiver => "receiver",
            Name::Subscription => "subscription",
            Name::Migrator => "pg_migrator",
            Name::CopyAlone => "copy-alone",
            Name::CopyText => "copy-text",
            Name::CopyBinary => "copy-binary",
        }
    }

    /// Its part in names of slots and databases.
    pub(super) fn short(self) -> &'static str {
        match self {
            Name::Receiver => "r",
            Name::Subscription => "s",
            Name::Migrator => "m",
            Name::CopyAlone => "c",
            Name::CopyText => "t",
            Name::CopyBinary => "b",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// What a contender drains, and into what.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// The source's database.
    pub source: Server,
    /// The target's database, in the starting state.
    pub target: Server,
    /// The contender's slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// The name of whatever it makes on the target.
    pub name: String,
    /// The tables, in [`SCHEMA`](super::workload::SCHEMA).
    pub tables: Vec<String>,
    /// Where the slot begins.
    pub from: Lsn,
    /// The end of the last transaction; for the receiver, a position behind it.
    pub to: Lsn,
    /// Apply lanes of pg_migrator; 0: as a migration has them where nobody says.
    pub lanes: usize,
    /// Whose CPU is measured.
    pub watch: Watch,
}

/// A backlog, drained.
#[derive(Debug)]
pub(super) struct Drained {
    /// From the start to the end.
    pub time: Duration,
    pub trace: Trace,
}

/// A contender that does not get on is given up.
#[derive(Debug)]
pub(super) struct Patience {
    contender: Name,
    to: Lsn,
    at: Lsn,
    since: Instant,
}

/// How long a contender may stand still: one large transaction may take long.
const PATIENCE: Duration = Duration::from_secs(300);

impl Patience {
    pub(super) fn new(contender: Name, to: Lsn) -> Self {
        Patience { contender, to, at: Lsn::ZERO, since: Instant::now() }
    }

    /// It stands at `at` now.
    pub(super) fn check(&mut self, at: Lsn) -> Result<(), BenchError> {
        if at > self.at {
            (self.at, self.since) = (at, Instant::now());
        }
        if self.since.elapsed() < PATIENCE {
            return Ok(());
        }
        let (contender, seconds) = (self.contender, PATIENCE.as_secs());
        Err(BenchError::Stuck { contender, seconds, left: self.to.since(at) })
    }
}
