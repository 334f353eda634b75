//! Stand-alone composite types.

/// Stand-alone composite types.
#[derive(Clone, Debug, Default)]
pub struct CompositeType {}
