//! The data section's tasks: parts of large tables, bundles of small ones, large objects, sequence values.

use std::collections::{HashMap, HashSet};

use super::post_data::inheritance_parents;
use super::{BATCH_STEPS, CopyTable, PlanInput, Planner, SMALL_TABLE_BYTES, Work, index_table};
use crate::restore::copy::{part_count, slices};
use crate::restore::scheduler::{Node, TaskId};
use crate::schema::routing::routed;
use crate::schema::{Address, CopySource, Definition, Section, Slice, TableKind, class};

/// A bundle holds at most this many bytes and tables: its transaction keeps a lock per table and index.
const BUNDLE_BYTES: u64 = 16 << 20;
const BUNDLE_TABLES: usize = 100;
/// Large objects a task copies.
const BATCH_LARGE_OBJECTS: usize = 500;

impl Planner<'_> {
    /// Rows, bundles, large objects and sequence values, and the barrier behind them all.
    pub(super) fn data(&mut self) {
        let all = 0..self.tables.len();
        let (late, early): (Vec<usize>, Vec<usize>) =
            all.partition(|&i| self.late.tables.contains(&self.tables[i].address));
        let references = references(self.input);
        let (referring, apart): (Vec<usize>, Vec<usize>) =
            early.iter().partition(|&&i| references.contains_key(&self.tables[i].address));
        self.rows(&apart, &[]);
        self.referring(referring, &references);
        if !late.is_empty() {
            let needs = (0..self.tasks.len()).collect();
            let all_others = self.task(Work::Barrier, Node { needs, ..Node::default() });
            self.rows(&late, &[all_others]);
        }
        self.join_routed();
        self.large_objects_and_values();
        let needs = (0..self.tasks.len()).collect();
        self.data_complete = self.task(Work::Barrier, Node { needs, ..Node::default() });
    }

    /// Tables whose foreign keys are there already, each after those that they refer to. Of some that refer to each other in a
    /// circle one has to begin, which the server may refuse.
    fn referring(&mut self, mut tables: Vec<usize>, references: &HashMap<Address, Vec<Address>>) {
        while !tables.is_empty() {
            let left: HashSet<Address> = tables.iter().map(|&i| self.tables[i].address).collect();
            let parents = |i: usize| references.get(&self.tables[i].address).into_iter().flatten();
            let next = tables.iter().position(|&i| parents(i).all(|parent| !left.contains(parent)));
            let i = tables.remove(next.unwrap_or(0));
            let done = parents(i).filter_map(|parent| self.table_tasks.get(parent));
            let needs: Vec<TaskId> = done.flatten().copied().collect();
            self.rows(&[i], &needs);
        }
    }

    /// The rows of these tables, after those tasks.
    fn rows(&mut self, tables: &[usize], needs: &[TaskId]) {
        let mut small: Vec<usize> = Vec::new();
        for &i in tables {
            let (address, bytes, parts) =
                (self.tables[i].address, self.tables[i].size.bytes, self.tables[i].slices.len());
            // What enters through another table rides with nothing: its rows end up elsewhere.
            let routed = self.tables[i].source.through.is_some();
            if parts <= 1 && bytes <= SMALL_TABLE_BYTES && !routed {
                small.push(i);
                continue;
            }
            for slice in 0..parts {
                let cost = bytes / parts as u64;
                let node = Node { needs: needs.to_vec(), cost, ..Node::default() };
                let id = self.task(Work::Copy { table: i, slice }, node);
                self.table_tasks.entry(address).or_default().push(id);
            }
        }
        self.bundles(&small, needs);
    }

    /// Tables whose rows enter through one table are complete together, because any of them may get any of the rows.
    fn join_routed(&mut self) {
        let mut together: HashMap<String, Vec<TaskId>> = HashMap::new();
        for table in &self.tables {
            if let (Some(root), Some(tasks)) = (&table.source.through, self.table_tasks.get(&table.address)) {
                together.entry(root.clone()).or_default().extend(tasks);
            }
        }
        for table in &self.tables {
            if let Some(tasks) = table.source.through.as_ref().and_then(|root| together.get(root)) {
                self.table_tasks.insert(table.address, tasks.clone());
            }
        }
    }

    fn bundles(&mut self, small: &[usize], needs: &[TaskId]) {
        // Enough bundles to keep all connections at work, until they are as large as they may be.
        let per_bundle = (small.len() / (self.input.jobs.max(1) * 2)).clamp(1, BUNDLE_TABLES);
        let riders = self.riders(small);
        let (mut bundle, mut bytes) = (Vec::new(), 0);
        for (n, &i) in small.iter().enumerate() {
            bundle.push(i);
            bytes += self.tables[i].size.bytes;
            if bundle.len() < per_bundle && bytes < BUNDLE_BYTES && n + 1 < small.len() {
                continue;
            }
            let tables = std::mem::take(&mut bundle);
            let mut steps: Vec<usize> = tables
                .iter()
                .filter_map(|&i| riders.get(&self.tables[i].address))
                .flatten()
                .copied()
                .collect();
            steps.sort_unstable();
            let work = Work::Bundle { tables: tables.clone(), steps: steps.clone() };
            let node = Node { needs: needs.to_vec(), cost: bytes.max(1), ..Node::default() };
            let id = self.task(work, node);
            for i in tables {
                self.table_tasks.insert(self.tables[i].address, vec![id]);
            }
            for step in steps {
                self.step_task[step] = Some(id);
                self.placed.insert(step);
            }
            bytes = 0;
        }
    }

    /// Indexes and keys of small tables that need nothing but their table (and each other), and read no other: by table.
    fn riders(&self, small: &[usize]) -> HashMap<Address, Vec<usize>> {
        let small: HashSet<Address> = small.iter().map(|&i| self.tables[i].address).collect();
        let mut riders: HashMap<Address, Vec<usize>> = HashMap::new();
        let mut rides: HashMap<usize, Address> = HashMap::new();
        for (i, step) in self.input.steps.iter().enumerate() {
            let Some(table) = index_table(step).filter(|t| small.contains(t)) else { continue };
            let alone = step.needs.iter().all(|&need| {
                self.input.steps[need].section == Section::PreData || rides.get(&need) == Some(&table)
            });
            if alone && !self.late.steps.contains(&i) {
                rides.insert(i, table);
                riders.entry(table).or_default().push(i);
            }
        }
        riders
    }

    fn large_objects_and_values(&mut self) {
        let data: Vec<usize> = self.steps_of(Section::Data);
        let mut creators = Vec::new();
        for chunk in data.chunks(BATCH_STEPS * 5) {
            let id = self.task(Work::Steps(chunk.to_vec()), Node { cost: 1, ..Node::default() });
            creators.push(id);
            for &step in chunk {
                self.step_task[step] = Some(id);
                self.placed.insert(step);
            }
        }
        let objects = &self.input.schema.objects;
        let large: Vec<u32> = objects
            .iter()
            .filter(|o| o.address.class == class::LARGE_OBJECT)
            .map(|o| o.address.oid)
            .collect();
        for chunk in large.chunks(BATCH_LARGE_OBJECTS) {
            let node = Node { needs: creators.clone(), cost: 1 << 20, ..Node::default() };
            self.task(Work::LargeObjects(chunk.to_vec()), node);
        }
    }

    pub(super) fn steps_of(&self, section: Section) -> Vec<usize> {
        let steps = self.input.steps;
        (0..steps.len()).filter(|&i| steps[i].section == section && !self.placed.contains(&i)).collect()
    }
}

/// The tables that configuration tables of extensions refer to, of those that do.
fn references(input: &PlanInput<'_>) -> HashMap<Address, Vec<Address>> {
    let data = input.schema.extension_data.iter().filter(|data| !data.references.is_empty());
    data.map(|data| (data.address, data.references.clone())).collect()
}

/// The tables with rows to copy, largest first.
pub(super) fn copy_tables(input: &PlanInput<'_>) -> Vec<CopyTable> {
    let size_of = |a: &Address| input.sizes.get(a).copied().unwrap_or_default();
    let total = input.sizes.values().map(|s| s.bytes).sum();
    let parents: HashSet<Address> = inheritance_parents(input.schema).into_keys().collect();
    let routed = routed(input.schema);
    let names: HashMap<Address, String> =
        input.schema.objects.iter().map(|o| (o.address, o.qualified_name())).collect();
    let mut tables = Vec::new();
    for object in &input.schema.objects {
        let Definition::Table(table) = &object.definition else { continue };
        if table.kind != TableKind::Ordinary {
            continue;
        }
        let source = CopySource {
            namespace: object.namespace.clone().unwrap_or_default(),
            name: object.name.clone(),
            binary: table.binary_safe_to(input.target_version),
            columns: table.copied_columns().map(|c| c.name.clone()).collect(),
            condition: String::new(),
            through: routed.get(&object.address).and_then(|root| names.get(root)).cloned(),
            partitioned: false,
        };
        let size = size_of(&object.address);
        let ours = source.through.is_none();
        let slices = match input.slicing.get(&object.address) {
            _ if size.blocks == 0 && ours => Vec::new(),
            Some(slicing) => slices(slicing, size, part_count(size, total, input.jobs, input.split_bytes)),
            None => vec![Slice::Whole],
        };
        let has_children = parents.contains(&object.address);
        let carried = input.carried.contains(&object.address);
        tables.push(CopyTable { address: object.address, source, size, slices, ours, has_children, carried });
    }
    for data in &input.schema.extension_data {
        let source = CopySource {
            namespace: data.namespace.clone(),
            name: data.name.clone(),
            columns: data.columns.clone(),
            binary: false,
            condition: data.condition.clone(),
            through: None,
            partitioned: false,
        };
        let size = size_of(&data.address);
        tables.push(CopyTable {
            address: data.address,
            source,
            size,
            slices: vec![Slice::Whole],
            ours: false,
            has_children: false,
            carried: false,
        });
    }
    tables.sort_by(|a, b| {
        b.size.bytes.cmp(&a.size.bytes).then_with(|| a.source.identity().cmp(&b.source.identity()))
    });
    tables
}

#[cfg(test)]
mod tests {
    use super::super::{CopyTable, plan};
    use super::*;
    use crate::restore::copy::TableSize;
    use crate::schema::{ExtensionData, Schema};

    /// For each table, by name, the tables whose rows are there when its own are copied; the sizes as they come.
    fn copied(tables: &[(u32, u64, &[u32])], jobs: usize) -> Vec<(String, HashSet<String>)> {
        let at = Address::relation;
        let data = |(oid, _, references): &(u32, u64, &[u32])| ExtensionData {
            address: at(*oid),
            extension: "e".to_owned(),
            namespace: "s".to_owned(),
            name: format!("t{oid}"),
            columns: Vec::new(),
            condition: String::new(),
            references: references.iter().map(|oid| at(*oid)).collect(),
        };
        let schema = Schema { extension_data: tables.iter().map(data).collect(), ..Schema::default() };
        let size = |bytes: u64| TableSize { bytes, blocks: bytes / 8192, ..TableSize::default() };
        let plan = plan(&PlanInput {
            schema: &schema,
            steps: &[],
            sizes: &tables.iter().map(|(oid, bytes, _)| (at(*oid), size(*bytes))).collect(),
            slicing: &HashMap::new(),
            carried: &HashSet::new(),
            jobs,
            split_bytes: 1 << 30,
            target_version: 180_000,
        });
        let name = |table: &CopyTable| table.source.name.clone();
        let of = |work: &Work| match work {
            Work::Copy { table, .. } => vec![name(&plan.tables[*table])],
            Work::Bundle { tables, .. } => tables.iter().map(|&t| name(&plan.tables[t])).collect(),
            _ => Vec::new(),
        };
        let mut found = Vec::new();
        for task in &plan.tasks {
            let (mut before, mut todo) = (HashSet::new(), task.node.needs.clone());
            while let Some(at) = todo.pop() {
                before.extend(of(&plan.tasks[at].work));
                todo.extend(&plan.tasks[at].node.needs);
            }
            found.extend(of(&task.work).into_iter().map(|table| (table, before.clone())));
        }
        found
    }

    #[test]
    fn configuration_tables_come_after_those_they_refer_to() {
        let tables: &[(u32, u64, &[u32])] =
            &[(1, 64 << 20, &[2, 3]), (2, 8192, &[3]), (3, 16384, &[]), (4, 8192, &[]), (5, 8192, &[99])];
        for jobs in [1, 4] {
            let copied: HashMap<_, _> = copied(tables, jobs).into_iter().collect();
            let needs = |table: &str| {
                let mut names: Vec<&str> = copied[table].iter().map(String::as_str).collect();
                names.sort_unstable();
                names.join(" ")
            };
            assert!(["t2 t3", "t2 t3 t4"].contains(&needs("t1").as_str()), "{copied:?}");
            assert!(copied["t2"].contains("t3") && !copied["t2"].contains("t1"), "{copied:?}");
            assert_eq!((needs("t3"), needs("t4"), needs("t5")), Default::default());
        }
    }

    #[test]
    fn a_circle_of_configuration_tables_is_copied_all_the_same() {
        let copied = copied(&[(1, 8192, &[2]), (2, 8192, &[1]), (3, 8192, &[1])], 4);
        let names: HashSet<&str> = copied.iter().map(|(table, _)| table.as_str()).collect();
        assert_eq!((copied.len(), names), (3, HashSet::from(["t1", "t2", "t3"])));
    }
}
