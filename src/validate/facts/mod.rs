//! What is read from both servers, as plain values: everything that Validate judges.
//!
//! Invariant: a fixed number of `SELECT`s per server whatever the number of objects; nothing is locked beyond the
//! catalogs, nothing is changed.

use std::collections::BTreeSet;

use crate::pg::{Session, SqlError};

pub(crate) mod answers;
pub(crate) mod replication;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod subscription;
pub(crate) mod target;

pub(crate) use answers::Answers;
pub(crate) use replication::Replication;
pub(crate) use server::Server;
pub(crate) use source::Source;
pub(crate) use subscription::Subscriber;
pub(crate) use target::Target;

/// Names of the functions and of the types that are the server's own.
async fn of_server(session: &Session) -> Result<(BTreeSet<String>, BTreeSet<String>), SqlError> {
    let sql = "SELECT DISTINCT 'f' AS kind, p.proname::text AS name FROM pg_catalog.pg_proc p
               WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
         UNION ALL SELECT 't', t.typname::text FROM pg_catalog.pg_type t
               WHERE t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.typrelid = 0";
    let (mut functions, mut types) = (BTreeSet::new(), BTreeSet::new());
    for row in &session.query("reading the names of the server's functions and types", sql).await? {
        let of = if row.get::<String>("kind")? == "f" { &mut functions } else { &mut types };
        of.insert(row.get("name")?);
    }
    Ok((functions, types))
}

/// Condition on `pg_namespace n`: a schema of the user's; the journal's own is not one.
const USER_NAMESPACE: &str =
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> '_pg_migrator'";

/// Condition: the object (catalog, OID expression) is no member of an extension.
fn no_member(catalog: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_catalog.pg_depend m WHERE m.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass \
         AND m.objid = {oid} AND m.deptype = 'e')"
    )
}
