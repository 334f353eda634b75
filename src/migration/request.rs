//! Another process's run, from the outside: where it stands, and asking it to cut over.
//!
//! Invariant: nothing is asked of a run that is not there to answer, so no request is left lying for a later one.

use std::time::Duration;

use serde::Serialize;

use super::Error;
use crate::cutover::fence;
use crate::journal::{self, StreamRecord};
use crate::lsn::Lsn;
use crate::pg::Session;

/// Between two looks at the run.
const LOOK: Duration = Duration::from_millis(100);
/// How long a run may be without its claim before it counts as ended: one whose connection broke takes it anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the target's journal says of the migration into this database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// `offline` or `online`.
    pub mode: String,
    /// The phase it is in, or was in when its run ended.
    pub phase: String,
    /// The source database.
    pub database: String,
    /// The server process, on the target, of the run that is at it; `None`: none is.
    pub run_pid: Option<i32>,
    /// Its slot on the source, once changes are applied.
    pub slot: Option<String>,
    /// Its publication on the source, once changes are applied.
    pub publication: Option<String>,
    /// Every lane's position: everything before it is applied.
    pub lanes: Vec<Lsn>,
    /// The statement that lets the source be written to again; `None`: no fence of this migration stands there.
    pub fence: Option<String>,
}

/// Where the migration into this database stands; `None`: there is no unfinished one.
///
/// # Errors
/// When the journal cannot be read.
pub async fn standing(target: &Session) -> Result<Option<Standing>, Error> {
    let Some(leftover) = journal::leftover(target).await? else { return Ok(None) };
    let stream = journal::stream_record(target, &leftover.name).await?;
    let run_pid = journal::holder(target).await?;
    let lanes = stream.iter().flat_map(|s| s.lanes.iter().map(|lane| lane.end_lsn)).collect();
    let fence = fence::standing(target, &leftover.name).await?;
    let (slot, publication) = stream.map(|s| (s.slot, s.publication)).unzip();
    Ok(Some(Standing {
        name: leftover.name,
        mode: leftover.mode,
        phase: leftover.phase,
        database: leftover.database,
        run_pid,
        slot,
        publication,
        lanes,
        fence,
    }))
}

/// Why there is nobody to ask for cutover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No unfinished migration.
    #[error("no migration into the target's database is under way: it has no journal (schema _pg_migrator)")]
    NoMigration,
    /// Another name.
    #[error("the migration into the target's database is named {0:?}: name it with --subscription-name")]
    OtherName(String),
    /// It has no cutover.
    #[error("the migration into the target's database is an offline one, which has no cutover")]
    Offline,
    /// Nobody is at it.
    #[error(
        "no run of the migration is under way; it had come to {0}: run its command again, and cut over once it is CaughtUp"
    )]
    NoRun(String),
    /// Changes are not applied yet.
    #[error("the migration is in {0}: it can be cut over once StreamApply has begun")]
    TooEarly(String),
}

/// Asks the run of this migration to cut over; `Err` inside: why not.
///
/// # Errors
/// When the journal cannot be read or written.
pub async fn ask(target: &Session, name: &str) -> Result<Result<(), Refusal>, Error> {
    if let Err(refusal) = judge(standing(target).await?, name) {
        return Ok(Err(refusal));
    }
    let asked = journal::request_cutover(target, name).await?;
    Ok(if asked { Ok(()) } else { Err(Refusal::NoMigration) })
}

fn judge(standing: Option<Standing>, name: &str) -> Result<(), Refusal> {
    let standing = standing.ok_or(Refusal::NoMigration)?;
    if standing.name != name {
        return Err(Refusal::OtherName(standing.name));
    }
    if standing.mode != "online" {
        return Err(Refusal::Offline);
    }
    if standing.run_pid.is_none() {
        return Err(Refusal::NoRun(standing.phase));
    }
    if standing.slot.is_none() {
        return Err(Refusal::TooEarly(standing.phase));
    }
    Ok(())
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The migration is finished: its journal is gone.
    Finished,
    /// It is not: it had come to this phase.
    Unfinished(String),
}

/// Waits until the run that was asked has ended.
///
/// # Errors
/// When the journal cannot be read.
pub async fn wait(target: &Session, name: &str) -> Result<End, Error> {
    let mut without = Duration::ZERO;
    loop {
        // The claim first: where it is gone, the journal says all that the run wrote.
        let at_it = journal::holder(target).await?.is_some();
        let Some(StreamRecord { phase, .. }) = journal::stream_record(target, name).await? else {
            return Ok(End::Finished);
        };
        without = if at_it { Duration::ZERO } else { without + LOOK };
        if without >= PATIENCE {
            return Ok(End::Unfinished(phase));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_be_asked() {
        let good = Standing {
            name: "m".into(),
            mode: "online".into(),
            phase: "StreamApply".into(),
            database: "app".into(),
            run_pid: Some(7),
            slot: Some("s".into()),
            publication: Some("p".into()),
            lanes: vec![Lsn(1)],
            fence: None,
        };
        assert_eq!(judge(Some(good.clone()), "m"), Ok(()));
        assert_eq!(judge(None, "m"), Err(Refusal::NoMigration));
        assert_eq!(judge(Some(good.clone()), "n"), Err(Refusal::OtherName("m".into())));
        let offline = Standing { mode: "offline".into(), ..good.clone() };
        assert_eq!(judge(Some(offline), "m"), Err(Refusal::Offline));
        let ended = Standing { run_pid: None, ..good.clone() };
        assert_eq!(judge(Some(ended), "m"), Err(Refusal::NoRun("StreamApply".into())));
        let early = Standing { slot: None, phase: "Restore".into(), ..good };
        assert_eq!(judge(Some(early), "m"), Err(Refusal::TooEarly("Restore".into())));
    }
}
