//! The live display of a terminal: one bar, and a line per table or index in flight, redrawn in place.
//!
//! Invariant: everything else that goes to stderr while it is up is printed through it, or lines would tear.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::state::State;

/// Lines for what is in flight, at most.
const LINES: usize = 10;
/// Steps of the bar: indicatif counts in whole numbers.
const STEPS: u64 = 10_000;

/// The bars on the terminal.
pub(crate) struct Live {
    all: MultiProgress,
    head: ProgressBar,
    lines: Vec<ProgressBar>,
}

impl Live {
    /// Takes the terminal on stderr.
    pub(crate) fn start() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let head = all.add(ProgressBar::new(STEPS));
        head.set_style(style("{wide_msg}"));
        Live { all, head, lines: Vec::new() }
    }

    /// Redraws from `state`.
    pub(crate) fn draw(&mut self, state: &State, now: Duration) {
        match state.fraction().filter(|_| state.phase().is_some() && !state.streams()) {
            Some(fraction) => {
                self.head.set_style(style("[{bar:24}] {wide_msg}"));
                self.head.set_position((fraction * STEPS as f64) as u64);
            }
            None => self.head.set_style(style("{wide_msg}")),
        }
        self.head.set_message(state.headline(now).unwrap_or_default());
        let texts = state.in_flight(now, LINES);
        while self.lines.len() < texts.len() {
            let line = self.all.add(ProgressBar::new(1));
            line.set_style(style("  {wide_msg}"));
            self.lines.push(line);
        }
        for line in self.lines.drain(texts.len()..) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
        }
    }

    /// Prints `text` above the bars.
    pub(crate) fn print(&self, text: &str) {
        // A terminal that went away is no reason to stop a migration.
        let _ = self.all.println(text);
    }

    /// Gives the terminal back.
    pub(crate) fn stop(self) {
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
