//! Sequences: logical replication does not carry them, so at cutover each is set to where the source's stands.
//!
//! Invariant: all of them in one transaction of the target, from values read after the stream was drained; a sequence that the
//! target lacks is named, never made.

use futures_util::future::try_join_all;
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::CutoverError;
use crate::config::Filter;
use crate::pg::{Param, Row, Session, SqlError};
use crate::schema::quote::qualified;

/// Statements in one message: enough that round trips do not count, few enough that no answer is large.
const BATCH: usize = 200;

/// What was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    /// Sequences that stand where the source's stand.
    pub set: u64,
    /// Those that the target does not have, quoted: made on the source after the copy.
    pub missing: Vec<String>,
    /// Those whose value the role may not read on the source, quoted.
    pub unreadable: Vec<String>,
}

/// A sequence of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sequence {
    name: String,
    value: Option<(i64, bool)>,
    readable: bool,
}

/// Sets every sequence that takes part (free ones, owned ones with their tables, those of identity columns).
///
/// # Errors
/// [`CutoverError::Sql`] naming the sequence; then none is changed.
pub async fn set(source: &Session, target: &Session, filter: &Filter) -> Result<Sequences, CutoverError> {
    let mut sequences = list(source, filter).await.map_err(reading)?;
    if source.version() < 180_000 {
        read_uncalled(source, &mut sequences).await.map_err(reading)?;
    }
    let missing = write(target, &sequences).await.map_err(|error| {
        CutoverError::sql(
            error,
            "let the target's sequence have the source's bounds (ALTER SEQUENCE), and the role set it, then cut over again",
        )
    })?;
    let valued = sequences.iter().filter(|s| s.value.is_some()).count();
    Ok(Sequences {
        set: (valued - missing.len()) as u64,
        missing,
        unreadable: sequences.into_iter().filter(|s| s.value.is_none()).map(|s| s.name).collect(),
    })
}

fn reading(error: SqlError) -> CutoverError {
    CutoverError::sql(error, "cut over again once the source answers")
}

/// Those that take part. Members of extensions come with these, but for those marked as the user's (`pg_extension_config_dump`).
async fn list(source: &Session, filter: &Filter) -> Result<Vec<Sequence>, SqlError> {
    // 18 reads any sequence by a function; before, one tells the value of those that were called at least once.
    let value = if source.version() >= 180_000 {
        "(SELECT CASE WHEN v.is_called THEN v.last_value END FROM pg_catalog.pg_get_sequence_data(c.oid) v) AS called, \
         (SELECT CASE WHEN NOT v.is_called THEN v.last_value END FROM pg_catalog.pg_get_sequence_data(c.oid) v) AS uncalled"
    } else {
        "CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') THEN pg_catalog.pg_sequence_last_value(c.oid) END AS called, \
         NULL::bigint AS uncalled"
    };
    let sql = format!(
        "SELECT n.nspname::text AS namespace, c.relname::text AS name, t.relname::text AS owner, tn.nspname::text AS owner_namespace, \
           pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AS readable, {value} \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0 \
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' \
           AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_pg_migrator') \
           AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                              AND e.objid IN (c.oid, t.oid) AND e.deptype = 'e') \
                OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig))) \
         ORDER BY 1, 2"
    );
    let rows = source.query("reading the sequences", &sql).await?;
    let mut sequences = Vec::with_capacity(rows.len());
    for row in &rows {
        if takes_part(row, filter)? {
            let (called, uncalled): (Option<i64>, Option<i64>) = (row.get("called")?, row.get("uncalled")?);
            sequences.push(Sequence {
                name: qualified(&row.get::<String>("namespace")?, &row.get::<String>("name")?),
                value: called.map(|v| (v, true)).or(uncalled.map(|v| (v, false))),
                readable: row.get::<Option<bool>>("readable")?.unwrap_or(false),
            });
        }
    }
    Ok(sequences)
}

/// A sequence that a column owns goes with its table.
fn takes_part(row: &Row, filter: &Filter) -> Result<bool, SqlError> {
    let owner: Option<String> = row.get("owner")?;
    let owner_namespace: Option<String> = row.get("owner_namespace")?;
    Ok(match (owner_namespace, owner) {
        (Some(namespace), Some(table)) => filter.takes_table(&namespace, &table),
        _ => filter.takes_schema(&row.get::<String>("namespace")?),
    })
}

/// Reads those that were never called from the sequences themselves. Statements by themselves: the planner's time for a union of
/// them grows faster than its length.
async fn read_uncalled(source: &Session, sequences: &mut [Sequence]) -> Result<(), SqlError> {
    let mut unknown: Vec<&mut Sequence> =
        sequences.iter_mut().filter(|s| s.value.is_none() && s.readable).collect();
    let batches = unknown.chunks(BATCH).map(|batch| {
        let selects: Vec<String> =
            batch.iter().map(|s| format!("SELECT last_value, is_called FROM {}", s.name)).collect();
        let sql = selects.join("; ");
        async move {
            let answer = source.client().simple_query(&sql).await;
            answer.map_err(|e| SqlError::new(source.side, "reading the values of sequences", &e))
        }
    });
    let mut values = Vec::with_capacity(unknown.len());
    for message in try_join_all(batches).await?.into_iter().flatten() {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let last = row.try_get("last_value").ok().flatten().and_then(|v| v.parse::<i64>().ok());
        let called = row.try_get("is_called").ok().flatten().map(|c| c == "t");
        values.push(last.zip(called));
    }
    if values.len() != unknown.len() {
        let message = format!("{} sequences were asked for, {} answered", unknown.len(), values.len());
        return Err(SqlError::local(source.side, "reading the values of sequences", message));
    }
    for (sequence, value) in unknown.iter_mut().zip(values) {
        sequence.value = value;
    }
    Ok(())
}

/// Sets them in one statement; the names of those that are not there.
async fn write(target: &Session, sequences: &[Sequence]) -> Result<Vec<String>, SqlError> {
    let valued = || sequences.iter().filter_map(|s| Some((&s.name, s.value?)));
    let names: Vec<&str> = valued().map(|(name, _)| name.as_str()).collect();
    let values: Vec<i64> = valued().map(|(_, (value, _))| value).collect();
    let called: Vec<bool> = valued().map(|(_, (_, called))| called).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT w.name AS missing \
               FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) AS w (name, value, called) \
               LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(w.name) AND c.relkind = 'S' \
               WHERE CASE WHEN c.oid IS NULL THEN true ELSE pg_catalog.setval(c.oid, w.value, w.called) IS NULL END";
    let params: [Param<'_>; 3] =
        [(&names, Type::TEXT_ARRAY), (&values, Type::INT8_ARRAY), (&called, Type::BOOL_ARRAY)];
    let rows = target.query_with("setting the sequences", sql, &params).await?;
    rows.iter().map(|row| row.get("missing")).collect()
}
