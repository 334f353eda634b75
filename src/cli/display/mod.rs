//! What a person or a machine sees on stderr while the tool works: a live display on a terminal, lines elsewhere,
//! JSON on request.
//!
//! A thread of its own owns stderr; events update a [`state::State`] under a lock and at most queue a line, so that emitting
//! never waits for a terminal. Invariant: lines come out whole and in order, and all of them before [`Display::finish`] returns.

mod json;
mod live;
mod log;
mod online;
mod state;
mod summary;
mod text;

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use live::Live;
use state::State;
pub(crate) use text::{Level, bytes, count, counted};

use super::args::ColorChoice;
use super::invocation::{Console, Verbosity};
use crate::error::ExitCode;
use crate::progress::{Event, Phase, Reporter, Summary};
use crate::validate::Finding;

/// How often the live display is drawn.
const REDRAW: Duration = Duration::from_millis(100);
/// How often a copy says where it stands, in lines…
const SAY_TEXT: Duration = Duration::from_secs(60);
/// …and for machines.
const SAY_JSON: Duration = Duration::from_secs(5);

/// The way to stderr. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Voice {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Sender<Message>,
    state: Mutex<State>,
    start: Instant,
    json: bool,
    color: bool,
    most: Level,
    /// Whether a live display is up, which says where it stands.
    live: bool,
}

enum Message {
    Line(String),
    Stop,
}

/// The thread behind a [`Voice`].
pub(crate) struct Display {
    voice: Voice,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Starts the thread; `live`: draw bars where stderr is a terminal.
    pub(crate) fn start(console: Console, live: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (queue, messages) = channel();
        let live = live && terminal && !console.json && console.verbosity != Verbosity::Quiet;
        let inner = Arc::new(Inner {
            queue,
            state: Mutex::default(),
            start: Instant::now(),
            json: console.json,
            color: color(
                console.color,
                terminal,
                std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
            ),
            most: match console.verbosity {
                Verbosity::Quiet => Level::Warn,
                Verbosity::Normal => Level::Info,
                Verbosity::Verbose => Level::Debug,
                Verbosity::Everything => Level::Trace,
            },
            live,
        });
        let voice = Voice { inner };
        let own = voice.clone();
        // Where no thread can be had, nothing is shown; the work itself goes on.
        let thread = std::thread::Builder::new()
            .name("display".into())
            .spawn(move || own.run(&messages, live.then(Live::start)))
            .ok();
        log::install(voice.clone());
        Display { voice, thread }
    }

    /// The way to stderr.
    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Prints what is queued and gives the terminal back.
    pub(crate) fn finish(&mut self) {
        let _ = self.voice.inner.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Voice {
    /// A reporter whose events are shown.
    pub(crate) fn reporter(&self) -> Reporter {
        let voice = self.clone();
        Reporter::new(move |event| voice.event(&event))
    }

    fn event(&self, event: &Event) {
        let line = self.state().apply(event, self.inner.start.elapsed());
        let least = match event {
            // The live display has it already.
            Event::Lag(_) if self.inner.live => Level::Debug,
            _ => Level::Error,
        };
        if let Some(line) = line.filter(|line| line.level.max(least) <= self.inner.most) {
            self.queue(if self.inner.json {
                json::event(event, line.level, since_epoch())
            } else {
                text::line(line.level, &line.text, self.inner.color)
            });
        }
    }

    /// The phase that runs.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.state().phase()
    }

    /// Says `message`; in JSON as an event `log`.
    pub(crate) fn say(&self, level: Level, message: &str) {
        if level > self.inner.most {
            return;
        }
        self.queue(if self.inner.json {
            json::named("log", serde_json::json!({ "message": message }), level, since_epoch())
        } else {
            text::line(level, message, self.inner.color)
        });
    }

    /// Says that the command failed, whatever the verbosity; in JSON as an event `failed`.
    pub(crate) fn failed(&self, message: &str, code: ExitCode) {
        self.failed_with(message, code, &[]);
    }

    /// As [`Voice::failed`], with the findings behind it; they are part of the message already.
    pub(crate) fn failed_with(&self, message: &str, code: ExitCode, findings: &[Finding]) {
        self.queue(if self.inner.json {
            let mut value = serde_json::json!({ "message": message, "exit_code": code as u8 });
            if !findings.is_empty() {
                value["findings"] = serde_json::json!(findings);
            }
            json::named("failed", value, Level::Error, since_epoch())
        } else {
            text::line(Level::Error, message, self.inner.color)
        });
    }

    /// Says what a migration did.
    pub(crate) fn summary(&self, summary: &Summary) {
        if self.inner.json {
            self.queue(json::named("summary", summary, Level::Info, since_epoch()));
        } else if self.inner.most >= Level::Info || !summary.failed.is_empty() {
            self.queue(summary::render(summary));
        }
    }

    fn queue(&self, line: String) {
        let _ = self.inner.queue.send(Message::Line(line));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not silence what is left to say.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, messages: &Receiver<Message>, mut live: Option<Live>) {
        let interval = if self.inner.json { SAY_JSON } else { SAY_TEXT };
        let mut said = Instant::now();
        loop {
            let wait = if live.is_some() { REDRAW } else { interval.saturating_sub(said.elapsed()) };
            match messages.recv_timeout(wait) {
                Ok(Message::Line(line)) => match &mut live {
                    Some(live) => {
                        // What the line says is over must not be drawn below it once more.
                        let state = self.state().clone();
                        live.draw(&state, self.inner.start.elapsed());
                        live.print(&line);
                    }
                    None => print(&line),
                },
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let state = self.state().clone();
                    let now = self.inner.start.elapsed();
                    if let Some(live) = &mut live {
                        live.draw(&state, now);
                    } else {
                        self.say_where(&state, now);
                        said = Instant::now();
                    }
                }
            }
        }
        if let Some(live) = live {
            live.stop();
        }
    }

    fn say_where(&self, state: &State, now: Duration) {
        if self.inner.most < Level::Info {
            return;
        }
        if self.inner.json {
            if state.phase().is_some() && !state.streams() {
                print(&json::progress(state, now, since_epoch()));
            }
        } else if let Some(overview) = state.overview(now) {
            let mut text = overview;
            let in_flight = state.in_flight(now, 4);
            if !in_flight.is_empty() {
                text += &format!("; {}", in_flight.join("; "));
            }
            print(&text::line(Level::Info, &text, self.inner.color));
        }
    }
}

fn print(line: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody listens any more: no reason to stop a migration.
    let _ = stderr.write_all(line.as_bytes()).and_then(|()| stderr.write_all(b"\n"));
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether to colour, by `--color`, by what stderr is, and by `NO_COLOR` (no-color.org).
fn color(choice: ColorChoice, terminal: bool, no_color: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && !no_color,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour() {
        assert!(color(ColorChoice::Always, false, true));
        assert!(!color(ColorChoice::Never, true, false));
        assert!(color(ColorChoice::Auto, true, false));
        assert!(!color(ColorChoice::Auto, true, true) && !color(ColorChoice::Auto, false, false));
    }
}
