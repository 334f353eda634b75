//! A server made for the run: initdb, postgres, and their end.
//!
//! A watcher, a small `sh` that holds the reading end of a pipe, makes and starts it; when the pipe ends, however this process ends, it stops
//! the server and removes the folder. PostgreSQL refuses to run as root: then all of that is done as `nobody`. Invariant: the server listens on
//! the loopback interface only and asks for a password that nobody else knows.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::BenchError;
use crate::error::Side;
use crate::pg::{ConnInfo, Environment, Server};

/// User and group that run the server where the caller is root: `nobody` on most systems.
#[cfg(unix)]
const NOBODY: u32 = 65534;
/// How long initdb and the start may take.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// Another process may take the port before the server does.
const TRIES: u32 = 3;

const WATCHER: &str = r#"
trap : INT TERM HUP
umask 077
bin=$1 dir=$2
cd /
server=
if "$bin/initdb" -U postgres -A scram-sha-256 --pwfile="$dir/password" -E UTF8 --locale=C -N -D "$dir/data" >"$dir/log" 2>&1 </dev/null
then
  cat "$dir/settings" >>"$dir/data/postgresql.conf"
  "$bin/postgres" -D "$dir/data" >>"$dir/log" 2>&1 </dev/null &
  server=$!
else
  echo "initdb failed" >>"$dir/log"
fi
read -r _
if [ -n "$server" ]; then kill -QUIT "$server"; wait "$server"; fi 2>/dev/null
rm -rf "$dir" 2>/dev/null
"#;

/// A server that ends with this value.
#[derive(Debug)]
pub(super) struct Throwaway {
    dir: PathBuf,
    watcher: Child,
    /// Its end is the watcher's sign to clean up.
    pipe: Option<ChildStdin>,
    server: Server,
}

impl Throwaway {
    /// Makes and starts a server from the programs in `bin`.
    pub(super) async fn start(side: Side, bin: &Path, tag: &str) -> Result<Throwaway, BenchError> {
        let mut tries = 1;
        loop {
            let failed = match Throwaway::try_start(side, bin, tag).await {
                Ok(throwaway) => return Ok(throwaway),
                Err(why) => why,
            };
            if tries == TRIES || !failed.contains("could not bind") {
                return Err(BenchError::Start { side, bin: bin.to_owned(), why: failed });
            }
            tries += 1;
        }
    }

    async fn try_start(side: Side, bin: &Path, tag: &str) -> Result<Throwaway, String> {
        let bin = std::path::absolute(bin).map_err(|e| e.to_string())?;
        if let Some(missing) = ["initdb", "postgres"].iter().find(|name| !bin.join(name).is_file()) {
            return Err(format!("there is no {missing} in that folder"));
        }
        let password = random();
        let dir = std::env::temp_dir().join(format!("{tag}_{side}"));
        let port = free_port().map_err(|e| format!("there is no free port: {e}"))?;
        let conninfo = format!(
            "host=127.0.0.1 port={port} user=postgres dbname=postgres password={password} sslmode=disable"
        );
        // Not in this process's environment: it is ours alone.
        let info = ConnInfo::parse(&conninfo, &Environment::new(&[], None, Some("postgres")));
        let info = ConnInfo { application_name: tag.to_owned(), ..info.map_err(|e| e.to_string())? };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHER, "pg_migrator-bench-server"]).arg(&bin).arg(&dir).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        let files = [("password", format!("{password}\n")), ("settings", settings(port, &dir))];
        folder(&dir, &files, &mut command).map_err(|e| format!("{}: {e}", dir.display()))?;
        let spawned = command.spawn();
        let mut watcher = spawned.map_err(|e| {
            let _ = std::fs::remove_dir_all(&dir);
            format!("/bin/sh: {e}")
        })?;
        let pipe = watcher.stdin.take();
        let mut throwaway = Throwaway { dir, watcher, pipe, server: Server::new(side, info) };
        throwaway.ready().await?;
        Ok(throwaway)
    }

    /// Waits until it takes connections.
    async fn ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let failed = match self.server.connect().await {
                Ok(_) => return Ok(()),
                Err(e) => e.to_string(),
            };
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let over =
                ["initdb failed", "database system is shut down"].iter().any(|sign| log.contains(sign));
            if over
                || started.elapsed() > PATIENCE
                || self.watcher.try_wait().is_ok_and(|ended| ended.is_some())
            {
                let lines: Vec<&str> = log.lines().rev().take(8).collect();
                let end: Vec<&str> = lines.into_iter().rev().collect();
                return Err(if end.is_empty() { failed } else { end.join("\n") });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How to reach it.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.watcher.wait();
        // The watcher has emptied it; where the folder above lets only us take it away, it is still there.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Durability is off, and so is what would work in the background at its own times: figures are to be comparable.
fn settings(port: u16, dir: &Path) -> String {
    format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nwal_level = logical\nfsync = off\n\
         shared_buffers = 512MB\nmax_wal_size = 16GB\ncheckpoint_timeout = 1h\nautovacuum = off\nmax_connections = 100\n\
         max_replication_slots = 100\nmax_wal_senders = 50\nmax_worker_processes = 40\nwal_sender_timeout = 300s\n",
        dir.display()
    )
}

/// A new folder with these files, which the command's user owns.
fn folder(dir: &Path, files: &[(&str, String)], command: &mut Command) -> io::Result<()> {
    std::fs::create_dir(dir)?;
    for (name, content) in files {
        std::fs::write(dir.join(name), content)?;
    }
    unprivileged(dir, files, command)
}

#[cfg(unix)]
fn unprivileged(dir: &Path, files: &[(&str, String)], command: &mut Command) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
    use std::os::unix::process::CommandExt as _;
    // A Ctrl+C on the terminal is for us, not for the servers.
    command.process_group(0);
    let paths = || files.iter().map(|(name, _)| dir.join(name)).chain([dir.to_owned()]);
    for path in paths() {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(if path == dir { 0o700 } else { 0o600 }))?;
    }
    // What we make belongs to whom we are.
    if std::fs::metadata(dir)?.uid() == 0 {
        for path in paths() {
            chown(&path, Some(NOBODY), Some(NOBODY))?;
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(())
}

#[cfg(not(unix))]
fn unprivileged(_: &Path, _: &[(&str, String)], _: &mut Command) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "throwaway servers are made on Unix only"))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// 128 bits that nobody can guess, as the standard library's hash maps get theirs from the system.
pub(super) fn random() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
