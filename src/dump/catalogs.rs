//! What every reader gets: the session, the server's version to branch on, and the common conditions of
//! catalog queries.

use super::DumpError;
use crate::pg::{Row, Session};
use crate::schema::{Address, Definition, Object, class};

/// Condition on `pg_namespace n`: a schema that belongs to the user. The prefix `pg_` is reserved for the
/// server (`IsReservedName`), so it covers `pg_catalog`, `pg_toast`, and all temporary schemas.
pub(super) const USER_NAMESPACE: &str =
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> '_pg_migrator'";

/// `FirstNormalObjectId` in `access/transam.h`: what is below, initdb made.
pub(super) const FIRST_USER_OID: u32 = 16384;

/// The same condition on a name.
pub(super) fn is_user_schema(schema: &str) -> bool {
    !schema.starts_with("pg_") && schema != "information_schema"
}

/// The catalogs of one database under one snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Catalogs<'a> {
    /// In a `REPEATABLE READ READ ONLY` transaction.
    pub session: &'a Session,
    /// `server_version_num`.
    pub version: u32,
}

impl Catalogs<'_> {
    /// Whether the server is of this major version or newer.
    pub(super) fn at_least(&self, major: u32) -> bool {
        self.version >= major * 10_000
    }

    /// `new` where the server has this major version, else `old`: for columns that came later.
    pub(super) fn since<'s>(&self, major: u32, new: &'s str, old: &'s str) -> &'s str {
        if self.at_least(major) { new } else { old }
    }

    /// Runs one query.
    pub(super) async fn query(&self, what: &str, sql: &str) -> Result<Vec<Row>, DumpError> {
        Ok(self.session.query(what, sql).await?)
    }
}

/// An object from a row with `oid`, `nspname`, `name` and `owner`.
pub(super) fn object(row: &Row, class: u32, definition: Definition) -> Result<Object, DumpError> {
    named(row, class, row.get("nspname")?, "name", definition)
}

/// An object of `pg_type` from a row with `oid`, `nspname`, `typname` and `owner`.
pub(super) fn type_object(row: &Row, definition: Definition) -> Result<Object, DumpError> {
    named(row, class::TYPE, row.get("nspname")?, "typname", definition)
}

/// An object that lives in no schema, from a row with `oid`, `name` and `owner`.
pub(super) fn unnamespaced(row: &Row, class: u32, definition: Definition) -> Result<Object, DumpError> {
    named(row, class, None, "name", definition)
}

fn named(
    row: &Row,
    class: u32,
    namespace: Option<String>,
    column: &str,
    definition: Definition,
) -> Result<Object, DumpError> {
    Ok(Object {
        address: Address::new(class, row.get("oid")?),
        namespace,
        name: row.get(column)?,
        parent: None,
        owner: row.get("owner")?,
        acl: None,
        comments: Vec::new(),
        definition,
    })
}
