//! Tables.

/// Tables.
#[derive(Clone, Debug, Default)]
pub struct Table {}
