//! Reads extended statistics (`getExtendedStatistics`, `dumpStatisticsExt`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::schema::{Address, Definition, ExtendedStatistics, Object, class};

/// All extended statistics.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading extended statistics",
            &format!(
                "SELECT s.oid, n.nspname, s.stxname AS name, pg_get_userbyid(s.stxowner) AS owner, s.stxrelid, \
                   pg_get_statisticsobjdef(s.oid) AS definition, {target} AS target \
                 FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY s.oid",
                target = c.since(13, "s.stxstattarget::int4", "NULL::int4"),
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let table = Address::relation(row.get("stxrelid")?);
            let statistics = ExtendedStatistics {
                table,
                definition: row.get("definition")?,
                // NULL from 17 on, -1 before: the default.
                target: row.get::<Option<i32>>("target")?.filter(|target| *target >= 0),
            };
            let mut object = object(row, class::STATISTICS, Definition::Statistics(statistics))?;
            object.parent = Some(table);
            Ok(object)
        })
        .collect()
}
