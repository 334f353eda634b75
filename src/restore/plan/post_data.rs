//! The post-data section's tasks: indexes and keys, foreign keys and what else is cheap, statistics, grants,
//! materialized views.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{BATCH_STEPS, CopyTable, Planner, SMALL_TABLE_BYTES, Work, index_table};
use crate::restore::scheduler::{Node, TaskId};
use crate::schema::script::fires_events;
use crate::schema::{Address, Definition, LockNeed, Schema, Section, Step, TableKind};

impl Planner<'_> {
    pub(super) fn post_data(&mut self) {
        let after_refresh = self.after_refresh();
        let (firing, left): (Vec<usize>, Vec<usize>) =
            self.steps_of(Section::PostData).into_iter().partition(|&i| fires_events(self.input.steps, i));
        let heavy: HashSet<usize> = left.iter().copied().filter(|&i| self.is_heavy(i)).collect();
        let levels = levels(self.input.steps, &left, &heavy);
        // Batches must exist before the tasks that need their steps are wired: ids first, needs afterwards.
        let mut batches: HashMap<(usize, bool, bool), Vec<usize>> = HashMap::new();
        let mut order: Vec<(usize, bool, bool)> = Vec::new();
        for &i in left.iter().filter(|i| !heavy.contains(i)) {
            let key = (levels[&i], after_refresh.contains(&i), self.late.after.contains(&i));
            let batch = batches.entry(key).or_default();
            if batch.is_empty() {
                order.push(key);
            }
            batch.push(i);
        }
        for &i in left.iter().filter(|i| heavy.contains(i)) {
            self.heavy(i);
        }
        for key in order {
            for chunk in batches[&key].chunks(BATCH_STEPS) {
                let mut locks: Vec<(Address, LockNeed)> = Vec::new();
                for lock in chunk.iter().flat_map(|&i| self.input.steps[i].locks.iter()) {
                    if !locks.contains(lock) {
                        locks.push(*lock);
                    }
                }
                let id = self.task(Work::Steps(chunk.to_vec()), Node { needs: vec![], locks, cost: 1 });
                for &i in chunk {
                    self.step_task[i] = Some(id);
                }
            }
        }
        let all: Vec<TaskId> = (0..self.tasks.len()).collect();
        let keys_complete = self.keys_complete(&after_refresh);
        for id in all {
            self.wire(id, keys_complete);
        }
        self.analyze();
        self.grants_and_refreshes(&after_refresh);
        self.event_triggers(firing);
    }

    /// Event triggers when nothing else is left to do: they must not fire for it. (None fires for `CREATE EVENT TRIGGER`.)
    fn event_triggers(&mut self, steps: Vec<usize>) {
        if steps.is_empty() {
            return;
        }
        let node = Node { needs: (0..self.tasks.len()).collect(), cost: 1, ..Node::default() };
        let id = self.task(Work::Steps(steps.clone()), node);
        for step in steps {
            self.step_task[step] = Some(id);
        }
    }

    /// A point after all rows and all keys that wait for nothing late; `None` where nothing waits for it.
    ///
    /// The batches of what comes after late steps are apart, so that no key's batch waits for one.
    fn keys_complete(&mut self, after_refresh: &HashSet<usize>) -> Option<TaskId> {
        if self.late.steps.is_empty() {
            return None;
        }
        let keys = self.input.steps.iter().enumerate().filter(|(i, step)| {
            step.kind == "CONSTRAINT" && !self.late.after.contains(i) && !after_refresh.contains(i)
        });
        let mut needs: Vec<TaskId> = keys.filter_map(|(i, _)| self.step_task[i]).collect();
        needs.push(self.data_complete);
        Some(self.task(Work::Barrier, Node { needs, ..Node::default() }))
    }

    /// A step worth a task of its own: it reads many rows, or waits for what others need not wait for.
    fn is_heavy(&self, i: usize) -> bool {
        let step = &self.input.steps[i];
        let large = |a: &Address| {
            self.by_address.get(a).is_some_and(|&t| self.tables[t].size.bytes > SMALL_TABLE_BYTES)
        };
        match step.kind {
            "MATERIALIZED VIEW DATA" => true,
            "INDEX" | "CONSTRAINT" if self.late.steps.contains(&i) => true,
            "INDEX" | "CONSTRAINT" => index_table(step).is_some_and(|t| {
                large(&t) || !self.by_address.contains_key(&t) && self.matviews.contains(&t)
            }),
            "FK CONSTRAINT" => step.locks.iter().any(|(table, _)| large(table)),
            _ => false,
        }
    }

    fn heavy(&mut self, i: usize) {
        let step = &self.input.steps[i];
        let bytes = step
            .locks
            .iter()
            .filter_map(|(table, _)| self.by_address.get(table))
            .map(|&t| self.tables[t].size.bytes)
            .sum::<u64>();
        // Building an index over a table costs about a third of copying it.
        let cost = (bytes / 3).max(1 << 20);
        let table = index_table(step);
        let id = match (&step.index_first, table) {
            (Some(_), Some(table)) => {
                let locks = vec![(table, LockNeed::Shared)];
                let index = self.task(Work::KeyIndex(i), Node { needs: vec![], locks, cost });
                let node = Node { needs: vec![index], locks: step.locks.clone(), cost: 1 };
                self.task(Work::KeyConstraint(i), node)
            }
            _ => {
                // Further statements of an index's step may alter the table: then it must be alone on it.
                let alters = step.create.iter().skip(1).any(|s| s.starts_with("ALTER TABLE"));
                let raise = |(table, need): &(Address, LockNeed)| {
                    (*table, if alters { LockNeed::Exclusive } else { *need })
                };
                let locks = step.locks.iter().map(raise).collect();
                self.task(Work::Steps(vec![i]), Node { needs: vec![], locks, cost })
            }
        };
        self.step_task[i] = Some(id);
    }

    /// Fills in what a post-data task waits for.
    fn wire(&mut self, id: TaskId, keys_complete: Option<TaskId>) {
        let (steps, starts_with_table) = match &self.tasks[id].work {
            Work::KeyIndex(i) | Work::KeyConstraint(i) => (vec![*i], true),
            Work::Steps(steps) => match steps[..] {
                [i] if self.input.steps[i].section == Section::PostData => {
                    (steps.clone(), index_table(&self.input.steps[i]).is_some())
                }
                _ if steps.iter().all(|&i| self.input.steps[i].section == Section::Data) => return,
                _ => (steps.clone(), false),
            },
            _ => return,
        };
        let mut needs = std::mem::take(&mut self.tasks[id].node.needs);
        for &i in &steps {
            needs.extend(self.input.steps[i].needs.iter().filter_map(|&n| self.step_task[n]));
            if starts_with_table {
                needs.extend(keys_complete.filter(|_| self.late.steps.contains(&i)));
                // Of all others, only its own table must be complete.
                let table = index_table(&self.input.steps[i]);
                match table.and_then(|t| self.table_tasks.get(&t)) {
                    Some(tasks) => needs.extend(tasks),
                    None if table.is_some_and(|t| self.matviews.contains(&t)) => {}
                    None => needs.push(self.data_complete),
                }
            } else {
                needs.push(self.data_complete);
            }
        }
        needs.retain(|&n| n != id);
        needs.sort_unstable();
        needs.dedup();
        self.tasks[id].node.needs = needs;
    }

    /// Statistics of large tables as soon as their indexes are there; foreign keys wait for them, because their
    /// checks are planned with them.
    fn analyze(&mut self) {
        let mut index_tasks: HashMap<Address, Vec<TaskId>> = HashMap::new();
        for (i, step) in self.input.steps.iter().enumerate() {
            // Not for late ones: they wait for keys, whose batch may wait for the statistics.
            if let (Some(table), Some(task)) = (index_table(step), self.step_task[i])
                && !self.late.after.contains(&i)
            {
                index_tasks.entry(table).or_default().push(task);
            }
        }
        let partitions = partitions(self.input.schema);
        // A partitioned table's ANALYZE goes through its partitions before 18, so they need none of their own.
        let recursive = self.input.target_version < 180_000;
        let own = |table: &CopyTable| {
            let by_parent = recursive && partitions.parent_of.contains_key(&table.address);
            !table.has_children && !table.carried && !by_parent
        };
        let mut analyzed: HashMap<Address, TaskId> = HashMap::new();
        for t in 0..self.tables.len() {
            let table = &self.tables[t];
            let large = table.slices.len() > 1 || table.size.bytes > SMALL_TABLE_BYTES;
            if !large || !own(table) {
                continue;
            }
            let address = table.address;
            let node = Node {
                needs: [&self.table_tasks, &index_tasks]
                    .iter()
                    .filter_map(|m| m.get(&address))
                    .flatten()
                    .copied()
                    .collect(),
                locks: vec![(address, LockNeed::Exclusive)],
                cost: (table.size.bytes / 50).max(1),
            };
            let id = self.task(Work::Analyze(vec![table.source.identity()]), node);
            analyzed.insert(address, id);
        }
        for (i, step) in self.input.steps.iter().enumerate() {
            let Some(task) = self.step_task[i].filter(|_| step.kind == "FK CONSTRAINT") else { continue };
            let waits = step.locks.iter().filter_map(|(table, _)| analyzed.get(table));
            self.tasks[task].node.needs.extend(waits.copied());
            self.tasks[task].node.needs.sort_unstable();
            self.tasks[task].node.needs.dedup();
        }
        // Again where late indexes have been made, whose expressions have statistics too.
        let mut late: BTreeMap<usize, Vec<TaskId>> = BTreeMap::new();
        for &i in &self.late.steps {
            let table = index_table(&self.input.steps[i]).and_then(|table| self.by_address.get(&table));
            if let (Some(&t), Some(task)) = (table.filter(|t| own(&self.tables[**t])), self.step_task[i]) {
                late.entry(t).or_default().push(task);
            }
        }
        for (t, mut needs) in late {
            let table = &self.tables[t];
            needs.extend(analyzed.get(&table.address));
            let locks = vec![(table.address, LockNeed::Exclusive)];
            let node = Node { needs, locks, cost: (table.size.bytes / 50).max(1) };
            self.task(Work::Analyze(vec![table.source.identity()]), node);
        }
    }

    /// Grants after all else on tables; then refreshes, in their own order; then statistics of partitioned
    /// tables and materialized views.
    fn grants_and_refreshes(&mut self, after_grants: &HashSet<usize>) {
        let steps = self.input.steps;
        let later: HashSet<TaskId> = after_grants.iter().filter_map(|&i| self.step_task[i]).collect();
        let key_indexes: Vec<TaskId> = (0..self.tasks.len())
            .filter(|&t| matches!(self.tasks[t].work, Work::KeyIndex(i) if after_grants.contains(&i)))
            .collect();
        let mut before: Vec<TaskId> = (0..self.tasks.len()).filter(|t| !later.contains(t)).collect();
        before.retain(|t| !key_indexes.contains(t));
        let granting: Vec<usize> = (0..steps.len()).filter(|&i| !steps[i].acl.is_empty()).collect();
        let mut barrier = self.task(Work::Barrier, Node { needs: before, ..Node::default() });
        for chunk in granting.chunks(BATCH_STEPS * 2) {
            // One after the other: two sessions that grant on one object would fail on its catalog row.
            let node = Node { needs: vec![barrier], locks: vec![], cost: 1 };
            barrier = self.task(Work::Grants(chunk.to_vec()), node);
        }
        for task in later.into_iter().chain(key_indexes) {
            self.tasks[task].node.needs.push(barrier);
        }
        self.analyze_parents(barrier);
        self.statistics();
    }

    /// Statistics that are carried over, when all else stands.
    fn statistics(&mut self) {
        let mut carried: Vec<Address> = self.input.carried.iter().copied().collect();
        if carried.is_empty() {
            return;
        }
        carried.sort_unstable();
        let needs = (0..self.tasks.len()).collect();
        let all = self.task(Work::Barrier, Node { needs, ..Node::default() });
        for chunk in carried.chunks(BATCH_STEPS) {
            let node = Node { needs: vec![all], locks: vec![], cost: 1 };
            self.task(Work::Statistics(chunk.to_vec()), node);
        }
    }

    /// Steps that are refreshes, or wait for one.
    fn after_refresh(&self) -> HashSet<usize> {
        let mut after = HashSet::new();
        for (i, step) in self.input.steps.iter().enumerate() {
            if step.section == Section::PostData
                && (step.kind == "MATERIALIZED VIEW DATA" || step.needs.iter().any(|n| after.contains(n)))
            {
                after.insert(i);
            }
        }
        after
    }

    fn analyze_parents(&mut self, barrier: TaskId) {
        let only = if self.input.target_version >= 180_000 { "ONLY " } else { "" };
        let above_foreign = above_foreign_tables(self.input.schema);
        for (address, name) in inheritance_parents(self.input.schema) {
            if above_foreign.contains(&address) || self.input.carried.contains(&address) {
                continue;
            }
            let node =
                Node { needs: vec![barrier], locks: vec![(address, LockNeed::Exclusive)], cost: 1 << 20 };
            self.task(Work::Analyze(vec![format!("{only}{name}")]), node);
        }
        let partitions = partitions(self.input.schema);
        for root in partitions
            .roots
            .into_iter()
            .filter(|r| !above_foreign.contains(&r.0) && !self.input.carried.contains(&r.0))
        {
            let identity = format!("{only}{}", root.1);
            let locks = self.tables.iter().map(|t| t.address);
            let locks = locks.filter(|a| partitions.parent_of.get(a) == Some(&root.0));
            let node = Node {
                needs: vec![barrier],
                locks: locks.map(|a| (a, LockNeed::Exclusive)).collect(),
                cost: 1 << 20,
            };
            self.task(Work::Analyze(vec![identity]), node);
        }
        for (i, step) in self.input.steps.iter().enumerate() {
            if step.kind != "MATERIALIZED VIEW DATA" || self.input.carried.contains(&step.address) {
                continue;
            }
            let needs: Vec<TaskId> = self
                .input
                .steps
                .iter()
                .enumerate()
                .filter(|(j, s)| {
                    let on_it = s.kind == "STATISTICS" && s.locks.iter().any(|l| l.0 == step.address);
                    *j == i || on_it || index_table(s) == Some(step.address)
                })
                .filter_map(|(j, _)| self.step_task[j])
                .collect();
            let node = Node { needs, locks: vec![(step.address, LockNeed::Exclusive)], cost: 1 };
            self.task(Work::Analyze(vec![step.identity.clone()]), node);
        }
    }
}

/// The level of each step in `left`: steps of one level may share a batch.
///
/// A level rises wherever a need crosses between a batched step and one with a task of its own, so a batch of level
/// n needs only tasks of lower levels and earlier batches of its own, and no two tasks can wait for each other.
fn levels(steps: &[Step], left: &[usize], heavy: &HashSet<usize>) -> HashMap<usize, usize> {
    let mut levels: HashMap<usize, usize> = HashMap::new();
    for &i in left {
        let level = steps[i]
            .needs
            .iter()
            .filter_map(|n| levels.get(n).map(|l| l + usize::from(heavy.contains(n) != heavy.contains(&i))))
            .max();
        levels.insert(i, level.unwrap_or(0));
    }
    levels
}

/// Tables that others inherit from, partitioned ones apart, with their quoted names.
///
/// `ANALYZE` of one samples its children, and from 18 on analyzes them unless told `ONLY`. Inside a bundle's
/// transaction that would wait for another bundle's, which may wait for this one.
pub(super) fn inheritance_parents(schema: &Schema) -> BTreeMap<Address, String> {
    let ours: HashSet<Address> = schema.objects.iter().map(|o| o.address).collect();
    let tables = schema.tables();
    let parents = tables.values().flat_map(|t| &t.inherits).filter(|parent| ours.contains(&parent.address));
    parents.map(|parent| (parent.address, parent.name.clone())).collect()
}

/// Tables below which a foreign table stands, however far: `ANALYZE` of one would fetch rows from the foreign server,
/// which may not even be within the target's reach. Autovacuum decides about these later.
fn above_foreign_tables(schema: &Schema) -> HashSet<Address> {
    let tables = schema.tables();
    let foreign = tables.values().filter(|t| t.kind == TableKind::Foreign);
    let mut todo: Vec<Address> = foreign.flat_map(|t| t.parents()).map(|p| p.address).collect();
    let mut above = HashSet::new();
    while let Some(address) = todo.pop() {
        if above.insert(address) {
            todo.extend(tables.get(&address).into_iter().flat_map(|t| t.parents()).map(|p| p.address));
        }
    }
    above
}

struct Partitions {
    /// Partition → the root above it.
    parent_of: HashMap<Address, Address>,
    /// Roots with their quoted names.
    roots: Vec<(Address, String)>,
}

fn partitions(schema: &Schema) -> Partitions {
    let mut direct: HashMap<Address, Address> = HashMap::new();
    let mut roots = Vec::new();
    for object in &schema.objects {
        if let Definition::Table(table) = &object.definition {
            match table.partition_of.as_ref().map(|p| p.parent.address) {
                Some(parent) => {
                    direct.insert(object.address, parent);
                }
                None if table.kind == TableKind::Partitioned => {
                    roots.push((object.address, object.qualified_name()))
                }
                None => {}
            }
        }
    }
    let root_of = |mut a: Address| {
        while let Some(&parent) = direct.get(&a) {
            a = parent;
        }
        a
    };
    // Partitions of a whole that cannot be analyzed as one are analyzed by themselves.
    let above_foreign = above_foreign_tables(schema);
    let parent_of =
        direct.keys().map(|&a| (a, root_of(a))).filter(|(_, root)| !above_foreign.contains(root)).collect();
    Partitions { parent_of, roots }
}
