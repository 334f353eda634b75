//! The signals that ask the process to end, told apart: a person's Ctrl+C, and the word of a service manager, a reboot or a lost terminal.
//!
//! Made before the work begins, so that none is missed. Invariant: a signal that the process was started to ignore stays ignored (`nohup`).

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The operator: SIGINT.
    Interrupt,
    /// The system: SIGTERM or SIGHUP. It knows nothing of a cutover.
    End,
}

/// What asks the process to end: SIGINT, SIGTERM, SIGHUP.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::End,
            _ = hangup => Asked::End,
        }
    }
}

/// Whether SIGHUP is ignored, by what Linux tells of the process; elsewhere it is taken to be, and keeps what it does.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| hangup_of(&status)).unwrap_or(true)
}

/// Signal 1 in the mask `SigIgn` (proc_pid_status(5)).
#[cfg(unix)]
fn hangup_of(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? & 1 == 1)
}

/// What asks the process to end: Ctrl+C.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Signals)
    }

    pub(super) async fn next(&mut self) -> Asked {
        let _ = tokio::signal::ctrl_c().await;
        Asked::Interrupt
    }
}

/// Waits for a signal. Where signals cannot be had they keep their default action, which ends the process: then forever.
pub(super) async fn next(signals: &mut Option<Signals>) -> Asked {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_is_ignored_is_seen() {
        assert_eq!(hangup_of("Name:\tx\nSigIgn:\t0000000000000001\n"), Some(true));
        assert_eq!(hangup_of("SigIgn:\t0000000000001006\n"), Some(false));
        assert_eq!(hangup_of("SigCgt:\t1\n"), None);
    }
}
