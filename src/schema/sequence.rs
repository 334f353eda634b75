//! Sequences.

/// Sequences.
#[derive(Clone, Debug, Default)]
pub struct Sequence {}
