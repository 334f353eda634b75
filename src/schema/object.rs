//! One database object, whatever its kind, and the things every kind has: an address in the
//! catalogs, a name, an owner, privileges, comments.
//!
//! Invariant: an [`Address`] is unique in a [`super::Schema`], and is the pair that `pg_depend` uses.

use super::acl::Acl;
use super::quote::{qualified, quote_ident};
use super::{
    AccessMethod, AddedMembers, Aggregate, BaseType, Cast, ChangedComments, ChangedPrivileges, Collation,
    CompositeType, Constraint, Conversion, DefaultAcl, Domain, EnumType, EventTrigger, ExtendedStatistics,
    Extension, ExtensionTies, ForeignDataWrapper, ForeignServer, Function, Index, Language, LargeObject,
    MaterializedView, Namespace, Operator, OperatorClass, OperatorFamily, Policy, PublicationMember,
    RangeType, Rule, SecurityLabels, Sequence, Subscription, Table, TextSearchConfiguration,
    TextSearchDictionary, TextSearchParser, TextSearchTemplate, Transform, Trigger, UserMapping,
    UserPublication, View,
};

/// Catalog OIDs, fixed since PostgreSQL's catalogs are (`src/include/catalog/pg_*.h`).
pub mod class {
    /// `pg_type`
    pub const TYPE: u32 = 1247;
    /// `pg_proc`
    pub const PROC: u32 = 1255;
    /// `pg_class`
    pub const RELATION: u32 = 1259;
    /// `pg_am`
    pub const ACCESS_METHOD: u32 = 2601;
    /// `pg_amop`
    pub const AMOP: u32 = 2602;
    /// `pg_amproc`
    pub const AMPROC: u32 = 2603;
    /// `pg_attrdef`
    pub const ATTRDEF: u32 = 2604;
    /// `pg_cast`
    pub const CAST: u32 = 2605;
    /// `pg_constraint`
    pub const CONSTRAINT: u32 = 2606;
    /// `pg_conversion`
    pub const CONVERSION: u32 = 2607;
    /// `pg_language`
    pub const LANGUAGE: u32 = 2612;
    /// `pg_largeobject`, which is how `pg_depend` and `pg_description` name a large object
    pub const LARGE_OBJECT: u32 = 2613;
    /// `pg_namespace`
    pub const NAMESPACE: u32 = 2615;
    /// `pg_opclass`
    pub const OPCLASS: u32 = 2616;
    /// `pg_operator`
    pub const OPERATOR: u32 = 2617;
    /// `pg_rewrite`
    pub const REWRITE: u32 = 2618;
    /// `pg_trigger`
    pub const TRIGGER: u32 = 2620;
    /// `pg_opfamily`
    pub const OPFAMILY: u32 = 2753;
    /// `pg_default_acl`
    pub const DEFAULT_ACL: u32 = 826;
    /// `pg_foreign_server`
    pub const FOREIGN_SERVER: u32 = 1417;
    /// `pg_user_mapping`
    pub const USER_MAPPING: u32 = 1418;
    /// `pg_foreign_data_wrapper`
    pub const FOREIGN_DATA_WRAPPER: u32 = 2328;
    /// `pg_depend`: of what it says of an object ([`super::Address::attached`])
    pub const DEPEND: u32 = 2608;
    /// `pg_description`: of what it says of an object ([`super::Address::attached`])
    pub const DESCRIPTION: u32 = 2609;
    /// `pg_init_privs`: of what it says of an object ([`super::Address::attached`])
    pub const INITIAL_PRIVILEGES: u32 = 3394;
    /// `pg_seclabel`: of what it says of an object ([`super::Address::attached`])
    pub const SECURITY_LABEL: u32 = 3596;
    /// `pg_event_trigger`
    pub const EVENT_TRIGGER: u32 = 3466;
    /// `pg_subscription`
    pub const SUBSCRIPTION: u32 = 6100;
    /// `pg_publication`
    pub const PUBLICATION: u32 = 6104;
    /// `pg_publication_rel`
    pub const PUBLICATION_TABLE: u32 = 6106;
    /// `pg_publication_namespace`
    pub const PUBLICATION_NAMESPACE: u32 = 6237;
    /// `pg_extension`
    pub const EXTENSION: u32 = 3079;
    /// `pg_policy`
    pub const POLICY: u32 = 3256;
    /// `pg_statistic_ext`
    pub const STATISTICS: u32 = 3381;
    /// `pg_collation`
    pub const COLLATION: u32 = 3456;
    /// `pg_transform`
    pub const TRANSFORM: u32 = 3576;
    /// `pg_ts_dict`
    pub const TS_DICT: u32 = 3600;
    /// `pg_ts_parser`
    pub const TS_PARSER: u32 = 3601;
    /// `pg_ts_config`
    pub const TS_CONFIG: u32 = 3602;
    /// `pg_ts_template`
    pub const TS_TEMPLATE: u32 = 3764;
}

/// Where an object is recorded: catalog and OID, as in `pg_depend (classid, objid)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// OID of the catalog, one of [`class`].
    pub class: u32,
    /// OID of the row in that catalog.
    pub oid: u32,
}

impl Address {
    /// An address of `pg_class`.
    pub const fn relation(oid: u32) -> Self {
        Address { class: class::RELATION, oid }
    }
    /// An address of any catalog.
    pub const fn new(class: u32, oid: u32) -> Self {
        Address { class, oid }
    }
    /// An address for what the catalog `kind`, which has no OIDs of its own, says of the object at this address. Catalogs'
    /// OIDs are below 10,000, so no two are the same.
    pub const fn attached(self, kind: u32) -> Self {
        Address { class: kind * 10_000 + self.class, oid: self.oid }
    }
    /// Whether it is of something that is only said of an object ([`Address::attached`]).
    pub const fn is_attached(self) -> bool {
        self.class >= 10_000
    }
}

/// What a comment of an object is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommentOn {
    /// The object itself.
    Itself,
    /// The column (or composite type's attribute) of this name.
    Column(String),
    /// The table's constraint of this name, where that is written with the table.
    Constraint(String),
    /// The index of a constraint, which has the constraint's name.
    Index,
}

/// A comment on an object or on a part of it that is no [`Object`] of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What it is on.
    pub on: CommentOn,
    /// The text, as stored.
    pub text: String,
}

/// A database object: what all kinds share, and what only its kind has.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its place in the catalogs.
    pub address: Address,
    /// The schema it lives in, unquoted; `None` for kinds that live in none. Triggers, rules, policies and
    /// constraints carry their table's schema.
    pub namespace: Option<String>,
    /// Its name, unquoted.
    pub name: String,
    /// The relation it belongs to and goes with, for an index, a constraint, a trigger, a rule, a policy, and a
    /// sequence owned by a column, extended statistics; `None` for everything else.
    pub parent: Option<Address>,
    /// Owning role, unquoted; `None` for kinds without an owner of their own.
    pub owner: Option<String>,
    /// Privileges where they differ from what the object gets when created; `None`: nothing to say. Readers
    /// leave it `None`: `dump/acl.rs` fills it for all kinds.
    pub acl: Option<Acl>,
    /// Comments on it and on its columns. Readers leave it empty: `dump/comment.rs` fills it for all kinds.
    pub comments: Vec<Comment>,
    /// What only this kind has.
    pub definition: Definition,
}

/// The kinds of objects, one file of this folder each.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Definition {
    Namespace(Namespace),
    Extension(Extension),
    Enum(EnumType),
    Domain(Domain),
    Composite(CompositeType),
    Range(RangeType),
    Function(Function),
    Aggregate(Aggregate),
    Sequence(Sequence),
    Table(Table),
    Index(Index),
    Constraint(Constraint),
    View(View),
    MaterializedView(MaterializedView),
    Rule(Rule),
    Trigger(Trigger),
    Policy(Policy),
    BaseType(BaseType),
    Operator(Operator),
    OperatorClass(OperatorClass),
    OperatorFamily(OperatorFamily),
    AddedMembers(AddedMembers),
    Cast(Cast),
    Transform(Transform),
    Conversion(Conversion),
    Collation(Collation),
    Language(Language),
    AccessMethod(AccessMethod),
    TextSearchParser(TextSearchParser),
    TextSearchTemplate(TextSearchTemplate),
    TextSearchDictionary(TextSearchDictionary),
    TextSearchConfiguration(TextSearchConfiguration),
    Statistics(ExtendedStatistics),
    DefaultAcl(DefaultAcl),
    LargeObject(LargeObject),
    ForeignDataWrapper(ForeignDataWrapper),
    ForeignServer(ForeignServer),
    UserMapping(UserMapping),
    EventTrigger(EventTrigger),
    Publication(UserPublication),
    PublicationMember(PublicationMember),
    Subscription(Subscription),
    ChangedPrivileges(ChangedPrivileges),
    ChangedComments(ChangedComments),
    ExtensionTies(ExtensionTies),
    SecurityLabels(SecurityLabels),
}

impl Object {
    /// `schema.name`, quoted where needed; just the name for kinds outside schemas.
    pub fn qualified_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => qualified(namespace, &self.name),
            None => quote_ident(&self.name),
        }
    }
}
