//! One transaction on a wire, its statements sent without waiting for each other's results.
//!
//! Over a link with a long round trip this is what makes small work cheap. Invariant: every result is read: a
//! statement's error is the transaction's error, and tells which statement it was.

use crate::pg::{Message, SqlError, Wire};

/// What an error on the wire itself says was being done; statements' own errors are told by who sent them.
const WHAT: &str = "running a transaction";

/// A transaction being sent.
pub(super) struct Transaction<'a> {
    wire: &'a mut Wire,
    /// Results still to be read.
    pending: usize,
    /// Results read so far: the number of the statement that the next message belongs to.
    current: usize,
    /// The tag of the last command that ended.
    last_tag: String,
    failed: Option<(usize, SqlError)>,
}

impl<'a> Transaction<'a> {
    /// Sends `begin` as statement 0.
    pub async fn begin(wire: &'a mut Wire, begin: &str) -> Result<Self, SqlError> {
        let mut transaction =
            Transaction { wire, pending: 0, current: 0, last_tag: String::new(), failed: None };
        transaction.send(&[begin]).await?;
        Ok(transaction)
    }

    /// Sends statements; they are numbered in the order sent.
    pub async fn send<S: AsRef<str>>(&mut self, statements: &[S]) -> Result<(), SqlError> {
        self.wire.send_queries(WHAT, statements).await?;
        self.pending += statements.len();
        Ok(())
    }

    /// The wire, for COPY data between statements.
    pub fn wire(&mut self) -> &mut Wire {
        self.wire
    }

    /// Takes in what has already arrived, without waiting; `true` once a statement has failed.
    pub fn check(&mut self) -> Result<bool, SqlError> {
        loop {
            match self.wire.try_message(WHAT) {
                Ok(Some(message)) => self.take(Ok(message))?,
                Ok(None) => return Ok(self.failed.is_some()),
                Err(error) => self.take(Err(error))?,
            }
        }
    }

    /// The first statement that failed, so far, and why.
    pub fn failure(&mut self) -> Option<(usize, SqlError)> {
        self.failed.take()
    }

    fn take(&mut self, message: Result<Message, SqlError>) -> Result<(), SqlError> {
        match message {
            Ok(Message::CommandComplete(tag)) => self.last_tag = tag,
            Ok(Message::ReadyForQuery(_)) => {
                self.current += 1;
                self.pending = self.pending.saturating_sub(1);
            }
            Ok(_) => {}
            Err(error) if error.is_broken() => return Err(error),
            Err(error) => {
                if self.failed.is_none() {
                    self.failed = Some((self.current, error));
                }
            }
        }
        Ok(())
    }

    /// Sends `COMMIT` and reads every result. The error names the first statement that failed, by number; the
    /// transaction is then rolled back and the wire ready for the next, unless the connection broke.
    pub async fn commit(mut self) -> Result<(), (usize, SqlError)> {
        self.send(&["COMMIT"]).await.map_err(|e| (self.current, e))?;
        while self.pending > 0 {
            let message = self.wire.next_message(WHAT).await;
            let current = self.current;
            self.take(message).map_err(|e| (current, e))?;
        }
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        // A transaction that failed without an error of ours commits as ROLLBACK: never take that for success.
        if self.last_tag != "COMMIT" {
            let error = SqlError::local(self.wire.side, WHAT, "the transaction was rolled back");
            return Err((self.current, error));
        }
        Ok(())
    }
}

/// Runs `statements` as one transaction; the error names the first that failed, by its index in `statements`.
pub(super) async fn run(wire: &mut Wire, statements: &[&str]) -> Result<(), (usize, SqlError)> {
    let mut transaction = Transaction::begin(wire, "BEGIN").await.map_err(|e| (0, e))?;
    transaction.send(statements).await.map_err(|e| (0, e))?;
    match transaction.commit().await {
        Ok(()) => Ok(()),
        Err((index, error)) => Err((index.saturating_sub(1).min(statements.len().saturating_sub(1)), error)),
    }
}
