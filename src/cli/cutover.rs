//! `pg_migrator cutover`: asks a run in another terminal to cut over, and waits for its end.
//!
//! Invariant: exit code 0 means that the migration is finished; an interrupt takes nothing back.

use super::display::{Level, Voice};
use super::invocation::Cutover;
use super::signals::{Signals, next};
use crate::error::ExitCode;
use crate::migration::Error;
use crate::migration::request::{self, End, Refusal};

/// Asks, and waits.
pub(super) async fn run(asked: Cutover, voice: &Voice) -> ExitCode {
    let mut signals = Signals::new().ok();
    let ended = tokio::select! {
        ended = ask(&asked, voice) => ended,
        _ = next(&mut signals) => {
            voice.failed(
                "interrupted: it was not waited for the end; where the cutover had been asked for, it goes on",
                ExitCode::Interrupted,
            );
            return ExitCode::Interrupted;
        }
    };
    let code = match &ended {
        Ok(Ok(End::Finished)) => {
            voice.say(Level::Info, "Cutover: the migration is finished; its own output has the summary");
            return ExitCode::Done;
        }
        Ok(_) => ExitCode::OperatorMustAct,
        Err(error) => error.exit_code(),
    };
    voice.failed(&in_words(ended), code);
    code
}

async fn ask(asked: &Cutover, voice: &Voice) -> Result<Result<End, Refusal>, Error> {
    let target = asked.target.connect().await?;
    if let Err(refusal) = request::ask(&target, &asked.name).await? {
        return Ok(Err(refusal));
    }
    voice.say(Level::Info, "Cutover: asked for; waiting for the run's end");
    Ok(Ok(request::wait(&target, &asked.name).await?))
}

fn in_words(ended: Result<Result<End, Refusal>, Error>) -> String {
    match ended {
        Ok(Ok(End::Finished)) => "finished".to_owned(),
        Ok(Ok(End::Unfinished(phase))) => format!(
            "the run ended in {phase} without finishing the migration: its own output says why; the same command goes on"
        ),
        Ok(Err(refusal)) => refusal.to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_ended() {
        let said = [Ok(End::Unfinished("Cutover".into())), Err(Refusal::NoRun("StreamApply".into()))];
        insta::assert_snapshot!(said.map(|end| in_words(Ok(end))).join("\n"), @r#"
the run ended in Cutover without finishing the migration: its own output says why; the same command goes on
no run of the migration is under way; it had come to StreamApply: run its command again, and cut over once it is CaughtUp
"#);
    }
}
