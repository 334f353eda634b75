//! What is applied and copied: tables, their starting rows, and the transactions that make the backlog. Pure.
//!
//! Invariants: the starting rows are the same on both sides, because the same statements make them out of nothing but numbers; each
//! statement of the load is one transaction; every table has a primary key and a second index.

mod mixed;
mod rows;
mod shapes;
mod tpcb;

pub use shapes::Shape;

use super::report::Goals;

/// The schema of every table.
pub const SCHEMA: &str = "bench";

/// A backlog of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// pgbench's TPC-B, 8 clients.
    Tpcb,
    /// Many rows inserted per transaction.
    InsertBulk,
    /// 10 rows inserted per transaction.
    InsertSmall,
    /// Many rows updated per transaction.
    UpdateBulk,
    /// Many rows deleted per transaction.
    DeleteBulk,
    /// 20 tables with foreign keys and secondary unique indexes.
    Mixed,
}

/// The statements of a workload.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The tables, by name in [`SCHEMA`].
    pub tables: Vec<String>,
    /// Make the tables and their starting rows; for both sides.
    pub start: Vec<String>,
    /// For the source alone: functions that the load calls, or the rows that are copied.
    pub source_only: Vec<String>,
    /// The load: a list per client, each statement a transaction.
    pub load: Vec<Vec<String>>,
}

impl Workload {
    /// All, in the order of the report.
    pub const ALL: [Workload; 6] = [
        Workload::Tpcb,
        Workload::InsertBulk,
        Workload::InsertSmall,
        Workload::UpdateBulk,
        Workload::DeleteBulk,
        Workload::Mixed,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Tpcb => "tpcb",
            Workload::InsertBulk => "insert-bulk",
            Workload::InsertSmall => "insert-small",
            Workload::UpdateBulk => "update-bulk",
            Workload::DeleteBulk => "delete-bulk",
            Workload::Mixed => "mixed",
        }
    }

    /// What it is, for people.
    pub fn what(self) -> &'static str {
        match self {
            Workload::Tpcb => "TPC-B transactions as pgbench's, 8 clients",
            Workload::InsertBulk => "rows inserted in 10 transactions",
            Workload::InsertSmall => "rows inserted 10 at a time",
            Workload::UpdateBulk => "rows updated in 10 transactions",
            Workload::DeleteBulk => "rows deleted in 10 transactions",
            Workload::Mixed => "transactions over 20 tables with foreign keys and second unique indexes",
        }
    }

    /// Whether nothing but rows inserted is in it, so that a COPY does the same.
    pub fn only_inserts(self) -> bool {
        matches!(self, Workload::InsertBulk | Workload::InsertSmall)
    }

    /// Its transactions or rows at scale 1.
    fn size(self) -> u64 {
        match self {
            Workload::Tpcb => 120_000,
            Workload::InsertBulk | Workload::UpdateBulk | Workload::DeleteBulk => 500_000,
            Workload::InsertSmall => 400_000,
            Workload::Mixed => 100_000,
        }
    }

    /// What is to be reached on two cores that both servers and the tool share.
    pub fn goals(self) -> Goals {
        let (rate, cpu) = match self {
            Workload::Tpcb => (2.3, 0.45),
            Workload::InsertBulk => (1.25, 0.6),
            Workload::InsertSmall => (1.5, 0.6),
            Workload::UpdateBulk => (1.6, 0.75),
            Workload::DeleteBulk => (1.4, 0.7),
            Workload::Mixed => (1.5, 0.75),
        };
        Goals { rate, cpu, ..Goals::default() }
    }

    /// Its statements at this scale.
    pub fn plan(self, scale: f64) -> Plan {
        let size = scaled(self.size(), scale, 100);
        match self {
            Workload::Tpcb => tpcb::plan(scaled(tpcb::ACCOUNTS, scale, 1000), size),
            Workload::InsertBulk => rows::insert_bulk(size),
            Workload::InsertSmall => rows::insert_small(size),
            Workload::UpdateBulk => rows::update_bulk(size),
            Workload::DeleteBulk => rows::delete_bulk(size),
            Workload::Mixed => mixed::plan(scaled(mixed::ROWS, scale, 100), size),
        }
    }
}

/// `n` at this scale, at least `least`.
pub(super) fn scaled(n: u64, scale: f64, least: u64) -> u64 {
    ((n as f64 * scale).round() as u64).max(least)
}

/// `total` things in `parts` runs that follow each other: (first, last), counted from 1; none is empty.
fn runs(total: u64, parts: u64) -> Vec<(u64, u64)> {
    let parts = parts.min(total);
    (0..parts).map(|i| (total * i / parts + 1, total * (i + 1) / parts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_everything_once() {
        assert_eq!(runs(10, 3), [(1, 3), (4, 6), (7, 10)]);
        assert_eq!(runs(2, 10), [(1, 1), (2, 2)]);
    }

    #[test]
    fn each_workload_is_as_large_as_it_says() {
        let transactions = |w: Workload, scale| w.plan(scale).load.iter().map(Vec::len).sum::<usize>();
        let at_scale_1 = Workload::ALL.map(|w| transactions(w, 1.0));
        assert_eq!(at_scale_1, [120_000, 10, 40_000, 10, 10, 100_000]);
        assert_eq!(transactions(Workload::Tpcb, 0.002), 240);
        for workload in Workload::ALL {
            let plan = workload.plan(0.0001);
            assert!(plan.load.iter().all(|client| !client.is_empty()), "{workload:?}");
            let made =
                |t: &String| plan.start.iter().any(|s| s.contains(&format!("CREATE TABLE bench.{t} ")));
            assert!(plan.tables.iter().all(made), "{workload:?}");
        }
        assert_eq!(Workload::Mixed.plan(1.0).tables.len(), 20);
    }

    #[test]
    fn names_are_distinct() {
        let mut names = Workload::ALL.map(Workload::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Workload::ALL.len());
    }
}
