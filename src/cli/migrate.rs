//! The migration itself: events to the display, interrupts to the state machine, its end to an exit code.
//!
//! Invariant: the first interrupt asks the state machine to stop, or to cut over where it applies changes, and leaves everything
//! tidy; the second one ends the process at once, which the journal's transactions allow at any moment. Only the operator's interrupt cuts over:
//! a reboot or a service manager that stops the process must not take production along.

use std::time::Duration;

use tokio::sync::watch;

use super::display::{Level, Voice};
use super::signals::{Asked, Signals, next};
use crate::error::ExitCode;
use crate::migration::{self, Config, Error};
use crate::progress::Phase;

/// Runs a migration.
pub(super) async fn run(config: Config, voice: &Voice) -> ExitCode {
    let (interrupts, shutdown) = watch::channel(0);
    let signals = Signals::new().ok();
    tokio::select! {
        // The migration is asked first: where it has just ended, an interrupt comes too late to matter.
        biased;
        ended = migration::run(config, voice.reporter(), shutdown) => match ended {
            Ok(summary) => {
                voice.summary(&summary);
                if summary.failed.is_empty() { ExitCode::Done } else { ExitCode::OperatorMustAct }
            }
            Err(error) => {
                let code = error.exit_code();
                let findings = match &error {
                    Error::Refused(report) => report.findings.as_slice(),
                    _ => &[],
                };
                voice.failed_with(&error.to_string(), code, findings);
                code
            }
        },
        code = second_interrupt(signals, interrupts, voice) => code,
    }
}

/// Between two looks at the phase.
const LOOK: Duration = Duration::from_millis(5);

/// Counts interrupts; returns at the second one, and where the system asks for the end while changes are applied.
async fn second_interrupt(
    mut signals: Option<Signals>,
    interrupts: watch::Sender<u32>,
    voice: &Voice,
) -> ExitCode {
    let asked = next(&mut signals).await;
    let phase = voice.phase();
    if asked == Asked::End && applies(phase) {
        return ended(voice);
    }
    voice.say(Level::Warn, interrupted(phase));
    interrupts.send_modify(|n| *n += 1);
    let begins = async {
        if asked == Asked::Interrupt || phase == Some(Phase::Cutover) {
            std::future::pending::<()>().await;
        }
        // It was to stop the copy, and came just before the stream, to which it would mean a cutover.
        while !applies(voice.phase()) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        _ = next(&mut signals) => {}
        () = begins => return ended(voice),
    }
    interrupts.send_modify(|n| *n += 1);
    voice.say(
        Level::Error,
        "interrupted twice: ended at once; run the same command again to go on or start over",
    );
    ExitCode::Interrupted
}

/// Whether an interrupt would cut over.
fn applies(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::StreamApply | Phase::CaughtUp))
}

fn ended(voice: &Voice) -> ExitCode {
    voice.say(
        Level::Error,
        "told to end (SIGTERM or SIGHUP): ended without cutting over, slot and journal stay; run the same command again to go on",
    );
    ExitCode::Interrupted
}

/// What the first interrupt means in this phase.
fn interrupted(phase: Option<Phase>) -> &'static str {
    match phase {
        Some(Phase::StreamApply | Phase::CaughtUp) => {
            "cutting over: applying what the source has written up to now; interrupt again to end at once (the same command goes on)"
        }
        Some(Phase::Cutover) => {
            "the cutover is under way already; interrupt again to end at once (the same command goes on)"
        }
        _ => "interrupted: stopping cleanly; interrupt again to end at once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_cuts_over_once_changes_are_applied() {
        for phase in [None, Some(Phase::Validate), Some(Phase::Dump), Some(Phase::Restore)] {
            assert!(interrupted(phase).starts_with("interrupted: stopping cleanly"), "{phase:?}");
        }
        assert!(interrupted(Some(Phase::StreamApply)).starts_with("cutting over"));
        assert!(interrupted(Some(Phase::CaughtUp)).starts_with("cutting over"));
        assert!(interrupted(Some(Phase::Cutover)).contains("under way already"));
    }
}
