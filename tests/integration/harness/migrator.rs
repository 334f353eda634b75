//! Runs the pg_migrator binary as a user would, with a time limit.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::database::clean;

/// The binary under test.
fn binary() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_pg_migrator") {
        Some(path) => path.into(),
        // An example or a benchmark: target/<profile>/{examples,deps}/us.
        None => {
            let us = std::env::current_exe().expect("our own path");
            us.parent().and_then(|p| p.parent()).expect("target folder").join("pg_migrator")
        }
    }
}

/// A call of the binary being put together.
pub struct Migrator {
    command: Command,
    limit: Duration,
    echo: bool,
}

/// What a finished call left.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
    /// Largest resident memory seen, in kilobytes.
    pub peak_kb: u64,
}

/// A call under way.
pub struct Running {
    child: Child,
    // Chunks of stderr as they come, so that a test can wait for a line.
    narration: mpsc::Receiver<Vec<u8>>,
    heard: Vec<u8>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    started: Instant,
    limit: Duration,
    peak_kb: u64,
}

/// `pg_migrator ARGS…`, without the caller's `PG*` environment.
pub fn migrator<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Migrator {
    let mut command = clean(binary());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Migrator { command, limit: Duration::from_secs(300), echo: false }
}

impl Migrator {
    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }
    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }
    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }
    /// Kills the call and fails the test after this long (300 s unless told).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
    /// Shows on our stderr what it narrates.
    pub fn echo(mut self) -> Self {
        self.echo = true;
        self
    }
    /// Starts it.
    pub fn spawn(mut self) -> Running {
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        let mut out = child.stdout.take().unwrap();
        let mut err = child.stderr.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut all = Vec::new();
            let _ = out.read_to_end(&mut all);
            all
        });
        let (sender, narration) = mpsc::channel();
        let echo = self.echo;
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = err.read(&mut buffer) {
                if echo {
                    let _ = std::io::stderr().write_all(&buffer[..n]);
                }
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let started = Instant::now();
        Running {
            child,
            narration,
            heard: Vec::new(),
            stdout: Some(stdout),
            started,
            limit: self.limit,
            peak_kb: 0,
        }
    }
    /// Runs it to its end.
    pub fn run(self) -> Run {
        self.spawn().wait()
    }
    /// Runs it to its end with our own stdout and stderr, and no time limit; returns its exit code.
    pub fn on_terminal(mut self) -> i32 {
        let status = self.command.stdout(Stdio::inherit()).stderr(Stdio::inherit()).status();
        status.unwrap_or_else(|e| panic!("{:?}: {e}", self.command)).code().unwrap_or(-1)
    }
    /// Runs it; it must exit with 0.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.run().expect_code(0)
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Sends a signal by name: `INT`, `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: no other program is needed, and no unsafe code.
        let status = Command::new("/bin/sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(status.unwrap().success(), "kill -{name} {}", self.pid());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until stderr contains this text. Fails the test when the process ends or time is up first.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.heard).contains(text) {
            let left = self.limit.saturating_sub(self.started.elapsed());
            match self.narration.recv_timeout(left) {
                Ok(chunk) => self.heard.extend(chunk),
                Err(_) => {
                    self.child.kill().unwrap();
                    panic!("never said {text:?}:\n{}", String::from_utf8_lossy(&self.heard));
                }
            }
        }
    }

    /// As [`Running::wait_for`], in what is said from now on.
    #[track_caller]
    pub fn wait_for_next(&mut self, text: &str) {
        while let Ok(chunk) = self.narration.try_recv() {
            self.heard.extend(chunk);
        }
        let before = std::mem::take(&mut self.heard);
        self.wait_for(text);
        let after = std::mem::replace(&mut self.heard, before);
        self.heard.extend(after);
    }

    /// Waits for its end, within the limit.
    #[track_caller]
    pub fn wait(mut self) -> Run {
        let mut timed_out = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.peak_kb = self.peak_kb.max(peak_kb(self.child.id()));
            if self.started.elapsed() > self.limit && !timed_out {
                timed_out = true;
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let elapsed = self.started.elapsed();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        while let Ok(chunk) = self.narration.recv() {
            self.heard.extend(chunk);
        }
        let run = Run {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.heard).into_owned(),
            elapsed,
            peak_kb: self.peak_kb,
        };
        assert!(!timed_out, "not done after {:?}:\n{}{}", self.limit, run.stdout, run.stderr);
        run
    }
}

/// `VmHWM` of a process; 0 when it is gone.
fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failing test must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.heard.extend(self.narration.try_iter().flatten());
            eprintln!("pg_migrator had said:\n{}", String::from_utf8_lossy(&self.heard));
        }
    }
}

impl Run {
    /// Checks the exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Run {
        assert_eq!(self.code, code, "exit code; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that stderr or stdout says all of these, letter case ignored.
    #[track_caller]
    pub fn expect_said(self, texts: &[&str]) -> Run {
        let said = format!("{}\n{}", self.stderr, self.stdout).to_lowercase();
        for text in texts {
            assert!(
                said.contains(&text.to_lowercase()),
                "never said {text:?}:\n{}\n{}",
                self.stderr,
                self.stdout
            );
        }
        self
    }
}
