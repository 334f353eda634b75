//! Changes that found no row on the target: counted for each table, and told.
//!
//! Invariant: every one of them is counted; the first batch with one says so, and the end says how many there were.

use std::collections::BTreeMap;

use super::Missing;
use super::applier::Applier;
use super::lane::Kind;
use crate::progress::Event;

impl Applier {
    /// Counts the changes that found no row; the first of a table and kind is told.
    pub(super) fn note_missing(&mut self) -> Vec<Missing> {
        let mut found: BTreeMap<String, Missing> = BTreeMap::new();
        for lane in &mut self.lanes {
            for (target, kind, rows) in lane.take_missing() {
                if lane.enforced && kind == Kind::Delete && !target.parents.is_empty() {
                    continue; // gone with the row it referred to, by ON DELETE CASCADE
                }
                let relation = target.relation.identity_name();
                let new = Missing { relation: relation.clone(), updates: 0, deletes: 0 };
                let missing = found.entry(relation).or_insert(new);
                match kind {
                    Kind::Update => missing.updates += rows,
                    _ => missing.deletes += rows,
                }
            }
        }
        for missing in found.values() {
            let new = Missing { relation: missing.relation.clone(), updates: 0, deletes: 0 };
            let all = self.missing.entry(missing.relation.clone()).or_insert(new);
            all.updates += missing.updates;
            all.deletes += missing.deletes;
            for (kind, rows) in [(Kind::Update, missing.updates), (Kind::Delete, missing.deletes)] {
                if rows > 0 && self.warned.insert((missing.relation.clone(), kind)) {
                    let message = format!(
                        "{rows} rows that the source {} are not on the target; more of them are counted, and told at the end",
                        if kind == Kind::Update { "updated" } else { "deleted" }
                    );
                    self.setup.reporter.emit(Event::Warning { object: missing.relation.clone(), message });
                }
            }
        }
        found.into_values().collect()
    }
}
