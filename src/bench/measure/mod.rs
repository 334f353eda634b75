//! What a contender costs: its progress and everybody's CPU time, sampled every 100 ms.
//!
//! CPU is read from `/proc`, so that only servers on this machine are seen; a server that is not seen has no figures, never zeros.
//! Invariant: the meter's own CPU time is not counted.

mod meter;
mod percentile;
mod proc;

pub use meter::{Meter, Trace, Watch};
pub use percentile::Percentiles;
pub use proc::postmaster_of;

use serde::Serialize;

/// CPU seconds of one server's processes, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ServerCpu {
    /// Decoding and sending.
    pub walsender: f64,
    /// PostgreSQL's own apply workers.
    pub apply_worker: f64,
    /// Sessions: the contender's, and the few questions of the benchmark itself.
    pub backend: f64,
    /// Checkpointer, writers and the like.
    pub other: f64,
}

impl ServerCpu {
    /// All kinds together.
    pub fn total(&self) -> f64 {
        self.walsender + self.apply_worker + self.backend + self.other
    }

    fn minus(&self, earlier: &ServerCpu) -> ServerCpu {
        ServerCpu {
            walsender: (self.walsender - earlier.walsender).max(0.0),
            apply_worker: (self.apply_worker - earlier.apply_worker).max(0.0),
            backend: (self.backend - earlier.backend).max(0.0),
            other: (self.other - earlier.other).max(0.0),
        }
    }
}

/// What a stretch of time cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// CPU seconds of this process.
    pub client: Option<f64>,
    /// CPU seconds of the source's server; `None`: not visible from here.
    pub source: Option<ServerCpu>,
    /// CPU seconds of the target's server; `None`: not visible from here.
    pub target: Option<ServerCpu>,
    /// Share of the machine's cores that these kept busy; `None` where a server is not visible.
    pub busy: Option<f64>,
    /// Share of the machine's cores that anything kept busy.
    pub machine_busy: Option<f64>,
}

/// Where a contender stood at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Seconds since the start.
    pub at: f64,
    /// Bytes done: of WAL, or of COPY data.
    pub done: u64,
}
