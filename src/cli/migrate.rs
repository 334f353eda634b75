//! The migration itself: events to the display, interrupts to the state machine, its end to an exit code.
//!
//! Invariant: the first interrupt asks the state machine to stop, or to cut over where it applies changes, and leaves everything
//! tidy; the second one ends the process at once, which the journal's transactions allow at any moment.

use tokio::sync::watch;

use super::display::{Level, Voice};
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

/// Counts interrupts; returns at the second one.
async fn second_interrupt(
    mut signals: Option<Signals>,
    interrupts: watch::Sender<u32>,
    voice: &Voice,
) -> ExitCode {
    next(&mut signals).await;
    voice.say(Level::Warn, interrupted(voice.phase()));
    interrupts.send_modify(|n| *n += 1);
    next(&mut signals).await;
    interrupts.send_modify(|n| *n += 1);
    voice.say(
        Level::Error,
        "interrupted twice: ended at once; run the same command again to go on or start over",
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

/// Waits for a signal. Where signals cannot be had they keep their default action, which ends the process: then forever.
async fn next(signals: &mut Option<Signals>) {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// What interrupts: SIGINT and SIGTERM. Made before the work begins, so that none is missed.
#[cfg(unix)]
pub(super) struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// What interrupts: Ctrl+C.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Signals)
    }

    pub(super) async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
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
