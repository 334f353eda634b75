//! Rows: how large the tables are, and into which parts they are cut.

mod part;
mod size;

pub use part::{Slicing, TableSize, part_count, slices};
pub use size::{sizes, slicing};
