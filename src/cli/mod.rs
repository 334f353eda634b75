//! From argv to an exit code: raw arguments → checked config → one command → what is printed.
//!
//! One file per command. Invariant: stdout is data, stderr is narration; no connection string is ever printed.

mod args;
mod bench;
mod bench_args;
mod check;
mod cleanup;
mod cutover;
mod display;
mod invocation;
mod migrate;
mod schema;
mod secret;
mod signals;
mod size;
mod slots;
mod status;
mod verify;

use std::ffi::OsString;
use std::io::Write as _;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::RawArgs;
use display::{Display, Voice};
use invocation::{Command, UsageError};

use crate::error::ExitCode;

/// Runs the command line of this process to its end.
pub fn main() -> ExitCode {
    let argv = match secret::arguments() {
        Ok(argv) => argv,
        Err(e) => {
            complain(&format!(
                "[ERROR] the passwords on the command line cannot be hidden: {e}; \
                 give them in PGPASSWORD or a password file instead"
            ));
            return ExitCode::Usage;
        }
    };
    let raw = match RawArgs::try_parse_from(&argv) {
        Ok(raw) => raw,
        Err(e) => return refuse(&e, &argv),
    };
    let console = invocation::console(&raw.console);
    let resolved = invocation::resolve(raw, &|name| std::env::var(name).ok());
    let live = matches!(resolved, Ok((Command::Migrate(_), _)));
    let mut display = Display::start(console, live);
    let voice = display.voice();
    let code = match resolved {
        Ok((command, _)) => run(command, &voice),
        Err(e) => usage(&e, &voice),
    };
    display.finish();
    code
}

fn run(command: Command, voice: &Voice) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            voice.failed(&format!("no threads can be started: {e}"), ExitCode::OperatorMustAct);
            return ExitCode::OperatorMustAct;
        }
    };
    let code = runtime.block_on(async {
        match command {
            Command::Migrate(config) => migrate::run(*config, voice).await,
            Command::Check(config, output) => check::run(&config, output, voice).await,
            Command::Cutover(asked) => cutover::run(*asked, voice).await,
            Command::Cleanup(asked) => cleanup::run(*asked, voice).await,
            Command::Slots(asked, output) => slots::run(*asked, output, voice).await,
            Command::Status(asked, output) => status::run(*asked, output, voice).await,
            Command::Schema(asked) => schema::run(*asked, voice).await,
            Command::Verify(asked, output) => verify::run(*asked, output, voice).await,
            Command::Bench(asked) => bench::run(*asked, voice).await,
        }
    });
    // Connections end with the process; nothing is left that anyone waits for.
    runtime.shutdown_background();
    code
}

fn usage(error: &UsageError, voice: &Voice) -> ExitCode {
    voice.failed(&format!("{error}\nTry 'pg_migrator --help'."), ExitCode::Usage);
    ExitCode::Usage
}

/// clap's own answers: help and version on stdout, everything else is a usage error.
fn refuse(error: &clap::Error, argv: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::Done
        }
        _ => {
            complain(secret::redact(&error.render().to_string(), argv).trim_end());
            ExitCode::Usage
        }
    }
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
