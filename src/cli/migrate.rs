//! The migration itself: events to the display, interrupts to the state machine, its end to an exit code.
//!
//! Invariant: the first interrupt asks the state machine to stop and leaves everything tidy; the second one ends the process at once.

use tokio::sync::watch;

use super::display::{Level, Voice};
use crate::error::ExitCode;
use crate::migration::{Config, Error, offline};

/// Runs an offline migration.
pub(super) async fn run(config: Config, voice: &Voice) -> ExitCode {
    if config.online.is_some() {
        voice.failed("--mode online is not in this version", ExitCode::Usage);
        return ExitCode::Usage;
    }
    let (interrupts, shutdown) = watch::channel(0);
    let signals = Signals::new().ok();
    tokio::select! {
        // The migration is asked first: where it has just ended, an interrupt comes too late to matter.
        biased;
        ended = offline::run(config, voice.reporter(), shutdown) => match ended {
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
    voice.say(Level::Warn, "interrupted: stopping cleanly; interrupt again to end at once");
    interrupts.send_modify(|n| *n += 1);
    next(&mut signals).await;
    interrupts.send_modify(|n| *n += 1);
    voice.say(
        Level::Error,
        "interrupted twice: ended at once; run the same command again to go on or start over",
    );
    ExitCode::Interrupted
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
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// What interrupts: Ctrl+C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
