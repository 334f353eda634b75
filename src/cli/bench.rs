//! `pg_migrator bench`: the report on stdout as a table or JSON, and into files as JSON and HTML.
//!
//! Invariant: exit code 0 means that everything was measured and every contender left the source's rows on the target; whether a goal was met is
//! told, and changes nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::display::{Level, Voice};
use super::invocation::Output;
use super::signals::{Signals, next};
use crate::bench::{self, Asked, Report, report};
use crate::error::ExitCode;

/// The benchmark, and where its report goes.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(crate) asked: Asked,
    pub(crate) output: Output,
    pub(crate) json: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
}

/// Runs it and shows what came of it.
pub(super) async fn run(asked: Bench, voice: &Voice) -> ExitCode {
    for path in [&asked.json, &asked.html].into_iter().flatten() {
        // A long run is not to end with a file that cannot be written.
        if let Err(e) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
            voice.failed(&cannot_write(path, &e), ExitCode::Usage);
            return ExitCode::Usage;
        }
    }
    let (interrupts, shutdown) = watch::channel(0);
    let signals = Signals::new().ok();
    let measured = tokio::select! {
        biased;
        measured = bench::run(asked.asked, voice.reporter(), shutdown) => measured,
        code = second_interrupt(signals, interrupts, voice) => return code,
    };
    let report = match measured {
        Ok(report) => report,
        Err(error) => {
            voice.failed(&error.to_string(), error.exit_code());
            return error.exit_code();
        }
    };
    let mut code = ExitCode::Done;
    if !report.all_equal() {
        let message =
            "rows on the target are not the source's: see the table; this is a fault, please report it";
        voice.failed(message, ExitCode::OperatorMustAct);
        code = ExitCode::OperatorMustAct;
    }
    for failed in show(&report, asked.output, asked.json.as_deref(), asked.html.as_deref()) {
        voice.failed(&failed, ExitCode::OperatorMustAct);
        code = ExitCode::OperatorMustAct;
    }
    code
}

/// Writes the report; returns what could not be written.
fn show(report: &Report, output: Output, json: Option<&Path>, html: Option<&Path>) -> Vec<String> {
    // A report is a struct of strings and numbers: it always serialises.
    let as_json = serde_json::to_string_pretty(report).unwrap_or_default();
    let text = match output {
        Output::Text => report::table(report),
        Output::Json => as_json.clone(),
    };
    let mut stdout = std::io::stdout().lock();
    let mut failed = Vec::new();
    if let Err(e) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        failed.push(format!("the report cannot be written to stdout: {e}"));
    }
    let files = [(json, as_json + "\n"), (html, report::html(report))];
    for (path, content) in files.iter().filter_map(|(path, content)| Some((path.as_ref()?, content))) {
        if let Err(e) = std::fs::write(path, content) {
            failed.push(cannot_write(path, &e));
        }
    }
    failed
}

fn cannot_write(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

/// Counts interrupts; returns at the second one.
async fn second_interrupt(
    mut signals: Option<Signals>,
    interrupts: watch::Sender<u32>,
    voice: &Voice,
) -> ExitCode {
    next(&mut signals).await;
    voice.say(Level::Warn, "interrupted: dropping what was made; interrupt again to end at once");
    interrupts.send_modify(|n| *n += 1);
    next(&mut signals).await;
    let message =
        "interrupted twice: ended at once; what is named pg_migrator_bench_… may still be on the servers";
    voice.say(Level::Error, message);
    ExitCode::Interrupted
}
