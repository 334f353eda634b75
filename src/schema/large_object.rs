//! Large objects.

/// Large objects.
#[derive(Clone, Debug, Default)]
pub struct LargeObject {}
