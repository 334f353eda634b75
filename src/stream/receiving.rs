//! The receiver's thread: the walsender's session from login to farewell, on a runtime of its own.
//!
//! Of its own, because [`Receiver::run`] lets bytes gather by sleeping: a runtime that does other work meanwhile waits for the socket too, and
//! is woken for each change that comes. Invariant: the thread ends with the stream, or when [`Receiving`] is dropped.

use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot, watch};

use super::binary;
use super::error::StreamError;
use super::pacing;
use super::receive::{Chunks, Receiver};
use super::status::{Order, Status};
use crate::lsn::Lsn;
use crate::pg::{Server, SqlError, Wire};

/// What the stream begins with.
pub(super) struct Beginning {
    pub(super) slot: String,
    pub(super) start: Lsn,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) status: Arc<Status>,
    /// Told when `status.durable` has moved.
    pub(super) flushed: Arc<Notify>,
    pub(super) chunks: Chunks,
    /// All that was passed on is applied, or given up.
    pub(super) applied: oneshot::Receiver<()>,
}

/// The session on the source.
pub(super) struct Receiving {
    /// The encoding that values come in.
    pub(super) encoding: &'static str,
    /// Whether they come in binary format.
    pub(super) binary: bool,
    begin: Option<oneshot::Sender<(Beginning, oneshot::Sender<()>)>>,
    ended: oneshot::Receiver<Result<(), StreamError>>,
    /// Its drop ends the thread.
    _held: oneshot::Sender<()>,
}

impl Receiving {
    /// Opens the session; values come in binary format where that is wanted and suits all that `publication` publishes.
    pub(super) async fn connect(
        source: Server,
        publication: String,
        binary: bool,
    ) -> Result<Receiving, StreamError> {
        let (connected, is_connected) = oneshot::channel();
        let (begin, begins) = oneshot::channel();
        let (ends, mut ended) = oneshot::channel();
        let (held, dropped) = oneshot::channel::<()>();
        let failed = |e: std::io::Error| StreamError::Thread(format!("cannot start a thread: {e}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let work = async move {
            tokio::select! {
                biased;
                _ = dropped => {}
                // Where nobody listens any more, nobody wants to know.
                result = receive(source, publication, binary, connected, begins) => drop(ends.send(result)),
            }
        };
        let thread = std::thread::Builder::new().name("receive".to_owned());
        let run = move || {
            runtime.block_on(work);
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
        };
        thread.spawn(run).map_err(failed)?;
        match is_connected.await {
            Ok((encoding, binary)) => {
                Ok(Receiving { encoding, binary, begin: Some(begin), ended, _held: held })
            }
            Err(_) => Err(why(&mut ended).await.err().unwrap_or_else(silent)),
        }
    }

    /// Begins to stream; returns when the source does.
    pub(super) async fn begin(&mut self, beginning: Beginning) -> Result<(), StreamError> {
        let (begun, has_begun) = oneshot::channel();
        let sent = self.begin.take().map(|begin| begin.send((beginning, begun)));
        if matches!(sent, Some(Ok(()))) && has_begun.await.is_ok() {
            return Ok(());
        }
        Err(why(&mut self.ended).await.err().unwrap_or_else(silent))
    }

    /// The end of the stream.
    pub(super) async fn ended(mut self) -> Result<(), StreamError> {
        why(&mut self.ended).await
    }
}

async fn why(ended: &mut oneshot::Receiver<Result<(), StreamError>>) -> Result<(), StreamError> {
    ended.await.unwrap_or_else(|_| Err(silent()))
}

fn silent() -> StreamError {
    StreamError::Thread("it ended without a word".to_owned())
}

/// What the thread does.
async fn receive(
    source: Server,
    publication: String,
    binary: bool,
    connected: oneshot::Sender<(&'static str, bool)>,
    begins: oneshot::Receiver<(Beginning, oneshot::Sender<()>)>,
) -> Result<(), StreamError> {
    let (mut wire, encoding) = connect(&source).await?;
    let binary = binary && binary::suits(&source, &publication).await?;
    if connected.send((encoding, binary)).is_err() {
        return Ok(());
    }
    let Ok((beginning, begun)) = begins.await else { return Ok(()) };
    let Beginning { slot, start, orders, status, flushed, chunks, applied } = beginning;
    start_replication(&mut wire, &slot, &publication, start, binary).await?;
    status.begin(start);
    let _ = begun.send(());
    Receiver { wire, slot, publication, binary, orders, status, flushed }.run(chunks, applied).await
}

/// A walsender's session, and the encoding that values come in. It is asked nothing that it would have to read in the catalogs ([`binary::suits`]).
async fn connect(source: &Server) -> Result<(Wire, &'static str), StreamError> {
    let mut wire = source.connect_replication("UTF8").await?;
    let encoding = pacing::open_window(&mut wire).await?;
    if encoding.is_none_or(|name| name != "SQL_ASCII") {
        return Ok((wire, "UTF8"));
    }
    // Its bytes are in no known encoding: they pass as they are.
    wire.simple("setting the encoding", "SET client_encoding = 'SQL_ASCII'").await?;
    Ok((wire, "SQL_ASCII"))
}

/// The newest protocol that brings something to us: with version 14 large transactions come while they run.
fn protocol(version: u32) -> &'static [(&'static str, &'static str)] {
    match version {
        140_000.. => &[("proto_version", "2"), ("streaming", "on")],
        _ => &[("proto_version", "1")],
    }
}

/// Begins to stream at `start`.
async fn start_replication(
    wire: &mut Wire,
    slot: &str,
    publication: &str,
    start: Lsn,
    binary: bool,
) -> Result<(), StreamError> {
    let what = format!("starting to stream from replication slot {slot:?}");
    // A list of names, each quoted as an identifier (`SplitIdentifierString`).
    let publications = format!("\"{}\"", publication.replace('"', "\"\""));
    let mut options = vec![("publication_names", publications.as_str())];
    options.extend_from_slice(protocol(wire.version()));
    if binary {
        options.push(("binary", "true"));
    }
    let sql = pg_walstream::sql_builder::build_start_replication_sql(slot, start.0, &options)
        .map_err(|e| SqlError::local(wire.side, &what, e.to_string()))?;
    wire.start_replication(&what, &sql).await.map_err(|e| StreamError::of_start(slot, start, e))
}
