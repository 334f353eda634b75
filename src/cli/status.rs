//! `pg_migrator status`: what the target's journal says, on stdout, for people or as one JSON object.
//!
//! Invariant: only reads; a target without an unfinished migration is an answer, not an error.

use std::io::Write as _;

use serde_json::json;

use super::display::Voice;
use super::invocation::{Output, Status};
use crate::error::ExitCode;
use crate::migration::Error;
use crate::migration::request::{self, Standing};

/// Looks, and prints.
pub(super) async fn run(asked: Status, output: Output, voice: &Voice) -> ExitCode {
    let standing = match look(&asked).await {
        Ok(standing) => standing,
        Err(error) => {
            voice.failed(&error.to_string(), error.exit_code());
            return error.exit_code();
        }
    };
    let text = match output {
        Output::Text => render(standing.as_ref()),
        Output::Json => json!({ "migration": standing }).to_string(),
    };
    let mut stdout = std::io::stdout().lock();
    if let Err(e) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        voice.failed(&format!("the answer cannot be written to stdout: {e}"), ExitCode::OperatorMustAct);
        return ExitCode::OperatorMustAct;
    }
    ExitCode::Done
}

async fn look(asked: &Status) -> Result<Option<Standing>, Error> {
    let target = asked.target.connect().await?;
    request::standing(&target).await
}

fn render(standing: Option<&Standing>) -> String {
    let Some(s) = standing else { return "No unfinished migration into this database.".to_owned() };
    let mut lines = vec![
        format!("migration    {} ({}, from database {})", s.name, s.mode, s.database),
        format!("phase        {}", s.phase),
        match s.run_pid {
            Some(pid) => format!("run          under way (server process {pid} on the target)"),
            None => "run          none: the same command goes on or starts over".to_owned(),
        },
    ];
    if let Some(slot) = &s.slot {
        lines.push(format!("slot         {slot}"));
    }
    if let Some(publication) = &s.publication {
        lines.push(format!("publication  {publication}"));
    }
    if let Some(applied) = s.lanes.iter().min() {
        lines.push(format!("applied      {applied}"));
    }
    if let Some(lift) = &s.fence {
        lines.push(format!(
            "fence        the source is read-only for new sessions; to lift it: run the same command again, or pg_migrator cleanup, or, on the source: \
             BEGIN READ WRITE; {lift}; COMMIT;"
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn for_people() {
        let mut standing = Standing {
            name: "m".into(),
            mode: "online".into(),
            phase: "StreamApply".into(),
            database: "app".into(),
            run_pid: Some(7),
            slot: Some("s".into()),
            publication: Some("p".into()),
            lanes: vec![Lsn(9), Lsn(8)],
            fence: Some("ALTER DATABASE app RESET default_transaction_read_only".into()),
        };
        insta::assert_snapshot!(render(Some(&standing)), @r#"
migration    m (online, from database app)
phase        StreamApply
run          under way (server process 7 on the target)
slot         s
publication  p
applied      0/8
fence        the source is read-only for new sessions; to lift it: run the same command again, or pg_migrator cleanup, or, on the source: BEGIN READ WRITE; ALTER DATABASE app RESET default_transaction_read_only; COMMIT;
"#);
        (standing.run_pid, standing.fence) = (None, None);
        (standing.slot, standing.publication, standing.lanes) = (None, None, vec![]);
        insta::assert_snapshot!(render(Some(&standing)), @r#"
migration    m (online, from database app)
phase        StreamApply
run          none: the same command goes on or starts over
"#);
        insta::assert_snapshot!(render(None), @"No unfinished migration into this database.");
    }
}
