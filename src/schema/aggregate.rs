//! Aggregate functions.

/// Aggregate functions.
#[derive(Clone, Debug, Default)]
pub struct Aggregate {}
