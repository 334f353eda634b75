//! Domains.

/// Domains.
#[derive(Clone, Debug, Default)]
pub struct Domain {}
