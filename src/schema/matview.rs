//! Materialized views.

/// Materialized views.
#[derive(Clone, Debug, Default)]
pub struct MaterializedView {}
