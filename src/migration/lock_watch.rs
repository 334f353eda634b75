//! Says who holds up the locks that the reading of a schema takes: `LOCK TABLE` waits for as long as it takes, and says nothing.
//!
//! Invariant: the work goes on whatever becomes of the watch, which looks from a session of its own and ends with the work.

use std::convert::Infallible;
use std::time::Duration;

use crate::pg::{Server, Session, SqlError};
use crate::progress::{Event, Reporter};
use crate::snapshot::lock_holders;

/// A lock that is not had after this long is worth a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// It is told again after this long.
const REPEAT: Duration = Duration::from_secs(60);

/// Does `work`, which uses `session` on `server`; tells as [`Event::LockWaits`] whom it waits for.
pub(super) async fn watched<T>(
    server: &Server,
    session: &Session,
    reporter: &Reporter,
    work: impl Future<Output = T>,
) -> T {
    // Asked before, because a session that waits answers nothing.
    let pid = session.value::<i32>("reading our process", "SELECT pg_catalog.pg_backend_pid()").await;
    let watch = async {
        if let Ok(Some(pid)) = pid {
            // What keeps us from looking (no connection is left, the server is gone) is for the work itself to find out.
            let _ = tell(server, pid, reporter).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = watch => match never {},
    }
}

async fn tell(server: &Server, pid: i32, reporter: &Reporter) -> Result<Infallible, SqlError> {
    tokio::time::sleep(PATIENCE).await;
    let Ok(observer) = server.connect().await else { return std::future::pending().await };
    loop {
        let waits = lock_holders(&observer, pid).await?;
        let pause = if waits.is_some() { REPEAT } else { PATIENCE };
        if let Some((table, holders)) = waits.filter(|(_, holders)| !holders.is_empty()) {
            reporter.emit(Event::LockWaits { table, holders });
        }
        tokio::time::sleep(pause).await;
    }
}
