//! Events for machines: one JSON object per line, with a timestamp and a level in front.
//!
//! Invariant: the names are those of [`crate::progress::Event`] and stay; a line never holds a line break.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::state::State;
use super::text::{Level, timestamp};
use crate::progress::Event;

/// One event as a line.
pub(crate) fn event(event: &Event, level: Level, since_epoch: Duration) -> String {
    wrap(event, level, since_epoch)
}

/// Any other thing to tell, under an event name of its own.
pub(crate) fn named(name: &str, value: impl Serialize, level: Level, since_epoch: Duration) -> String {
    #[derive(Serialize)]
    struct Named<'a, T> {
        event: &'a str,
        #[serde(flatten)]
        value: T,
    }
    wrap(Named { event: name, value }, level, since_epoch)
}

/// Where the copy stands: `progress`, said while rows move.
pub(crate) fn progress(state: &State, now: Duration, since_epoch: Duration) -> String {
    let (rows, bytes) = state.copied();
    let (_, left) = state.pace(now);
    let value = json!({
        "phase": state.phase(),
        "rows": rows,
        "bytes": bytes,
        "bytes_estimate": state.planned_bytes(),
        "fraction": state.fraction(),
        "seconds_left": left.map(|d| d.as_secs()),
    });
    named("progress", value, Level::Info, since_epoch)
}

fn wrap(value: impl Serialize, level: Level, since_epoch: Duration) -> String {
    // An event is a struct of strings and numbers: it always serialises, to an object.
    let fields = serde_json::to_string(&value).unwrap_or_default();
    let fields = fields.strip_prefix('{').filter(|rest| rest.len() > 1).map(|rest| format!(",{rest}"));
    format!(
        r#"{{"timestamp":"{}","level":"{}"{}"#,
        timestamp(since_epoch),
        level.tag().to_lowercase(),
        fields.as_deref().unwrap_or("}")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Phase;

    const AT: Duration = Duration::from_millis(1_000_000_007);

    #[test]
    fn events() {
        let finished = Event::PhaseFinished { phase: Phase::Dump, elapsed: Duration::from_millis(1500) };
        insta::assert_snapshot!(event(&finished, Level::Info, AT), @r#"{"timestamp":"1970-01-12T13:46:40.007Z","level":"info","event":"phase_finished","phase":"Dump","seconds":1.5}"#);
        let warning = Event::Warning { object: "a\n\"b\"".into(), message: "m".into() };
        insta::assert_snapshot!(event(&warning, Level::Warn, AT), @r#"{"timestamp":"1970-01-12T13:46:40.007Z","level":"warn","event":"warning","object":"a\n\"b\"","message":"m"}"#);
        insta::assert_snapshot!(named("log", json!({"message": "m"}), Level::Debug, AT), @r#"{"timestamp":"1970-01-12T13:46:40.007Z","level":"debug","event":"log","message":"m"}"#);
    }

    #[test]
    fn where_it_stands() {
        let mut state = State::default();
        state.apply(&Event::PhaseStarted { phase: Phase::Restore }, Duration::ZERO);
        insta::assert_snapshot!(progress(&state, Duration::from_secs(3), AT), @r#"{"timestamp":"1970-01-12T13:46:40.007Z","level":"info","event":"progress","bytes":0,"bytes_estimate":0,"fraction":null,"phase":"Restore","rows":0,"seconds_left":null}"#);
    }
}
