//! One migration at a time into a database, and nothing left running of one that was killed.
//!
//! Advisory locks, because they end with their session however it ends: a run holds one to itself, and each of its
//! working sessions shares another. Invariant: who holds the claim is the only one that changes the target.

use std::time::Duration;

use super::JournalError;
use crate::pg::Session;

/// First half of the locks' keys: "pgmi".
const KEY: i32 = 0x7067_6d69;

/// What a session that works on the target says first: as long as it lives, something of the run may still change.
pub const PRESENCE: &str = "SELECT pg_catalog.pg_advisory_lock_shared(1885826409, 2)";

/// How long the server may take to see that a client is gone.
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

fn holders(which: i32) -> String {
    format!(
        "pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND classid = {KEY} AND objid = {which} AND objsubid = 2 \
         AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         AND pid <> pg_catalog.pg_backend_pid()"
    )
}

/// What came of asking for the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This session has it.
    Ours,
    /// Another run has it, in this server process (`None`: it let go at the very end).
    Theirs(Option<i32>),
}

/// The server process of another run that has the claim, if one still has it after some seconds: one that was killed
/// lets go as soon as the server sees it.
pub async fn claimed_by(target: &Session) -> Result<Option<i32>, JournalError> {
    for _ in 0..PATIENCE {
        if holder(target).await?.is_none() {
            return Ok(None);
        }
        tokio::time::sleep(PAUSE).await;
    }
    holder(target).await
}

/// The server process of another run that has the claim at this moment.
pub async fn holder(target: &Session) -> Result<Option<i32>, JournalError> {
    let sql = format!("SELECT pid FROM {}", holders(1));
    Ok(target.value("looking for another run", &sql).await?)
}

/// Takes the claim for as long as this session lives, and ends what a killed run left at work. A session that has just
/// been closed, or whose client was killed, is given some seconds to let go of it.
pub async fn claim(target: &Session) -> Result<Claim, JournalError> {
    let mut tries = 0;
    while !try_claim(target).await? {
        tries += 1;
        if tries > PATIENCE {
            return Ok(Claim::Theirs(holder(target).await?));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let end = format!("SELECT pg_catalog.pg_terminate_backend(pid) AS ended FROM {}", holders(2));
    for _ in 0..PATIENCE {
        if target.query("ending sessions of an earlier run", &end).await?.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Claim::Ours)
}

async fn try_claim(target: &Session) -> Result<bool, JournalError> {
    let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({KEY}, 1) AS ours");
    Ok(target.value("claiming the target", &sql).await?.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_locks_have_one_key() {
        assert!(PRESENCE.ends_with(&format!("({KEY}, 2)")));
    }
}
