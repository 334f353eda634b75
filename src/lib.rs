//! pg_migrator moves a PostgreSQL database from one server to another, without `pg_dump`, `pg_restore` or libpq.
//!
//! The phases, in the order in which [`migration`] walks through them, and what flows through each room:
//!
//! ```text
//!  Validate          both servers ──► facts ──► findings                                     validate/
//!  PrepareSnapshot   source ──► a transaction that exports its snapshot                      snapshot/
//!  Dump              source's catalogs ──► readers, one per kind ──► Schema (the model)      dump/
//!                    Schema ──► dependency order ──► Steps with their statements             schema/
//!  Restore           Steps ──────────► task graph ──► pipelined transactions ──► target      restore/
//!                    source COPY OUT ═══ the same frames, untouched ═══► COPY IN target      restore/copy
//!                    table whole ──► its indexes, constraints ──► foreign keys, statistics
//!  afterwards        both servers ──► COPY ──► counts and hashes ──► differences             verify/
//! ```
//!
//! Two flows cross here. Statements are few and ordered: catalogs → schema → statements → target. Rows are many
//! and unordered: source COPY → target COPY, byte for byte, over as many connection pairs as there are jobs, all under
//! the one snapshot. Everything that happens is an event ([`progress`]), and what must survive a crash is in the journal on the target.
//!
//! Dependencies point down only:
//!
//! ```text
//!  main.rs          argv → exit code
//!  cli              raw arguments → checked config; one file per command; what is printed
//!  migration        the state machine: alone knows the order of the phases
//!  ── rooms ──────  validate, snapshot, dump, restore, verify: none imports another
//!  ── floor ──────  journal ► pg ► schema ► progress, config ► error: each uses only what stands right of it
//! ```
//!
//! Planning, ordering, rendering and judging are pure functions over data; the rooms around them only carry bytes.

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
