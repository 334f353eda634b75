//! What was measured: plain data, and the three ways it is shown.
//!
//! The names of the fields are those of `--json` (README, "Benchmarks") and stay. Invariant: rendering is a pure function of the report.

mod goals;
mod html;
mod svg;
mod table;

pub use goals::{Goal, Goals};
pub use html::html;
pub use table::table;

use serde::Serialize;

use super::arena::Arena;
use super::contender::Name;
use super::measure::{Cpu, Percentiles, Point};
use super::{Asked, Task};

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `apply`, `latency` or `copy`.
    pub bench: &'static str,
    /// Of pg_migrator.
    pub version: &'static str,
    /// Cores that this process may use.
    pub cores: usize,
    /// The source's server.
    pub source: ServerFacts,
    /// The target's server.
    pub target: ServerFacts,
    /// `--scale`.
    pub scale: f64,
    /// `--rounds`.
    pub rounds: usize,
    /// Connections that pg_migrator works over: its apply lanes, or its `--jobs`.
    pub connections: usize,
    /// More than one of them only where they pay: their number was not asked for.
    #[serde(skip)]
    pub sparing: bool,
    /// Backlogs, or shapes of tables.
    pub workloads: Vec<WorkloadReport>,
    /// Of `--latency`.
    pub latency: Vec<LatencyReport>,
}

/// What matters of a server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version: u32,
    /// Made for the run.
    pub throwaway: bool,
    /// Its processes are on this machine, so that their CPU time is known.
    pub visible: bool,
    /// How it was compiled, as `pg_config` says: `-O2` mostly; `None`: the role may not know. A build for size takes up to twice the time for
    /// an index, so its figures are no others' ([`ServerFacts::is_usual`]).
    pub optimization: Option<String>,
}

impl ServerFacts {
    /// Compiled as servers in use are.
    pub fn is_usual(&self) -> bool {
        self.optimization.as_deref().is_none_or(|flag| matches!(flag, "-O2" | "-O3"))
    }
}

/// One workload, or shape of tables.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkloadReport {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// How much there was to do.
    pub size: Size,
    /// Who did it, the limit first.
    pub contenders: Vec<ContenderReport>,
    /// What was to be reached, and whether it was.
    pub goals: Vec<Goal>,
}

/// How much there was to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Size {
    /// Row changes in the backlog; 0: tables are copied.
    pub changes: u64,
    /// Transactions in the backlog.
    pub transactions: u64,
    /// Rows of the tables that are copied; 0: a backlog is drained.
    pub rows: u64,
    /// Bytes: of WAL, or of COPY data in text format.
    pub bytes: u64,
}

impl Size {
    /// Changes or rows.
    pub fn items(&self) -> u64 {
        self.changes.max(self.rows)
    }
}

/// One contender's runs.
#[derive(Clone, Debug, Serialize)]
pub struct ContenderReport {
    /// Who.
    pub name: Name,
    /// In order; empty where it could not take part.
    pub runs: Vec<Run>,
    /// Why it could not take part.
    pub skipped: Option<String>,
}

/// One contender, once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// From the start to the last row on the target.
    pub seconds: f64,
    /// Of the whole migration, where only a part of it is compared.
    pub whole_seconds: Option<f64>,
    /// Changes, or rows, per second.
    pub items_per_second: f64,
    /// Transactions per second.
    pub transactions_per_second: f64,
    /// Bytes per second, millions: of WAL, or of COPY data.
    pub megabytes_per_second: f64,
    /// What it cost.
    pub cpu: Cpu,
    /// CPU of what applies, microseconds per change or row: client and the target's sessions, or its apply worker.
    pub applying_us: Option<f64>,
    /// Its rate, divided by the limit's in the same round.
    pub share_of_limit: Option<f64>,
    /// Its rate, divided by PostgreSQL's own subscription's in the same round.
    pub times_subscription: Option<f64>,
    /// `applying_us`, divided by that of the subscription's worker in the same round.
    pub times_worker: Option<f64>,
    /// The target's rows are the source's; `None`: it writes none.
    pub equal: Option<bool>,
    /// Tables that differ, with what differs.
    pub differing: Vec<String>,
    /// Progress over time.
    pub points: Vec<Point>,
}

/// A figure in several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The middle one; of an even number the mean of two.
    pub middle: f64,
    /// The largest.
    pub most: f64,
}

/// From commit to visible, for one contender.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyReport {
    /// Who.
    pub name: Name,
    /// Why it could not take part.
    pub skipped: Option<String>,
    /// Transactions per second that were asked for.
    pub rate_asked: f64,
    /// Transactions per second that were reached.
    pub rate: f64,
    /// Transactions.
    pub transactions: u64,
    /// Milliseconds from the row's `clock_timestamp()` on the source to when the target showed it.
    pub latency_ms: Option<Percentiles>,
    /// Bytes of WAL between the source's position and what was applied, every 100 ms.
    pub lag_bytes: Option<Percentiles>,
    /// What it cost.
    pub cpu: Cpu,
    /// The clocks' difference, target minus source, milliseconds; it is taken off.
    pub clock_offset_ms: f64,
    /// Seconds since the start, and milliseconds.
    pub points: Vec<(f64, f64)>,
    /// Seconds since the start, and bytes.
    pub lag_points: Vec<(f64, u64)>,
    /// What was to be reached, and whether it was.
    pub goals: Vec<Goal>,
}

impl Report {
    pub(super) fn new(asked: &Asked, arena: &Arena, connections: usize) -> Report {
        Report {
            bench: match asked.task {
                Task::Apply { .. } => "apply",
                Task::Latency { .. } => "latency",
                Task::Copy { .. } => "copy",
            },
            version: env!("CARGO_PKG_VERSION"),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
            source: arena.source.facts(),
            target: arena.target.facts(),
            scale: asked.scale,
            rounds: asked.rounds,
            connections,
            sparing: matches!(asked.task, Task::Apply { lanes: 0, .. } | Task::Latency { lanes: 0, .. }),
            workloads: Vec::new(),
            latency: Vec::new(),
        }
    }

    /// Whether every contender left the source's rows on the target.
    pub fn all_equal(&self) -> bool {
        let runs = self.workloads.iter().flat_map(|w| &w.contenders).flat_map(|c| &c.runs);
        runs.into_iter().all(|run| run.equal != Some(false))
    }
}

impl WorkloadReport {
    /// The contender of this name, if it took part.
    pub fn contender(&self, name: Name) -> Option<&ContenderReport> {
        self.contenders.iter().find(|c| c.name == name && !c.runs.is_empty())
    }

    /// Works the comparisons out, once all contenders have run: each run against those of the same round, for what else happens on a machine changes
    /// from one to the next.
    pub(super) fn compare(&mut self, goals: Option<Goals>) {
        let rates = |contender: &ContenderReport| -> Vec<f64> {
            contender.runs.iter().map(|run| run.items_per_second).collect()
        };
        let limits: Vec<_> = self.contenders.iter().filter(|c| c.name.is_limit()).map(rates).collect();
        let subscription = self.contender(Name::Subscription);
        let own = subscription.map(rates).unwrap_or_default();
        let workers: Vec<_> =
            subscription.map_or(Vec::new(), |c| c.runs.iter().map(|run| run.applying_us).collect());
        let ratio = |of: f64, to: Option<f64>| to.filter(|to| *to > 0.0).map(|to| of / to);
        for contender in self.contenders.iter_mut().filter(|contender| !contender.name.is_limit()) {
            for (n, run) in contender.runs.iter_mut().enumerate() {
                let limit = limits.iter().filter_map(|rates| rates.get(n).copied()).reduce(f64::max);
                run.share_of_limit = ratio(run.items_per_second, limit);
                run.times_subscription = ratio(run.items_per_second, own.get(n).copied());
                run.times_worker =
                    run.applying_us.and_then(|us| ratio(us, workers.get(n).copied().flatten()));
            }
        }
        if let Some(goals) = goals {
            self.goals = goals.judge(self);
        }
    }
}

impl ContenderReport {
    /// The run that is shown: the middle one by time, of an even number the faster of the two.
    pub fn middle(&self) -> Option<&Run> {
        let mut runs: Vec<&Run> = self.runs.iter().collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        runs.get(runs.len().saturating_sub(1) / 2).copied()
    }

    /// A figure over all runs; `None`: no run has it.
    pub fn spread(&self, figure: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(figure).collect())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (below, above) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Spread { least, middle: (below + above) / 2.0, most })
    }
}

impl Run {
    /// Rates and costs of this much work in so many seconds.
    pub(super) fn of(name: Name, size: Size, seconds: f64, cpu: Cpu, points: Vec<Point>) -> Run {
        let per_second = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        let applied = match name {
            Name::Receiver => None,
            Name::Subscription => cpu.target.map(|target| target.apply_worker),
            _ => cpu.client.zip(cpu.target).map(|(client, target)| client + target.backend),
        };
        Run {
            seconds,
            items_per_second: per_second(size.items()),
            transactions_per_second: per_second(size.transactions),
            megabytes_per_second: per_second(size.bytes) / 1e6,
            applying_us: applied.filter(|_| size.items() > 0).map(|s| s * 1e6 / size.items() as f64),
            cpu,
            points,
            ..Run::default()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::measure::ServerCpu;
    use crate::bench::workload::Workload;

    fn run(name: Name, size: Size, seconds: f64, client: f64, worker: f64, backend: f64) -> Run {
        let cpu = Cpu {
            client: Some(client),
            source: Some(ServerCpu { walsender: 2.5, ..ServerCpu::default() }),
            target: Some(ServerCpu { apply_worker: worker, backend, other: 0.25, ..ServerCpu::default() }),
            busy: Some(0.8),
            machine_busy: Some(0.9),
        };
        let points =
            (0..=10).map(|i| Point { at: seconds / 10.0 * f64::from(i), done: size.bytes / 10 * i as u64 });
        Run {
            equal: (worker + backend > 0.0).then_some(true),
            ..Run::of(name, size, seconds, cpu, points.collect())
        }
    }

    /// A report as a run makes it.
    pub fn sample() -> Report {
        let size = Size { changes: 500_000, transactions: 10, rows: 0, bytes: 100_000_000 };
        let contender = |name, runs| ContenderReport { name, runs, skipped: None };
        let mut workload = WorkloadReport {
            name: Workload::UpdateBulk.name(),
            what: Workload::UpdateBulk.what(),
            size,
            contenders: vec![
                contender(
                    Name::Receiver,
                    vec![
                        run(Name::Receiver, size, 3.5, 0.2, 0.0, 0.0),
                        run(Name::Receiver, size, 3.0, 0.2, 0.0, 0.0),
                    ],
                ),
                contender(
                    Name::Subscription,
                    vec![
                        run(Name::Subscription, size, 7.0, 0.0, 6.0, 0.0),
                        run(Name::Subscription, size, 6.25, 0.0, 5.5, 0.0),
                    ],
                ),
                contender(
                    Name::Migrator,
                    vec![
                        run(Name::Migrator, size, 3.5, 1.0, 0.0, 3.0),
                        run(Name::Migrator, size, 3.25, 0.75, 0.0, 3.0),
                    ],
                ),
            ],
            goals: Vec::new(),
        };
        workload.compare(Some(Workload::UpdateBulk.goals()));
        let mut skipped = workload.clone();
        skipped.name = "mixed";
        skipped.contenders[1] = ContenderReport {
            name: Name::Subscription,
            runs: Vec::new(),
            skipped: Some("target: permission denied <to create>".to_owned()),
        };
        if let Some(run) = skipped.contenders[2].runs.first_mut() {
            run.cpu = Cpu::default();
            run.applying_us = None;
            run.times_worker = None;
        }
        skipped.contenders[2].runs.truncate(1);
        skipped.compare(Some(Workload::Mixed.goals()));
        let facts = ServerFacts {
            version: 170_002,
            throwaway: true,
            visible: true,
            optimization: Some("-Os".to_owned()),
        };
        Report {
            bench: "apply",
            version: "0.1.0",
            cores: 2,
            source: facts.clone(),
            target: ServerFacts { version: 180_001, optimization: Some("-O2".to_owned()), ..facts },
            scale: 1.0,
            rounds: 2,
            connections: 1,
            sparing: false,
            workloads: vec![workload, skipped],
            latency: vec![latency()],
        }
    }

    fn latency() -> LatencyReport {
        let mut report = LatencyReport {
            name: Name::Migrator,
            skipped: None,
            rate_asked: 1000.0,
            rate: 999.5,
            transactions: 9995,
            latency_ms: Some(Percentiles { p50: 12.0, p95: 40.0, p99: 300.0, max: 400.0 }),
            lag_bytes: Some(Percentiles { p50: 1000.0, p95: 20_000.0, p99: 30_000.0, max: 40_000.0 }),
            cpu: Cpu::default(),
            clock_offset_ms: 0.01,
            points: vec![(0.1, 12.0), (0.2, 300.0)],
            lag_points: vec![(0.1, 100), (0.2, 3000)],
            goals: Vec::new(),
        };
        report.goals = Goals::default().judge_latency(&report);
        report
    }

    #[test]
    fn comparisons() {
        let report = sample();
        let ours = report.workloads[0].contender(Name::Migrator).and_then(ContenderReport::middle).unwrap();
        assert_eq!(ours.seconds, 3.25, "of two the faster");
        assert_eq!(ours.applying_us, Some(7.5));
        assert!((ours.times_subscription.unwrap() - 6.25 / 3.25).abs() < 1e-9, "in the same round");
        assert!((ours.times_worker.unwrap() - 7.5 / 11.0).abs() < 1e-9);
        assert!((ours.share_of_limit.unwrap() - 3.0 / 3.25).abs() < 1e-9);
        assert!(report.all_equal());
        assert!(report.workloads[1].contender(Name::Subscription).is_none());
    }

    #[test]
    fn the_middle_of_runs() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { least: 1.0, middle: 2.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { least: 1.0, middle: 2.5, most: 4.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn as_json() {
        let value = serde_json::to_value(sample()).unwrap();
        let workload = &value["workloads"][0];
        assert_eq!(workload["contenders"][2]["name"], "pg_migrator");
        assert_eq!(workload["contenders"][1]["runs"][0]["cpu"]["target"]["apply_worker"], 6.0);
        assert_eq!(workload["contenders"][0]["runs"][0]["equal"], serde_json::Value::Null);
        assert_eq!(value["latency"][0]["latency_ms"]["p99"], 300.0);
    }
}
