//! Reads rewrite rules, without the `_RETURN` rules, which are views' and materialized views' queries (`getRules`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use super::view::without_semicolon;
use crate::schema::{Address, Definition, Enabled, Object, Rule, class};

/// All rules.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT r.oid, n.nspname, c.oid AS table_oid, c.relname, r.rulename, r.ev_enabled::text AS enabled, \
           pg_get_ruledef(r.oid) AS statement \
         FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE NOT (r.rulename = '_RETURN' AND r.ev_type = '1') AND c.relpersistence <> 't' AND {USER_NAMESPACE} \
         ORDER BY r.oid"
    );
    let mut objects = Vec::new();
    for row in &c.query("reading rules", &sql).await? {
        let table = Address::relation(row.get("table_oid")?);
        objects.push(Object {
            address: Address::new(class::REWRITE, row.get("oid")?),
            namespace: Some(row.get("nspname")?),
            name: row.get("rulename")?,
            parent: Some(table),
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Rule(Rule {
                table,
                table_name: row.get("relname")?,
                statement: without_semicolon(row.get("statement")?),
                enabled: Enabled::from_letter(row.get("enabled")?),
            }),
        });
    }
    Ok(objects)
}
