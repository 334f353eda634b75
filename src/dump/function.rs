//! Reads functions, window functions and procedures.

use std::collections::HashSet;

use super::DumpError;
use super::catalogs::{Catalogs, FIRST_USER_OID, USER_NAMESPACE};
use crate::schema::function::plain_create;
use crate::schema::{Address, Definition, Function, Object, class};

/// All functions but aggregates, and but those that came with a range type (internal dependency).
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let no_aggregate = c.since(11, "p.prokind <> 'a'", "NOT p.proisagg");
    let procedure = c.since(11, "p.prokind = 'p'", "false");
    let parsed_body = c.since(14, "p.prosqlbody IS NOT NULL", "false");
    let rows = c
        .query(
            "reading functions",
            &format!(
                "SELECT p.oid, n.nspname, p.proname, pg_get_userbyid(p.proowner) AS owner, \
                   {procedure} AS procedure, {parsed_body} AS parsed_body, \
                   CASE l.lanname WHEN 'c' THEN 'c AS ' || quote_literal(p.probin) || ', ' || quote_literal(p.prosrc) \
                     WHEN 'internal' THEN 'internal AS ' || quote_literal(p.prosrc) END AS loaded, \
                   pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_functiondef(p.oid) AS definition \
                 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
                 JOIN pg_language l ON l.oid = p.prolang \
                 WHERE {no_aggregate} AND {USER_NAMESPACE} \
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass \
                     AND d.objid = p.oid AND d.deptype IN ('i', 'e')) ORDER BY p.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let definition: String = row.get("definition")?;
            Ok(Object {
                address: Address::new(class::PROC, row.get("oid")?),
                namespace: row.get("nspname")?,
                name: row.get("proname")?,
                parent: None,
                owner: row.get("owner")?,
                acl: None,
                comments: Vec::new(),
                definition: Definition::Function(Function {
                    procedure: row.get("procedure")?,
                    arguments: row.get("arguments")?,
                    definition: plain_create(&definition),
                    parsed_body: row.get("parsed_body")?,
                    loaded: row.get("loaded")?,
                }),
            })
        })
        .collect()
}

/// Functions in any language but C (which the server's own, given another name, are in too), members of extensions included.
pub(super) async fn not_in_c(c: &Catalogs<'_>) -> Result<HashSet<Address>, DumpError> {
    let rows = c
        .query(
            "reading the languages of functions",
            &format!(
                "SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang \
                 WHERE p.oid >= {FIRST_USER_OID} AND l.lanname NOT IN ('c', 'internal')"
            ),
        )
        .await?;
    rows.iter().map(|row| Ok(Address::new(class::PROC, row.get("oid")?))).collect()
}
