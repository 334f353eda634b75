//! The model of a database's schema and its DDL: pure data and pure functions, no connection.
//!
//! `dump/` fills the model from the catalogs; [`order`] turns it into ordered [`Step`]s; `restore/` replays
//! them. One file per object kind: a struct with what the catalogs say, and the statements that make the
//! object again. Invariant: rendering never fails and never depends on anything but the model, the
//! [`RenderOptions`] and quoting; every name in the output is schema-qualified, because the statements run
//! under an empty `search_path`, as pg_dump's do.

mod access_method;
pub mod acl;
mod added_members;
mod aggregate;
mod base_type;
pub mod binary;
pub mod bridge;
pub mod calls;
mod cast;
mod changed_comments;
mod changed_privileges;
mod collation;
mod column;
mod column_order;
pub mod composite;
mod constraint;
mod conversion;
mod copy;
pub mod cycle_mark;
mod damaged;
mod database;
mod default_acl;
mod domain;
pub mod drop;
mod enum_type;
mod event_trigger;
mod extension;
mod extension_ties;
mod foreign_data_wrapper;
pub mod foreign_option;
mod foreign_server;
pub mod function;
mod gathered;
mod index;
pub mod inherit;
mod language;
mod large_object;
mod late_attach;
mod matview;
mod namespace;
mod object;
mod operator;
mod operator_class;
mod operator_family;
pub mod order;
mod policy;
pub mod predefined;
mod publication;
pub mod quote;
mod range;
mod role;
pub mod routing;
mod rule;
pub mod script;
pub mod secret;
mod security_labels;
mod sequence;
mod setting;
mod statement;
mod statistics;
pub mod storage_option;
mod subscription;
mod table;
mod transform;
mod trigger;
mod ts_configuration;
mod ts_dictionary;
mod ts_parser;
mod ts_template;
mod unsupported;
mod user_mapping;
mod user_publication;
mod view;

use std::collections::{HashMap, HashSet};

pub use access_method::AccessMethod;
pub use added_members::{AddedMember, AddedMembers};
pub use aggregate::Aggregate;
pub use base_type::BaseType;
pub use cast::{Cast, CastMethod};
pub use changed_comments::ChangedComments;
pub use changed_privileges::ChangedPrivileges;
pub use collation::Collation;
pub use column::{Column, ColumnDefault, Generated, Identity, NotNull};
pub use composite::CompositeType;
pub use constraint::{Constraint, ConstraintIndex, ConstraintKind};
pub use conversion::Conversion;
pub use copy::{CopySource, Slice};
pub use damaged::{Damage, Damaged};
pub use database::Database;
pub use default_acl::DefaultAcl;
pub use domain::{Domain, DomainCheck};
pub use enum_type::EnumType;
pub use event_trigger::EventTrigger;
pub use extension::Extension;
pub use extension_ties::ExtensionTies;
pub use foreign_data_wrapper::ForeignDataWrapper;
pub use foreign_server::ForeignServer;
pub use function::Function;
pub use index::{Index, IndexMarks};
pub use language::Language;
pub use large_object::LargeObject;
pub use matview::{MaterializedView, MatviewColumn};
pub use namespace::Namespace;
pub use object::{Address, Comment, CommentOn, Definition, Object, class};
pub use operator::Operator;
pub use operator_class::OperatorClass;
pub use operator_family::OperatorFamily;
pub use policy::Policy;
pub use publication::{
    Surroundings, comment_on_publication, create_publication, has_all_tables, leave_publication, listed,
    publication_comment, publication_members, publishable,
};
pub use range::RangeType;
pub use role::{Giver, Membership, Role, in_order as role_memberships_in_order};
pub use rule::Rule;
pub use security_labels::{SecurityLabel, SecurityLabels};
pub use sequence::{OwnedBy, Sequence};
pub use setting::Setting;
pub use statistics::ExtendedStatistics;
pub use subscription::Subscription;
pub use table::{Check, Estimate, ForeignTable, PartitionOf, Relative, ReplicaIdentity, Table, TableKind};
pub use transform::Transform;
pub use trigger::{Enabled, Trigger};
pub use ts_configuration::TextSearchConfiguration;
pub use ts_dictionary::TextSearchDictionary;
pub use ts_parser::TextSearchParser;
pub use ts_template::TextSearchTemplate;
pub use unsupported::unsupported_properties;
pub use user_mapping::UserMapping;
pub use user_publication::{PublicationMember, Published, UserPublication};
pub use view::{CheckOption, View, ViewColumn};

/// A database's schema as its catalogs had it under one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// `server_version_num` of the server it was read from.
    pub server_version: u32,
    /// Every object to be made on the target, in no particular order.
    pub objects: Vec<Object>,
    /// `pg_depend`, normal and automatic entries among user objects: dependent → what it needs. Sub-objects
    /// have their own key where they have their own address (a column default, a check constraint, a rule).
    pub depends: HashMap<Address, Vec<Address>>,
    /// Addresses that stand for another object: a table's row type and the array types for their relation or
    /// type, a composite type's relation for the type, a view's `_RETURN` rule for the view, a constraint's
    /// index for the constraint, an entry of an operator class or family for that.
    pub aliases: HashMap<Address, Address>,
    /// Functions, members of extensions too, in any language but C.
    pub not_in_c: HashSet<Address>,
    /// The database's own properties, which no object of it has.
    pub database: Database,
    /// Objects found that this version cannot carry; Validate names each of them.
    pub unsupported: Vec<Unsupported>,
    /// What no server makes again, of what a filter leaves out too.
    pub damaged: Vec<Damaged>,
    /// Rows of extensions' configuration tables (`pg_extension_config_dump`): the tables come with their extension,
    /// these rows do not.
    pub extension_data: Vec<ExtensionData>,
    /// Objects left out because of a filter although their schema is in: they need something filtered out.
    pub left_out: Vec<LeftOut>,
    /// The target sorts text otherwise than the source: another locale, another version of the library behind it.
    pub sorted_otherwise: bool,
    /// What is made in other words on a newer target ([`bridge::cross`]).
    pub bridged: Vec<bridge::Bridged>,
}

impl Schema {
    /// Its tables, foreign and partitioned ones too, by address.
    pub fn tables(&self) -> HashMap<Address, &Table> {
        let tables = self.objects.iter().filter_map(|o| match &o.definition {
            Definition::Table(table) => Some((o.address, table)),
            _ => None,
        });
        tables.collect()
    }
}

/// An object in the source that this version of the tool does not carry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unsupported {
    /// Kind as PostgreSQL's `pg_describe_object` names it: `operator class`, `foreign table`, …
    pub kind: String,
    /// Quoted identity, schema-qualified.
    pub identity: String,
    /// Whether pg_dump leaves it out as well: then it is said, and does not stop the migration.
    pub pg_dump_neither: bool,
}

/// The rows of an extension's configuration table that are the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionData {
    /// The table's address on the source.
    pub address: Address,
    /// The extension, unquoted.
    pub extension: String,
    /// The table's schema, unquoted.
    pub namespace: String,
    /// The table, unquoted.
    pub name: String,
    /// Columns to copy, unquoted, in order; generated ones left out.
    pub columns: Vec<String>,
    /// The `WHERE …` clause registered with the table, possibly empty.
    pub condition: String,
    /// Other configuration tables that its foreign keys refer to: these come with the extension, before any row.
    pub references: Vec<Address>,
}

/// An object not carried because of the filter, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Quoted identity.
    pub object: String,
    /// Quoted identity of what it needs and what was filtered out.
    pub because_of: String,
}

/// What may differ between two renderings of the same model.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Leave out `OWNER TO` (`--no-owner`).
    pub no_owner: bool,
    /// Leave out `GRANT` and `REVOKE` (`--no-privileges`).
    pub no_privileges: bool,
    /// Leave out tablespaces: everything is made in the database's own (`--no-tablespaces`).
    pub no_tablespaces: bool,
    /// The role that will run the statements: what it creates it owns, so no `OWNER TO` is needed for it.
    /// `None`: not known (a script for psql); every owner is spelled out.
    pub current_user: Option<String>,
    /// `server_version_num` of the target; `None`: not known, write what the source's version understands.
    pub target_version: Option<u32>,
}

/// Where a step stands in a dump (`pg_dump --section`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Everything that must be there before rows are.
    PreData,
    /// Rows, sequence values, large objects.
    Data,
    /// Everything that is cheaper or only right after the rows: indexes, constraints, triggers, rules.
    PostData,
}

/// How strongly a post-data step locks a table; steps that would wait for each other are not run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockNeed {
    /// `CREATE INDEX`: several on one table run together.
    Shared,
    /// `ALTER TABLE`, `CREATE TRIGGER`, foreign keys: alone on the table.
    Exclusive,
}

/// One object's statements at their place in the order: what `restore/` runs and `schema` prints.
#[derive(Clone, Debug)]
pub struct Step {
    /// The object it makes, or a part of it.
    pub address: Address,
    /// The kind, in pg_dump's words: `TABLE`, `FK CONSTRAINT`, `MATERIALIZED VIEW`, …
    pub kind: &'static str,
    /// Quoted identity: `sales."Order"`, `sales.total(integer)`, `trg ON sales.t`.
    pub identity: String,
    /// Its section.
    pub section: Section,
    /// Statements that create it, with owner and comments, without the closing semicolon, in order.
    pub create: Vec<String>,
    /// Where a key can be built as an index under a shared lock and attached afterwards: (`CREATE UNIQUE INDEX`, `ALTER
    /// TABLE … ADD CONSTRAINT … USING INDEX`), in place of `create[0]`. Lets a table's indexes be built side by side.
    pub index_first: Option<(String, String)>,
    /// Grants and revokes: run after all data is in, because they may take rights from the owner.
    pub acl: Vec<String>,
    /// Statements that drop it, `IF EXISTS`, never `CASCADE` onto anything outside the migration.
    pub drop: Vec<String>,
    /// Indices of the steps (in the same list, all smaller) that must have succeeded before this one.
    pub needs: Vec<usize>,
    /// The tables a post-data step locks.
    pub locks: Vec<(Address, LockNeed)>,
}
