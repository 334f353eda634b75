//! Reads text search configurations and their mappings (`getTSConfigurations`, `dumpTSConfig`).

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::schema::{Definition, Object, TextSearchConfiguration, class};

/// All text search configurations.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.cfgname AS name, pg_get_userbyid(c.cfgowner) AS owner, \
           quote_ident(pn.nspname) || '.' || quote_ident(p.prsname) AS parser \
         FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace \
         JOIN pg_ts_parser p ON p.oid = c.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace \
         WHERE {USER_NAMESPACE} ORDER BY c.oid"
    );
    // Each parser of a configuration of the user's is asked once for the names of its tokens.
    let mappings = format!(
        "WITH c AS (SELECT c.oid, c.cfgparser FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace \
           WHERE {USER_NAMESPACE}), \
         t AS (SELECT p.parser, t.tokid, t.alias FROM (SELECT DISTINCT cfgparser AS parser FROM c) p, \
           LATERAL ts_token_type(p.parser) t) \
         SELECT c.oid, t.alias, array_agg(m.mapdict::regdictionary::text ORDER BY m.mapseqno) AS dictionaries \
         FROM c JOIN pg_ts_config_map m ON m.mapcfg = c.oid \
         JOIN t ON t.parser = c.cfgparser AND t.tokid = m.maptokentype \
         GROUP BY c.oid, m.maptokentype, t.alias ORDER BY c.oid, m.maptokentype"
    );
    let (rows, mappings) = tokio::try_join!(
        c.query("reading text search configurations", &sql),
        c.query("reading mappings of text search configurations", &mappings),
    )?;
    let mut by_configuration: HashMap<u32, Vec<(String, Vec<String>)>> = HashMap::new();
    for row in &mappings {
        let mapping = (row.get("alias")?, row.get("dictionaries")?);
        by_configuration.entry(row.get("oid")?).or_default().push(mapping);
    }
    rows.iter()
        .map(|row| {
            let configuration = TextSearchConfiguration {
                parser: row.get("parser")?,
                mappings: by_configuration.remove(&row.get("oid")?).unwrap_or_default(),
            };
            object(row, class::TS_CONFIG, Definition::TextSearchConfiguration(configuration))
        })
        .collect()
}
