//! What happens during a migration, as typed events: the one stream that the live display, the plain lines, the
//! JSON log and a library user read.
//!
//! Invariant: emitting never blocks and never fails; an event holds no secret.

mod event;
pub use event::{Event, FailedObject, Lag, Phase, Reporter, StreamSummary, Summary};
