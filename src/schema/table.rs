//! Tables: ordinary, partitioned, partitions, inheriting and typed ones.
//!
//! The statements are pg_dump's in effect (`dumpTableSchema`): inherited columns are not written, what overrides
//! them is; a partition is made stand-alone with all its columns, in its own order, and then attached, which scans
//! nothing because it is empty then. Invariant: what a foreign loader must not see before the rows are in (row
//! security, checks that are not valid) is not part of [`Table::create`].

use super::binary::BinarySafety;
use super::column::{Column, Generated};
use super::column_order;
use super::foreign_option::ForeignOptions;
use super::late_attach;
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
    /// The columns as they are on the source, where inheriting them would put them in another order (see
    /// `column_order`); empty where it does not.
    pub reordered: Vec<Column>,
    /// And the checks that come with them from parents.
    pub reordered_checks: Vec<Check>,
    /// What it is a partition of.
    pub partition_of: Option<PartitionOf>,
    /// `RANGE (a, b)`, `LIST (…)`, `HASH (…)` of a partitioned table.
    pub partition_key: Option<String>,
    /// Partitioned by a hash in which OIDs take part (an enum's value hashes as its OID): on another server the same row
    /// belongs to another partition. See [`super::routing`].
    pub hash_differs: bool,
    /// Partitioned by text in the order, or the equality, of a locale: see [`super::Schema::sorted_otherwise`].
    pub by_locale: bool,
    /// Storage options as they stand between the parentheses of `WITH (…)`.
    pub options: Vec<String>,
    /// Those of its TOAST table, with their `toast.` prefix.
    pub toast_options: Vec<String>,
    /// Table access method where it is not heap, unquoted.
    pub access_method: Option<String>,
    /// Tablespace where it is not the database's, unquoted.
    pub tablespace: Option<String>,
    /// `WITH OIDS` (sources older than 12). Not carried: an unsupported property.
    pub with_oids: bool,
    /// `ENABLE ROW LEVEL SECURITY`: to be switched on after the rows are in ([`Table::enable_row_security`]).
    pub row_security: bool,
    /// `FORCE ROW LEVEL SECURITY`
    pub force_row_security: bool,
    /// Of a foreign table: where its rows are.
    pub foreign: Option<ForeignTable>,
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
    /// A foreign server does: they are never copied.
    Foreign,
}

/// What makes a table a foreign one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignTable {
    /// Its server, unquoted.
    pub server: String,
    /// Its options.
    pub options: ForeignOptions,
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

    /// Whether its rows may be copied in binary to any target: the same rows are the same bytes on every server.
    pub fn binary_safe(&self) -> bool {
        self.copied_columns().all(|c| c.binary == BinarySafety::Always)
    }

    /// Whether its rows may be copied in binary to a target of this `server_version_num`; what such a server then sends
    /// may differ from what it was sent in the OIDs of user-defined types.
    pub fn binary_safe_to(&self, target_version: u32) -> bool {
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
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        let name = object.qualified_name();
        let mut out = column_order::create(self, object, options);
        out.extend(late_attach::attach(self, object));
        let compresses = self.kind != TableKind::Foreign;
        let alterations = self.columns.iter().flat_map(|c| c.alterations(self.writes(c), compresses));
        let alterations: Vec<String> = alterations.chain(column_order::nullable(self, options)).collect();
        if !alterations.is_empty() {
            let words = self.words();
            out.push(format!("ALTER {words} ONLY {name}\n    {}", alterations.join(",\n    ")));
        }
        // A default that is separate and has an address is a step of its own; this one has none.
        for column in &self.columns {
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

    /// `CREATE TABLE` that inherits from these.
    pub(super) fn create_table(&self, name: &str, inherits: &[String], render: &RenderOptions) -> String {
        // Partitioned tables could be called so before 18; it meant nothing, for they hold no rows.
        let unlogged = self.unlogged && self.kind != TableKind::Partitioned;
        let mut out = format!("CREATE {}{} {name}", if unlogged { "UNLOGGED " } else { "" }, self.words());
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
        if !inherits.is_empty() {
            out.push_str(&format!("\nINHERITS ({})", inherits.join(", ")));
        }
        if let Some(foreign) = &self.foreign {
            out.push_str(&format!("\nSERVER {}", quote_ident(&foreign.server)));
            out.extend(foreign.options.clause().map(|clause| format!("\n{clause}")));
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
        if let Some(tablespace) = self.tablespace.as_ref().filter(|_| !render.no_tablespaces) {
            out.push_str(&format!("\nTABLESPACE {}", quote_ident(tablespace)));
        }
        out
    }

    /// The default of `column` as a statement of its own, for one that is [`super::ColumnDefault::separate`]; to be
    /// run after the table is made, and after what the expression needs. [`Table::create`] does so itself for `oid` 0.
    pub fn separate_default(&self, object: &Object, column: &Column) -> String {
        let (table, name) = (object.qualified_name(), quote_ident(&column.name));
        let change = match column.default.as_ref().filter(|d| d.oid != 0) {
            Some(default) => format!("SET DEFAULT {}", default.expression),
            None => "DROP DEFAULT".to_owned(),
        };
        format!("ALTER TABLE ONLY {table} ALTER COLUMN {name} {change}")
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
        vec![format!("DROP {} IF EXISTS {}", self.words(), object.qualified_name())]
    }

    /// How `COMMENT ON` and `ALTER … OWNER TO` name it.
    pub fn reference(&self, object: &Object) -> String {
        format!("{} {}", self.words(), object.qualified_name())
    }

    fn words(&self) -> &'static str {
        if self.kind == TableKind::Foreign { "FOREIGN TABLE" } else { "TABLE" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ColumnDefault, Definition, NotNull};
    use super::*;

    fn object(name: &str, table: Table) -> Object {
        Object {
            address: Address::relation(1),
            namespace: Some("S".into()),
            name: name.into(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Table(table),
        }
    }

    fn create(table: Table) -> Vec<String> {
        let object = object("t", table.clone());
        table.create(&object, &RenderOptions::default())
    }

    fn column(name: &str, type_name: &str) -> Column {
        Column { name: name.into(), type_name: type_name.into(), local: true, ..Column::default() }
    }

    fn default(expression: &str) -> Option<ColumnDefault> {
        Some(ColumnDefault { oid: 9, expression: expression.into(), separate: false })
    }

    fn not_null(name: Option<&str>, local: bool) -> Option<NotNull> {
        Some(NotNull { name: name.map(str::to_owned), no_inherit: false, local })
    }

    fn parent() -> Relative {
        Relative { address: Address::relation(2), name: "s.p".into() }
    }

    #[test]
    fn a_table_without_columns() {
        assert_eq!(create(Table::default()), ["CREATE TABLE \"S\".t (\n)"]);
    }

    #[test]
    fn all_clauses_stand_in_their_order() {
        let table = Table {
            unlogged: true,
            columns: vec![
                Column {
                    collation: Some("pg_catalog.\"C\"".into()),
                    default: default("'x'::text"),
                    not_null_constraint: not_null(None, true),
                    ..column("Ä", "text")
                },
                Column {
                    generated: Generated::Stored,
                    default: default("(a * 2)"),
                    not_null_constraint: not_null(Some("N n"), true),
                    ..column("g", "integer")
                },
                Column { generated: Generated::Virtual, default: default("1"), ..column("v", "integer") },
            ],
            checks: vec![
                Check {
                    name: "c".into(),
                    definition: "CHECK (true)".into(),
                    local: true,
                    ..Check::default()
                },
                Check { name: "inherited".into(), definition: "CHECK (true)".into(), ..Check::default() },
                Check { name: "later".into(), local: true, separate: true, ..Check::default() },
            ],
            inherits: vec![parent()],
            partition_key: Some("RANGE (g)".into()),
            access_method: Some("my am".into()),
            options: vec!["fillfactor='70'".into()],
            toast_options: vec!["toast.autovacuum_enabled='false'".into()],
            ..Table::default()
        };
        assert_eq!(
            create(table),
            ["CREATE UNLOGGED TABLE \"S\".t (\n    \
              \"Ä\" text COLLATE pg_catalog.\"C\" DEFAULT 'x'::text NOT NULL,\n    \
              g integer GENERATED ALWAYS AS ((a * 2)) STORED CONSTRAINT \"N n\" NOT NULL,\n    \
              v integer GENERATED ALWAYS AS (1),\n    \
              CONSTRAINT c CHECK (true)\n)\nINHERITS (s.p)\nPARTITION BY RANGE (g)\nUSING \"my am\"\n\
              WITH (fillfactor='70', toast.autovacuum_enabled='false')"]
        );
    }

    #[test]
    fn an_inheriting_table_writes_only_what_overrides_its_parents() {
        let inherited = |name: &str| Column { local: false, inherited: 1, ..column(name, "integer") };
        let table = Table {
            inherits: vec![parent()],
            columns: vec![
                inherited("plain"),
                Column { not_null_constraint: not_null(None, true), ..inherited("old") },
                Column { not_null_constraint: not_null(Some("mine"), true), ..inherited("named") },
                Column { not_null_constraint: not_null(Some("theirs"), false), ..inherited("same") },
                Column {
                    default: default("7").map(|d| ColumnDefault { separate: true, ..d }),
                    ..inherited("d")
                },
                Column {
                    default: Some(ColumnDefault { oid: 0, expression: "NULL".into(), separate: true }),
                    ..inherited("off")
                },
            ],
            ..Table::default()
        };
        let object = object("t", table.clone());
        assert_eq!(
            table.create(&object, &RenderOptions::default()),
            [
                "CREATE TABLE \"S\".t (\n    CONSTRAINT mine NOT NULL named\n)\nINHERITS (s.p)",
                "ALTER TABLE ONLY \"S\".t\n    ALTER COLUMN old SET NOT NULL",
                "ALTER TABLE ONLY \"S\".t ALTER COLUMN off DROP DEFAULT",
            ]
        );
        assert_eq!(
            table.separate_default(&object, &table.columns[4]),
            "ALTER TABLE ONLY \"S\".t ALTER COLUMN d SET DEFAULT 7"
        );
        assert_eq!(table.inline_addresses().count(), 0);
    }

    #[test]
    fn a_partition_is_made_whole_and_attached() {
        let table = Table {
            partition_of: Some(PartitionOf { parent: parent(), bound: "FOR VALUES IN (1)".into() }),
            columns: vec![Column {
                local: false,
                not_null_constraint: not_null(None, false),
                ..column("a", "integer")
            }],
            checks: vec![Check { name: "c".into(), definition: "CHECK (true)".into(), ..Check::default() }],
            ..Table::default()
        };
        assert_eq!(
            create(table),
            [
                "CREATE TABLE \"S\".t (\n    a integer NOT NULL,\n    CONSTRAINT c CHECK (true)\n)",
                "ALTER TABLE ONLY s.p ATTACH PARTITION \"S\".t FOR VALUES IN (1)",
            ]
        );
    }

    #[test]
    fn a_typed_table_writes_only_what_its_type_does_not_say() {
        let mut table = Table {
            of_type: Some("s.comp".into()),
            columns: vec![column("x", "integer"), column("y", "text")],
            ..Table::default()
        };
        assert_eq!(create(table.clone()), ["CREATE TABLE \"S\".t OF s.comp"]);
        table.columns[0].default = default("5");
        assert_eq!(create(table), ["CREATE TABLE \"S\".t OF s.comp (\n    x WITH OPTIONS DEFAULT 5\n)"]);
    }

    #[test]
    fn what_is_altered_afterwards() {
        let table = Table {
            columns: vec![Column {
                statistics_target: Some(0),
                storage: Some("EXTERNAL"),
                compression: Some("lz4"),
                options: vec!["n_distinct='-0.5'".into()],
                ..column("a", "text")
            }],
            replica_identity: ReplicaIdentity::Full,
            force_row_security: true,
            row_security: true,
            ..Table::default()
        };
        let object = object("t", table.clone());
        assert_eq!(
            table.create(&object, &RenderOptions::default())[1..],
            [
                "ALTER TABLE ONLY \"S\".t\n    ALTER COLUMN a SET STATISTICS 0,\n    \
                 ALTER COLUMN a SET STORAGE EXTERNAL,\n    ALTER COLUMN a SET COMPRESSION lz4,\n    \
                 ALTER COLUMN a SET (n_distinct='-0.5')",
                "ALTER TABLE ONLY \"S\".t REPLICA IDENTITY FULL",
                "ALTER TABLE ONLY \"S\".t FORCE ROW LEVEL SECURITY",
            ]
        );
        assert_eq!(
            table.enable_row_security(&object).as_deref(),
            Some("ALTER TABLE \"S\".t ENABLE ROW LEVEL SECURITY")
        );
    }
}
