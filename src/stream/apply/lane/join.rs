//! Which join the server plans a lane's statements with.
//!
//! Invariant: a statement is planned under the setting of its own kind, whenever the server plans it, for the setting goes before it wherever the
//! one before was of the other kind, or may have been taken back by a rollback.

use super::{About, Expect, Lane, Reply};
use crate::pg::Wire;

/// How a statement finds the rows that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::stream::apply) enum Join {
    /// Without a join: by one key, or by a list of them.
    None,
    /// By a descent of the index for each.
    Loops,
    /// By a list, and then they are joined with what is new of them by hashing.
    Hash,
}

/// Rows of one statement from which on they may be joined by hashing.
const HASHED_FROM: usize = 200;

impl Lane {
    /// Whether many updates are joined with their rows by hashing, where the table allows it: from version 17 on that spares a descent of
    /// the index for each (measured on 18: 12 to 17 % of an update; on 15: nothing), and few are not worth the setting.
    pub fn hashes(&self, rows: usize) -> bool {
        rows >= HASHED_FROM && self.wire.version() >= 170_000
    }

    /// Before a statement that may be planned. The join that is not its own is off: estimates say nothing here.
    pub(super) fn plan_with(&mut self, join: Join) {
        if join != Join::None && self.planned != Some(join) {
            self.planned = Some(join);
            let (hash, loops) = if join == Join::Hash { ("on", "off") } else { ("off", "on") };
            let sql = format!("SET enable_hashjoin = {hash}; SET enable_nestloop = {loops}");
            self.out.extend_from_slice(&Wire::query_message(&sql));
            let about = || About::Control("making settings");
            let set = || Reply { about: about(), expect: Expect::Tag("SET") };
            self.awaiting(vec![set(), set()]);
        }
    }
}
