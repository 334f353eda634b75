//! `tracing` events of the rooms, into the same stream as everything else.
//!
//! Invariant: only this crate's own events; a library's may quote what it was given.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use super::{Level, Voice};

struct ToVoice(Voice);

/// Sends this process's tracing events to `voice`; the first call wins.
pub(super) fn install(voice: Voice) {
    let _ = tracing::subscriber::set_global_default(Registry::default().with(ToVoice(voice)));
}

impl<S: Subscriber> Layer<S> for ToVoice {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !metadata.target().starts_with("pg_migrator") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        self.0.say(level(*metadata.level()), &(text.message + &text.fields));
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = if field.name() == "message" {
            self.message.write_str(value)
        } else {
            write!(self.fields, " {}={value}", field.name())
        };
    }
}
