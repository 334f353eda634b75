//! Online: the slot, and the snapshot that its creation exports.
//!
//! `CREATE_REPLICATION_SLOT … EXPORT_SNAPSHOT` (PostgreSQL protocol, "Streaming Replication Protocol") waits until every
//! transaction that was open when it began has ended (`SnapBuildWaitSnapshot` in `snapbuild.c`), in whatever database of
//! the cluster; a second session says which ones those are.
//!
//! Invariants: the snapshot shows exactly what was committed before the slot's consistent point, and lives as long as the [`ReplicationSlot`]; a
//! creation that does not succeed leaves no slot.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::holders::{Holders, holders};
use crate::error::ExitCode;
use crate::lsn::Lsn;
use crate::pg::{CancelHandle, ConnectError, Message, Server, Session, SqlError, Wire};
use crate::progress::{Event, Reporter};
use crate::schema::quote::quote_literal;

/// The output plugin of every slot.
const PLUGIN: &str = "pgoutput";
/// How often the transactions in the way are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The same ones are told again after this long.
const REPEAT: Duration = Duration::from_secs(10);
/// How long a walsender that is just ending may keep its slot.
const RELEASE: Duration = Duration::from_secs(5);

/// A slot that was just made, and the session that keeps its snapshot.
#[derive(Debug)]
pub struct ReplicationSlot {
    name: String,
    snapshot: String,
    consistent_point: Lsn,
    wire: Wire,
}

/// No slot could be made; none is left.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The source cannot be reached in replication mode.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or the source refused.
    #[error("{source}{remedy}")]
    Refused {
        /// What it said.
        source: Box<SqlError>,
        /// What to do, on a line of its own.
        remedy: &'static str,
    },
    /// There is a slot of this name.
    #[error(
        "source: replication slot {slot:?} exists already and is not this migration's own.\n  \
         Choose another name with --slot-name, or drop it if nothing needs it: SELECT pg_drop_replication_slot({});",
        quote_literal(.slot)
    )]
    Exists {
        /// Its name.
        slot: String,
    },
    /// Old transactions did not end in time.
    #[error(
        "source: replication slot {slot:?} could not be made within {} seconds: it waits until the transactions that are older end{}\n  \
         End them (COMMIT or ROLLBACK, SELECT pg_terminate_backend(<pid>), ROLLBACK PREPARED '<gid>') and run the same command again, \
         or allow more time with --slot-timeout-secs.",
        .waited.as_secs(), list(.holders)
    )]
    Deadline {
        /// Its name.
        slot: String,
        /// How long it was waited.
        waited: Duration,
        /// The transactions in the way, in words.
        holders: Vec<String>,
    },
}

fn list(holders: &[String]) -> String {
    holders.iter().map(|h| format!("\n  - {h}")).collect()
}

impl SlotError {
    /// The exit code it ends the process with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Source
    }

    fn of(slot: &str, error: SqlError) -> Self {
        let remedy = match error.sqlstate.as_deref() {
            Some("42710") => return SlotError::Exists { slot: slot.to_owned() },
            Some("53400") => {
                "\n  Raise max_replication_slots on the source and restart it, or drop a slot that nothing needs (see pg_replication_slots)."
            }
            Some("55000") => "\n  Set wal_level = logical on the source and restart it.",
            Some("42501") => "\n  Give the role the right to replicate: ALTER ROLE … REPLICATION.",
            Some("58P01") => {
                "\n  The server's files are incomplete: the output plugin pgoutput is part of every installation."
            }
            _ => "",
        };
        SlotError::Refused { source: Box::new(error), remedy }
    }
}

impl ReplicationSlot {
    /// Makes the slot and exports its snapshot. While it waits for old transactions, they are told as
    /// [`Event::SlotWaits`]; at the deadline it gives up and leaves nothing behind.
    ///
    /// When this future is dropped, the creation is cancelled in the background; a process that ends at once may be
    /// quicker than that, so that the caller who gives up should [`take_slot_over`] and [`drop_slot`] before it ends.
    ///
    /// # Errors
    /// See [`SlotError`].
    pub async fn create(
        source: &Server,
        name: &str,
        deadline: Duration,
        reporter: &Reporter,
    ) -> Result<Self, SlotError> {
        let started = Instant::now();
        let what = format!("creating replication slot {name:?}");
        let refused = |e| SlotError::of(name, e);
        let mut wire = source.connect_replication("UTF8").await?;
        let pid = wire.rows(&what, "SELECT pg_catalog.pg_backend_pid()").await.map_err(refused)?;
        let sql = statement(name).map_err(|e| refused(SqlError::local(wire.side, &what, e)))?;
        wire.send_query(&what, &sql).await.map_err(refused)?;

        let mut abandoned = CancelOnDrop(Some(wire.cancel_handle()));
        let mut watch = Watch::new(source, name, first_text(&pid), reporter);
        let mut row = None;
        let mut expired = false;
        let mut next_look = started + LOOK;
        loop {
            let until =
                if expired { started + deadline + 2 * RELEASE } else { next_look.min(started + deadline) };
            match timeout_at(until, wire.next_message(&what)).await {
                Ok(Ok(Message::DataRow(values))) => row = Some(values),
                Ok(Ok(Message::ReadyForQuery(_))) => break,
                Ok(Ok(_)) => {}
                Ok(Err(_)) if expired => return Err(watch.deadline(started.elapsed())),
                Ok(Err(e)) => {
                    abandoned.0 = None;
                    return Err(refused(e));
                }
                Err(_) if expired => return Err(watch.deadline(started.elapsed())),
                Err(_) if Instant::now() >= started + deadline => {
                    // The last look is the one that the operator reads.
                    let _ = timeout(RELEASE, watch.look()).await;
                    wire.cancel_handle().cancel().await;
                    expired = true;
                }
                Err(_) => {
                    // A look that itself hangs must not keep us from the slot.
                    let _ = timeout(RELEASE, watch.look()).await;
                    next_look = Instant::now() + LOOK;
                }
            }
        }
        abandoned.0 = None;
        let made = row.as_ref().and_then(|row| {
            let text = |i: usize| Some(String::from_utf8_lossy(row.get(i)?.as_ref()?).into_owned());
            Some((text(1)?.parse().ok()?, text(2)?))
        });
        let Some((consistent_point, snapshot)) = made else {
            return Err(refused(SqlError::local(wire.side, &what, "the server did not say what it made")));
        };
        reporter.emit(Event::SlotCreated { slot: name.to_owned(), lsn: consistent_point });
        Ok(ReplicationSlot { name: name.to_owned(), snapshot, consistent_point, wire })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The exported snapshot, for [`import_snapshot`](crate::pg::import_snapshot).
    pub fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// What committed before it is in the snapshot; what commits later comes through the slot.
    pub fn consistent_point(&self) -> Lsn {
        self.consistent_point
    }

    /// Lets go of the snapshot; the slot stays.
    pub async fn release(self) {
        self.wire.close().await;
    }
}

/// The old grammar, which every version reads.
fn statement(name: &str) -> Result<String, String> {
    let options =
        pg_walstream::ReplicationSlotOptions { snapshot: Some("export".to_owned()), ..Default::default() };
    let slot_type = pg_walstream::SlotType::Logical;
    pg_walstream::sql_builder::build_create_slot_sql(name, slot_type, Some(PLUGIN), &options)
        .map_err(|e| e.to_string())
}

fn first_text(rows: &[Vec<Option<bytes::Bytes>>]) -> Option<i32> {
    std::str::from_utf8(rows.first()?.first()?.as_ref()?).ok()?.parse().ok()
}

/// Cancels the creation when its future is dropped: a walsender that waits for a transaction does not notice that its client is gone.
struct CancelOnDrop(Option<CancelHandle>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let (Some(handle), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { handle.cancel().await });
        }
    }
}

/// The second session, which looks at what the first one waits for.
struct Watch<'a> {
    source: &'a Server,
    slot: &'a str,
    walsender: Option<i32>,
    reporter: &'a Reporter,
    session: Option<Session>,
    seen: Holders,
    told: Option<Instant>,
}

impl<'a> Watch<'a> {
    fn new(source: &'a Server, slot: &'a str, walsender: Option<i32>, reporter: &'a Reporter) -> Self {
        Watch { source, slot, walsender, reporter, session: None, seen: Holders::default(), told: None }
    }

    /// Looks, and tells what is new. Failing to see is no reason to stop waiting.
    async fn look(&mut self) {
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => match self.source.connect().await {
                Ok(session) => session,
                Err(e) => return tracing::debug!("cannot look at what the slot waits for: {e}"),
            },
        };
        match holders(&session, self.walsender).await {
            Ok(now) => {
                let again = self.told.is_none_or(|at| at.elapsed() >= REPEAT);
                if !now.is_empty() && (again || !now.same_as(&self.seen)) {
                    let holders = now.in_words();
                    self.reporter.emit(Event::SlotWaits { slot: self.slot.to_owned(), holders });
                    self.told = Some(Instant::now());
                }
                self.seen = now;
            }
            Err(e) => tracing::debug!("cannot look at what the slot waits for: {e}"),
        }
        self.session = Some(session);
    }

    fn deadline(&self, waited: Duration) -> SlotError {
        SlotError::Deadline { slot: self.slot.to_owned(), waited, holders: self.seen.in_words() }
    }
}

/// Drops a slot; `false`: there is none of this name. Waits up to five seconds for a walsender that is just ending; one that
/// goes on streaming is left alone (SQLSTATE 55006, see [`take_slot_over`]).
///
/// # Errors
/// [`SqlError`] when the source refuses, or when the connection breaks.
pub async fn drop_slot(source: &Session, name: &str) -> Result<bool, SqlError> {
    let sql = format!("SELECT pg_catalog.pg_drop_replication_slot({})", quote_literal(name));
    let what = format!("dropping replication slot {name:?}");
    let started = Instant::now();
    loop {
        match source.query(&what, &sql).await {
            Ok(_) => return Ok(true),
            Err(e) => match e.sqlstate.as_deref() {
                Some("42704") => return Ok(false),
                Some("55006") if started.elapsed() < RELEASE => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => return Err(e),
            },
        }
    }
}

/// Ends the walsender that uses this slot, if there is one, and waits up to five seconds until it is gone: after a `kill -9` of the
/// client it may live on until it notices. Only for a slot that is known to be ours. Returns whether there was one.
///
/// # Errors
/// [`SqlError`] when the role may not end that session, when it does not end, or when the connection breaks.
pub async fn take_slot_over(source: &Session, name: &str) -> Result<bool, SqlError> {
    let what = format!("taking over replication slot {name:?}");
    let active = format!(
        "SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = {} AND active_pid IS NOT NULL",
        quote_literal(name)
    );
    let started = Instant::now();
    let mut ended = None;
    loop {
        let rows = source.query(&what, &active).await?;
        let Some(row) = rows.first() else { return Ok(ended.is_some()) };
        let pid: i32 = row.get("active_pid")?;
        if ended != Some(pid) {
            source.query(&what, &format!("SELECT pg_catalog.pg_terminate_backend({pid})")).await?;
            ended = Some(pid);
        }
        if started.elapsed() >= RELEASE {
            let text = format!("process {pid} uses it and does not end");
            let mut error = SqlError::local(source.side, &what, text);
            error.sqlstate = Some("55006".to_owned());
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_what_every_version_reads() {
        assert_eq!(
            statement("a\"b").unwrap(),
            "CREATE_REPLICATION_SLOT \"a\"\"b\" LOGICAL \"pgoutput\" EXPORT_SNAPSHOT;"
        );
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = SlotError::Deadline {
            slot: "s".into(),
            waited: Duration::from_secs(3),
            holders: vec!["process 7".into(), "prepared transaction 'x'".into()],
        };
        let text = error.to_string();
        for part in ["within 3 seconds", "\n  - process 7\n  - prepared", "pg_terminate_backend"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = SlotError::Exists { slot: "it's".into() }.to_string();
        assert!(text.contains("pg_drop_replication_slot('it''s')"), "{text}");
        assert_eq!(error.exit_code(), ExitCode::Source);
    }
}
