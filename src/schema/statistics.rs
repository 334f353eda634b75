//! Extended statistics.
//!
//! They are made before the rows, unlike in pg_dump's order: so every `ANALYZE` of their table, however early, fills them.

use super::{Address, Object, RenderOptions};

/// Extended statistics on a table, a materialized view or a foreign table.
#[derive(Clone, Debug)]
pub struct ExtendedStatistics {
    /// What they are on.
    pub table: Address,
    /// `CREATE STATISTICS …` as `pg_get_statisticsobjdef` has it.
    pub definition: String,
    /// `SET STATISTICS` where one is set (13 and later).
    pub target: Option<i32>,
}

impl ExtendedStatistics {
    /// `CREATE STATISTICS`, and its target.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let target = self.target.map(|t| format!("ALTER {} SET STATISTICS {t}", self.reference(object)));
        std::iter::once(self.definition.clone()).chain(target).collect()
    }

    /// `DROP STATISTICS`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP STATISTICS IF EXISTS {}", object.qualified_name())]
    }

    /// `STATISTICS s.x`.
    pub fn reference(&self, object: &Object) -> String {
        format!("STATISTICS {}", object.qualified_name())
    }
}
