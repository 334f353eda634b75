//! Finds what no server makes again as the source has it: what it rests on has changed, or the source's own server damaged it.
//!
//! Invariant: only what is certain to be refused is named.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::{Address, Damage, Damaged, class};

/// All such objects, those of the server's own schemas too.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Damaged>, DumpError> {
    let keys = c.since(15, FOREIGN_KEYS, "SELECT oid FROM pg_constraint WHERE false");
    let (keys, statistics) = tokio::try_join!(
        c.query("looking for damaged foreign keys", keys),
        c.query("looking for statistics of what has no order", UNSORTED),
    )?;
    let mut found = Vec::new();
    for row in &keys {
        let address = Address::new(class::CONSTRAINT, row.get("oid")?);
        found.push(Damaged { address, how: Damage::SetsOthers });
    }
    for row in &statistics {
        let address = Address::new(class::STATISTICS, row.get("statistics")?);
        found.push(Damaged { address, how: Damage::Unsorted(row.get("unsorted")?) });
    }
    Ok(found)
}

const FOREIGN_KEYS: &str =
    "SELECT oid FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND NOT confdelsetcols <@ conkey";

/// What `CREATE STATISTICS` asks of a column's type (`lookup_type_cache` for `TYPECACHE_LT_OPR`), asked all the way down: a composite
/// type is sorted if its parts are.
const UNSORTED: &str = "WITH RECURSIVE made_of (statistics, name, type) AS ( \
       SELECT s.oid, a.attname, a.atttypid FROM pg_statistic_ext s \
       JOIN pg_attribute a ON a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys) \
     UNION SELECT m.statistics, m.name, part.type FROM made_of m JOIN pg_type t ON t.oid = m.type \
       CROSS JOIN LATERAL (SELECT t.typbasetype WHERE t.typtype = 'd' \
         UNION ALL SELECT t.typelem WHERE t.typtype = 'b' AND t.typcategory = 'A' AND t.typelem <> 0 \
         UNION ALL SELECT a.atttypid FROM pg_attribute a \
           WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS part (type) \
       WHERE NOT EXISTS (SELECT FROM pg_opclass o JOIN pg_am am ON am.oid = o.opcmethod AND am.amname = 'btree' \
         WHERE o.opcdefault AND o.opcintype = t.oid)) \
     SELECT m.statistics, \
       min('column ' || quote_ident(m.name) || ' (' || format_type(t.oid, NULL) || ')') AS unsorted \
     FROM made_of m JOIN pg_type t ON t.oid = m.type \
     WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND NOT EXISTS (SELECT FROM pg_opclass o \
       JOIN pg_am am ON am.oid = o.opcmethod AND am.amname = 'btree' WHERE o.opcdefault \
         AND (o.opcintype = t.oid OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource = t.oid \
           AND c.casttarget = o.opcintype AND c.castmethod = 'b' AND c.castcontext = 'i'))) \
     GROUP BY m.statistics";
