//! Which types' values may come in binary format: those whose send function writes what the same type's receive function reads on every
//! server from 10 to 18, whatever its settings.
//!
//! Not among them: what holds OIDs of its own server's objects (`reg…`, `oidvector`; composite types and arrays, which name their elements' types), what
//! has no binary format, and types of extensions, whose versions may differ. Enums send their labels; domains are sent as their base types.
//! Invariant: a stream is binary as a whole or not at all, because pgoutput asks nobody about single columns (`logicalrep_write_tuple` in `proto.c`).

use super::error::StreamError;
use crate::pg::{Server, SqlError, Wire};
use crate::schema::quote::quote_literal;

/// `server_version_num` from which on pgoutput takes the option `binary`.
const SINCE: u32 = 140_000;

/// Types below this OID are the same on every server (`FirstGenbkiObjectId` in `transam.h`).
pub(super) const FIRST_UNPINNED: u32 = 10_000;

/// The OIDs (`pg_type.dat`): boolean, bytea, "char", name, integers, text, oid, json, geometric types, network addresses, floats, money, bpchar, varchar, date,
/// times, interval, bit strings, numeric, uuid, pg_lsn, tsvector, jsonb, jsonpath, ranges, multiranges.
const SAFE: [u32; 53] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774, 790, 829,
    869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700, 2950, 3220, 3614, 3802, 3904,
    3906, 3908, 3910, 3912, 3926, 4072, 4451, 4532, 4533, 4534, 4535, 4536, 5069,
];

/// Whether values of this built-in type may come in binary format.
pub(super) fn is_safe(type_oid: u32) -> bool {
    SAFE.contains(&type_oid)
}

/// Whether values of every column that is published now may. Asked in a session of its own: what a walsender's session reads of the catalogs stays in its
/// caches, and tables would be decoded with columns that they did not have yet.
pub(super) async fn suits(source: &Server, publication: &str) -> Result<bool, StreamError> {
    let mut wire = source.connect_wire("UTF8").await?;
    let suits = wire.version() >= SINCE && are_safe(&mut wire, publication).await?;
    wire.close().await;
    Ok(suits)
}

async fn are_safe(wire: &mut Wire, publication: &str) -> Result<bool, SqlError> {
    let safe = SAFE.map(|oid| oid.to_string()).join(", ");
    let sql = format!(
        "WITH RECURSIVE up AS (SELECT DISTINCT a.atttypid AS oid FROM pg_catalog.pg_publication_tables p \
           JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname \
           JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped WHERE p.pubname = {} \
         UNION SELECT t.typbasetype FROM up JOIN pg_catalog.pg_type t ON t.oid = up.oid WHERE t.typtype = 'd') \
         SELECT FROM up JOIN pg_catalog.pg_type t ON t.oid = up.oid WHERE t.typtype NOT IN ('d', 'e') AND t.oid NOT IN ({safe}) LIMIT 1",
        quote_literal(publication)
    );
    Ok(wire.rows("looking for types that have no common binary format", &sql).await?.is_empty())
}
