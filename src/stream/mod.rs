//! StreamApply: the source's WAL, decoded, batched and applied to the target while the source stays writable.
//!
//! ```text
//! receive ──frames──► decode ──changes──► batch ──net effect──► apply ──► target
//!    ▲                  │ ▲                                       │
//!    │                  ▼ │ at their commits                      │
//!    │             in_progress: memory, then a file               │
//!    └───────────────── feedback: only what is durable ◄──────────┘
//! ```
//!
//! Invariants: transactions are applied whole and in commit order; a position is confirmed to the source only when
//! the target has flushed everything before it; the receiver answers the source however full the channels behind it are.

pub mod apply;
pub mod batch;
pub mod batcher;
mod binary;
pub mod change;
pub mod decode;
mod decoding;
mod error;
pub mod frame;
mod halves;
mod held;
pub mod in_progress;
mod intake;
pub mod keys;
pub mod lag;
pub mod message;
pub mod net;
pub(crate) mod pacing;
mod pending;
mod pressure;
mod receive;
mod receiving;
pub mod relation;
mod run;
pub mod status;
pub mod taken;
pub mod tuple;

pub(crate) use apply::default_jobs;
pub use apply::{Applied, Applier, ApplyError, ApplySetup, Missing, suspend};
pub use batch::{Batch, Commit, Net, RelationNet, Seam, Segment, Update};
pub use batcher::{BatchError, Batcher, Dropped, Limits};
pub use change::{Change, ChangeKind};
pub use decode::{DecodeError, Decoder};
pub use error::StreamError;
pub use held::SpillError;
pub use in_progress::{InProgress, InProgressError};
pub use message::{Begin, Message, Truncate};
pub use relation::{Column, Relation, ReplicaIdentity};
pub use run::{Input, run};
pub use status::{Late, Order, Status};
pub use taken::Taken;
pub use tuple::{Datum, Tuple};
