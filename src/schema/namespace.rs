//! Schemas.

/// Schemas.
#[derive(Clone, Debug, Default)]
pub struct Namespace {}
