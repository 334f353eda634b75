//! What has happened so far, kept from events alone, and the lines that are worth saying about it.
//!
//! Pure: time comes in as an argument. Invariant: memory is bounded by what is in flight, never by what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::online::Stream;
use super::text::{Level, bytes, count, counted, duration, rate, whole};
use crate::progress::{Event, Phase};

/// A table this large is worth a line of its own…
const LARGE_TABLE_BYTES: u64 = 64 << 20;
/// …and so is one that is this part of everything…
const LARGE_TABLE_SHARE: u64 = 100;
/// …but not one smaller than this: in a small database every table would be.
const SMALL_TABLE_BYTES: u64 = 1 << 20;
/// An index that took this long is worth a line of its own.
const LONG_TASK: Duration = Duration::from_secs(10);

/// A line to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
struct Table {
    estimate: u64,
    bytes: u64,
    rows: u64,
    since: Duration,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    phase: Option<Phase>,
    phase_since: Duration,
    planned_bytes: u64,
    tables_planned: u64,
    tables_done: u64,
    /// Of the estimates, what is done: copied bytes and sizes on disk differ, so finished tables count by their estimate.
    estimate_done: u64,
    copy_since: Option<Duration>,
    rows: u64,
    bytes: u64,
    tables: BTreeMap<String, Table>,
    tasks: BTreeMap<(String, String), Duration>,
    stream: Stream,
}

impl State {
    /// Takes `event`, which happened at `now` (since the start), and says what it is worth.
    pub(crate) fn apply(&mut self, event: &Event, now: Duration) -> Option<Line> {
        if let Some(line) = self.stream.apply(event, now) {
            return line;
        }
        let say = |level, text| Some(Line { level, text });
        match event {
            Event::PhaseStarted { phase } => {
                self.phase = Some(*phase);
                self.phase_since = now;
                say(Level::Info, format!("{phase}: started"))
            }
            Event::PhaseFinished { phase, elapsed } => {
                self.phase = None;
                say(Level::Info, format!("{phase}: finished in {}", duration(*elapsed)))
            }
            Event::Planned {
                tables,
                rows_estimate,
                bytes_estimate,
                parts,
                indexes,
                constraints,
                statements,
            } => {
                self.planned_bytes = *bytes_estimate;
                self.tables_planned = *tables;
                self.say_in_phase(format!(
                    "{} (about {}, {}) in {}; {}, {}; {}",
                    counted(*tables, "table"),
                    bytes(*bytes_estimate),
                    counted(*rows_estimate, "row"),
                    counted(*parts, "part"),
                    counted(*indexes, "index"),
                    counted(*constraints, "constraint"),
                    counted(*statements, "statement"),
                ))
            }
            Event::TableStarted { table, bytes_estimate, parts, binary } => {
                self.copy_since.get_or_insert(now);
                let started = Table { estimate: *bytes_estimate, bytes: 0, rows: 0, since: now };
                self.tables.insert(table.clone(), started);
                let format = if *binary { "binary" } else { "text" };
                let text = format!(
                    "copying {table}: about {} in {}, {format}",
                    bytes(*bytes_estimate),
                    counted(*parts, "part")
                );
                self.say_in_phase(text).map(|line| Line { level: Level::Debug, ..line })
            }
            Event::Copied { table, rows, bytes } => {
                self.rows += rows;
                self.bytes += bytes;
                if let Some(t) = self.tables.get_mut(table) {
                    t.rows += rows;
                    t.bytes += bytes;
                }
                None
            }
            Event::TableFinished { table, rows, bytes: moved, elapsed } => {
                let known = self.tables.remove(table);
                let estimate = known.as_ref().map_or(0, |t| t.estimate);
                // The final count is the server's; what was said on the way may be off by a little.
                let (said_rows, said_bytes) = known.map_or((0, 0), |t| (t.rows, t.bytes));
                self.rows = (self.rows + rows).saturating_sub(said_rows);
                self.bytes = (self.bytes + moved).saturating_sub(said_bytes);
                self.estimate_done += estimate;
                self.tables_done += 1;
                let size = estimate.max(*moved);
                let large = size > LARGE_TABLE_BYTES
                    || (size >= SMALL_TABLE_BYTES && size * LARGE_TABLE_SHARE >= self.planned_bytes);
                let rate = rate(*moved, *elapsed).map(|r| format!(" ({r})")).unwrap_or_default();
                let text = format!(
                    "copied {table}: {}, {} in {}{rate}",
                    counted(*rows, "row"),
                    bytes(*moved),
                    duration(*elapsed)
                );
                let level = if large { Level::Info } else { Level::Debug };
                self.say_in_phase(text).map(|line| Line { level, ..line })
            }
            Event::TaskStarted { kind, object } => {
                self.tasks.insert((kind.clone(), object.clone()), now);
                let text = format!("{} {object}", doing(kind));
                self.say_in_phase(text).map(|line| Line { level: Level::Debug, ..line })
            }
            Event::TaskFinished { kind, object, elapsed } => {
                self.tasks.remove(&(kind.clone(), object.clone()));
                let level = if *elapsed >= LONG_TASK { Level::Info } else { Level::Debug };
                let text = format!("{} {object}: done in {}", kind.to_lowercase(), duration(*elapsed));
                self.say_in_phase(text).map(|line| Line { level, ..line })
            }
            Event::Warning { object, message } if object.is_empty() => say(Level::Warn, message.clone()),
            Event::Warning { object, message } => say(Level::Warn, format!("{object}: {message}")),
            Event::ObjectFailed { kind, object, message, skipped_because_of, .. } => {
                self.tables.remove(object);
                self.tasks.remove(&(kind.clone(), object.clone()));
                match skipped_because_of {
                    Some(cause) => say(
                        Level::Warn,
                        format!("{kind} {object}: skipped, because it needs {cause}, which failed"),
                    ),
                    None => say(Level::Error, format!("{kind} {object}: {message}")),
                }
            }
            Event::Note { message } => self.say_in_phase(message.clone()),
            Event::LockWaits { table, holders } => say(
                Level::Warn,
                format!(
                    "{table}: waiting to lock it on the source against changes of its definition; it is held up by:\n{}\n\
                     End what need not go on (COMMIT or ROLLBACK, SELECT pg_terminate_backend(<pid>), ROLLBACK PREPARED '<gid>').",
                    holders.join("\n")
                ),
            ),
            _ => None,
        }
    }

    fn say_in_phase(&self, text: String) -> Option<Line> {
        let text = match self.phase {
            Some(phase) => format!("{phase}: {text}"),
            None => text,
        };
        Some(Line { level: Level::Info, text })
    }

    /// The phase that runs.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// Whether the copy is over and changes are applied: heartbeats say where it stands.
    pub(crate) fn streams(&self) -> bool {
        self.phase.is_some_and(|phase| phase >= Phase::StreamApply)
    }

    /// Copied so far: rows, bytes.
    pub(crate) fn copied(&self) -> (u64, u64) {
        (self.rows, self.bytes)
    }

    /// The size of all tables on the source's disk, in bytes.
    pub(crate) fn planned_bytes(&self) -> u64 {
        self.planned_bytes
    }

    /// The part of the planned bytes that is copied, 0 to 1; `None` before there is a plan.
    pub(crate) fn fraction(&self) -> Option<f64> {
        let in_flight: u64 = self.tables.values().map(|t| t.bytes.min(t.estimate)).sum();
        let done = self.estimate_done + in_flight;
        (self.planned_bytes > 0).then(|| (done as f64 / self.planned_bytes as f64).min(1.0))
    }

    /// The mean rate of the copy and what is left of it at that rate.
    pub(crate) fn pace(&self, now: Duration) -> (Option<String>, Option<Duration>) {
        let Some(since) = self.copy_since else { return (None, None) };
        let elapsed = now.saturating_sub(since);
        let left = self.fraction().filter(|f| *f > 0.005 && *f < 1.0).map(|f| elapsed.mul_f64((1.0 - f) / f));
        (rate(self.bytes, elapsed), left.filter(|_| elapsed.as_secs() >= 1))
    }

    /// One line on where it stands: said once a minute where there is no terminal, and the live display's first line.
    pub(crate) fn overview(&self, now: Duration) -> Option<String> {
        let phase = self.phase.filter(|_| !self.streams())?;
        if self.copy_since.is_none() {
            return Some(format!("{phase}: {}", whole(now.saturating_sub(self.phase_since))));
        }
        let mut text = format!(
            "{phase}: {}, {} of about {}",
            counted(self.rows, "row"),
            bytes(self.bytes),
            bytes(self.planned_bytes),
        );
        if let Some(fraction) = self.fraction() {
            text += &format!(" ({:.0} %)", (fraction * 100.0).floor());
        }
        let (pace, left) = self.pace(now);
        if let Some(pace) = pace {
            text += &format!(", {pace}");
        }
        if let Some(left) = left {
            text += &format!(", about {} left", whole(left));
        }
        text += &format!("; {} of {} tables", count(self.tables_done), count(self.tables_planned));
        Some(text)
    }

    /// The same in the width of a terminal, most important first, beside a bar.
    pub(crate) fn headline(&self, now: Duration) -> Option<String> {
        let phase = self.phase?;
        if self.streams() {
            return Some(self.stream.headline(phase, now));
        }
        let Some(fraction) = self.fraction().filter(|_| self.copy_since.is_some()) else {
            return self.overview(now);
        };
        let (pace, left) = self.pace(now);
        let mut text = format!("{phase} {:.0} %", (fraction * 100.0).floor());
        if let Some(left) = left {
            text += &format!(", {} left", whole(left));
        }
        text += &format!(", {}", bytes(self.bytes));
        if let Some(pace) = pace.filter(|_| fraction < 1.0) {
            text += &format!(" at {pace}");
        }
        text += &format!(
            ", {}; {}/{} tables",
            counted(self.rows, "row"),
            count(self.tables_done),
            count(self.tables_planned)
        );
        Some(text)
    }

    /// What is in flight, a line each, longest first; at most `limit`, the last of which says how many more.
    pub(crate) fn in_flight(&self, now: Duration, limit: usize) -> Vec<String> {
        let mut items: Vec<(Duration, String)> = Vec::new();
        for (name, t) in &self.tables {
            let share = match t.estimate {
                0 => String::new(),
                estimate => {
                    format!(" ({:.0} %)", (t.bytes.min(estimate) as f64 / estimate as f64 * 100.0).floor())
                }
            };
            let text = format!("copying {name}: {}, {}{share}", counted(t.rows, "row"), bytes(t.bytes));
            items.push((t.since, text));
        }
        for ((kind, object), since) in &self.tasks {
            let elapsed = whole(now.saturating_sub(*since));
            items.push((*since, format!("{} {object}: {elapsed}", doing(kind))));
        }
        items.sort_by_key(|(since, _)| *since);
        let more = (items.len() > limit).then(|| items.len() + 1 - limit);
        let mut lines: Vec<String> = items.into_iter().map(|(_, text)| text).collect();
        if let Some(more) = more {
            lines.truncate(limit.saturating_sub(1));
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

/// The verb for a task of `kind`.
fn doing(kind: &str) -> String {
    match kind {
        "INDEX" => "building index".into(),
        "CONSTRAINT" | "CHECK CONSTRAINT" => "adding constraint".into(),
        "FK CONSTRAINT" => "checking foreign key".into(),
        "ANALYZE" => "analyzing".into(),
        "MATERIALIZED VIEW DATA" | "REFRESH" => "refreshing".into(),
        "PRE-DATA" => "creating".into(),
        "ACL" => "granting privileges on".into(),
        _ => kind.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned() -> Event {
        Event::Planned {
            tables: 2,
            rows_estimate: 3_000_000,
            bytes_estimate: 400 << 20,
            parts: 3,
            indexes: 1,
            constraints: 1,
            statements: 12,
        }
    }

    fn started(table: &str, bytes_estimate: u64) -> Event {
        Event::TableStarted { table: table.into(), bytes_estimate, parts: 2, binary: true }
    }

    fn copied(table: &str, rows: u64, bytes: u64) -> Event {
        Event::Copied { table: table.into(), rows, bytes }
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    /// A migration's events and every line they make.
    fn story() -> (State, Vec<String>) {
        let mut state = State::default();
        let events = [
            (0, Event::PhaseStarted { phase: Phase::Validate }),
            (1, Event::PhaseFinished { phase: Phase::Validate, elapsed: Duration::from_millis(417) }),
            (1, Event::PhaseStarted { phase: Phase::Restore }),
            (1, planned()),
            (2, started("public.big", 300 << 20)),
            (2, started("public.\"Wee\"", 100 << 10)),
            (3, copied("public.big", 1_000_000, 100 << 20)),
            (4, copied("public.\"Wee\"", 10, 1000)),
            (
                4,
                Event::TableFinished {
                    table: "public.\"Wee\"".into(),
                    rows: 10,
                    bytes: 1000,
                    elapsed: seconds(1),
                },
            ),
            (5, Event::TaskStarted { kind: "INDEX".into(), object: "public.i".into() }),
            (
                16,
                Event::TaskFinished { kind: "INDEX".into(), object: "public.i".into(), elapsed: seconds(11) },
            ),
            (17, Event::Note { message: "statistics".into() }),
            (17, Event::Warning { object: "public.v".into(), message: "odd".into() }),
            (17, Event::Warning { object: String::new(), message: "general".into() }),
            (
                18,
                Event::ObjectFailed {
                    kind: "VIEW".into(),
                    object: "public.v".into(),
                    message: "no such function".into(),
                    skipped_because_of: None,
                    statements: vec![],
                },
            ),
            (
                18,
                Event::ObjectFailed {
                    kind: "VIEW".into(),
                    object: "public.w".into(),
                    message: String::new(),
                    skipped_because_of: Some("VIEW public.v".into()),
                    statements: vec![],
                },
            ),
            (19, Event::TaskStarted { kind: "FK CONSTRAINT".into(), object: "public.t f".into() }),
        ];
        let mut lines = Vec::new();
        for (at, event) in events {
            if let Some(line) = state.apply(&event, seconds(at)) {
                lines.push(super::super::text::line(line.level, &line.text, false));
            }
        }
        (state, lines)
    }

    #[test]
    fn lines() {
        insta::assert_snapshot!(story().1.join("\n"), @r#"
[INFO] Validate: started
[INFO] Validate: finished in 0.42 s
[INFO] Restore: started
[INFO] Restore: 2 tables (about 400 MB, 3,000,000 rows) in 3 parts; 1 index, 1 constraint; 12 statements
[DEBUG] Restore: copying public.big: about 300 MB in 2 parts, binary
[DEBUG] Restore: copying public."Wee": about 100 kB in 2 parts, binary
[DEBUG] Restore: copied public."Wee": 10 rows, 1.0 kB in 1.00 s (1.0 kB/s)
[DEBUG] Restore: building index public.i
[INFO] Restore: index public.i: done in 11.0 s
[INFO] Restore: statistics
[WARN] public.v: odd
[WARN] general
[ERROR] VIEW public.v: no such function
[WARN] VIEW public.w: skipped, because it needs VIEW public.v, which failed
[DEBUG] Restore: checking foreign key public.t f
"#);
    }

    #[test]
    fn where_it_stands() {
        let (mut state, _) = story();
        insta::assert_snapshot!(state.overview(seconds(22)).unwrap(), @"Restore: 1,000,010 rows, 100 MB of about 400 MB (25 %), 5.0 MB/s, about 59 s left; 1 of 2 tables");
        insta::assert_snapshot!(state.headline(seconds(22)).unwrap(), @"Restore 25 %, 59 s left, 100 MB at 5.0 MB/s, 1,000,010 rows; 1/2 tables");
        insta::assert_snapshot!(state.in_flight(seconds(22), 5).join("\n"), @r#"
copying public.big: 1,000,000 rows, 100 MB (33 %)
checking foreign key public.t f: 3 s
"#);
        assert_eq!(state.in_flight(seconds(22), 1), ["and 2 more"]);
        let finished = Event::TableFinished {
            table: "public.big".into(),
            rows: 3_000_000,
            bytes: 290 << 20,
            elapsed: seconds(4),
        };
        insta::assert_snapshot!(state.apply(&finished, seconds(23)).unwrap().text, @"Restore: copied public.big: 3,000,000 rows, 290 MB in 4.00 s (72.5 MB/s)");
        assert!(state.fraction().unwrap() < 1.0);
        assert_eq!(
            state.copied(),
            (3_000_010, (290 << 20) + 1000),
            "the final counts are the ones that count"
        );
    }

    #[test]
    fn before_the_copy_only_time_passes() {
        let mut state = State::default();
        assert_eq!(state.overview(seconds(1)), None);
        state.apply(&Event::PhaseStarted { phase: Phase::Dump }, seconds(1));
        assert_eq!(state.overview(seconds(4)).as_deref(), Some("Dump: 3 s"));
        assert_eq!(state.pace(seconds(4)), (None, None));
    }
}
