//! Many queries on a wire before the first result: sending ahead, and looking without waiting.
//!
//! Invariant: queries are answered in the order sent; whoever sends ahead reads every answer.

use super::{Message, SqlError, Wire};

impl Wire {
    /// Sends several queries in one write.
    pub async fn send_queries<S: AsRef<str>>(&mut self, what: &str, queries: &[S]) -> Result<(), SqlError> {
        let messages: Vec<_> = queries.iter().map(|q| Wire::query_message(q.as_ref())).collect();
        self.send_bytes(what, &messages.concat()).await
    }

    /// Sends bytes as they are; a broken connection is told with what was being done.
    pub async fn send_bytes(&mut self, what: &str, bytes: &[u8]) -> Result<(), SqlError> {
        match self.send(bytes).await {
            Ok(()) => Ok(()),
            Err(e) => Err(self.last_words(what, &e)),
        }
    }

    /// Why the connection broke: what the server said before it hung up, where it said something.
    fn last_words(&mut self, what: &str, error: &std::io::Error) -> SqlError {
        loop {
            match self.buffered_message(what) {
                Err(e) if e.is_broken() => return e,
                Ok(None) if !matches!(self.try_fill(), Ok(true)) => {
                    return SqlError::broken(self.side, what, error);
                }
                _ => {}
            }
        }
    }

    /// The next message if it is there, without waiting for the server: neither for a message's end, nor for what
    /// follows a notice.
    pub fn try_message(&mut self, what: &str) -> Result<Option<Message>, SqlError> {
        loop {
            if let Some(message) = self.buffered_message(what)? {
                return Ok(Some(message));
            }
            if !self.try_fill().map_err(|e| SqlError::broken(self.side, what, &e))? {
                return Ok(None);
            }
        }
    }

    /// Reads the rest of one query's answer; the server's error is returned once it is ready for the next.
    pub async fn expect_ready(&mut self, what: &str) -> Result<(), SqlError> {
        let mut failed = None;
        loop {
            match self.next_message(what).await {
                Ok(Message::ReadyForQuery(_)) => return failed.map_or(Ok(()), Err),
                Ok(_) => {}
                Err(e) if e.is_broken() => return Err(e),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
    }
}
