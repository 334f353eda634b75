//! Columns of a table.

/// Columns of a table.
#[derive(Clone, Debug, Default)]
pub struct Column {}
