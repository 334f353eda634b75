//! Catalogs → model: reads a database's schema into [`crate::schema::Schema`] under one snapshot.
//!
//! One reader per object kind, each a fixed number of queries whatever the number of objects; all readers of
//! one session are pipelined. Modelled on pg_dump's `getSchemaData` (`src/bin/pg_dump/common.c`). Invariant: the
//! session is inside a `REPEATABLE READ READ ONLY` transaction, so that all readers see the same catalogs.

mod catalogs;
mod error;
pub use error::DumpError;
