//! Indexes.

/// Indexes.
#[derive(Clone, Debug, Default)]
pub struct Index {}
