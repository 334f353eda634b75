//! Functions and procedures.

/// Functions and procedures.
#[derive(Clone, Debug, Default)]
pub struct Function {}
