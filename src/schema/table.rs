//! Tables: ordinary, partitioned, partitions, inheriting and typed ones.
//!
//! The statements are pg_dump's in effect (`dumpTableSchema`): inherited columns are not written, what overrides
//! them is; a partition is made stand-alone with all its columns, in its own order, and then attached, which scans
//! nothing because it is empty then. Invariant: what a foreign loader must not see before the rows are in (row
//! security, checks that are not valid) is not part of [`Table::create`].

use super::column::{Column, Generated};
use super::object::{Address, Object};
use super::quote::quote_ident;
use super::{RenderOptions, class};

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// With rows of its own, or partitioned.
    pub kind: TableKind,
    /// `UNLOGGED`
    pub unlogged: bool,
    /// The composite type that a typed table is `OF`, quoted and qualified.
    pub of_type: Option<String>,
    /// Its columns by attribute number, without dropped ones.
    pub columns: Vec<Column>,
    /// Parents by inheritance (not of a partition), in order.
    pub inherits: Vec<Relative>,
    /// What it is a partition of.
    pub partition_of: Option<PartitionOf>,
    /// `RANGE (a, b)`, `LIST (…)`, `HASH (…)` of a partitioned table.
    pub partition_key: Option<String>,
    /// Storage options as they stand between the parentheses of `WITH (…)`.
    pub options: Vec<String>,
    /// Those of its TOAST table, with their `toast.` prefix.
    pub toast_options: Vec<String>,
    /// Table access method where it is not heap, unquoted.
    pub access_method: Option<String>,
    /// Tablespace where it is not the database's, unquoted. Not carried: an unsupported property.
    pub tablespace: Option<String>,
    /// `WITH OIDS` (sources older than 12). Not carried: an unsupported property.
    pub with_oids: bool,
    /// `ENABLE ROW LEVEL SECURITY`: to be switched on after the rows are in ([`Table::enable_row_security`]).
    pub row_security: bool,
    /// `FORCE ROW LEVEL SECURITY`
    pub force_row_security: bool,
    /// What the write-ahead log says of old rows.
    pub replica_identity: ReplicaIdentity,
    /// Valid check constraints. Those that are `NOT VALID` are [`super::Constraint`]s.
    pub checks: Vec<Check>,
    /// Size of heap and TOAST in blocks, and rows, as the statistics on the source have them; `None`: never analysed.
    pub estimate: Option<Estimate>,
}

/// Whether a table holds rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableKind {
    /// It does.
    #[default]
    Ordinary,
    /// Its partitions do.
    Partitioned,
}

/// Another relation: its address, and its name as statements write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relative {
    /// Its address.
    pub address: Address,
    /// Its name, quoted and qualified.
    pub name: String,
}

/// Of what, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOf {
    /// The partitioned table.
    pub parent: Relative,
    /// `FOR VALUES …` or `DEFAULT`.
    pub bound: String,
}

/// `REPLICA IDENTITY`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key.
    #[default]
    Default,
    /// The whole row.
    Full,
    /// Nothing.
    Nothing,
    /// An index: set by that index's (or its constraint's) own statements.
    Index,
}

/// A check constraint made with its table; class [`super::class::CONSTRAINT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// OID in `pg_constraint`.
    pub oid: u32,
    /// Its name, unquoted.
    pub name: String,
    /// `CHECK (…)`, with `NO INHERIT` where it is.
    pub definition: String,
    /// `NO INHERIT`
    pub no_inherit: bool,
    /// Defined on this table itself.
    pub local: bool,
    /// To be added after the rows ([`Table::separate_check`]), because it needs something that needs the table.
    pub separate: bool,
}

/// What the planner thinks of a table's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// `relpages`
    pub pages: u32,
    /// `reltuples`, 0 where unknown.
    pub rows: u64,
    /// `relpages` of its TOAST table.
    pub toast_pages: u32,
}

impl Table {
    /// Columns that COPY carries: all but generated ones.
    pub fn copied_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| c.is_copied())
    }

    /// Whether its rows may be copied in binary to a target of this `server_version_num`.
    pub fn binary_safe(&self, target_version: u32) -> bool {
        self.copied_columns().all(|c| c.binary.holds_for(target_version))
    }

    /// Every table it is a child of, by inheritance or as a partition.
    pub fn parents(&self) -> impl Iterator<Item = &Relative> {
        self.inherits.iter().chain(self.partition_of.iter().map(|p| &p.parent))
    }

    /// Whether `CREATE TABLE` defines this column; else it comes from a parent. A generation expression that differs
    /// from the parent's has no other place.
    pub(super) fn writes(&self, column: &Column) -> bool {
        column.local
            || self.partition_of.is_some()
            || (column.generated != Generated::No && column.default.is_some())
    }

    /// Addresses of what is written inside `CREATE TABLE` although the catalogs give it an address of its own:
    /// defaults and checks that are not separate. What those depend on, the table depends on.
    pub fn inline_addresses(&self) -> impl Iterator<Item = Address> {
        let defaults = self.columns.iter().filter_map(|c| c.default.as_ref());
        let defaults = defaults.filter(|d| !d.separate && d.oid != 0);
        let checks = self.checks.iter().filter(|c| !c.separate);
        defaults
            .map(|d| Address::new(class::ATTRDEF, d.oid))
            .chain(checks.map(|c| Address::new(class::CONSTRAINT, c.oid)))
    }

    /// The statements that make it, attached to what it is a partition of.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let name = object.qualified_name();
        let mut out = vec![self.create_table(&name)];
        if let Some(partition) = &self.partition_of {
            out.push(format!(
                "ALTER TABLE ONLY {} ATTACH PARTITION {name} {}",
                partition.parent.name, partition.bound
            ));
        }
        let alterations: Vec<String> =
            self.columns.iter().flat_map(|c| c.alterations(self.writes(c))).collect();
        if !alterations.is_empty() {
            out.push(format!("ALTER TABLE ONLY {name}\n    {}", alterations.join(",\n    ")));
        }
        // A default that is separate and has an address is a step of its own; this one has none.
        for column in self.columns.iter().filter(|c| !self.writes(c)) {
            if column.default.as_ref().is_some_and(|d| d.oid == 0 && d.separate) {
                out.push(self.separate_default(object, column));
            }
        }
        match self.replica_identity {
            ReplicaIdentity::Full => out.push(format!("ALTER TABLE ONLY {name} REPLICA IDENTITY FULL")),
            ReplicaIdentity::Nothing => out.push(format!("ALTER TABLE ONLY {name} REPLICA IDENTITY NOTHING")),
            ReplicaIdentity::Default | ReplicaIdentity::Index => {}
        }
        if self.force_row_security {
            out.push(format!("ALTER TABLE ONLY {name} FORCE ROW LEVEL SECURITY"));
        }
        out
    }

    fn create_table(&self, name: &str) -> String {
        let mut out = String::from(if self.unlogged { "CREATE UNLOGGED TABLE " } else { "CREATE TABLE " });
        out.push_str(name);
        let typed = self.of_type.is_some();
        if let Some(of_type) = &self.of_type {
            out.push_str(" OF ");
            out.push_str(of_type);
        }
        let standalone = self.partition_of.is_some();
        let columns = self.columns.iter().filter_map(|c| c.definition(self.writes(c), standalone, typed));
        let checks = self
            .checks
            .iter()
            .filter(|c| !c.separate && (c.local || standalone))
            .map(|c| format!("CONSTRAINT {} {}", quote_ident(&c.name), c.definition));
        let elements: Vec<String> = columns.chain(checks).collect();
        if !elements.is_empty() {
            out.push_str(" (\n    ");
            out.push_str(&elements.join(",\n    "));
            out.push_str("\n)");
        } else if !typed {
            out.push_str(" (\n)");
        }
        if !self.inherits.is_empty() {
            let parents: Vec<&str> = self.inherits.iter().map(|p| p.name.as_str()).collect();
            out.push_str(&format!("\nINHERITS ({})", parents.join(", ")));
        }
        if let Some(key) = &self.partition_key {
            out.push_str(&format!("\nPARTITION BY {key}"));
        }
        if let Some(method) = &self.access_method {
            out.push_str(&format!("\nUSING {}", quote_ident(method)));
        }
        let options: Vec<&str> = self.options.iter().chain(&self.toast_options).map(String::as_str).collect();
        if !options.is_empty() {
            out.push_str(&format!("\nWITH ({})", options.join(", ")));
        }
        out
    }

    /// The default of `column` as a statement of its own, for one that is [`super::ColumnDefault::separate`]; to be
    /// run after the table is made, and after what the expression needs. [`Table::create`] does so itself for `oid` 0.
    pub fn separate_default(&self, object: &Object, column: &Column) -> String {
        let expression = column.default.as_ref().map_or("NULL", |d| d.expression.as_str());
        format!(
            "ALTER TABLE ONLY {} ALTER COLUMN {} SET DEFAULT {expression}",
            object.qualified_name(),
            quote_ident(&column.name)
        )
    }

    /// A check that is [`Check::separate`], as a statement of its own. Not `ONLY`: children have it too.
    pub fn separate_check(&self, object: &Object, check: &Check) -> String {
        let (table, name) = (object.qualified_name(), quote_ident(&check.name));
        format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}", check.definition)
    }

    /// Row security switched on, after the rows.
    pub fn enable_row_security(&self, object: &Object) -> Option<String> {
        self.row_security
            .then(|| format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", object.qualified_name()))
    }

    /// The statements that drop it.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP TABLE IF EXISTS {}", object.qualified_name())]
    }

    /// How `COMMENT ON` and `ALTER … OWNER TO` name it.
    pub fn reference(&self, object: &Object) -> String {
        format!("TABLE {}", object.qualified_name())
    }
}
