//! What one trial does: tables, transactions over them, and the way in which their changes reach the target. Pure.
//!
//! A plan is drawn by proptest, so that one that fails is made smaller until nothing more can be left out; it prints itself as
//! the SQL that it is.

use std::fmt;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::statements::{self, Allowed};
use super::tables::Table;

/// Everything of one trial.
#[derive(Clone)]
pub struct Plan {
    /// A seed for each table.
    pub tables: Vec<u64>,
    pub rounds: Vec<Round>,
    pub lanes: usize,
    pub way: Way,
    /// Partitions' changes come under the name of the whole.
    pub via_root: bool,
    /// The role that applies is no superuser: foreign keys are at work.
    pub plain: bool,
    /// The majors, once they are known: tables and statements follow from them.
    pub major: u32,
}

/// How changes get to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Decoder, batcher and applier by themselves, which takes any limits; the target is looked at after every batch.
    ByHand { spread_from: usize },
    /// The stream as a migration runs it. `live`: it runs while the source writes.
    Stream { live: bool },
}

/// Transactions, and how they are applied. After it the source is quiet until the target has them.
#[derive(Clone, Debug)]
pub struct Round {
    pub transactions: Vec<Transaction>,
    /// Two at a time.
    pub beside: bool,
    /// Rows may get other keys.
    pub moving: bool,
    /// Batches are to hold so many bytes and changes (by hand).
    pub limits: (usize, usize),
    pub durable: bool,
    pub cut: Option<Cut>,
}

/// Where applying breaks off; it goes on from the journal.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// At this batch (by hand).
    pub batch: usize,
    pub how: How,
}

/// How applying breaks off.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Before the batch; a transaction of many pieces may be open.
    Before,
    /// So long after it began, wherever that is.
    After(Duration),
    /// When some lanes have committed it and others, whose bits are set, have not.
    Between(u32),
}

#[derive(Clone, Debug)]
pub struct Transaction {
    pub steps: Vec<Step>,
    /// It is rolled back in the end.
    pub undone: bool,
    /// A statement that the source refuses is undone alone; else all of it is.
    pub guarded: bool,
    /// Constraints that can wait do.
    pub deferred: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// On one of the tables, by its seed.
    Statement { table: usize, seed: u64 },
    /// A savepoint, these, and perhaps back to it.
    Block { steps: Vec<Step>, undone: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let statement =
        || (0..6usize, any::<u64>().no_shrink()).prop_map(|(table, seed)| Step::Statement { table, seed });
    let block = |inner: BoxedStrategy<Step>| {
        (vec(inner, 1..4), any::<bool>()).prop_map(|(steps, undone)| Step::Block { steps, undone })
    };
    let deep = prop_oneof![5 => statement(), 1 => block(statement().boxed())];
    prop_oneof![6 => statement(), 1 => block(deep.boxed())]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let often = prop::bool::weighted;
    (vec(step(), 1..8), often(0.08), often(0.8), often(0.3))
        .prop_map(|(steps, undone, guarded, deferred)| Transaction { steps, undone, guarded, deferred })
}

fn cut() -> impl Strategy<Value = Cut> {
    let how = prop_oneof![
        1 => Just(How::Before),
        1 => (0..30_000u64).prop_map(|after| How::After(Duration::from_micros(after))),
        4 => (1..65_535u32).prop_map(How::Between),
    ];
    (select(vec![0usize, 0, 0, 0, 0, 1, 2]), how).prop_map(|(batch, how)| Cut { batch, how })
}

fn round() -> impl Strategy<Value = Round> {
    let bytes = select(vec![16 << 20, 16 << 20, 200_000, 5_000, 300]);
    let changes = select(vec![100_000, 100_000, 100_000, 100, 100, 10, 3, 1]);
    let often = prop::bool::weighted;
    (
        vec(transaction(), 1..7),
        often(0.2),
        often(0.5),
        (bytes, changes),
        any::<bool>(),
        prop::option::weighted(0.4, cut()),
    )
        .prop_map(|(transactions, beside, moving, limits, durable, cut)| Round {
            transactions,
            beside,
            moving,
            limits,
            durable,
            cut,
        })
}

/// All plans for servers of this major at least.
pub fn plans(major: u32) -> impl Strategy<Value = Plan> {
    let way = prop_oneof![
        3 => select(vec![1usize, 1, 1, 30]).prop_map(|spread_from| Way::ByHand { spread_from }),
        1 => any::<bool>().prop_map(|live| Way::Stream { live }),
    ];
    let lanes = select(vec![1usize, 2, 4, 2, 4, 1, 2, 4, 16]);
    let plain = prop::bool::weighted(0.2);
    (vec(any::<u64>().no_shrink(), 1..5), vec(round(), 1..4), lanes, way, any::<bool>(), plain).prop_map(
        move |(tables, rounds, lanes, way, via_root, plain)| Plan {
            tables,
            rounds,
            lanes,
            way,
            via_root,
            plain,
            major,
        },
    )
}

impl Plan {
    /// The tables.
    pub fn draw_tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for seed in &self.tables {
            let table = Table::draw(*seed, &tables, self.major, self.plain);
            tables.push(table);
        }
        tables
    }

    /// What fills the tables before the first round.
    pub fn filling(&self, tables: &[Table]) -> Vec<String> {
        self.tables.iter().zip(tables).map(|(seed, table)| statements::fill(*seed, table)).collect()
    }
}

impl Round {
    /// Which statements its transactions may have.
    pub fn allowed(&self) -> Allowed {
        Allowed { alone: !self.beside, moving: self.moving }
    }
}

impl Transaction {
    /// Its statements, each with how deep in savepoints it is; and the savepoints themselves.
    pub fn lines(&self, tables: &[Table], allowed: Allowed) -> Vec<String> {
        let mut out = Vec::new();
        lines(&self.steps, tables, allowed, 0, &mut out);
        out
    }
}

fn lines(steps: &[Step], tables: &[Table], allowed: Allowed, depth: usize, out: &mut Vec<String>) {
    for step in steps {
        match step {
            Step::Statement { table, seed } => {
                let table = &tables[table % tables.len()];
                out.extend(statements::draw(*seed, table, tables, allowed));
            }
            Step::Block { steps, undone } => {
                out.push(format!("SAVEPOINT d{depth}"));
                lines(steps, tables, allowed, depth + 1, out);
                out.push(format!("{} d{depth}", if *undone { "ROLLBACK TO" } else { "RELEASE" }));
            }
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.draw_tables();
        writeln!(
            f,
            "{} lanes, {:?}, via root: {}, plain role: {}",
            self.lanes, self.way, self.via_root, self.plain
        )?;
        for line in tables.iter().flat_map(|table| &table.script).chain(&self.filling(&tables)) {
            writeln!(f, "{line};")?;
        }
        for round in &self.rounds {
            writeln!(
                f,
                "-- round: {}limits {:?}, durable {}, {:?}",
                if round.beside { "two at a time, " } else { "" },
                round.limits,
                round.durable,
                round.cut
            )?;
            for transaction in &round.transactions {
                let guarded = if transaction.guarded { " -- each statement by itself" } else { "" };
                writeln!(f, "BEGIN;{guarded}")?;
                if transaction.deferred {
                    writeln!(f, "SET CONSTRAINTS ALL DEFERRED;")?;
                }
                for line in transaction.lines(&tables, round.allowed()) {
                    writeln!(f, "{line};")?;
                }
                writeln!(f, "{};", if transaction.undone { "ROLLBACK" } else { "COMMIT" })?;
            }
        }
        Ok(())
    }
}
