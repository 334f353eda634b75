//! The inner loop of every copy: CopyData frames from a source's socket to a sink, unchanged.
//!
//! The frames of COPY out and COPY in are the same on the wire (protocol documentation, "COPY Operations"), so a
//! chunk as large as the socket gave it is passed on whole; only its frame headers are looked at, to find where
//! the data ends. Invariants: memory is bounded by the read buffer whatever a row's size; a frame that has been
//! begun on the target is finished or the target's connection is given up.

use bytes::BytesMut;

use super::frames::FrameScanner;
use super::message::rows_of_tag;
use super::{Message, SqlError, Wire};

/// What a pumped COPY moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Rows, as the source counted them.
    pub rows: u64,
    /// Bytes of COPY data, with frame headers.
    pub bytes: u64,
}

/// Why a pump stopped early.
#[derive(Debug)]
pub enum PumpError {
    /// The reading end failed, or one of the connections.
    Sql(Box<SqlError>),
    /// The sink has refused the data; it knows why.
    Refused,
}

impl From<SqlError> for PumpError {
    fn from(e: SqlError) -> Self {
        PumpError::Sql(Box::new(e))
    }
}

/// The other end of a pump.
pub trait Sink {
    /// Takes the next chunk of whole or partial CopyData frames, with `rows` frames begun in it.
    fn take(&mut self, chunk: BytesMut, rows: u64) -> impl Future<Output = Result<(), PumpError>> + Send;
}

/// Reads the answer to the `COPY … TO STDOUT` that is next on `source` and hands its data to `sink`; ends when
/// the source is ready for the next query.
///
/// # Errors
/// The server's error, once it is ready for the next query; or a broken connection; or the sink's refusal, in
/// the middle of the data.
pub async fn pump(what: &str, source: &mut Wire, sink: &mut impl Sink) -> Result<Moved, PumpError> {
    let mut moved = Moved::default();
    let mut failed: Option<SqlError> = None;
    loop {
        match source.next_message(what).await {
            Ok(Message::CopyOut(_)) => moved.bytes += frames(what, source, sink).await?,
            Ok(Message::CommandComplete(tag)) if tag.starts_with("COPY") => {
                moved.rows += rows_of_tag(&tag).unwrap_or(0);
            }
            Ok(Message::ReadyForQuery(_)) => {
                return failed.map_or(Ok(moved), |error| Err(error.into()));
            }
            Ok(_) => {}
            Err(error) if error.is_broken() => return Err(error.into()),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
}

/// Passes on everything up to the first message that is not CopyData; returns the bytes.
async fn frames(what: &str, source: &mut Wire, sink: &mut impl Sink) -> Result<u64, PumpError> {
    let mut scanner = FrameScanner::new();
    let mut bytes = 0;
    loop {
        let scanned =
            scanner.scan(source.buffer()).map_err(|e| SqlError::local(source.side, what, e.to_string()))?;
        if scanned.forward > 0 {
            bytes += scanned.forward as u64;
            let chunk = source.buffer_mut().split_to(scanned.forward);
            sink.take(chunk, scanned.frames).await?;
        }
        if scanned.other {
            return Ok(bytes);
        }
        source.fill().await.map_err(|e| SqlError::broken(source.side, what, &e))?;
    }
}
