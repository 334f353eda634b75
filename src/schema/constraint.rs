//! Constraints made after the rows: primary keys, unique, exclusion and foreign key constraints, and the check and
//! not-null constraints that are `NOT VALID`.
//!
//! Invariant: a constraint on a partition that comes from the partitioned table's is either attached to it (keys) or
//! not in the model at all (foreign keys, checks), because making the parent's makes it.

use super::RenderOptions;
use super::index::{IndexMarks, attach, in_tablespace};
use super::object::{Address, Object};
use super::quote::{quote_ident, quote_literal};
use super::table::Relative;

/// A constraint made after the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Which sort.
    pub kind: ConstraintKind,
    /// The table it is on.
    pub table: Relative,
    /// Whether that table is partitioned.
    pub table_partitioned: bool,
    /// As `pg_get_constraintdef` has it: `PRIMARY KEY (…)`, `FOREIGN KEY … NOT VALID`, …
    pub definition: String,
    /// The index behind it: primary, unique and exclusion constraints.
    pub index: Option<ConstraintIndex>,
    /// A foreign key's other table.
    pub referenced: Option<Address>,
    /// The index on that table that a foreign key rests on.
    pub referenced_index: Option<Address>,
    /// Validated: a foreign key that is not is made without reading the rows.
    pub valid: bool,
}

/// The sorts of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `PRIMARY KEY`
    Primary,
    /// `UNIQUE`
    Unique,
    /// `EXCLUDE`
    Exclusion,
    /// `FOREIGN KEY`
    Foreign,
    /// `CHECK … NOT VALID`
    Check,
    /// `NOT NULL … NOT VALID` (18 and later)
    NotNull,
}

/// The index that a constraint owns; it has the constraint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstraintIndex {
    /// Its own address.
    pub address: Address,
    /// `CREATE UNIQUE INDEX …` as `pg_get_indexdef` has it; `None` on a small table, where making it first gains nothing.
    pub definition: Option<String>,
    /// Storage options as they stand between the parentheses of `WITH (…)`.
    pub options: Vec<String>,
    /// What else hangs on it.
    pub marks: IndexMarks,
    /// The index it is a partition of.
    pub partition_of: Option<Relative>,
    /// `WITHOUT OVERLAPS` (18 and later): a GiST index, which cannot be made first.
    pub period: bool,
    /// Whether every partition has one attached to it, where its table is partitioned.
    pub complete: bool,
    /// Size in blocks on the source (`relpages`), for planning.
    pub pages: u32,
    /// Tablespace where it is not the database's, unquoted.
    pub tablespace: Option<String>,
}

impl Constraint {
    /// What must have been made before its index is attached: the index that that one is a partition of.
    pub fn attaches_to(&self) -> Option<Address> {
        self.index.as_ref().and_then(|i| i.partition_of.as_ref()).map(|p| p.address)
    }

    /// Whether it compares rows by other than equality: `EXCLUDE`, `WITHOUT OVERLAPS`. The server takes no index of a
    /// partition for a part of such an index (`CompareIndexInfo` in `src/backend/catalog/index.c`), which pg_dump's
    /// script asks of it.
    pub(super) fn excludes(&self) -> bool {
        self.kind == ConstraintKind::Exclusion || self.index.as_ref().is_some_and(|i| i.period)
    }

    /// Whether making it makes it on the partitions too, which then have only to be given their names.
    pub(super) fn reaches_partitions(&self) -> bool {
        self.table_partitioned && self.excludes() && self.index.as_ref().is_none_or(|i| i.complete)
    }

    /// `DEFERRABLE …` as `pg_get_constraintdef` ends with it, and what is before it.
    fn split_deferrable(&self) -> (&str, &'static str) {
        const ENDS: [&str; 2] = [" DEFERRABLE INITIALLY DEFERRED", " DEFERRABLE"];
        for end in ENDS {
            if let Some(head) = self.definition.strip_suffix(end) {
                return (head, end);
            }
        }
        (&self.definition, "")
    }

    /// The statements that make it; the first one is the work.
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        let (table, name) = (&self.table.name, quote_ident(&object.name));
        // A foreign key on a partitioned table, and a check, hold for the children too.
        let only = match self.kind {
            ConstraintKind::Check | ConstraintKind::NotNull => "",
            ConstraintKind::Foreign if self.table_partitioned => "",
            _ if self.reaches_partitions() => "",
            _ => "ONLY ",
        };
        if let Some(index) = self.index.as_ref().filter(|_| self.excludes())
            && let Some(parent) = &index.partition_of
        {
            let mut out = vec![self.take_clone(parent, &object.name)];
            if !index.options.is_empty() {
                out.push(format!(
                    "ALTER INDEX {} SET ({})",
                    object.qualified_name(),
                    index.options.join(", ")
                ));
            }
            out.extend(index.marks.statements(object, table));
            return out;
        }
        let (definition, deferrable) = self.split_deferrable();
        let mut first = format!("ALTER TABLE {only}{table}\n    ADD CONSTRAINT {name} {definition}");
        if let Some(index) = &self.index {
            // An exclusion constraint's definition has its index's options already.
            if !index.options.is_empty() && self.kind != ConstraintKind::Exclusion {
                first.push_str(&format!(" WITH ({})", index.options.join(", ")));
            }
            first = in_tablespace(&first, "USING INDEX TABLESPACE", &index.tablespace, options);
        }
        first.push_str(deferrable);
        let mut out = vec![first];
        if let Some(index) = &self.index {
            out.extend(index.marks.statements(object, table));
            out.extend(index.partition_of.as_ref().map(|parent| attach(parent, object)));
        }
        out
    }

    /// Gives a partition's constraint, which came with that of the partitioned table, its own name; makes it where that one
    /// was made `ONLY` there.
    fn take_clone(&self, parent: &Relative, name: &str) -> String {
        let make = format!(
            "ALTER TABLE ONLY {} ADD CONSTRAINT {} {}",
            self.table.name,
            quote_ident(name),
            self.definition
        );
        let (parent, name) = (quote_literal(&parent.name), quote_literal(name));
        let body = format!(
            "DECLARE found pg_catalog.name; BEGIN SELECT c.conname INTO found FROM pg_catalog.pg_inherits i \
               JOIN pg_catalog.pg_constraint c ON c.conindid = i.inhrelid AND c.contype IN ('p', 'u', 'x') \
               WHERE i.inhparent = pg_catalog.to_regclass({parent}) AND c.conrelid = pg_catalog.to_regclass({table}); \
             IF found IS NULL THEN EXECUTE {make}; \
             ELSIF found <> {name} THEN EXECUTE pg_catalog.format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', \
               pg_catalog.to_regclass({table}), found, {name}); END IF; END",
            table = quote_literal(&self.table.name),
            make = quote_literal(&make),
        );
        format!("DO {}", quote_literal(&body))
    }

    /// A key as (its index, made under a lock that lets other indexes be built; the constraint made of that index), in
    /// place of the first statement. `None` where PostgreSQL has no such way: not a key, or on a partitioned table.
    pub fn index_first(&self, object: &Object, options: &RenderOptions) -> Option<(String, String)> {
        let words = match self.kind {
            ConstraintKind::Primary => "PRIMARY KEY",
            ConstraintKind::Unique => "UNIQUE",
            _ => return None,
        };
        let index = self.index.as_ref().filter(|i| !self.table_partitioned && !i.period)?;
        let made = index.definition.as_ref()?;
        // A primary key over such an index (old servers let one be made) is no longer taken.
        if self.kind == ConstraintKind::Primary && made.contains("NULLS NOT DISTINCT") {
            return None;
        }
        let name = quote_ident(&object.name);
        let (_, deferrable) = self.split_deferrable();
        let attach = format!(
            "ALTER TABLE ONLY {}\n    ADD CONSTRAINT {name} {words} USING INDEX {name}{deferrable}",
            self.table.name
        );
        Some((in_tablespace(made, "TABLESPACE", &index.tablespace, options), attach))
    }

    /// The statements that drop it: a foreign key, which may stand in the way of dropping its tables one by one.
    /// Any other goes with its table.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        if self.kind != ConstraintKind::Foreign {
            return Vec::new();
        }
        vec![format!(
            "ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {}",
            self.table.name,
            quote_ident(&object.name)
        )]
    }

    /// How `COMMENT ON` names it.
    pub fn reference(&self, object: &Object) -> String {
        format!("CONSTRAINT {} ON {}", quote_ident(&object.name), self.table.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Definition;
    use super::*;

    fn constraint(kind: ConstraintKind, definition: &str) -> Constraint {
        Constraint {
            kind,
            table: Relative { address: Address::relation(1), name: "s.t".into() },
            table_partitioned: false,
            definition: definition.into(),
            index: None,
            referenced: None,
            referenced_index: None,
            valid: true,
        }
    }

    fn index(definition: &str) -> ConstraintIndex {
        ConstraintIndex {
            address: Address::relation(2),
            definition: Some(definition.to_owned()),
            options: vec!["fillfactor='60'".into()],
            marks: IndexMarks::default(),
            partition_of: None,
            period: false,
            complete: true,
            pages: 1,
            tablespace: None,
        }
    }

    fn object(constraint: &Constraint) -> Object {
        Object {
            address: Address::new(super::super::class::CONSTRAINT, 3),
            namespace: Some("s".into()),
            name: "K".into(),
            parent: Some(constraint.table.address),
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Constraint(constraint.clone()),
        }
    }

    fn create(constraint: &Constraint) -> Vec<String> {
        constraint.create(&object(constraint), &RenderOptions::default())
    }

    #[test]
    fn options_of_the_index_stand_before_deferrable() {
        let mut key = constraint(ConstraintKind::Primary, "PRIMARY KEY (a) DEFERRABLE INITIALLY DEFERRED");
        key.index = Some(index("CREATE UNIQUE INDEX \"K\" ON s.t USING btree (a) WITH (fillfactor='60')"));
        assert_eq!(
            create(&key),
            ["ALTER TABLE ONLY s.t\n    ADD CONSTRAINT \"K\" PRIMARY KEY (a) WITH (fillfactor='60') \
              DEFERRABLE INITIALLY DEFERRED"]
        );
        let first = key.index_first(&object(&key), &RenderOptions::default());
        assert_eq!(
            first,
            Some((
                "CREATE UNIQUE INDEX \"K\" ON s.t USING btree (a) WITH (fillfactor='60')".to_owned(),
                "ALTER TABLE ONLY s.t\n    ADD CONSTRAINT \"K\" PRIMARY KEY USING INDEX \"K\" \
                 DEFERRABLE INITIALLY DEFERRED"
                    .to_owned()
            ))
        );
    }

    #[test]
    fn only_keys_of_ordinary_tables_are_made_index_first() {
        let mut key = constraint(ConstraintKind::Unique, "UNIQUE (a)");
        key.index = Some(index("CREATE UNIQUE INDEX"));
        assert!(key.index_first(&object(&key), &RenderOptions::default()).is_some());
        let partitioned = Constraint { table_partitioned: true, ..key.clone() };
        assert_eq!(partitioned.index_first(&object(&partitioned), &RenderOptions::default()), None);
        let exclusion = Constraint { kind: ConstraintKind::Exclusion, ..key.clone() };
        assert_eq!(exclusion.index_first(&object(&exclusion), &RenderOptions::default()), None);
        if let Some(index) = &mut key.index {
            index.period = true;
        }
        assert_eq!(key.index_first(&object(&key), &RenderOptions::default()), None);
    }

    #[test]
    fn marks_and_attachment_follow_the_constraint() {
        let mut key = constraint(ConstraintKind::Unique, "UNIQUE (a)");
        let parent = Relative { address: Address::relation(9), name: "s.parent_key".into() };
        key.index = Some(ConstraintIndex {
            marks: IndexMarks { statistics: vec![(1, 50)], clustered: true, replica_identity: true },
            partition_of: Some(parent),
            options: Vec::new(),
            ..index("")
        });
        assert_eq!(key.attaches_to(), Some(Address::relation(9)));
        assert_eq!(
            create(&key)[1..],
            [
                "ALTER INDEX s.\"K\" ALTER COLUMN 1 SET STATISTICS 50",
                "ALTER TABLE s.t CLUSTER ON \"K\"",
                "ALTER TABLE ONLY s.t REPLICA IDENTITY USING INDEX \"K\"",
                "ALTER INDEX s.parent_key ATTACH PARTITION s.\"K\"",
            ]
        );
    }

    #[test]
    fn foreign_keys_and_checks_reach_children_where_they_do_on_the_source() {
        let mut foreign = constraint(ConstraintKind::Foreign, "FOREIGN KEY (a) REFERENCES s.u(b) NOT VALID");
        assert!(create(&foreign)[0].starts_with("ALTER TABLE ONLY s.t\n"));
        foreign.table_partitioned = true;
        assert!(create(&foreign)[0].starts_with("ALTER TABLE s.t\n"));
        assert_eq!(
            foreign.drop(&object(&foreign)),
            ["ALTER TABLE IF EXISTS s.t DROP CONSTRAINT IF EXISTS \"K\""]
        );
        let check = constraint(ConstraintKind::Check, "CHECK ((a > 0)) NOT VALID");
        assert!(create(&check)[0].starts_with("ALTER TABLE s.t\n"));
        assert!(check.drop(&object(&check)).is_empty());
        assert_eq!(check.reference(&object(&check)), "CONSTRAINT \"K\" ON s.t");
    }
}
