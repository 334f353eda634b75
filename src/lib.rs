//! pg_migrator moves a PostgreSQL database from one server to another, without `pg_dump`, `pg_restore` or libpq.
//!
//! The phases, in the order in which [`migration`] walks through them, and what flows through each room:
//!
//! ```text
//!  Validate          both servers ──► facts ──► findings                                     validate/
//!  PrepareSnapshot   offline: a transaction on the source exports its snapshot               snapshot/
//!                    online: the slot first, whose creation exports one
//!  Dump              source's catalogs ──► readers, one per kind ──► Schema (the model)      dump/
//!                    Schema ──► dependency order ──► Steps with their statements             schema/
//!  Restore           Steps ──────────► task graph ──► pipelined transactions ──► target      restore/
//!                    source COPY OUT ═══ the same frames, untouched ═══► COPY IN target      restore/copy
//!                    table whole ──► its indexes, constraints ──► foreign keys, statistics
//!  StreamApply       slot ──► receive ──► decode ──► batch ──► apply ──► target              stream/
//!    ⇄ CaughtUp            ◄── feedback: only what is durable ◄──┘
//!  Cutover           flush position ──► drain ──► sequences ──► subscription, slot           cutover/
//!  afterwards        both servers ──► COPY ──► counts and hashes ──► differences             verify/
//! ```
//!
//! Three flows cross here. Statements are few and ordered: catalogs → schema → statements → target. Rows are many
//! and unordered: source COPY → target COPY, byte for byte, over as many connection pairs as there are jobs, all under
//! the one snapshot. Changes are many and ordered: WAL → batches of whole transactions → target, in the order of their commits.
//! Everything that happens is an event ([`progress`]), and what must survive a crash is in the journal on the target.
//!
//! # Embedding it
//!
//! A [`Migration`] is put together, started, listened to, and cut over when the program sees fit; `examples/embed.rs` is a small
//! service that does.
//!
//! ```no_run
//! use pg_migrator::Migration;
//! use pg_migrator::progress::Event;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut running = Migration::online("host=old dbname=app", "host=new dbname=app")
//!     .slot("app_move")
//!     .publication("app_move")
//!     .create_publication(true)
//!     .jobs(4)
//!     .start()?;
//! let handle = running.handle(); // cuts over or aborts, from any task
//! while let Some(event) = running.next_event().await {
//!     match event {
//!         Event::Lag(lag) => println!("{} bytes behind", lag.lag_bytes),
//!         Event::CaughtUp { .. } => handle.cut_over(),
//!         _ => {}
//!     }
//! }
//! let summary = running.finish().await?;
//! println!("{} rows copied in {} tables", summary.rows, summary.tables);
//! # Ok(())
//! # }
//! ```
//!
//! # The house
//!
//! Dependencies point down only:
//!
//! ```text
//!  main.rs          argv → exit code
//!  cli              raw arguments → checked config; one file per command; what is printed
//!  bench            drives what is below as users do, and measures it against its limits
//!  migration        the state machine: alone knows the order of the phases
//!  ── rooms ──────  validate, snapshot, dump, restore, stream, cutover, verify: none imports another
//!  ── floor ──────  journal ► pg ► schema ► progress, config ► error, lsn: each uses only what stands right of it
//! ```
//!
//! Planning, ordering, rendering and judging are pure functions over data; the rooms around them only carry bytes.

pub mod bench;
pub mod cli;
pub mod config;
pub mod cutover;
pub mod dump;
pub mod error;
pub mod journal;
pub mod lsn;
pub mod migration;
pub mod pg;
pub mod progress;
pub mod restore;
pub mod schema;
pub mod snapshot;
pub mod stream;
pub mod validate;
pub mod verify;

pub use migration::{BuildError, CutoverHandle, Events, Migration, Running};
