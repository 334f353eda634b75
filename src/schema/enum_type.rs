//! Enum types.

/// Enum types.
#[derive(Clone, Debug, Default)]
pub struct EnumType {}
