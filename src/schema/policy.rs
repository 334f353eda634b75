//! Row security policies.

/// Row security policies.
#[derive(Clone, Debug, Default)]
pub struct Policy {}
