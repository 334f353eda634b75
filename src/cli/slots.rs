//! `pg_migrator slots`: the replication slots on the source, on stdout, for people or as one JSON object; `--drop` drops one.
//!
//! Invariant: exit code 0 after `--drop` means that no slot of that name is there any more.

use std::io::Write as _;

use serde_json::json;

use super::display::{Level, Voice, bytes};
use super::invocation::{Output, Slots};
use crate::error::ExitCode;
use crate::migration::cleanup::CleanupError;
use crate::migration::slots::{self, Slot};

/// Lists, or drops one.
pub(super) async fn run(asked: Slots, output: Output, voice: &Voice) -> ExitCode {
    let done = match &asked.drop {
        Some(name) => drop(&asked, name, voice).await,
        None => list(&asked, output).await,
    };
    let error = match done {
        Ok(None) => return ExitCode::Done,
        Ok(Some(e)) => {
            let message = format!("the list cannot be written to stdout: {e}");
            voice.failed(&message, ExitCode::OperatorMustAct);
            return ExitCode::OperatorMustAct;
        }
        Err(error) => error,
    };
    voice.failed(&error.to_string(), error.exit_code());
    error.exit_code()
}

async fn drop(asked: &Slots, name: &str, voice: &Voice) -> Result<Option<std::io::Error>, CleanupError> {
    let dropped = slots::drop(&asked.source, asked.target.as_ref(), name, asked.force).await?;
    let text = if dropped { "dropped" } else { "is not there" };
    voice.say(Level::Info, &format!("source: replication slot {name} {text}"));
    Ok(None)
}

async fn list(asked: &Slots, output: Output) -> Result<Option<std::io::Error>, CleanupError> {
    let slots = slots::list(&asked.source, asked.target.as_ref()).await?;
    let text = match output {
        Output::Text => render(&slots, asked.target.is_some()),
        Output::Json => json!({ "slots": slots }).to_string(),
    };
    let mut stdout = std::io::stdout().lock();
    Ok(writeln!(stdout, "{text}").and_then(|()| stdout.flush()).err())
}

/// One line per slot; `asked`: whether a target's journal was asked whose they are.
fn render(slots: &[Slot], asked: bool) -> String {
    if slots.is_empty() {
        return "No logical replication slots of pgoutput in the source's database.".to_owned();
    }
    slots.iter().map(|slot| line(slot, asked)).collect::<Vec<_>>().join("\n")
}

fn line(slot: &Slot, asked: bool) -> String {
    let owner = match &slot.migration {
        Some(migration) => format!("of migration {migration}"),
        None if asked => "not of a migration that the target's journal knows".to_owned(),
        None => "whose is not known without --target".to_owned(),
    };
    if !slot.exists {
        return format!("{}: {owner}, recorded, and not on the source", slot.name);
    }
    let mut text = format!("{}: {owner}", slot.name);
    text += &match slot.active_pid {
        Some(pid) => format!(", in use by server process {pid}"),
        None => ", not in use".to_owned(),
    };
    if let Some(held) = slot.retained_bytes {
        text += &format!(", holds {} of WAL", bytes(held));
    }
    if let Some(confirmed) = slot.confirmed_lsn {
        text += &format!(", confirmed up to {confirmed}");
    }
    if let Some(status) = slot.wal_status.as_deref().filter(|status| *status != "reserved") {
        text += &format!(", wal_status {status}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn for_people() {
        let there = Slot { name: "a".into(), exists: true, ..Slot::default() };
        let slots = [
            Slot {
                migration: Some("m".into()),
                active_pid: Some(7),
                retained_bytes: Some(32 << 20),
                confirmed_lsn: Some(Lsn(9)),
                wal_status: Some("reserved".into()),
                ..there.clone()
            },
            Slot { name: "b".into(), migration: Some("m".into()), ..Slot::default() },
            Slot { name: "c".into(), wal_status: Some("lost".into()), ..there.clone() },
        ];
        insta::assert_snapshot!(render(&slots, true), @r#"
a: of migration m, in use by server process 7, holds 32.0 MB of WAL, confirmed up to 0/9
b: of migration m, recorded, and not on the source
c: not of a migration that the target's journal knows, not in use, wal_status lost
"#);
        insta::assert_snapshot!(render(&[there], false), @"a: whose is not known without --target, not in use");
        insta::assert_snapshot!(render(&[], true), @"No logical replication slots of pgoutput in the source's database.");
    }
}
