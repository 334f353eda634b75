//! Views.

/// Views.
#[derive(Clone, Debug, Default)]
pub struct View {}
