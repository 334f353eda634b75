//! What Restore will do, decided before it begins: the task graph. Pure.
//!
//! Steps of the pre-data section are installed first, in waves. Everything after that is a graph of tasks: copy a
//! part → build its table's indexes and keys → analyze it; then, once all rows are in, foreign keys, triggers
//! and what else pg_dump calls post-data; then grants; then materialized views (which are refreshed as
//! their owner, who may need the grants). Small tables travel in bundles that carry rows, indexes and
//! statistics in one transaction, so that a thousand of them cost a few round trips. What calls functions that may read
//! other tables waits for those ([`late`]).
//!
//! Invariants: every step is in exactly one place; a task's needs are complete, so that any order the
//! scheduler picks is right; two batches never wait for each other (see [`levels`]).

mod data;
mod late;
mod post_data;
mod pre_data;

use std::collections::{HashMap, HashSet};

pub use pre_data::Wave;

use late::Late;

use super::copy::{Slicing, TableSize};
use super::scheduler::{Node, TaskId};
use crate::schema::{Address, CopySource, Schema, Section, Slice, Step};

/// A table of at most this many bytes travels in a bundle.
const SMALL_TABLE_BYTES: u64 = 4 << 20;
/// Cheap statements that share a transaction, limited by the locks they hold.
const BATCH_STEPS: usize = 100;

/// A table whose rows are copied.
#[derive(Clone, Debug)]
pub struct CopyTable {
    /// Its address on the source; extension configuration tables have one too.
    pub address: Address,
    /// The statements' raw material.
    pub source: CopySource,
    /// Its size when planned.
    pub size: TableSize,
    /// Slices it is copied in; empty where the table has no block and so no row.
    pub slices: Vec<Slice>,
    /// Whether all its rows come from its own copy: then it may be emptied first. Not so for an extension's table, and
    /// where rows enter through a partitioned table.
    pub ours: bool,
    /// Whether others inherit from it: `ANALYZE` of it reads them too, and so comes when all of them are complete.
    pub has_children: bool,
    /// Whether its statistics are carried over, and so need not be gathered.
    pub carried: bool,
}

/// One unit of work for a connection pair.
#[derive(Clone, Debug)]
pub enum Work {
    /// One slice of a large table.
    Copy {
        /// Index in [`Plan::tables`].
        table: usize,
        /// Index in the table's slices.
        slice: usize,
    },
    /// Small tables with the indexes and keys that need nothing else.
    Bundle {
        /// Indices in [`Plan::tables`].
        tables: Vec<usize>,
        /// Indices of steps.
        steps: Vec<usize>,
    },
    /// A key's index, built beside others on the same table.
    KeyIndex(usize),
    /// The key itself, over the index that is there.
    KeyConstraint(usize),
    /// Steps in one transaction.
    Steps(Vec<usize>),
    /// The grants of these steps.
    Grants(Vec<usize>),
    /// Contents of these large objects.
    LargeObjects(Vec<u32>),
    /// `ANALYZE` of these, as written after the keyword.
    Analyze(Vec<String>),
    /// The statistics that were read of these tables and materialized views.
    Statistics(Vec<Address>),
    /// Nothing: a point that others wait for.
    Barrier,
}

/// A task: what to do, and what the scheduler must know.
#[derive(Clone, Debug)]
pub struct Task {
    /// What to do.
    pub work: Work,
    /// Needs, locks, cost.
    pub node: Node,
}

/// The whole of Restore.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Pre-data steps, one wave after the other.
    pub pre_data: Vec<Wave>,
    /// Tables to copy.
    pub tables: Vec<CopyTable>,
    /// Everything after pre-data.
    pub tasks: Vec<Task>,
}

/// What planning needs beside the model.
#[derive(Debug)]
pub struct PlanInput<'a> {
    /// The model.
    pub schema: &'a Schema,
    /// The ordered steps.
    pub steps: &'a [Step],
    /// Sizes by table, read under the locks.
    pub sizes: &'a HashMap<Address, TableSize>,
    /// How tables can be sliced, where they can.
    pub slicing: &'a HashMap<Address, Slicing>,
    /// Tables and materialized views whose statistics are carried over.
    pub carried: &'a HashSet<Address>,
    /// Connection pairs.
    pub jobs: usize,
    /// See [`part_count`].
    pub split_bytes: u64,
    /// `server_version_num` of the target.
    pub target_version: u32,
}

/// Plans Restore.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut planner = Planner::new(input);
    planner.data();
    planner.post_data();
    planner.finish()
}

struct Planner<'a> {
    input: &'a PlanInput<'a>,
    tables: Vec<CopyTable>,
    by_address: HashMap<Address, usize>,
    tasks: Vec<Task>,
    /// Task that finishes a step; `None`: pre-data.
    step_task: Vec<Option<TaskId>>,
    /// Tasks after which a table's rows are complete.
    table_tasks: HashMap<Address, Vec<TaskId>>,
    placed: HashSet<usize>,
    matviews: HashSet<Address>,
    late: Late,
    data_complete: TaskId,
}

impl<'a> Planner<'a> {
    fn new(input: &'a PlanInput<'a>) -> Self {
        let tables = data::copy_tables(input);
        let by_address = tables.iter().enumerate().map(|(i, t)| (t.address, i)).collect();
        let matviews =
            input.steps.iter().filter(|s| s.kind == "MATERIALIZED VIEW").map(|s| s.address).collect();
        Planner {
            input,
            tables,
            by_address,
            tasks: Vec::new(),
            step_task: vec![None; input.steps.len()],
            table_tasks: HashMap::new(),
            placed: HashSet::new(),
            late: Late::new(input, &matviews),
            matviews,
            data_complete: 0,
        }
    }

    fn task(&mut self, work: Work, mut node: Node) -> TaskId {
        node.needs.sort_unstable();
        node.needs.dedup();
        self.tasks.push(Task { work, node });
        self.tasks.len() - 1
    }

    fn finish(self) -> Plan {
        Plan {
            pre_data: pre_data::waves(self.input.steps, self.input.jobs),
            tables: self.tables,
            tasks: self.tasks,
        }
    }
}

/// The table an index or key step builds on.
fn index_table(step: &Step) -> Option<Address> {
    match step.kind {
        "INDEX" | "CONSTRAINT" if step.section == Section::PostData => {
            step.locks.first().map(|(table, _)| *table)
        }
        _ => None,
    }
}
