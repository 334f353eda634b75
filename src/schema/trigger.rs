//! Triggers.

/// Triggers.
#[derive(Clone, Debug, Default)]
pub struct Trigger {}
