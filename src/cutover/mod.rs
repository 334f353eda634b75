//! Cutover: the source's last writes are on the target, and the target takes over.
//!
//! ```text
//! fence ► flush position ► (drain) ► sequences ► what was suspended ► (drain again, late writes?) ► subscription ► (slot)
//! ```
//!
//! Each step is a function of its own over sessions; `migration/` alone knows their order. Invariant: each step may be run
//! again after a crash, and until the last of them the same command still goes on from where the stream stood.

mod conninfo;
mod error;
pub mod fence;
mod flush;
pub mod resume;
pub mod sequences;
pub mod subscription;
pub mod summary;

pub use conninfo::{RedactedConnInfo, subscription_conninfo};
pub use error::CutoverError;
pub use fence::Fence;
pub use flush::flush_lsn;
pub use resume::Resumed;
pub use sequences::Sequences;
pub use subscription::{Made, Subscription};
