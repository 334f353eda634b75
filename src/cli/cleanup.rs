//! `pg_migrator cleanup`: takes back what an unfinished migration left on both servers.
//!
//! Invariant: what is done is said as it happens, and what is left is said with the exit code.

use super::display::{Level, Voice};
use crate::error::ExitCode;
use crate::migration::cleanup::{self, Cleanup};

/// Cleans up.
pub(super) async fn run(asked: Cleanup, voice: &Voice) -> ExitCode {
    // What is left is said as a warning while it is found.
    match cleanup::run(asked, &voice.reporter()).await {
        Ok(cleaned) => {
            if cleaned.done.is_empty() && cleaned.left.is_empty() {
                voice.say(Level::Info, "there is nothing to clean up");
            }
            cleaned.exit_code()
        }
        Err(error) => {
            voice.failed(&error.to_string(), error.exit_code());
            error.exit_code()
        }
    }
}
