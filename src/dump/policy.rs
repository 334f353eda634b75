//! Reads row security policies (`getPolicies`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::schema::{Address, Definition, Object, Policy, class};

/// All policies.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT p.oid, n.nspname, c.oid AS table_oid, c.relname, p.polname, p.polcmd::text AS command, \
           p.polpermissive, CASE WHEN p.polroles = '{{0}}' THEN '{{}}'::text[] ELSE ARRAY(SELECT r.rolname::text \
             FROM pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1) END AS roles, \
           pg_get_expr(p.polqual, p.polrelid) AS using_expression, \
           pg_get_expr(p.polwithcheck, p.polrelid) AS check_expression \
         FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relpersistence <> 't' AND {USER_NAMESPACE} ORDER BY p.oid"
    );
    let mut objects = Vec::new();
    for row in &c.query("reading policies", &sql).await? {
        let table = Address::relation(row.get("table_oid")?);
        objects.push(Object {
            address: Address::new(class::POLICY, row.get("oid")?),
            namespace: Some(row.get("nspname")?),
            name: row.get("polname")?,
            parent: Some(table),
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Policy(Policy {
                table,
                table_name: row.get("relname")?,
                permissive: row.get("polpermissive")?,
                command: match row.get::<String>("command")?.as_str() {
                    "r" => Some("SELECT"),
                    "a" => Some("INSERT"),
                    "w" => Some("UPDATE"),
                    "d" => Some("DELETE"),
                    _ => None,
                },
                roles: row.get("roles")?,
                using: row.get("using_expression")?,
                check: row.get("check_expression")?,
            }),
        });
    }
    Ok(objects)
}
