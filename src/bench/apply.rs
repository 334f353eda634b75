//! `bench apply`: one workload, drained by each contender in turn.

use super::arena::Arena;
use super::backlog::{Slot, Stage};
use super::contender::receiver::Survey;
use super::contender::{Course, Drained, Name, copy_alone, migrator, receiver, subscription};
use super::report::{ContenderReport, Run, Size, WorkloadReport};
use super::workload::{SCHEMA, Workload};
use super::{Asked, BenchError, note};
use crate::config::Filter;
use crate::error::Side;
use crate::lsn::Lsn;
use crate::migration::compare;
use crate::pg::Server;
use crate::progress::Reporter;

/// Tables compared at once.
const COMPARED: usize = 2;

/// Makes the backlog of `workload` and has it drained.
pub(super) async fn run(
    arena: &Arena,
    asked: &Asked,
    workload: Workload,
    lanes: usize,
    reporter: &Reporter,
) -> Result<WorkloadReport, BenchError> {
    let name = workload.name();
    let plan = workload.plan(asked.scale);
    note(reporter, format!("{name}: making the tables"));
    let stage = Stage::set(arena, name, &plan).await?;
    let mut slots = Vec::new();
    for round in 0..asked.rounds {
        for contender in Name::APPLY {
            let slot = arena.premises.name(&format!("{name}_{}{round}", contender.short()));
            let from = arena.premises.slot(&stage.source, &slot).await?;
            slots.push((contender, Slot { name: slot, from }));
        }
    }
    note(reporter, format!("{name}: making the backlog"));
    let end = stage.load(&plan).await?;
    let alone = workload.only_inserts().then_some(Name::CopyAlone);
    let names = Name::APPLY.into_iter().chain(alone);
    let mut contest = Contest {
        arena,
        stage: &stage,
        name,
        tables: plan.tables,
        lanes,
        end,
        survey: Survey::default(),
        first: slots.iter().map(|(_, slot)| slot.from).min().unwrap_or_default(),
        reports: names.map(|name| ContenderReport { name, runs: Vec::new(), skipped: None }).collect(),
    };
    for (contender, slot) in &slots {
        contest.run(*contender, slot, reporter).await?;
        if let Some(alone) = alone.filter(|_| *contender == Name::Migrator) {
            contest.run(alone, slot, reporter).await?;
        }
        arena.premises.drop_slot(&stage.source, &slot.name).await?;
    }
    let (size, contenders) = (contest.size(), contest.reports);
    arena.premises.drop_database(Side::Source, stage.source.dbname()).await?;
    arena.premises.drop_database(Side::Target, stage.start.dbname()).await?;
    let mut report = WorkloadReport { name, what: workload.what(), size, contenders, goals: Vec::new() };
    report.compare(Some(workload.goals()));
    Ok(report)
}

/// A backlog and what became of it so far.
struct Contest<'a> {
    arena: &'a Arena,
    stage: &'a Stage,
    name: &'static str,
    tables: Vec<String>,
    lanes: usize,
    /// A position behind the backlog.
    end: Lsn,
    /// What the receiver has counted.
    survey: Survey,
    first: Lsn,
    reports: Vec<ContenderReport>,
}

impl Contest<'_> {
    fn size(&self) -> Size {
        Size {
            changes: self.survey.changes,
            transactions: self.survey.transactions,
            rows: 0,
            bytes: self.survey.last.since(self.first),
        }
    }

    async fn run(&mut self, contender: Name, slot: &Slot, reporter: &Reporter) -> Result<(), BenchError> {
        if self.reports.iter().any(|r| r.name == contender && r.skipped.is_some()) {
            return Ok(());
        }
        let premises = &self.arena.premises;
        let database = premises.name(&format!("{}_run", self.name));
        let writes = contender != Name::Receiver;
        let target = match writes {
            true => premises.database(Side::Target, &database, Some(&self.stage.start)).await?,
            false => self.stage.start.clone(),
        };
        let course = Course {
            source: self.stage.source.clone(),
            target: target.clone(),
            slot: slot.name.clone(),
            publication: self.stage.publication.clone(),
            name: premises.name("sub"),
            tables: self.tables.clone(),
            from: slot.from,
            to: if writes { self.survey.last } else { self.end },
            lanes: self.lanes,
            watch: self.arena.watch(),
        };
        self.arena.checkpoint().await?;
        match self.drain(contender, &course).await? {
            Ok(drained) => {
                let mut run = self.measured(contender, drained);
                if writes {
                    let differing = differences(&course.source, &target).await?;
                    (run.equal, run.differing) = (Some(differing.is_empty()), differing);
                }
                note(reporter, format!("{}: {contender}: {:.2} s", self.name, run.seconds));
                self.report(contender, |report| report.runs.push(run));
            }
            Err(why) => {
                note(reporter, format!("{}: {contender} takes no part: {why}", self.name));
                self.report(contender, |report| report.skipped = Some(why));
            }
        }
        if writes {
            premises.drop_database(Side::Target, &database).await?;
        }
        Ok(())
    }

    async fn drain(
        &mut self,
        contender: Name,
        course: &Course,
    ) -> Result<Result<Drained, String>, BenchError> {
        match contender {
            Name::Receiver => {
                let (drained, survey) = receiver::drain(course).await?;
                self.survey = survey;
                Ok(Ok(drained))
            }
            Name::Subscription => {
                let premises = &self.arena.premises;
                premises.expect_subscription(&course.target, &course.name);
                let drained = subscription::drain(course).await?;
                premises.forget_subscription(&course.name);
                Ok(drained)
            }
            Name::CopyAlone => Ok(Ok(copy_alone::drain(course).await?)),
            _ => Ok(Ok(migrator::drain(course).await?)),
        }
    }

    fn measured(&self, contender: Name, drained: Drained) -> Run {
        let seconds = drained.time.as_secs_f64();
        Run::of(contender, self.size(), seconds, drained.trace.cpu(0.0, seconds), drained.trace.points())
    }

    fn report(&mut self, contender: Name, change: impl FnOnce(&mut ContenderReport)) {
        if let Some(report) = self.reports.iter_mut().find(|report| report.name == contender) {
            change(report);
        }
    }
}

/// The tables that are not the source's, with what differs.
pub(super) async fn differences(source: &Server, target: &Server) -> Result<Vec<String>, BenchError> {
    let filter = Filter { include_schemas: vec![SCHEMA.to_owned()], ..Filter::default() };
    let reports = compare::run(source, target, &filter, COMPARED).await?;
    let rows = |rows: Option<u64>| rows.map_or("an unknown number of".to_owned(), |n| n.to_string());
    let differing = reports.iter().filter(|report| !report.equal).map(|report| match &report.error {
        Some(error) => format!("{}: cannot be compared: {error}", report.table),
        None => format!(
            "{}: {} rows on the source, {} on the target",
            report.table,
            rows(report.source_rows),
            rows(report.target_rows)
        ),
    });
    Ok(differing.collect())
}
