//! Extensions.

/// Extensions.
#[derive(Clone, Debug, Default)]
pub struct Extension {}
