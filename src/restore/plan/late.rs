//! What may read tables other than its own, through functions that are not the server's: it comes when those are complete.
//!
//! An index over such an expression, built while the table that the function reads is still empty, would be wrong without a word; so it
//! waits for all rows, and for the keys, which the function may need to find its rows. Tables whose rows are computed or checked by such
//! functions are copied after all others (among each other in any order, as with pg_dump: nothing says which reads which).
//! Invariant: nothing that a late step waits for needs one.

use std::collections::HashSet;

use super::{PlanInput, index_table};
use crate::schema::calls::Calls;
use crate::schema::routing::routed;
use crate::schema::{Address, Definition, Generated, Schema, Table, class};

/// What has to wait.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Tables that are copied after all others.
    pub tables: HashSet<Address>,
    /// Index and key steps that wait for all rows and all other keys.
    pub steps: HashSet<usize>,
    /// These, and all that need one.
    pub after: HashSet<usize>,
}

impl Late {
    pub(super) fn new(input: &PlanInput<'_>, matviews: &HashSet<Address>) -> Self {
        let calls = Calls::new(input.schema);
        let indexes = indexes(input.schema, &calls);
        let mut late = Late { tables: tables(input.schema, &calls), ..Late::default() };
        for (i, step) in input.steps.iter().enumerate() {
            // Those of a materialized view come after its refresh, which is late enough.
            let own = indexes.contains(&step.address)
                && index_table(step).is_some_and(|table| !matviews.contains(&table));
            if own {
                late.steps.insert(i);
            }
            if own || step.needs.iter().any(|need| late.after.contains(need)) {
                late.after.insert(i);
            }
        }
        late
    }
}

/// Indexes and keys that call such functions, by expression, predicate or operator class.
fn indexes(schema: &Schema, calls: &Calls<'_>) -> HashSet<Address> {
    let calling = schema.objects.iter().filter(|object| match &object.definition {
        Definition::Index(_) => calls.made_by(object.address),
        Definition::Constraint(constraint) => constraint
            .index
            .as_ref()
            .is_some_and(|index| calls.made_by(object.address) || calls.made_by(index.address)),
        _ => false,
    });
    calling.map(|object| object.address).collect()
}

/// Tables that such functions are called for when rows are copied, or sampled for extended statistics.
fn tables(schema: &Schema, calls: &Calls<'_>) -> HashSet<Address> {
    let tables = schema.tables();
    let mut late: HashSet<Address> = HashSet::new();
    for (&address, table) in &tables {
        // A row is checked against the keys of all that it is a partition of.
        let mut line = vec![address];
        let mut at = table;
        while let Some(whole) = at.partition_of.as_ref().map(|p| p.parent.address) {
            line.push(whole);
            let Some(above) = tables.get(&whole) else { break };
            at = above;
        }
        if line.into_iter().chain(computed(table)).any(|a| calls.made_by(a)) {
            late.insert(address);
        }
    }
    for object in &schema.objects {
        if let Definition::Statistics(statistics) = &object.definition
            && calls.made_by(object.address)
        {
            late.insert(statistics.table);
        }
    }
    // Rows that enter through one table may end up in any that belongs to it.
    let routed = routed(schema);
    let mut roots: HashSet<Address> = HashSet::new();
    roots.extend(routed.iter().filter(|(leaf, _)| late.contains(leaf)).map(|(_, root)| *root));
    late.extend(routed.iter().filter(|(_, root)| roots.contains(root)).map(|(leaf, _)| *leaf));
    late
}

/// What is computed for each row that is copied: stored generated columns and checks.
fn computed(table: &Table) -> impl Iterator<Item = Address> {
    let stored = table.columns.iter().filter(|column| column.generated == Generated::Stored);
    let expressions = stored.filter_map(|column| column.default.as_ref());
    let expressions = expressions.map(|default| Address::new(class::ATTRDEF, default.oid));
    expressions.chain(table.checks.iter().map(|check| Address::new(class::CONSTRAINT, check.oid)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{PlanInput, Work, plan};
    use super::*;
    use crate::restore::copy::TableSize;
    use crate::schema::{
        Check, Column, ColumnDefault, Constraint, ConstraintIndex, ConstraintKind, Index, IndexMarks, Object,
        Relative, RenderOptions, order,
    };

    const FUNCTION: Address = Address::new(class::PROC, 9);

    /// Tables 1 (with key 11), 2 and 3 with a generated column; an index on each of the first two, 21 and 22, whose expressions call.
    fn schema() -> Schema {
        let object = |address: Address, name: &str, definition| Object {
            address,
            namespace: Some("s".to_owned()),
            name: name.to_owned(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition,
        };
        let relative = |oid| Relative { address: Address::relation(oid), name: format!("s.t{oid}") };
        let table = |oid, table| object(Address::relation(oid), &format!("t{oid}"), Definition::Table(table));
        let index = |oid, on| {
            let definition = Definition::Index(Index {
                table: relative(on),
                definition: format!("CREATE INDEX i{oid} ON s.t{on} USING btree (s.f(a))"),
                partitioned: false,
                partition_of: None,
                marks: IndexMarks::default(),
                pages: 1,
                tablespace: None,
            });
            object(Address::relation(oid), &format!("i{oid}"), definition)
        };
        let key = Constraint {
            kind: ConstraintKind::Primary,
            table: relative(1),
            table_partitioned: false,
            definition: "PRIMARY KEY (k)".to_owned(),
            index: Some(ConstraintIndex {
                address: Address::relation(12),
                definition: None,
                options: Vec::new(),
                marks: IndexMarks::default(),
                partition_of: None,
                period: false,
                complete: true,
                pages: 1,
                tablespace: None,
            }),
            referenced: None,
            referenced_index: None,
            valid: true,
        };
        let column = Column {
            name: "g".to_owned(),
            default: Some(ColumnDefault { oid: 31, ..ColumnDefault::default() }),
            generated: Generated::Stored,
            ..Column::default()
        };
        let (key_address, attrdef) = (Address::new(class::CONSTRAINT, 11), Address::new(class::ATTRDEF, 31));
        let at = Address::relation;
        Schema {
            objects: vec![
                table(1, Table::default()),
                table(2, Table::default()),
                table(3, Table { columns: vec![column], ..Table::default() }),
                index(21, 1),
                index(22, 2),
                index(23, 2),
                object(key_address, "k11", Definition::Constraint(key)),
            ],
            depends: HashMap::from([
                (at(21), vec![at(1), FUNCTION]),
                (at(22), vec![at(2), FUNCTION]),
                (at(23), vec![at(2)]),
                (key_address, vec![at(1)]),
                (attrdef, vec![at(3), FUNCTION]),
            ]),
            aliases: HashMap::from([(at(12), key_address)]),
            ..Schema::default()
        }
    }

    /// The plan's tasks, with the sizes of tables in MB.
    fn tasks(schema: &Schema, megabytes: u64) -> (Vec<super::super::Task>, Vec<crate::schema::Step>) {
        let steps = order::plan(schema, &RenderOptions::default());
        let size = TableSize { bytes: megabytes << 20, blocks: megabytes * 128, ..TableSize::default() };
        let sizes = (1..4).map(|oid| (Address::relation(oid), size)).collect();
        let input = PlanInput {
            schema,
            steps: &steps,
            sizes: &sizes,
            slicing: &HashMap::new(),
            carried: &HashSet::new(),
            jobs: 1,
            split_bytes: 1 << 30,
            target_version: 180_000,
        };
        (plan(&input).tasks, steps)
    }

    /// All tasks that have ended before this one begins.
    fn before(tasks: &[super::super::Task], id: usize) -> HashSet<usize> {
        let mut found = HashSet::new();
        let mut todo = vec![id];
        while let Some(at) = todo.pop() {
            todo.extend(tasks[at].node.needs.iter().filter(|n| found.insert(**n)));
        }
        assert!(!found.contains(&id), "task {id} waits for itself");
        found
    }

    #[test]
    fn what_calls_comes_after_all_rows_and_keys() {
        let schema = schema();
        for megabytes in [1, 100] {
            let (tasks, steps) = tasks(&schema, megabytes);
            let step = |oid| steps.iter().position(|s| s.address.oid == oid).unwrap();
            let makes = |oid| {
                let made = |work: &Work| match work {
                    Work::Steps(steps) | Work::Bundle { steps, .. } => steps.contains(&step(oid)),
                    _ => false,
                };
                tasks.iter().position(|t| made(&t.work)).unwrap()
            };
            let copies: Vec<usize> = (0..tasks.len())
                .filter(|&t| matches!(tasks[t].work, Work::Copy { .. } | Work::Bundle { .. }))
                .collect();
            for late in [21, 22] {
                let before = before(&tasks, makes(late));
                assert!(copies.iter().all(|t| before.contains(t)), "{megabytes} MB, index {late}");
                assert!(before.contains(&makes(11)), "{megabytes} MB, index {late}: the key");
            }
            let early = before(&tasks, makes(23));
            assert!(
                copies.iter().filter(|t| early.contains(t)).count() <= 1,
                "{megabytes} MB: no other waits"
            );
            let reads_last: Vec<usize> = copies
                .iter()
                .filter(|&&t| copies.iter().all(|o| *o == t || before(&tasks, t).contains(o)))
                .copied()
                .collect();
            assert_eq!(reads_last.len(), 1, "{megabytes} MB: one table is copied after all others");
        }
    }

    #[test]
    fn tables_are_late_by_what_is_computed_for_their_rows() {
        let late = |table: Table, depends: &[(Address, Address)]| {
            let mut schema = schema();
            schema.depends = depends.iter().map(|(a, b)| (*a, vec![*b])).collect();
            schema.objects[1].definition = Definition::Table(table);
            tables(&schema, &Calls::new(&schema))
        };
        let (check, whole) = (Address::new(class::CONSTRAINT, 40), Address::relation(1));
        let with_check = Table { checks: vec![Check { oid: 40, ..Check::default() }], ..Table::default() };
        assert_eq!(late(with_check, &[(check, FUNCTION)]), HashSet::from([Address::relation(2)]));
        let partition_of = crate::schema::PartitionOf {
            parent: Relative { address: whole, name: String::new() },
            bound: String::new(),
        };
        let partition = Table { partition_of: Some(partition_of), ..Table::default() };
        assert_eq!(late(partition, &[(whole, FUNCTION)]), HashSet::from([whole, Address::relation(2)]));
        // A default is not asked for.
        let column = Column {
            default: Some(ColumnDefault { oid: 41, ..ColumnDefault::default() }),
            ..Column::default()
        };
        let with_default = Table { columns: vec![column], ..Table::default() };
        assert!(late(with_default, &[(Address::new(class::ATTRDEF, 41), FUNCTION)]).is_empty());
    }
}
