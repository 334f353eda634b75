//! Constraints made after the data: primary, unique, exclusion, foreign.

/// Constraints made after the data: primary, unique, exclusion, foreign.
#[derive(Clone, Debug, Default)]
pub struct Constraint {}
