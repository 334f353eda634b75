//! What is read from both servers, as plain values: everything that Validate judges.
//!
//! Invariant: a fixed number of `SELECT`s per server whatever the number of objects; nothing is locked beyond the
//! catalogs, nothing is changed.

pub(crate) mod replication;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod subscription;
pub(crate) mod target;

pub(crate) use replication::Replication;
pub(crate) use server::Server;
pub(crate) use source::Source;
pub(crate) use subscription::Subscriber;
pub(crate) use target::Target;

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
