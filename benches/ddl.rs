//! Ordering and rendering of a large schema: 10,000 tables with what hangs on them, 100,000 objects in all.
//!
//! `cargo bench --bench ddl`. Both must stay near-linear: the time per object at 100,000 is compared with that
//! at 10,000.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pg_migrator::schema::{
    Address, Column, ColumnDefault, Constraint, ConstraintIndex, ConstraintKind, Definition, Enabled,
    Function, Index, IndexMarks, Namespace, Object, OwnedBy, Relative, RenderOptions, Schema, Sequence,
    Table, Trigger, View, class, drop, order, script,
};

/// Objects made for each table, the table included.
const PER_TABLE: u32 = 10;

fn object(address: Address, namespace: &str, name: String, definition: Definition) -> Object {
    Object {
        address,
        namespace: Some(namespace.to_owned()),
        name,
        parent: None,
        owner: Some("app".to_owned()),
        acl: None,
        comments: Vec::new(),
        definition,
    }
}

/// A schema of `tables` tables, each with a sequence its default calls, a key, two indexes, a foreign key to the table
/// before it, a trigger with its function, and two views, one on the other.
fn schema(tables: u32) -> Schema {
    let mut schema = Schema { server_version: 180_000, ..Schema::default() };
    let mut namespace = object(
        Address::new(class::NAMESPACE, 1),
        "s",
        "s".to_owned(),
        Definition::Namespace(Namespace::default()),
    );
    namespace.namespace = None;
    schema.objects.push(namespace);
    for i in 0..tables {
        add_table(&mut schema, i);
    }
    schema
}

fn add_table(schema: &mut Schema, i: u32) {
    let oid = |part: u32| 20_000 + i * PER_TABLE * 2 + part;
    let table = Address::relation(oid(0));
    let relative = || Relative { address: table, name: format!("s.table_{i}") };
    let column = |name: &str, default: Option<u32>| Column {
        name: name.to_owned(),
        type_name: "bigint".to_owned(),
        local: true,
        default: default.map(|oid| ColumnDefault {
            oid,
            expression: format!("nextval('s.seq_{i}'::regclass)"),
            separate: false,
        }),
        ..Column::default()
    };
    let columns = vec![column("id", Some(oid(1))), column("a", None), column("b", None), column("c", None)];
    let mut add = |address, name: String, definition, needs: Vec<Address>| {
        schema.objects.push(object(address, "s", name, definition));
        schema.depends.insert(address, needs);
    };
    add(table, format!("table_{i}"), Definition::Table(Table { columns, ..Table::default() }), vec![]);
    let owned = OwnedBy {
        table: relative(),
        table_unlogged: false,
        column: "id".to_owned(),
        column_type: "bigint".to_owned(),
        of_partition: false,
    };
    let sequence = Sequence {
        data_type: "bigint".to_owned(),
        owned_by: Some(owned),
        value: Some((1, false)),
        ..Sequence::default()
    };
    let sequence_at = Address::relation(oid(2));
    add(sequence_at, format!("seq_{i}"), Definition::Sequence(sequence), vec![table]);
    let constraint = |kind, index, referenced: Option<Address>, key| Constraint {
        kind,
        table: relative(),
        table_partitioned: false,
        definition: "PRIMARY KEY (id)".to_owned(),
        index,
        referenced,
        referenced_index: key,
        valid: true,
    };
    let index = ConstraintIndex {
        address: Address::relation(oid(3)),
        definition: Some(format!("CREATE UNIQUE INDEX pk_{i} ON s.table_{i} USING btree (id)")),
        options: Vec::new(),
        marks: IndexMarks::default(),
        partition_of: None,
        period: false,
        complete: true,
        pages: 1,
        tablespace: None,
    };
    let key = Definition::Constraint(constraint(ConstraintKind::Primary, Some(index), None, None));
    add(Address::new(class::CONSTRAINT, oid(4)), format!("pk_{i}"), key, vec![table]);
    for n in 0..2 {
        let index = Index {
            table: relative(),
            definition: format!("CREATE INDEX ix_{i}_{n} ON s.table_{i} USING btree (a, b)"),
            partitioned: false,
            partition_of: None,
            marks: IndexMarks::default(),
            pages: 1,
            tablespace: None,
        };
        add(Address::relation(oid(5 + n)), format!("ix_{i}_{n}"), Definition::Index(index), vec![table]);
    }
    if i > 0 {
        let (other, key) =
            (Address::relation(oid(0) - 2 * PER_TABLE), Address::relation(oid(3) - 2 * PER_TABLE));
        let fk = constraint(ConstraintKind::Foreign, None, Some(other), Some(key));
        let needs = vec![table, other, key];
        add(Address::new(class::CONSTRAINT, oid(7)), format!("fk_{i}"), Definition::Constraint(fk), needs);
    }
    let function = Function { definition: format!("CREATE FUNCTION s.f_{i}() …"), ..Function::default() };
    let function_at = Address::new(class::PROC, oid(8));
    add(function_at, format!("f_{i}"), Definition::Function(function), vec![]);
    let trigger = Trigger {
        table,
        table_name: format!("table_{i}"),
        statement: Some(format!("CREATE TRIGGER t_{i} …")),
        enabled: Enabled::Origin,
    };
    let trigger_at = Address::new(class::TRIGGER, oid(9));
    add(trigger_at, format!("t_{i}"), Definition::Trigger(trigger), vec![table, function_at]);
    for n in [10, 11] {
        let rule = Address::new(class::REWRITE, oid(n));
        let view = View { query: " SELECT 1".to_owned(), rule: Some(rule), ..View::default() };
        add(Address::relation(oid(n)), format!("view_{i}_{n}"), Definition::View(view), vec![]);
    }
    for (n, source) in [(10, table), (11, Address::relation(oid(10)))] {
        let (rule, view) = (Address::new(class::REWRITE, oid(n)), Address::relation(oid(n)));
        schema.depends.insert(rule, vec![view, source]);
        schema.aliases.insert(rule, view);
    }
    schema.depends.insert(Address::new(class::ATTRDEF, oid(1)), vec![table, sequence_at]);
    schema.aliases.insert(Address::relation(oid(3)), Address::new(class::CONSTRAINT, oid(4)));
}

fn ddl(c: &mut Criterion) {
    let options = RenderOptions::default();
    let mut group = c.benchmark_group("ddl");
    group.sample_size(10);
    for tables in [1_000, 10_000] {
        let model = schema(tables);
        let count = model.objects.len();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("order and render {count} objects"), |b| {
            b.iter(|| black_box(order::plan(&model, &options)));
        });
        group.bench_function(format!("drop plan of {count} objects"), |b| {
            b.iter(|| black_box(drop::drop_plan(&model, true)));
        });
        let steps = order::plan(&model, &options);
        group.bench_function(format!("script of {count} objects"), |b| {
            b.iter_batched(
                script::ScriptOptions::default,
                |options| script::script(&steps, &options).map(|p| p.len()).sum::<usize>(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ddl);
criterion_main!(benches);
