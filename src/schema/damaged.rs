//! Objects that no server makes again as the source has them.

use super::Address;

/// An object that is there on the source and that no server makes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The object.
    pub address: Address,
    /// What is the matter with it.
    pub how: Damage,
}

/// What can be the matter with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A foreign key whose `ON DELETE SET … (columns)` names columns that are none of its own. Up to 18, the copy of a partitioned
    /// table's key on a partition keeps the numbers that those columns have in the whole, whichever they are in the partition
    /// (`CloneFkReferencing` in `src/backend/commands/tablecmds.c`), and `DETACH PARTITION` leaves it so.
    SetsOthers,
    /// Extended statistics on a column whose type has no order any more, which `CREATE STATISTICS` asks for: the column and the
    /// type, in words.
    Unsorted(String),
}
