//! Rewrite rules.

/// Rewrite rules.
#[derive(Clone, Debug, Default)]
pub struct Rule {}
