//! Keeps passwords given on the command line out of the process title.
//!
//! `/proc/PID/cmdline`, which `ps` shows to every user of the machine, is what the process was started with. So where
//! `--source`, `--target` or `--subscription-conninfo` holds a password, the process starts itself again in place (same process id), with
//! `(hidden)` for the value, and gets the real one through a pipe on its standard input, which
//! nothing else reads: neither the arguments nor the environment hold it any more. It is visible for the few
//! milliseconds before that; the password file, `PGPASSWORD` or `PG_MIGRATOR_SOURCE` never show it.
//!
//! Invariant: [`arguments`] returns what the operator wrote, whichever way it came.

use std::ffi::OsString;
use std::io;

/// What stands for a hidden value.
const HIDDEN: &str = "(hidden)";
/// Set to the process id by the process for itself: the standard input holds the hidden values.
const MARK: &str = "PG_MIGRATOR_HIDDEN_ARGUMENTS";
const FLAGS: [&str; 3] = ["--source", "--target", "--subscription-conninfo"];

/// The command line as the operator wrote it. Does not return where the process had to start again.
pub(crate) fn arguments() -> io::Result<Vec<OsString>> {
    let argv: Vec<OsString> = std::env::args_os().collect();
    if std::env::var(MARK).is_ok_and(|pid| pid == std::process::id().to_string()) {
        let mut hidden = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut hidden)?;
        return Ok(restore(argv, &hidden));
    }
    let (shown, hidden) = split(&argv);
    if hidden.is_empty() {
        return Ok(argv);
    }
    start_again(&shown, &hidden)?;
    Ok(argv)
}

/// Whether `text` may be a connection string with a password in it; rather yes than no.
pub(crate) fn may_hold_password(text: &str) -> bool {
    if text.to_ascii_lowercase().contains("password") {
        return true;
    }
    let Some((_, rest)) = text.split_once("://") else { return false };
    // `user:password@`, or a query whose keywords are written with percent signs.
    rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || rest.contains('%')
}

/// `text` without the arguments that may hold a password: clap quotes what it does not understand.
pub(crate) fn redact(text: &str, argv: &[OsString]) -> String {
    let mut out = text.to_owned();
    for arg in argv.iter().filter_map(|a| a.to_str()).filter(|a| may_hold_password(a)) {
        let value = arg.strip_prefix("--").and_then(|a| a.split_once('=')).map_or(arg, |(_, v)| v);
        out = out.replace(value, HIDDEN);
    }
    out
}

/// The arguments to show, and the hidden values, each ended by a NUL, in order.
fn split(argv: &[OsString]) -> (Vec<OsString>, Vec<u8>) {
    let mut hidden = Vec::new();
    let mut hide = |value: &str| {
        hidden.extend_from_slice(value.as_bytes());
        hidden.push(0);
    };
    let mut shown = Vec::with_capacity(argv.len());
    let mut value_follows = false;
    for arg in argv {
        let Some(text) = arg.to_str() else {
            shown.push(arg.clone());
            value_follows = false;
            continue;
        };
        if value_follows && may_hold_password(text) {
            hide(text);
            shown.push(HIDDEN.into());
        } else if let Some((flag, value)) = text.split_once('=').filter(|(flag, _)| FLAGS.contains(flag))
            && may_hold_password(value)
        {
            hide(value);
            shown.push(format!("{flag}={HIDDEN}").into());
        } else {
            shown.push(arg.clone());
        }
        value_follows = !value_follows && FLAGS.contains(&text);
    }
    (shown, hidden)
}

/// The inverse of [`split`].
fn restore(shown: Vec<OsString>, hidden: &[u8]) -> Vec<OsString> {
    let mut values = hidden.split(|&b| b == 0).map(|v| String::from_utf8_lossy(v).into_owned());
    let mut value_follows = false;
    let mut out = Vec::with_capacity(shown.len());
    for arg in shown {
        let text = arg.to_str().unwrap_or_default();
        let flag = text
            .split_once('=')
            .filter(|(f, v)| FLAGS.contains(f) && *v == HIDDEN)
            .map(|(f, _)| f.to_owned());
        let follows = !value_follows && FLAGS.contains(&text);
        out.push(match flag {
            Some(flag) => format!("{flag}={}", values.next().unwrap_or_default()).into(),
            None if value_follows && text == HIDDEN => values.next().unwrap_or_default().into(),
            None => arg,
        });
        value_follows = follows;
    }
    out
}

/// Replaces the process by itself; returns only where the platform has no way to.
#[cfg(unix)]
fn start_again(shown: &[OsString], hidden: &[u8]) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    // A pipe takes 64 KiB without a reader; a command line that needs more is not one.
    if hidden.len() > 32 << 10 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the connection strings are too long"));
    }
    let (reader, mut writer) = io::pipe()?;
    io::Write::write_all(&mut writer, hidden)?;
    drop(writer);
    // The binary may have been replaced since it started; the kernel still has the one that runs.
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    let own = own.unwrap_or_else(|| "/proc/self/exe".into());
    let mut shown = shown.iter();
    let mut command = std::process::Command::new(own);
    if let Some(name) = shown.next() {
        command.arg0(name);
    }
    command.args(shown).env(MARK, std::process::id().to_string()).stdin(reader);
    Err(command.exec())
}

#[cfg(not(unix))]
fn start_again(_: &[OsString], _: &[u8]) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_may_hold_a_password() {
        for yes in [
            "host=a password=x",
            "postgresql://u:p@h/db",
            "postgres://h/db?password=x",
            "postgres://h/db?pass%77ord=x",
            "host=a PASSWORD = 'x y'",
            "postgresql://u:p@x@h/db",
        ] {
            assert!(may_hold_password(yes), "{yes}");
        }
        for no in ["host=a user=b", "postgresql://u@h:5432/db", "postgresql:///db", "passfile=/p"] {
            assert!(!may_hold_password(no), "{no}");
        }
    }

    #[test]
    fn hidden_values_come_back() {
        let argv = os(&[
            "pg_migrator",
            "--source",
            "password=(hidden)",
            "--target=postgres://u:p@h/d",
            "--jobs",
            "2",
            "--source",
            "host=a",
            "--subscription-conninfo",
            "password=y",
        ]);
        let (shown, hidden) = split(&argv);
        assert_eq!(
            shown,
            os(&[
                "pg_migrator",
                "--source",
                "(hidden)",
                "--target=(hidden)",
                "--jobs",
                "2",
                "--source",
                "host=a",
                "--subscription-conninfo",
                "(hidden)"
            ])
        );
        assert_eq!(restore(shown, &hidden), argv);
    }

    #[test]
    fn a_command_line_without_secrets_is_left_alone() {
        let argv = os(&["pg_migrator", "--source", "--source", "--target", "host=a"]);
        let (shown, hidden) = split(&argv);
        assert!(hidden.is_empty());
        assert_eq!(shown, argv);
    }

    #[test]
    fn messages_are_redacted() {
        let argv = os(&["pg_migrator", "postgres://u:geheim@h/d", "--sorce=password=geheim"]);
        let text = "unexpected argument 'postgres://u:geheim@h/d', '--sorce=password=geheim'";
        assert_eq!(redact(text, &argv), "unexpected argument '(hidden)', '--sorce=(hidden)'");
    }
}
