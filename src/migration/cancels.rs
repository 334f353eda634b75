//! How to end what the state machine's own sessions run.
//!
//! Invariant: a session is in here before its first statement that may wait, so an interrupt leaves none waiting on a
//! server for a lock that nobody needs any more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::pg::{CancelHandle, Session};

/// The sessions of one run.
#[derive(Debug, Default)]
pub(super) struct Cancels(Mutex<Vec<CancelHandle>>);

impl Cancels {
    /// From now on an interrupt ends what `session` runs.
    pub fn add(&self, session: &Session) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session.cancel_handle());
    }

    /// Ends what the sessions run. A server that does not answer is not waited for.
    pub async fn all(&self) {
        let handles = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = futures_util::future::join_all(handles.iter().map(|h| h.cancel()));
        let _ = tokio::time::timeout(Duration::from_secs(2), all).await;
    }
}
