//! Lag: how far the target is behind the source, how that changes, and whether that is close enough to cut over.
//!
//! Pure. Invariant: every figure comes from two samples and the time between them; nothing is asked of a server here.

use std::time::Duration;

use crate::lsn::Lsn;
use crate::progress::Lag;

/// What is known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, since any fixed moment.
    pub at: Duration,
    /// The source's flush position.
    pub source: Lsn,
    /// See [`super::Status`].
    pub received: Lsn,
    /// See [`super::Status`].
    pub applied: Lsn,
    /// See [`super::Status`].
    pub confirmed: Lsn,
    /// Row changes applied so far.
    pub changes: u64,
    /// WAL that the slot holds back, bytes; `None`: not known.
    pub slot_wal: Option<u64>,
}

/// Whether the migration has just become ready for cutover, or has just ceased to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Lag is under the threshold now.
    CaughtUp,
    /// It no longer is.
    FellBehind,
}

/// Makes heartbeats of samples.
#[derive(Clone, Debug)]
pub struct Meter {
    threshold: u64,
    last: Option<Sample>,
    caught_up: bool,
}

impl Meter {
    /// A meter for `--lag-threshold-bytes`.
    pub fn new(threshold: u64) -> Self {
        Meter { threshold, last: None, caught_up: false }
    }

    /// Takes a sample: the figures, and whether the threshold was crossed.
    pub fn take(&mut self, sample: Sample) -> (Lag, Option<Turn>) {
        let lag_bytes = sample.source.since(sample.applied);
        let last = self.last.replace(sample).unwrap_or(sample);
        let seconds = sample.at.saturating_sub(last.at).as_secs_f64();
        let per_second = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        let applied = per_second(sample.applied.since(last.applied));
        let written = per_second(sample.source.since(last.source));
        let lag = Lag {
            source_lsn: sample.source,
            received_lsn: sample.received,
            applied_lsn: sample.applied,
            confirmed_lsn: sample.confirmed,
            lag_bytes,
            changes_per_second: per_second(sample.changes.saturating_sub(last.changes)),
            bytes_per_second: applied,
            source_bytes_per_second: written,
            seconds_to_zero: seconds_to_zero(lag_bytes, applied - written),
            slot_wal_bytes: sample.slot_wal,
        };
        let under = lag_bytes == 0 || lag_bytes < self.threshold;
        let turn = match (self.caught_up, under) {
            (false, true) => Some(Turn::CaughtUp),
            (true, false) => Some(Turn::FellBehind),
            _ => None,
        };
        self.caught_up = under;
        (lag, turn)
    }
}

/// When lag reaches 0 if it goes on shrinking by this many bytes a second; `None`: never.
fn seconds_to_zero(lag: u64, gain: f64) -> Option<f64> {
    match lag {
        0 => Some(0.0),
        _ if gain > 0.0 => Some(lag as f64 / gain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, source: u64, applied: u64) -> Sample {
        let applied = Lsn(applied);
        Sample {
            at: Duration::from_secs(at),
            source: Lsn(source),
            received: applied,
            applied,
            changes: applied.0 / 10,
            ..Sample::default()
        }
    }

    #[test]
    fn a_shrinking_lag_has_a_forecast() {
        let mut meter = Meter::new(100);
        assert_eq!(meter.take(sample(0, 10_000, 1_000)).0.seconds_to_zero, None);
        let (lag, turn) = meter.take(sample(10, 11_000, 6_000));
        assert_eq!((lag.lag_bytes, turn), (5_000, None));
        assert_eq!((lag.bytes_per_second, lag.source_bytes_per_second), (500.0, 100.0));
        assert_eq!(lag.changes_per_second, 50.0);
        assert_eq!(lag.seconds_to_zero, Some(12.5));
    }

    #[test]
    fn a_growing_lag_never_ends() {
        let mut meter = Meter::new(100);
        meter.take(sample(0, 1_000, 0));
        assert_eq!(meter.take(sample(1, 3_000, 500)).0.seconds_to_zero, None);
    }

    #[test]
    fn caught_up_is_announced_once_and_withdrawn() {
        let mut meter = Meter::new(100);
        let mut turn = |source, applied| meter.take(sample(0, source, applied)).1;
        assert_eq!(turn(1_000, 0), None);
        assert_eq!(turn(1_000, 900), None, "at the threshold is not under it");
        assert_eq!(turn(1_000, 901), Some(Turn::CaughtUp));
        assert_eq!(turn(1_050, 1_000), None);
        assert_eq!(turn(2_000, 1_000), Some(Turn::FellBehind));
        assert_eq!(turn(2_000, 2_000), Some(Turn::CaughtUp));
    }

    #[test]
    fn an_idle_source_is_caught_up_whatever_the_threshold() {
        let mut meter = Meter::new(0);
        let (lag, turn) = meter.take(sample(0, 500, 500));
        assert_eq!((lag.lag_bytes, lag.seconds_to_zero, turn), (0, Some(0.0), Some(Turn::CaughtUp)));
    }
}
