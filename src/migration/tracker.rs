//! Keeps the time of each phase and the warnings, and passes every event on.
//!
//! Invariant: what the summary says is what the events said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::progress::{Event, Phase, Reporter, Summary};
use crate::restore::Totals;

/// The story of one run.
pub(super) struct Tracker {
    /// Where rooms report to.
    pub reporter: Reporter,
    warnings: Arc<Mutex<Vec<String>>>,
    phases: Vec<(String, f64)>,
    current: Option<(Phase, Instant)>,
}

impl Tracker {
    pub fn new(outer: Reporter) -> Self {
        let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = warnings.clone();
        let reporter = Reporter::new(move |event| {
            if let Event::Warning { object, message } = &event {
                let text = if object.is_empty() { message.clone() } else { format!("{object}: {message}") };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            outer.emit(event);
        });
        Tracker { reporter, warnings, phases: Vec::new(), current: None }
    }

    /// Ends the phase that runs, if one does, and begins `phase`.
    pub fn enter(&mut self, phase: Phase) {
        self.leave();
        self.reporter.emit(Event::PhaseStarted { phase });
        self.current = Some((phase, Instant::now()));
    }

    /// The phase that ran last.
    pub fn phase(&self) -> Phase {
        self.current.map_or(Phase::Validate, |(phase, _)| phase)
    }

    /// Ends the phase that runs.
    pub fn leave(&mut self) {
        if let Some((phase, started)) = self.current.take() {
            let elapsed = started.elapsed();
            self.phases.push((phase.to_string(), elapsed.as_secs_f64()));
            self.reporter.emit(Event::PhaseFinished { phase, elapsed });
        }
    }

    pub fn summary(&self, totals: Totals) -> Summary {
        let mut phases = self.phases.clone();
        if let Some((phase, started)) = self.current {
            phases.push((phase.to_string(), started.elapsed().as_secs_f64()));
        }
        Summary {
            phases,
            tables: totals.tables,
            rows: totals.rows,
            bytes: totals.bytes,
            large_objects: totals.large_objects,
            indexes: totals.indexes,
            constraints: totals.constraints,
            warnings: self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            stream: None,
            failed: totals.failed,
        }
    }
}
