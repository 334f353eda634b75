//! Default privileges.

/// Default privileges.
#[derive(Clone, Debug, Default)]
pub struct DefaultAcl {}
