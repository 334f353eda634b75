//! A migration under way inside another program: its events, the handle that cuts it over, its end.
//!
//! Emitting never waits: events queue up to a limit, beyond which the oldest are dropped and counted, so a listener that is slow, or
//! does not listen at all, costs neither time nor memory. What counts in the end is in the [`Summary`], which loses nothing.
//! Invariant: a cutover that is asked for before StreamApply waits for it, and never aborts what it should crown.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Config, Error, run};
use crate::progress::{Event, Phase, Reporter, Summary};

/// Events that wait for their listener, at most.
const CAPACITY: usize = 4096;
/// How long an aborted migration may take to leave everything tidy.
const FAREWELL: Duration = Duration::from_secs(30);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(10);

/// A migration under way. Dropping it aborts the migration, as [`CutoverHandle::abort`] does.
#[derive(Debug)]
pub struct Running {
    events: Events,
    handle: CutoverHandle,
    task: Option<JoinHandle<Result<Summary, Error>>>,
}

/// Starts `config` on the tokio runtime that this is called on.
pub(super) fn start(config: Config) -> Running {
    let queue: Arc<Queue> = Arc::default();
    let handle = CutoverHandle { control: Arc::new(Control::default()) };
    let task = tokio::spawn(drive(config, Arc::clone(&handle.control), Closing(Arc::clone(&queue))));
    Running { events: Events { queue }, handle, task: Some(task) }
}

impl Running {
    /// What happens, as it happens; `None` once the migration has ended and all is told.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// The events as a [`futures_util::Stream`].
    pub fn events(&mut self) -> &mut Events {
        &mut self.events
    }

    /// What cuts the migration over, or aborts it, from anywhere.
    pub fn handle(&self) -> CutoverHandle {
        self.handle.clone()
    }

    /// Waits for the end. Events that were not listened to are dropped.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::exit_code`] tells whose turn it is, and after every one of them the same migration, started
    /// again, goes on or starts over.
    ///
    /// # Panics
    /// Where the migration itself panicked.
    pub async fn finish(mut self) -> Result<Summary, Error> {
        let Some(task) = self.task.take() else { return Err(self.handle.control.interrupted()) };
        match task.await {
            Ok(ended) => ended,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            // The runtime is shutting down.
            Err(_) => Err(self.handle.control.interrupted()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.task.is_some() {
            self.handle.abort();
        }
    }
}

/// The events of a migration, in order.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue>,
}

impl Events {
    /// The next one; `None` once the migration has ended and all is told.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.queue.poll(context)).await
    }

    /// How many were dropped because nobody listened in time.
    pub fn missed(&self) -> u64 {
        self.queue.lock().missed
    }
}

impl futures_util::Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.queue.poll(context)
    }
}

/// Cuts a migration over, or aborts it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CutoverHandle {
    control: Arc<Control>,
}

impl CutoverHandle {
    /// Asks for cutover: the target takes over as soon as it has what the source has written up to then. Asked for before
    /// StreamApply, it follows as soon as that has begun. An offline migration has none: nothing happens.
    pub fn cut_over(&self) {
        let mut asked = self.control.lock();
        asked.cut_over = true;
        if asked.streams {
            self.control.interrupts.send_replace(1);
        }
    }

    /// Ends the migration without cutover. Before StreamApply nothing is left on the source; from then on the slot and the journal stay,
    /// and the same migration, started again, goes on. [`Running::finish`] then says [`Error::Interrupted`], unless
    /// the migration had just ended otherwise.
    pub fn abort(&self) {
        self.control.aborted.send_replace(true);
    }
}

/// What the handle and the run share.
#[derive(Debug)]
struct Control {
    /// What the run takes for interrupts by hand.
    interrupts: watch::Sender<u32>,
    aborted: watch::Sender<bool>,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    cut_over: bool,
    streams: bool,
    phase: Option<Phase>,
}

impl Default for Control {
    fn default() -> Self {
        Control { interrupts: watch::channel(0).0, aborted: watch::channel(false).0, asked: Mutex::default() }
    }
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, event: &Event) {
        let mut asked = self.lock();
        match event {
            Event::PhaseStarted { phase } => asked.phase = Some(*phase),
            Event::StreamStarted { .. } => {
                asked.streams = true;
                // An interrupt that was to abort the copy and came too late must not cut over.
                self.interrupts.send_replace(u32::from(asked.cut_over && !*self.aborted.borrow()));
            }
            _ => {}
        }
    }

    /// Returns when the run is to be dropped: it was aborted, and either applies changes, which may end at any moment, or did
    /// not end by itself in time.
    async fn given_up(&self) {
        // The senders live in `self`.
        let _ = self.aborted.subscribe().wait_for(|&aborted| aborted).await;
        let streams = || self.lock().phase.is_some_and(|phase| phase >= Phase::StreamApply);
        if !streams() {
            self.interrupts.send_replace(1);
        }
        let mut waited = Duration::ZERO;
        while !streams() && waited < FAREWELL {
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
    }

    fn interrupted(&self) -> Error {
        let phase = self.lock().phase.unwrap_or(Phase::Validate);
        Error::Interrupted { phase, summary: Box::default() }
    }
}

async fn drive(config: Config, control: Arc<Control>, closing: Closing) -> Result<Summary, Error> {
    let (shown, seen) = (Arc::clone(&closing.0), Arc::clone(&control));
    let reporter = Reporter::new(move |event| {
        seen.saw(&event);
        shown.push(event);
    });
    tokio::select! {
        biased;
        ended = run(config, reporter, control.interrupts.subscribe()) => ended,
        () = control.given_up() => Err(control.interrupted()),
    }
}

/// Ends the listener's stream when the run ends, however it does.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.closed = true;
        inner.wake();
    }
}

#[derive(Debug, Default)]
struct Queue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    missed: u64,
    closed: bool,
    listener: Option<Waker>,
}

impl Inner {
    fn wake(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.wake();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        let mut inner = self.lock();
        if inner.events.len() == CAPACITY {
            inner.events.pop_front();
            inner.missed += 1;
        }
        inner.events.push_back(event);
        inner.wake();
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut inner = self.lock();
        match inner.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if inner.closed => Poll::Ready(None),
            None => {
                inner.listener = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    fn note(n: usize) -> Event {
        Event::Note { message: n.to_string() }
    }

    #[tokio::test]
    async fn the_oldest_events_go_when_nobody_listens() {
        let queue: Arc<Queue> = Arc::default();
        let mut events = Events { queue: Arc::clone(&queue) };
        let closing = Closing(Arc::clone(&queue));
        (0..CAPACITY + 3).for_each(|n| queue.push(note(n)));
        assert_eq!(events.missed(), 3);
        assert!(matches!(events.next().await, Some(Event::Note { message }) if message == "3"));
        drop(closing);
        let mut left = 0;
        while events.next().await.is_some() {
            left += 1;
        }
        assert_eq!(left, CAPACITY - 1);
    }

    #[tokio::test]
    async fn a_listener_is_woken() {
        let queue: Arc<Queue> = Arc::default();
        let mut events = Events { queue: Arc::clone(&queue) };
        let listener =
            tokio::spawn(async move { (events.next().await.is_some(), events.next().await.is_none()) });
        tokio::task::yield_now().await;
        queue.push(note(1));
        tokio::task::yield_now().await;
        drop(Closing(queue));
        assert_eq!(listener.await.unwrap(), (true, true));
    }

    fn control(phase: Phase) -> CutoverHandle {
        let handle = CutoverHandle { control: Arc::default() };
        handle.control.saw(&Event::PhaseStarted { phase });
        handle
    }

    const STREAM: Event = Event::StreamStarted { lsn: Lsn(1), resumed: false };

    #[test]
    fn a_cutover_asked_for_early_waits_for_the_stream() {
        let handle = control(Phase::Restore);
        let interrupts = handle.control.interrupts.subscribe();
        handle.cut_over();
        assert_eq!(*interrupts.borrow(), 0, "an interrupt now would abort the copy");
        handle.control.saw(&STREAM);
        assert_eq!(*interrupts.borrow(), 1);
        handle.cut_over();
        assert_eq!(*interrupts.borrow(), 1, "asking twice is no second interrupt");
    }

    #[tokio::test]
    async fn an_abort_interrupts_the_copy_and_drops_the_stream() {
        let copies = control(Phase::Restore);
        copies.abort();
        let given_up = tokio::time::timeout(LOOK * 3, copies.control.given_up()).await;
        assert!(given_up.is_err(), "it has time to leave everything tidy");
        assert_eq!(*copies.control.interrupts.borrow(), 1);
        // It had ended the copy already: that interrupt is no cutover.
        copies.control.saw(&STREAM);
        assert_eq!(*copies.control.interrupts.borrow(), 0);

        let streams = control(Phase::StreamApply);
        streams.abort();
        streams.control.given_up().await;
        assert_eq!(*streams.control.interrupts.borrow(), 0, "an interrupt now would cut over");
    }
}
