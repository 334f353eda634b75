//! Which published tables take part in the migration.
//!
//! Invariant: the same tables as Dump copied. A publication may cover more; their changes are counted and dropped.

use std::collections::BTreeSet;

use super::relation::Relation;
use crate::config::Filter;

/// Which tables' changes are applied.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    filter: Filter,
    left_out: BTreeSet<String>,
}

impl Taken {
    /// All tables.
    pub fn everything() -> Taken {
        Taken::default()
    }

    /// The tables that the filter takes, but none of these (quoted identities, as the journal has them).
    pub fn new(filter: Filter, left_out: impl IntoIterator<Item = String>) -> Taken {
        Taken { filter, left_out: left_out.into_iter().collect() }
    }

    /// Whether this table's changes are applied.
    pub fn takes(&self, relation: &Relation) -> bool {
        self.filter.takes_table(&relation.namespace, &relation.name)
            && (self.left_out.is_empty() || !self.left_out.contains(&relation.identity_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::ReplicaIdentity;

    #[test]
    fn filter_and_names_left_out() {
        let relation = |namespace: &str, name: &str| Relation {
            oid: 1,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: ReplicaIdentity::Default,
            columns: Vec::new(),
        };
        let filter = Filter { exclude_schemas: vec!["audit*".to_owned()], ..Filter::default() };
        let taken = Taken::new(filter, ["s.\"Left\"".to_owned()]);
        assert!(taken.takes(&relation("s", "t")) && taken.takes(&relation("t", "Left")));
        assert!(!taken.takes(&relation("s", "Left")) && !taken.takes(&relation("audit_1", "t")));
        assert!(Taken::everything().takes(&relation("audit_1", "Left")));
    }
}
