//! Hand-made schemas with every sort of loop, and random ones.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::schema::{
    Address, Check, Column, ColumnDefault, Constraint, ConstraintIndex, ConstraintKind, Definition, Domain,
    DomainCheck, Function, Generated, Index, IndexMarks, LockNeed, MaterializedView, Namespace, Object,
    OwnedBy, PartitionOf, RangeType, Relative, Section, Sequence, Table, TableKind, View, ViewColumn, class,
};

/// A schema under construction; every object is in schema `s`.
#[derive(Default)]
pub(in crate::schema) struct Model(pub(in crate::schema) Schema);

pub(in crate::schema) fn rel(oid: u32) -> Address {
    Address::relation(oid)
}

pub(in crate::schema) fn of(class: u32, oid: u32) -> Address {
    Address::new(class, oid)
}

pub(in crate::schema) fn relative(oid: u32) -> Relative {
    Relative { address: rel(oid), name: format!("s.t{oid}") }
}

impl Model {
    pub(in crate::schema) fn add(mut self, address: Address, name: &str, definition: Definition) -> Self {
        self.0.objects.push(Object {
            address,
            namespace: Some("s".to_owned()),
            name: name.to_owned(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition,
        });
        self
    }

    pub(in crate::schema) fn needs(mut self, dependent: Address, needs: &[Address]) -> Self {
        self.0.depends.entry(dependent).or_default().extend(needs);
        self
    }

    /// The last object belongs to the table.
    fn on(mut self, table: u32) -> Self {
        self.0.objects.last_mut().unwrap().parent = Some(rel(table));
        self
    }

    pub(in crate::schema) fn alias(mut self, part: Address, whole: Address) -> Self {
        self.0.aliases.insert(part, whole);
        self
    }

    pub(in crate::schema) fn table(self, oid: u32, table: Table) -> Self {
        // A row type with the same OID stands for its table.
        self.add(rel(oid), &format!("t{oid}"), Definition::Table(table)).alias(of(class::TYPE, oid), rel(oid))
    }

    pub(in crate::schema) fn function(self, oid: u32) -> Self {
        let definition = format!("CREATE FUNCTION s.f{oid}()");
        let function = Function { definition, ..Function::default() };
        self.add(of(class::PROC, oid), &format!("f{oid}"), Definition::Function(function))
    }

    pub(in crate::schema) fn view(self, oid: u32) -> Self {
        let rule = of(class::REWRITE, oid);
        let column =
            ViewColumn { name: "c".to_owned(), type_name: "integer".to_owned(), ..ViewColumn::default() };
        let view = View {
            columns: vec![column],
            query: " SELECT 1 AS c".to_owned(),
            rule: Some(rule),
            ..View::default()
        };
        self.add(rel(oid), &format!("v{oid}"), Definition::View(view))
            .alias(rule, rel(oid))
            .alias(of(class::TYPE, oid), rel(oid))
            .needs(rule, &[rel(oid)])
    }

    pub(in crate::schema) fn matview(self, oid: u32, populated: bool) -> Self {
        let matview = MaterializedView { populated, ..MaterializedView::default() };
        self.add(rel(oid), &format!("m{oid}"), Definition::MaterializedView(matview))
            .alias(of(class::REWRITE, oid), rel(oid))
    }

    pub(in crate::schema) fn key(self, oid: u32, table: u32, parent_index: Option<u32>) -> Self {
        let index = ConstraintIndex {
            address: rel(oid),
            definition: None,
            options: Vec::new(),
            marks: IndexMarks::default(),
            partition_of: parent_index.map(relative),
            period: false,
            complete: true,
            pages: 0,
            tablespace: None,
        };
        let constraint = constraint(ConstraintKind::Primary, table, Some(index));
        self.add(of(class::CONSTRAINT, oid), &format!("k{oid}"), Definition::Constraint(constraint))
            .on(table)
            .alias(rel(oid), of(class::CONSTRAINT, oid))
            .needs(of(class::CONSTRAINT, oid), &[rel(table)])
    }

    pub(in crate::schema) fn foreign_key(self, oid: u32, table: u32, referenced: u32, key: u32) -> Self {
        let mut fk = constraint(ConstraintKind::Foreign, table, None);
        fk.referenced = Some(rel(referenced));
        fk.referenced_index = Some(rel(key));
        self.add(of(class::CONSTRAINT, oid), &format!("fk{oid}"), Definition::Constraint(fk))
            .on(table)
            .needs(of(class::CONSTRAINT, oid), &[rel(table), rel(referenced), rel(key)])
    }

    pub(in crate::schema) fn index(self, oid: u32, table: u32) -> Self {
        let index = Index {
            table: relative(table),
            definition: format!("CREATE INDEX i{oid}"),
            partitioned: false,
            partition_of: None,
            marks: IndexMarks::default(),
            pages: 0,
            tablespace: None,
        };
        self.add(rel(oid), &format!("i{oid}"), Definition::Index(index))
            .on(table)
            .needs(rel(oid), &[rel(table)])
    }

    /// The plan as `KIND identity`, after checking what must hold for every plan.
    fn plan(&self) -> Vec<String> {
        let plan = plan_with_report(&self.0, &RenderOptions::default());
        assert_eq!(plan.ignored, []);
        check(&self.0, &plan.steps);
        names(&plan.steps)
    }
}

fn constraint(kind: ConstraintKind, table: u32, index: Option<ConstraintIndex>) -> Constraint {
    Constraint {
        kind,
        table: relative(table),
        table_partitioned: false,
        definition: String::new(),
        index,
        referenced: None,
        referenced_index: None,
        valid: true,
    }
}

fn names(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|s| format!("{} {}", s.kind, s.identity)).collect()
}

fn check(schema: &Schema, steps: &[Step]) {
    for (at, step) in steps.iter().enumerate() {
        assert!(step.needs.iter().all(|&n| n < at), "{} needs a later step", step.identity);
        for &need in &step.needs {
            assert!(steps[need].section <= step.section, "{} needs a later section", step.identity);
        }
    }
    assert!(steps.is_sorted_by_key(|s| s.section));
    for object in &schema.objects {
        assert!(steps.iter().any(|s| s.address == object.address), "{} is lost", object.name);
    }
}

fn column(default: Option<u32>) -> Column {
    Column {
        name: "c".to_owned(),
        type_name: "integer".to_owned(),
        local: true,
        default: default.map(|oid| ColumnDefault { oid, expression: "1".to_owned(), separate: false }),
        ..Column::default()
    }
}

pub(in crate::schema) fn with_default(oid: u32) -> Table {
    Table { columns: vec![column(Some(oid))], ..Table::default() }
}

#[test]
fn kinds_in_pg_dumps_order_and_names_within_a_kind() {
    let mut model = Model::default().table(3, Table::default()).table(2, Table::default()).function(5);
    let schema = Definition::Namespace(Namespace::default());
    model = model.add(of(class::NAMESPACE, 1), "s", schema);
    model.0.objects.last_mut().unwrap().namespace = None;
    let names = model.plan();
    assert_eq!(names, ["SCHEMA s", "FUNCTION s.f5()", "TABLE s.t2", "TABLE s.t3"]);
}

#[test]
fn a_sequence_comes_before_the_default_that_calls_it_and_is_owned_after() {
    let owned = OwnedBy {
        table: relative(1),
        table_unlogged: false,
        column: "c".to_owned(),
        column_type: "bigint".to_owned(),
        of_partition: false,
    };
    let sequence = Sequence { owned_by: Some(owned), value: Some((1, true)), ..Sequence::default() };
    let names = Model::default()
        .table(1, with_default(10))
        .add(rel(2), "q", Definition::Sequence(sequence))
        .needs(rel(2), &[rel(1)])
        .needs(of(class::ATTRDEF, 10), &[rel(1), rel(2)])
        .plan();
    assert_eq!(names, ["SEQUENCE s.q", "TABLE s.t1", "SEQUENCE OWNED BY s.q", "SEQUENCE SET s.q"]);
}

#[test]
fn a_range_and_its_canonical_function_meet_on_a_shell() {
    let range = RangeType { canonical: Some("s.f2".to_owned()), ..RangeType::default() };
    let model = Model::default()
        .add(of(class::TYPE, 1), "r", Definition::Range(range))
        .function(2)
        .table(3, Table::default())
        .needs(of(class::TYPE, 1), &[of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)])
        .needs(rel(3), &[of(class::TYPE, 1)]);
    assert_eq!(model.plan(), ["SHELL TYPE s.r", "FUNCTION s.f2()", "TYPE s.r", "TABLE s.t3"]);
}

#[test]
fn a_view_and_a_function_on_its_row_type() {
    let model = Model::default()
        .view(1)
        .function(2)
        .needs(of(class::REWRITE, 1), &[of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)]);
    assert_eq!(model.plan(), ["VIEW s.v1", "FUNCTION s.f2()", "VIEW s.v1"]);
    let steps = plan(&model.0, &RenderOptions::default());
    assert!(steps[0].create[0].contains("NULL::integer AS c"));
    assert!(steps[2].create[0].starts_with("CREATE OR REPLACE VIEW s.v1"));
    assert_eq!(steps[2].section, Section::PostData);
    assert_eq!(steps[2].locks, [(rel(1), LockNeed::Exclusive)]);
}

#[test]
fn what_groups_by_a_primary_key_comes_after_it() {
    let model = Model::default()
        .table(1, Table::default())
        .key(2, 1, None)
        .view(3)
        .needs(of(class::REWRITE, 3), &[rel(1), of(class::CONSTRAINT, 2)])
        .matview(4, true)
        .needs(of(class::REWRITE, 4), &[rel(3)])
        .matview(5, true)
        .needs(of(class::REWRITE, 5), &[rel(1), of(class::CONSTRAINT, 2)])
        .view(6)
        .needs(of(class::REWRITE, 6), &[rel(5)])
        .function(7)
        .needs(of(class::PROC, 7), &[of(class::CONSTRAINT, 2)]);
    assert_eq!(
        model.plan(),
        [
            "TABLE s.t1",
            "VIEW s.v3",
            "MATERIALIZED VIEW s.m4",
            "VIEW s.v6",
            "CONSTRAINT k2 ON s.t1",
            "FUNCTION s.f7()",
            "MATERIALIZED VIEW s.m5",
            "VIEW s.v3",
            "VIEW s.v6",
            "MATERIALIZED VIEW DATA s.m4",
            "MATERIALIZED VIEW DATA s.m5",
        ]
    );
    let steps = plan(&model.0, &RenderOptions::default());
    let refresh = steps.iter().find(|s| s.kind == "MATERIALIZED VIEW DATA" && s.address == rel(4)).unwrap();
    let definition =
        steps.iter().position(|s| s.section == Section::PostData && s.address == rel(3)).unwrap();
    assert!(refresh.needs.contains(&definition), "a refresh of a placeholder would store nothing");
}

#[test]
fn a_default_and_a_function_on_the_tables_row_type() {
    let model = Model::default()
        .table(1, with_default(10))
        .function(2)
        .needs(of(class::ATTRDEF, 10), &[rel(1), of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)]);
    assert_eq!(model.plan(), ["TABLE s.t1", "FUNCTION s.f2()", "DEFAULT s.t1"]);
    let steps = plan(&model.0, &RenderOptions::default());
    assert!(!steps[0].create[0].contains("DEFAULT"));
    assert_eq!(steps[2].create, ["ALTER TABLE ONLY s.t1 ALTER COLUMN c SET DEFAULT 1"]);
}

#[test]
fn checks_of_tables_and_domains_with_functions_on_them() {
    let check = Check { oid: 10, name: "ck".to_owned(), local: true, ..Check::default() };
    let table = Table { checks: vec![check], ..Table::default() };
    let check = DomainCheck { oid: 11, name: "ck".to_owned(), ..DomainCheck::default() };
    let domain = Domain { base_type: "text".to_owned(), checks: vec![check], ..Domain::default() };
    let names = Model::default()
        .table(1, table)
        .function(2)
        .needs(of(class::CONSTRAINT, 10), &[rel(1), of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)])
        .add(of(class::TYPE, 3), "d", Definition::Domain(domain))
        .function(4)
        .needs(of(class::CONSTRAINT, 11), &[of(class::TYPE, 3), of(class::PROC, 4)])
        .needs(of(class::PROC, 4), &[of(class::TYPE, 3)])
        .plan();
    assert_eq!(
        names,
        [
            "DOMAIN s.d",
            "FUNCTION s.f4()",
            "TABLE s.t1",
            "FUNCTION s.f2()",
            "CHECK CONSTRAINT s.d",
            "CHECK CONSTRAINT s.t1"
        ]
    );
}

#[test]
fn foreign_keys_in_a_circle_are_no_loop() {
    let names = Model::default()
        .table(1, Table::default())
        .table(2, Table::default())
        .key(3, 1, None)
        .key(4, 2, None)
        .foreign_key(5, 1, 2, 4)
        .foreign_key(6, 2, 1, 3)
        .plan();
    assert_eq!(
        names[2..],
        [
            "CONSTRAINT k3 ON s.t1",
            "CONSTRAINT k4 ON s.t2",
            "FK CONSTRAINT fk5 ON s.t1",
            "FK CONSTRAINT fk6 ON s.t2"
        ]
    );
}

#[test]
fn a_foreign_key_to_a_partitioned_table_waits_for_every_partitions_index() {
    let partition = |of: u32| Table {
        partition_of: Some(PartitionOf { parent: relative(of), bound: "DEFAULT".to_owned() }),
        ..Table::default()
    };
    let parted = Table { kind: TableKind::Partitioned, ..Table::default() };
    let model = Model::default()
        .table(1, parted)
        .table(2, partition(1))
        .key(3, 1, None)
        .key(4, 2, Some(3))
        .table(5, Table::default())
        .foreign_key(6, 5, 1, 3);
    let names = model.plan();
    assert_eq!(names[3..], ["CONSTRAINT k3 ON s.t1", "CONSTRAINT k4 ON s.t2", "FK CONSTRAINT fk6 ON s.t5"]);
    let steps = plan(&model.0, &RenderOptions::default());
    assert!(steps[5].needs.contains(&4));
    let locked: Vec<Address> = steps[5].locks.iter().map(|l| l.0).collect();
    assert_eq!(locked, [rel(5), rel(1), rel(2)], "the key reaches the partitions");
}

#[test]
fn refreshes_follow_what_they_read_and_come_before_indexes() {
    let model = Model::default()
        .matview(1, true)
        .matview(2, true)
        .view(3)
        .needs(of(class::REWRITE, 1), &[rel(3)])
        .needs(of(class::REWRITE, 3), &[rel(2)])
        .matview(4, false)
        .matview(5, true)
        .needs(of(class::REWRITE, 5), &[rel(4)])
        .index(6, 1);
    let plan = plan_with_report(&model.0, &RenderOptions::default());
    assert_eq!(plan.ignored.len(), 1);
    assert_eq!(plan.ignored[0].object, "MATERIALIZED VIEW s.m5", "empty is not what it was");
    check(&model.0, &plan.steps);
    let names = names(&plan.steps);
    let post: Vec<&str> =
        names.iter().map(String::as_str).filter(|n| n.contains("DATA") || n.contains("INDEX")).collect();
    // m4 is empty, so m5 cannot be refreshed.
    assert_eq!(post, ["MATERIALIZED VIEW DATA s.m2", "MATERIALIZED VIEW DATA s.m1", "INDEX s.i6"]);
}

#[test]
fn row_security_is_switched_on_after_the_rows() {
    let table = Table { row_security: true, ..Table::default() };
    assert_eq!(Model::default().table(1, table).plan(), ["TABLE s.t1", "ROW SECURITY s.t1"]);
}

#[test]
fn a_loop_that_nothing_breaks_is_reported_and_loses_nothing() {
    let mut generated = column(Some(10));
    generated.generated = Generated::Stored;
    let model = Model::default()
        .function(1)
        .function(2)
        .needs(of(class::PROC, 1), &[of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::PROC, 1)])
        .table(3, Table { columns: vec![generated], ..Table::default() })
        .function(4)
        .needs(of(class::ATTRDEF, 10), &[of(class::PROC, 4)])
        .needs(of(class::PROC, 4), &[of(class::TYPE, 3)]);
    let plan = plan_with_report(&model.0, &RenderOptions::default());
    check(&model.0, &plan.steps);
    assert_eq!(plan.ignored.len(), 2, "{:?}", plan.ignored);
}

proptest! {
    #[test]
    fn random_dependencies_lose_no_object(
        kinds in prop::collection::vec(0u8..6, 30),
        pairs in prop::collection::vec((0u32..30, 0u32..30), 0..120),
    ) {
        let mut model = Model::default();
        let mut address: HashMap<u32, (Address, Address)> = HashMap::new();
        for (i, kind) in kinds.iter().enumerate() {
            let oid = 100 + u32::try_from(i).unwrap();
            // What others need, and what of it needs others.
            let (whole, part) = match kind {
                0 => (rel(oid), of(class::ATTRDEF, oid)),
                1 => (rel(oid), of(class::REWRITE, oid)),
                2 => (of(class::PROC, oid), of(class::PROC, oid)),
                3 => (rel(oid), of(class::REWRITE, oid)),
                4 => (of(class::CONSTRAINT, oid), of(class::CONSTRAINT, oid)),
                _ => (rel(oid), rel(oid)),
            };
            address.insert(u32::try_from(i).unwrap(), (whole, part));
            model = match kind {
                0 => model.table(oid, with_default(oid)),
                1 => model.view(oid),
                2 => model.function(oid),
                3 => model.matview(oid, true),
                4 => model.key(oid, 100, None),
                _ => model.table(oid, Table::default()),
            };
        }
        for (a, b) in &pairs {
            if let (Some((_, part)), Some((whole, _))) = (address.get(a), address.get(b)) {
                model = model.needs(*part, &[*whole]);
            }
        }
        let first = plan_with_report(&model.0, &RenderOptions::default());
        check(&model.0, &first.steps);
        let again = plan_with_report(&model.0, &RenderOptions::default());
        prop_assert_eq!(names(&first.steps), names(&again.steps));
    }
}
