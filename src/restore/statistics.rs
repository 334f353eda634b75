//! The planner's statistics, carried over: servers from 18 on take them (`pg_restore_relation_stats`,
//! `pg_restore_attribute_stats`), so that the target plans its first query as the source would.
//!
//! They are read under the snapshot before any row is copied, as the very statements that set them, and set when everything
//! stands, because building an index overwrites what is known of its table. Whatever the source never analysed, and whatever
//! extended statistics are on, is analysed on the target instead. Invariant: memory is bounded: beyond [`BUDGET`], `ANALYZE`.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;

use super::error::RestoreError;
use super::scheduler::TaskId;
use super::worker::Worker;
use crate::pg::{Session, SqlError};
use crate::progress::Event;
use crate::schema::{Address, Definition, Schema};

/// `server_version_num` of the first server that takes statistics.
pub(super) const TAKES_STATISTICS: u32 = 180_000;

/// Bytes of statements that are kept in memory.
const BUDGET: usize = 48 << 20;
/// Relations asked about at once.
const RELATIONS: usize = 2_000;

/// What sets the statistics of a table or materialized view and of its indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    /// Its quoted name, for `ANALYZE` should the target refuse.
    pub name: String,
    /// The statements.
    pub statements: Vec<String>,
}

/// Reads the statistics of the model's tables and materialized views.
pub(super) async fn read(source: &Session, schema: &Schema) -> Result<HashMap<Address, Carried>, SqlError> {
    let extended: HashSet<u32> = source
        .query(
            "looking for extended statistics",
            "SELECT DISTINCT stxrelid AS oid FROM pg_catalog.pg_statistic_ext",
        )
        .await?
        .iter()
        .map(|row| row.get("oid"))
        .collect::<Result<_, _>>()?;
    let names: HashMap<u32, String> = schema
        .objects
        .iter()
        .filter(|o| match &o.definition {
            Definition::Table(table) => table.kind != crate::schema::TableKind::Foreign,
            Definition::MaterializedView(m) => m.populated,
            _ => false,
        })
        .map(|o| (o.address.oid, o.qualified_name()))
        .filter(|(oid, _)| !extended.contains(oid))
        .collect();
    let mut oids: Vec<u32> = names.keys().copied().collect();
    oids.sort_unstable();
    let sql = statements_sql(source.version());
    let (mut carried, mut bytes) = (HashMap::<Address, Carried>::new(), 0);
    for chunk in oids.chunks(RELATIONS) {
        let rows =
            source.query_with("reading the planner's statistics", &sql, &[(&chunk, Type::OID_ARRAY)]).await?;
        for row in &rows {
            let (oid, statement): (u32, String) = (row.get("relation")?, row.get("statement")?);
            bytes += statement.len();
            let entry = carried.entry(Address::relation(oid)).or_default();
            entry.statements.push(statement);
        }
        if bytes > BUDGET {
            // What was just read may be incomplete for nobody: a chunk holds its relations whole.
            break;
        }
    }
    for (address, entry) in &mut carried {
        entry.name = names.get(&address.oid).cloned().unwrap_or_default();
    }
    Ok(carried)
}

/// One row per statement, of relations that have been analysed. `pg_stats` shows what the role may see.
fn statements_sql(version: u32) -> String {
    let part = |name: &str, column: &str, of: &str| {
        format!(
            "CASE WHEN s.{column} IS NULL THEN '' ELSE pg_catalog.format(', ''{name}'', %L::{of}', s.{column}::text) END"
        )
    };
    let mut parts = vec![
        part("null_frac", "null_frac", "real"),
        part("avg_width", "avg_width", "integer"),
        part("n_distinct", "n_distinct", "real"),
        part("most_common_vals", "most_common_vals", "text"),
        part("most_common_freqs", "most_common_freqs", "real[]"),
        part("histogram_bounds", "histogram_bounds", "text"),
        part("correlation", "correlation", "real"),
        part("most_common_elems", "most_common_elems", "text"),
        part("most_common_elem_freqs", "most_common_elem_freqs", "real[]"),
        part("elem_count_histogram", "elem_count_histogram", "real[]"),
    ];
    if version >= 170_000 {
        parts.push(part("range_length_histogram", "range_length_histogram", "text"));
        parts.push(part("range_empty_frac", "range_empty_frac", "real"));
        parts.push(part("range_bounds_histogram", "range_bounds_histogram", "text"));
    }
    // An older server says 0 rows in 0 pages of what nobody has counted.
    let rows = match version {
        140_000.. => "r.reltuples",
        _ => "CASE WHEN r.relpages = 0 AND r.reltuples = 0 THEN -1 ELSE r.reltuples END",
    };
    let frozen = match version {
        180_000.. => "pg_catalog.format(', ''relallfrozen'', %s::integer', r.relallfrozen)",
        _ => "''",
    };
    format!(
        "WITH asked AS (SELECT c.oid AS relation, c.oid AS oid FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1) \
             UNION ALL SELECT i.indrelid, i.indexrelid FROM pg_catalog.pg_index i \
               WHERE i.indrelid = ANY ($1) AND i.indisvalid), \
           known AS (SELECT a.relation, a.oid, n.nspname, r.relname, r.relkind, r.relpages, {rows} AS reltuples, \
               r.relallvisible, {frozen} AS frozen \
             FROM asked a JOIN pg_catalog.pg_class r ON r.oid = a.oid \
             JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace), \
           stats AS (SELECT k.relation, k.oid, k.nspname, k.relname, k.relkind, s.attname, s.inherited, {parts} AS parts \
             FROM known k JOIN pg_catalog.pg_stats s ON s.schemaname = k.nspname AND s.tablename = k.relname), \
           analysed AS (SELECT DISTINCT relation FROM stats WHERE oid = relation) \
         SELECT k.relation, 0 AS place, k.oid, pg_catalog.format('SELECT pg_catalog.pg_restore_relation_stats(''version'', \
             {version}::integer, ''schemaname'', %L, ''relname'', %L, ''relpages'', %s::integer, ''reltuples'', %s::real, \
             ''relallvisible'', %s::integer', k.nspname, k.relname, k.relpages, k.reltuples, k.relallvisible) \
             || k.frozen || ')' AS statement \
         FROM known k JOIN analysed USING (relation) \
         UNION ALL SELECT s.relation, 1, s.oid, pg_catalog.format('SELECT pg_catalog.pg_restore_attribute_stats(''version'', \
             {version}::integer, ''schemaname'', %L, ''relname'', %L', s.nspname, s.relname) \
             || CASE WHEN s.relkind IN ('i', 'I') THEN pg_catalog.format(', ''attnum'', %s::smallint', a.attnum) \
               ELSE pg_catalog.format(', ''attname'', %L', s.attname) END \
             || pg_catalog.format(', ''inherited'', %L::boolean', s.inherited) || s.parts || ')' \
         FROM stats s JOIN analysed USING (relation) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = s.oid AND a.attname = s.attname \
         ORDER BY relation, oid, place",
        parts = parts.join(" || "),
    )
}

impl Worker {
    /// Sets the statistics of these relations; where the target takes them not, analyses.
    pub async fn statistics(&mut self, id: TaskId, relations: &[Address]) -> Result<(), RestoreError> {
        let run = self.run.clone();
        let known: Vec<&Carried> = relations.iter().filter_map(|a| run.statistics.get(a)).collect();
        let all: Vec<&str> = known.iter().flat_map(|c| &c.statements).map(String::as_str).collect();
        let Err((_, error)) = self.transaction(id, &all).await? else { return Ok(()) };
        if error.is_broken() {
            return Err(error.into());
        }
        for one in known {
            let statements: Vec<&str> = one.statements.iter().map(String::as_str).collect();
            let Err((_, error)) = self.transaction(id, &statements).await? else { continue };
            if error.is_broken() {
                return Err(error.into());
            }
            run.reporter.emit(Event::Warning {
                object: one.name.clone(),
                message: format!("its statistics could not be carried over, it is analysed instead: {error}"),
            });
            self.analyze(id, std::slice::from_ref(&one.name)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_a_version_has_is_asked_for() {
        let (old, new) = (super::statements_sql(100_000), super::statements_sql(180_000));
        assert!(!old.contains("range_") && !old.contains("relallfrozen") && old.contains("THEN -1"));
        assert!(new.contains("range_bounds_histogram") && new.contains("relallfrozen"));
    }
}
