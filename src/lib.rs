//! pg_migrator moves a PostgreSQL database from one server to another, without `pg_dump`, `pg_restore` or libpq.

pub mod cli;
pub mod config;
pub mod dump;
pub mod error;
pub mod journal;
pub mod migration;
pub mod pg;
pub mod progress;
pub mod restore;
pub mod schema;
pub mod snapshot;
pub mod validate;
pub mod verify;
