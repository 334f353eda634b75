//! Range types.

/// Range types.
#[derive(Clone, Debug, Default)]
pub struct RangeType {}
