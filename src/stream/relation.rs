//! What a relation message says of a published table.
//!
//! Invariant: an `Arc<Relation>` is one version of one table's columns; when the source's DDL changes them, later
//! changes carry another one.

/// A published table as its changes describe it (`logicalrep_write_rel` in `src/backend/replication/logical/proto.c`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its OID on the source.
    pub oid: u32,
    /// Its schema, unquoted.
    pub namespace: String,
    /// Its name, unquoted.
    pub name: String,
    /// How its rows are told apart.
    pub identity: ReplicaIdentity,
    /// The columns that are sent, in the order of every tuple.
    pub columns: Vec<Column>,
}

/// A column that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, unquoted.
    pub name: String,
    /// Whether it is part of the replica identity; with `FULL` every column is.
    pub key: bool,
    /// Its type's OID on the source.
    pub type_oid: u32,
    /// `atttypmod`.
    pub type_modifier: i32,
    /// Schema and name of the type, of a domain's base type, where it is not a built-in one (a type message).
    pub type_name: Option<(String, String)>,
}

/// `REPLICA IDENTITY`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// None: only inserts and truncates can come.
    Nothing,
    /// All columns.
    Full,
    /// A unique index.
    Index,
}

impl Relation {
    /// `schema.name`, quoted where needed.
    pub fn identity_name(&self) -> String {
        crate::schema::quote::qualified(&self.namespace, &self.name)
    }

    /// Whether a change's key names one row: a key or index, not all columns.
    pub fn has_key(&self) -> bool {
        matches!(self.identity, ReplicaIdentity::Default | ReplicaIdentity::Index)
            && self.columns.iter().any(|c| c.key)
    }
}
