//! What an online migration says: the heartbeat, CaughtUp and its withdrawal, the cutover's steps.
//!
//! Pure. Invariant: a heartbeat is one line that begins with `StreamApply: replication lag N bytes`, N with commas: scripts look for it.

use std::time::Duration;

use super::state::Line;
use super::text::{Level, bytes, count, counted, duration, whole};
use crate::progress::{Event, Lag, Phase};

/// How often the transactions that hold up the slot are named.
const SAY_HOLDERS: Duration = Duration::from_secs(15);

/// What has happened since the slot was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// The last heartbeat, and when it came.
    last: Option<(Lag, Duration)>,
    caught_up: bool,
    requested: Option<Duration>,
    holders_said: Option<Duration>,
}

impl Stream {
    /// Takes `event`; `Some` where it is one of ours: the line it is worth, if it is worth one.
    pub(super) fn apply(&mut self, event: &Event, now: Duration) -> Option<Option<Line>> {
        let say = |level, text| Some(Line { level, text });
        Some(match event {
            Event::SlotCreated { slot, lsn } => say(
                Level::Info,
                format!("{}: slot {slot} made; the copy sees the source as of {lsn}", Phase::PrepareSnapshot),
            ),
            Event::SlotWaits { slot, holders } => {
                let due = self.holders_said.is_none_or(|said| now.saturating_sub(said) >= SAY_HOLDERS);
                if due {
                    self.holders_said = Some(now);
                }
                let text = format!(
                    "{}: slot {slot} cannot be made before {} ended that began earlier:\n{}",
                    Phase::PrepareSnapshot,
                    match holders.len() {
                        1 => "a transaction has".to_owned(),
                        n => format!("{} have", counted(n as u64, "transaction")),
                    },
                    holders.join("\n")
                );
                Some(Line { level: Level::Warn, text }).filter(|_| due)
            }
            Event::StreamStarted { lsn, resumed: false } => {
                say(Level::Info, format!("{}: applying the source's changes from {lsn}", Phase::StreamApply))
            }
            Event::StreamStarted { lsn, resumed: true } => say(
                Level::Info,
                format!("{}: going on from {lsn}, where an earlier run had come to", Phase::StreamApply),
            ),
            Event::Lag(lag) => {
                let first = self.last.replace((*lag, now)).is_none();
                say(Level::Info, heartbeat(lag, first, self.caught_up))
            }
            Event::CaughtUp { lag_bytes } => {
                self.caught_up = true;
                say(
                    Level::Info,
                    format!(
                        "{}: lag is down to {} bytes; interrupt (Ctrl+C) or run `pg_migrator cutover` to cut over",
                        Phase::CaughtUp,
                        count(*lag_bytes)
                    ),
                )
            }
            Event::FellBehind { lag_bytes } => {
                self.caught_up = false;
                say(
                    Level::Info,
                    format!(
                        "{}: no longer: lag is up to {} bytes; applying goes on",
                        Phase::CaughtUp,
                        count(*lag_bytes)
                    ),
                )
            }
            Event::Reconnecting { message, attempt } => say(
                Level::Warn,
                format!("{}: {message}; connecting again (attempt {attempt})", Phase::StreamApply),
            ),
            Event::CutoverRequested { by } => {
                self.requested = Some(now);
                say(Level::Info, format!("{}: asked for by {by}", Phase::Cutover))
            }
            Event::Drained { lsn, elapsed } => say(
                Level::Info,
                format!(
                    "{}: drained in {}: all that the source had written up to {lsn} is applied and durable",
                    Phase::Cutover,
                    duration(*elapsed)
                ),
            ),
            Event::SequencesSet { sequences } => {
                say(Level::Info, format!("{}: {} set", Phase::Cutover, counted(*sequences, "sequence")))
            }
            _ => return None,
        })
    }

    /// The live display's line, most important first.
    pub(super) fn headline(&self, phase: Phase, now: Duration) -> String {
        let behind = |lag: &Lag| format!("lag {}", bytes(lag.lag_bytes));
        if phase == Phase::Cutover {
            let mut text = format!("{phase}: under way");
            if let Some(at) = self.requested {
                text += &format!(" for {}", whole(now.saturating_sub(at)));
            }
            // A heartbeat from before says nothing of the drain.
            if let Some((lag, _)) =
                self.last.as_ref().filter(|(_, at)| self.requested.is_some_and(|r| *at > r))
            {
                text += &format!(", {}", behind(lag));
            }
            return text;
        }
        let name = if self.caught_up { Phase::CaughtUp } else { phase };
        let Some((lag, _)) = &self.last else { return format!("{name}: Ctrl+C cuts over") };
        let forecast = match (self.caught_up, lag.seconds_to_zero) {
            (false, Some(seconds)) if lag.lag_bytes > 0 => format!(", zero {}", ahead(seconds)),
            (false, None) => ", never zero at this rate".to_owned(),
            _ => String::new(),
        };
        format!(
            "{name}: {}{forecast}, {} changes/s, {}; Ctrl+C cuts over",
            behind(lag),
            count(lag.changes_per_second.round() as u64),
            speed(lag.bytes_per_second)
        )
    }
}

/// The heartbeat's line; the first one has no rates yet, and close behind a busy source a forecast is noise.
fn heartbeat(lag: &Lag, first: bool, caught_up: bool) -> String {
    let mut text = format!(
        "{}: replication lag {} bytes; source {}, received {}, applied {}, confirmed {}",
        Phase::StreamApply,
        count(lag.lag_bytes),
        lag.source_lsn,
        lag.received_lsn,
        lag.applied_lsn,
        lag.confirmed_lsn
    );
    if !first {
        text += &format!(
            "; {} changes/s, {} applied, {} written",
            count(lag.changes_per_second.round() as u64),
            speed(lag.bytes_per_second),
            speed(lag.source_bytes_per_second)
        );
        match lag.seconds_to_zero {
            _ if lag.lag_bytes == 0 => {}
            Some(seconds) => text += &format!("; zero {}", ahead(seconds)),
            // A lag under the threshold that nothing takes off is not kept up with.
            None if lag.bytes_per_second == 0.0 && lag.received_lsn > lag.applied_lsn => {
                text += "; nothing applied since the last line";
            }
            None if caught_up => text += "; keeping up",
            None => text += "; never zero at this rate",
        }
    }
    if let Some(held) = lag.slot_wal_bytes {
        text += &format!("; the slot holds {} of WAL", bytes(held));
    }
    text
}

/// "in about …", to the second.
fn ahead(seconds: f64) -> String {
    const YEAR: f64 = 365.0 * 86_400.0;
    match Duration::try_from_secs_f64(seconds.min(YEAR).ceil()) {
        Ok(time) if seconds < YEAR => format!("in about {}", whole(time)),
        _ => "in more than a year".to_owned(),
    }
}

fn speed(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    fn lag(lag_bytes: u64, seconds_to_zero: Option<f64>) -> Lag {
        Lag {
            source_lsn: Lsn(0x16_B374_D848),
            received_lsn: Lsn(0x16_B374_D000),
            applied_lsn: Lsn(0x16_B360_0000),
            confirmed_lsn: Lsn(0x16_B350_0000),
            lag_bytes,
            changes_per_second: 12_345.4,
            bytes_per_second: 5_242_880.0,
            source_bytes_per_second: 1024.0,
            seconds_to_zero,
            slot_wal_bytes: Some(32 << 20),
        }
    }

    fn said(stream: &mut Stream, event: Event, at: u64) -> String {
        match stream.apply(&event, Duration::from_secs(at)) {
            None => "not ours".into(),
            Some(None) => "nothing".into(),
            Some(Some(line)) => super::super::text::line(line.level, &line.text, false),
        }
    }

    #[test]
    fn heartbeats() {
        let mut stream = Stream::default();
        let lines = [
            lag(1_245_184, None),
            lag(1_245_184, Some(11.2)),
            lag(1_245_184, None),
            Lag { slot_wal_bytes: None, ..lag(0, Some(0.0)) },
            lag(u64::MAX, Some(f64::MAX)),
        ]
        .map(|lag| said(&mut stream, Event::Lag(lag), 0));
        said(&mut stream, Event::CaughtUp { lag_bytes: 1 }, 0);
        let keeping_up = said(&mut stream, Event::Lag(lag(1, None)), 0);
        assert!(keeping_up.contains("; keeping up; "), "{keeping_up}");
        let stands = said(&mut stream, Event::Lag(Lag { bytes_per_second: 0.0, ..lag(1, None) }), 0);
        assert!(stands.contains("; nothing applied since the last line; "), "{stands}");
        insta::assert_snapshot!(lines.join("\n"), @r#"
[INFO] StreamApply: replication lag 1,245,184 bytes; source 16/B374D848, received 16/B374D000, applied 16/B3600000, confirmed 16/B3500000; the slot holds 32.0 MB of WAL
[INFO] StreamApply: replication lag 1,245,184 bytes; source 16/B374D848, received 16/B374D000, applied 16/B3600000, confirmed 16/B3500000; 12,345 changes/s, 5.0 MB/s applied, 1.0 kB/s written; zero in about 12 s; the slot holds 32.0 MB of WAL
[INFO] StreamApply: replication lag 1,245,184 bytes; source 16/B374D848, received 16/B374D000, applied 16/B3600000, confirmed 16/B3500000; 12,345 changes/s, 5.0 MB/s applied, 1.0 kB/s written; never zero at this rate; the slot holds 32.0 MB of WAL
[INFO] StreamApply: replication lag 0 bytes; source 16/B374D848, received 16/B374D000, applied 16/B3600000, confirmed 16/B3500000; 12,345 changes/s, 5.0 MB/s applied, 1.0 kB/s written
[INFO] StreamApply: replication lag 18,446,744,073,709,551,615 bytes; source 16/B374D848, received 16/B374D000, applied 16/B3600000, confirmed 16/B3500000; 12,345 changes/s, 5.0 MB/s applied, 1.0 kB/s written; zero in more than a year; the slot holds 32.0 MB of WAL
"#);
    }

    #[test]
    fn the_story_of_a_cutover() {
        let mut stream = Stream::default();
        let s = "slot_1".to_owned();
        let holders = vec!["pid 12, 3 min: UPDATE t SET …".to_owned(), "pid 13, 1 s: idle".to_owned()];
        let lsn = Lsn(0x16_B374_D848);
        let mut lines = Vec::new();
        for (at, event) in [
            (0, Event::SlotWaits { slot: s.clone(), holders: holders.clone() }),
            (1, Event::SlotWaits { slot: s.clone(), holders: holders.clone() }),
            (20, Event::SlotWaits { slot: s.clone(), holders: holders[1..].to_vec() }),
            (30, Event::SlotCreated { slot: s, lsn }),
            (31, Event::StreamStarted { lsn, resumed: false }),
            (31, Event::StreamStarted { lsn, resumed: true }),
            (32, Event::CaughtUp { lag_bytes: 8191 }),
            (33, Event::FellBehind { lag_bytes: 8_388_608 }),
            (34, Event::Reconnecting { message: "the source closed the connection".into(), attempt: 2 }),
            (35, Event::CutoverRequested { by: "an interrupt".into() }),
            (36, Event::Drained { lsn, elapsed: Duration::from_millis(120) }),
            (36, Event::SequencesSet { sequences: 1000 }),
            (36, Event::Note { message: "other".into() }),
        ] {
            lines.push(said(&mut stream, event, at));
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
[WARN] PrepareSnapshot: slot slot_1 cannot be made before 2 transactions have ended that began earlier:
       pid 12, 3 min: UPDATE t SET …
       pid 13, 1 s: idle
nothing
[WARN] PrepareSnapshot: slot slot_1 cannot be made before a transaction has ended that began earlier:
       pid 13, 1 s: idle
[INFO] PrepareSnapshot: slot slot_1 made; the copy sees the source as of 16/B374D848
[INFO] StreamApply: applying the source's changes from 16/B374D848
[INFO] StreamApply: going on from 16/B374D848, where an earlier run had come to
[INFO] CaughtUp: lag is down to 8,191 bytes; interrupt (Ctrl+C) or run `pg_migrator cutover` to cut over
[INFO] CaughtUp: no longer: lag is up to 8,388,608 bytes; applying goes on
[WARN] StreamApply: the source closed the connection; connecting again (attempt 2)
[INFO] Cutover: asked for by an interrupt
[INFO] Cutover: drained in 0.12 s: all that the source had written up to 16/B374D848 is applied and durable
[INFO] Cutover: 1,000 sequences set
not ours
"#);
    }

    #[test]
    fn live() {
        let mut stream = Stream::default();
        let mut lines = vec![stream.headline(Phase::StreamApply, Duration::ZERO)];
        for forecast in [Some(75.0), None] {
            stream.apply(&Event::Lag(lag(1_245_184, forecast)), Duration::ZERO);
            lines.push(stream.headline(Phase::StreamApply, Duration::ZERO));
        }
        stream.apply(&Event::CaughtUp { lag_bytes: 1 }, Duration::ZERO);
        lines.push(stream.headline(Phase::StreamApply, Duration::ZERO));
        stream.apply(&Event::CutoverRequested { by: "x".into() }, Duration::from_secs(1));
        lines.push(stream.headline(Phase::Cutover, Duration::from_secs(4)));
        stream.apply(&Event::Lag(lag(1_245_184, None)), Duration::from_secs(5));
        lines.push(stream.headline(Phase::Cutover, Duration::from_secs(6)));
        insta::assert_snapshot!(lines.join("\n"), @r#"
StreamApply: Ctrl+C cuts over
StreamApply: lag 1.2 MB, zero in about 1 min 15 s, 12,345 changes/s, 5.0 MB/s; Ctrl+C cuts over
StreamApply: lag 1.2 MB, never zero at this rate, 12,345 changes/s, 5.0 MB/s; Ctrl+C cuts over
CaughtUp: lag 1.2 MB, 12,345 changes/s, 5.0 MB/s; Ctrl+C cuts over
Cutover: under way for 3 s
Cutover: under way for 5 s, lag 1.2 MB
"#);
    }
}
