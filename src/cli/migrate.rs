//! The migration itself: events to the display, interrupts to the state machine, its end to an exit code.
//!
//! Invariant: the first interrupt asks the state machine to stop and leaves everything tidy; the second one ends the process at once.

use tokio::sync::watch;

use super::display::{Level, Voice};
use crate::error::ExitCode;
use crate::migration::{Config, offline};

/// Runs an offline migration.
pub(super) async fn run(config: Config, voice: &Voice) -> ExitCode {
    let (interrupts, shutdown) = watch::channel(0);
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
                voice.failed(&error.to_string(), code);
                code
            }
        },
        code = second_interrupt(interrupts, voice) => code,
    }
}

/// Counts interrupts (SIGINT, and SIGTERM on Unix); returns at the second one.
async fn second_interrupt(interrupts: watch::Sender<u32>, voice: &Voice) -> ExitCode {
    if interrupt().await.is_err() {
        // Signals cannot be had: they keep their default action, which ends the process.
        return std::future::pending().await;
    }
    voice.say(Level::Warn, "interrupted: stopping cleanly; interrupt again to end at once");
    interrupts.send_modify(|n| *n += 1);
    let _ = interrupt().await;
    interrupts.send_modify(|n| *n += 1);
    voice.say(
        Level::Error,
        "interrupted twice: ended at once; run the same command again to go on or start over",
    );
    ExitCode::Interrupted
}

#[cfg(unix)]
async fn interrupt() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn interrupt() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
