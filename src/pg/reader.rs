//! How a transaction that only reads the source begins.
//!
//! Invariant: every reader of one migration sees the same snapshot and can change nothing.

use crate::schema::quote::quote_literal;

/// Begins a transaction that sees one state of the database and changes nothing.
pub const BEGIN_READER: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Makes a reader's transaction see an exported snapshot; the first statement after [`BEGIN_READER`].
pub fn import_snapshot(id: &str) -> String {
    format!("SET TRANSACTION SNAPSHOT {}", quote_literal(id))
}
