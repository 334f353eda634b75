//! A database of a [`Cluster`], and psql to talk to it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Cluster, tools};

/// A database; dropped from its server with the value, unless a test is failing.
#[derive(Debug)]
pub struct Database<'a> {
    /// Its server.
    pub cluster: &'a Cluster,
    /// Its name, unquoted.
    pub name: String,
    ours: bool,
}

/// `value` as libpq's keyword/value connection strings want it.
fn conninfo_quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A session that holds what it holds; see [`Database::hold`].
#[derive(Debug)]
pub struct Held {
    child: Child,
    // Its end is the session's.
    stdin: Option<ChildStdin>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

impl<'a> Database<'a> {
    pub(super) fn new(cluster: &'a Cluster, name: &str, ours: bool) -> Self {
        Database { cluster, name: name.into(), ours }
    }

    /// Connection string, keyword/value form, over TCP as `postgres`.
    pub fn conninfo(&self) -> String {
        self.conninfo_as("postgres", self.cluster.port)
    }

    /// Connection string as another role, or through another port (a proxy's).
    pub fn conninfo_as(&self, user: &str, port: u16) -> String {
        let (user, name) = (conninfo_quote(user), conninfo_quote(&self.name));
        format!("host=127.0.0.1 port={port} user={user} dbname={name}")
    }

    /// Connection string, URI form.
    pub fn uri(&self) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let name: String = self
            .name
            .bytes()
            .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        format!("postgresql://postgres@127.0.0.1:{}/{name}", self.cluster.port)
    }

    /// psql on this database, stopping at the first error, printing bare values.
    pub fn psql_command(&self) -> Command {
        let mut command = clean(tools("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.conninfo()]);
        command
    }

    /// pgbench on this database.
    pub fn pgbench(&self, args: &[&str]) -> Command {
        let mut command = clean(tools("pgbench"));
        command.args(args).arg(self.conninfo());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A session that has run these statements and stays open, with its transaction, until it is dropped.
    #[track_caller]
    pub fn hold(&self, sql: &str) -> Held {
        let mut child =
            self.psql_command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql");
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{sql};\n\\echo held").and_then(|()| stdin.flush()).unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        while !said.ends_with("held\n") {
            assert!(out.read_line(&mut said).unwrap() > 0, "{sql}: {said}");
        }
        Held { child, stdin: Some(stdin) }
    }

    /// Runs a script through psql: what it printed, or the error.
    pub fn try_psql(&self, sql: &str) -> Result<String, String> {
        let mut command = self.psql_command();
        command.args(["-f", "-"]);
        let (ok, out, err) = feed(&mut command, sql.as_bytes());
        if ok { Ok(out.trim_end().to_owned()) } else { Err(err) }
    }

    /// Runs a script through psql, which must succeed; returns what it printed, fields separated by `|`.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        match self.try_psql(sql) {
            Ok(out) => out,
            Err(err) => panic!("{} on PostgreSQL {}: {err}", self.name, self.cluster.major),
        }
    }

    /// Runs a script file through psql, which must succeed.
    #[track_caller]
    pub fn psql_file(&self, path: &Path) -> String {
        let out = self.psql_command().arg("-f").arg(path).stdin(Stdio::null()).output().unwrap();
        assert!(
            out.status.success(),
            "{} on PostgreSQL {}: {}",
            path.display(),
            self.cluster.major,
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// Ends every other session on this database (tests of broken connections).
    pub fn terminate_sessions(&self) {
        self.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }

    /// Sessions on this database other than the asking one, for "nothing left behind".
    pub fn sessions(&self) -> Vec<String> {
        self.psql(
            "SELECT pid || ' ' || application_name || ' ' || state || ' ' || query FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        )
        .lines()
        .map(str::to_owned)
        .collect()
    }
}

/// Ends what keeps a database from being dropped and its server from forgetting WAL: its slots, active or not. Prints
/// subscriptions and prepared transactions, which can only be ended from inside the database.
const RELEASE: &str = r#"
SET client_min_messages = error;
SELECT set_config('harness.name', :'name', false) \g /dev/null
DO $$ BEGIN
  FOR i IN 1..100 LOOP
    BEGIN
      PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots
        WHERE database = current_setting('harness.name') AND active;
      PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots
        WHERE database = current_setting('harness.name') AND NOT active;
    EXCEPTION WHEN object_in_use OR undefined_object THEN NULL;
    END;
    EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_setting('harness.name'));
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I;', subname)
  FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE datname = :'name';
SELECT format('ROLLBACK PREPARED %L;', gid) FROM pg_prepared_xacts WHERE database = :'name';
"#;

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        // A stopped server or a session still open keeps it: it goes with the server then.
        let maintenance = self.cluster.maintenance();
        let mut release = maintenance.psql_command();
        release.args(["-v", &format!("name={}", self.name), "-f", "-"]);
        let (_, inside, _) = feed(&mut release, RELEASE.as_bytes());
        if !inside.trim().is_empty() {
            let _ = self.try_psql(&inside);
        }
        // The database of a failing test is left to be looked at.
        if !std::thread::panicking() {
            let force = if self.cluster.major >= 13 { " WITH (FORCE)" } else { "" };
            let name = self.name.replace('"', "\"\"");
            let _ = maintenance.try_psql(&format!(
                "SET client_min_messages = error; DROP DATABASE IF EXISTS \"{name}\"{force}"
            ));
        }
    }
}

/// A command without the caller's `PG*` environment.
pub(super) fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("PGPASSFILE", "/nonexistent").env("PGSERVICEFILE", "/nonexistent");
    command
}

/// Runs a command on this input: success, stdout, stderr.
pub(super) fn feed(command: &mut Command, input: &[u8]) -> (bool, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A child that ends early closes its stdin; its own error tells why.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
