//! A PostgreSQL server that lives no longer than the process that started it.
//!
//! Each server has a watcher: a small `sh` that starts it and then reads commands from a pipe whose writing end
//! only the test process holds. However that process ends, the pipe ends with it; the watcher then stops the server
//! and removes its folder.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::Database;
use super::database::clean;

/// User and group that run servers when we are root: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// What a server that serves only one test may need.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    hba: Vec<String>,
    files: Vec<(String, String)>,
    extensions: Vec<(String, String)>,
    file_size_limit: Option<u64>,
}

impl Options {
    /// Nothing but the defaults: everybody trusted, `fsync=off`, UTF8, C.UTF-8.
    pub fn new() -> Self {
        Self::default()
    }
    /// What a source or target of an online migration needs, and enough of it for many at once: this major's settings.
    pub fn online(major: u32) -> Self {
        let mut options = Self::new()
            .set("wal_level", "logical")
            .set("max_replication_slots", "100")
            .set("max_wal_senders", "100")
            .set("max_connections", "200")
            .set("max_prepared_transactions", "100")
            .set("max_worker_processes", "40")
            .set("max_logical_replication_workers", "30")
            .set("wal_retrieve_retry_interval", "200ms");
        if major >= 18 {
            options = options.set("max_active_replication_origins", "100");
        }
        options
    }
    /// A line for `postgresql.conf`; the value unquoted.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }
    /// A line put in front of the default `pg_hba.conf` (which trusts everybody on 127.0.0.1 and the socket).
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.into());
        self
    }
    /// A file put into the data folder, readable by the server only (`server.key`, `server.crt`, …).
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }
    /// An extension of the tests' own, version 1.0, made by this script; needs a copy of the server's files.
    pub fn extension(mut self, name: &str, script: &str) -> Self {
        self.extensions.push((name.into(), script.into()));
        self
    }
    /// No file of the server grows past this (`ulimit -f`); at least 16 MB, or WAL cannot be written.
    pub fn file_size_limit(mut self, bytes: u64) -> Self {
        self.file_size_limit = Some(bytes);
        self
    }
}

/// A running (or stopped) server of ours.
#[derive(Debug)]
pub struct Cluster {
    /// Its major version, 10 to 18.
    pub major: u32,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    dir: PathBuf,
    watcher: Mutex<Watcher>,
}

#[derive(Debug)]
struct Watcher {
    child: Child,
    // None once dropped: the pipe's end is the watcher's signal to clean up.
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

/// The server of this major that all tests of the process share, started on first use.
pub fn cluster(major: u32) -> &'static Cluster {
    shared(major, false)
}

/// Another one, with [`Options::online`]. Its slots' names are the server's, so each test needs its own; and a slot's
/// creation waits for every transaction of the server that writes, prepared ones too, so no test may leave one open for long.
pub fn online_cluster(major: u32) -> &'static Cluster {
    shared(major, true)
}

type Cell = &'static OnceLock<Cluster>;

fn shared(major: u32, online: bool) -> &'static Cluster {
    static SHARED: OnceLock<Mutex<HashMap<(u32, bool), Cell>>> = OnceLock::new();
    let cell: Cell = SHARED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap()
        .entry((major, online))
        .or_insert_with(|| Box::leak(Box::default()));
    let options = if online { Options::online(major) } else { Options::new() };
    cell.get_or_init(|| Cluster::start(major, &options))
}

/// Folder with one server per major, as `scripts/servers` has it.
fn servers() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers");
        let out = Command::new(script).arg("--path").output().expect("scripts/servers --path");
        PathBuf::from(String::from_utf8(out.stdout).unwrap().trim())
    })
}

/// Path of a client tool of the newest major: `psql`, `pg_dump`, `pg_restore`, `pgbench`.
pub fn tools(name: &str) -> PathBuf {
    client(name, "tools/bin")
}

/// The pg_dump whose scripts a server of this major understands: 18 writes what only 18 reads. There is none of 17,
/// so no source of 17 can be dumped for a target of 17; there the two are compared directly.
pub fn pg_dump_for(target: u32) -> PathBuf {
    client("pg_dump", if target <= 17 { "tools/bin16" } else { "tools/bin" })
}

fn client(name: &str, folder: &str) -> PathBuf {
    let path = servers().join(folder).join(name);
    assert!(path.exists(), "{} is missing: run scripts/servers", path.display());
    path
}

fn bin(major: u32) -> PathBuf {
    let bin = servers().join(major.to_string()).join("bin");
    assert!(bin.join("postgres").exists(), "no PostgreSQL {major}: run scripts/servers {major}");
    bin
}

/// Folder with the programs of a server of this major.
pub fn server_bin(major: u32) -> PathBuf {
    bin(major)
}

fn is_root() -> bool {
    // The owner of our own /proc entry is our effective user.
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// A command run as the user that servers run as, with none of the caller's `PG*` environment.
fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = clean(program);
    command.current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        out.status.success(),
        "{command:?}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// A new empty folder that the servers' user owns.
fn folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(())
}

fn initdb(major: u32, data: &Path) {
    run(unprivileged(bin(major).join("initdb"))
        .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
        .arg(data));
}

/// An initdb'ed data folder to copy from, kept beside the servers; `None` where that place cannot be written.
fn template(major: u32) -> Option<PathBuf> {
    let release = std::fs::read_to_string(servers().join(format!("{major}/.release"))).ok()?;
    let user = if is_root() { "root".into() } else { std::env::var("USER").unwrap_or("user".into()) };
    let templates = servers().join(format!(".templates-{user}"));
    let _ = folder(&templates);
    let path = templates.join(release.trim());
    if path.exists() {
        return Some(path);
    }
    // Made aside and renamed, so that processes which start together do not see half of it.
    let aside = templates.join(format!("{}.{}.tmp", release.trim(), std::process::id()));
    folder(&aside).ok()?;
    initdb(major, &aside);
    if std::fs::rename(&aside, &path).is_err() {
        let _ = std::fs::remove_dir_all(&aside);
    }
    Some(path)
}

/// A server with extensions of our own: PostgreSQL finds its files by where its binary is. Returns its bin folder.
fn install(major: u32, place: &Path, extensions: &[(String, String)]) -> PathBuf {
    let original = servers().join(major.to_string());
    std::fs::create_dir_all(place).unwrap();
    std::os::unix::fs::symlink(original.join("lib"), place.join("lib")).unwrap();
    for folder in ["bin", "share"] {
        run(clean("cp").arg("-a").arg(original.join(folder)).arg(place));
    }
    for (name, script) in extensions {
        let folder = place.join("share/postgresql/extension");
        std::fs::write(
            folder.join(format!("{name}.control")),
            "default_version = '1.0'\nrelocatable = false\n",
        )
        .unwrap();
        std::fs::write(folder.join(format!("{name}--1.0.sql")), script).unwrap();
    }
    place.join("bin")
}

/// `hint_1`, `hint_2`, …: a name that no other test of this process has.
pub fn unique(hint: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{hint}_{}", COUNT.fetch_add(1, Ordering::Relaxed) + 1)
}

fn free_port() -> u16 {
    // Below the ephemeral range, so that no outgoing connection takes it before the server does.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let mix =
            (nanos ^ (std::process::id().wrapping_mul(2_654_435_761)) ^ n.wrapping_mul(40_503)) % 12_000;
        let port = 20_000 + mix as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Arguments: bin folder, our folder, `ulimit -f` blocks or "unlimited", and what to put in front of commands that
/// must not run as root. The watcher itself runs as the caller, who may have put files of his own into our folder.
const WATCHER: &str = r#"
trap : INT TERM HUP
umask 077
bin=$1 dir=$2 data=$2/data limit=$3
shift 3
ulimit -f "$limit" 2>/dev/null
start() { "$@" "$bin/pg_ctl" -D "$data" -l "$dir/log" -w -t 60 start >>"$dir/pg_ctl" 2>&1 </dev/null; }
stop() { mode=$1; shift; "$@" "$bin/pg_ctl" -D "$data" -m "$mode" -w -t 60 stop >>"$dir/pg_ctl" 2>&1 </dev/null; }
while read -r verb arg; do
  case $verb in
    start) start "$@"; echo $? ;;
    stop) stop "$arg" "$@"; echo $? ;;
    copy) cp -a "$arg" "$data"; echo $? ;;
  esac
done
stop immediate "$@"
cd / && rm -rf "$dir"
"#;

impl Cluster {
    /// Starts a server of its own for the caller; it ends when the value is dropped.
    pub fn start(major: u32, options: &Options) -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("pg_migrator-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        folder(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let blocks = options.file_size_limit.map_or("unlimited".into(), |b| (b / 512).to_string());
        let drop_root: &[&str] = match is_root() {
            true => &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
            false => &["env"],
        };
        let mut child = clean("/bin/sh")
            .current_dir("/")
            .args(["-c", WATCHER, "pg_migrator-test-server"])
            .arg(match options.extensions.is_empty() {
                true => bin(major),
                false => install(major, &dir.join("install"), &options.extensions),
            })
            .arg(&dir)
            .arg(blocks)
            .args(drop_root)
            // Its own process group: a Ctrl+C on the terminal is for the tests, not for their servers.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("/bin/sh");
        let commands = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().unwrap());
        let watcher = Mutex::new(Watcher { child, commands, replies });
        let mut cluster = Cluster { major, port: 0, dir, watcher };

        let data = cluster.data();
        match template(major) {
            // By the watcher too: were it our own child, it would go on writing after we are killed.
            Some(template) => assert!(cluster.command(&format!("copy {}", template.display())), "cp failed"),
            None => initdb(major, &data),
        }
        run(unprivileged("chmod").arg("700").arg(&data));
        for (name, content) in &options.files {
            cluster.write(name, content);
        }
        let mut hba = options.hba.join("\n");
        hba += "\nlocal all all trust\nhost all all 127.0.0.1/32 trust\nlocal replication all trust\nhost replication all 127.0.0.1/32 trust\n";
        cluster.write("pg_hba.conf", &hba);
        // Another process may take the port between our look and the server's bind: try again elsewhere.
        for _ in 0..5 {
            cluster.port = free_port();
            cluster.configure(&options.settings);
            if cluster.command("start") {
                return cluster;
            }
        }
        panic!("PostgreSQL {major} does not start:\n{}", cluster.log());
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.data().join(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn configure(&self, settings: &[(String, String)]) {
        let socket = self.dir.display().to_string();
        let port = self.port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &socket),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("shared_buffers", "128MB"),
            ("max_connections", "100"),
            ("max_wal_size", "2GB"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        let mut text = String::new();
        let theirs = settings.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (name, value) in ours.into_iter().chain(theirs) {
            text += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        self.write("postgresql.conf", &text);
    }

    /// Sends the watcher a command and reads whether it worked.
    fn command(&self, command: &str) -> bool {
        let mut watcher = self.watcher.lock().unwrap();
        let pipe = watcher.commands.as_mut().expect("the watcher is there");
        writeln!(pipe, "{command}").and_then(|()| pipe.flush()).expect("the watcher listens");
        let mut reply = String::new();
        watcher.replies.read_line(&mut reply).expect("the watcher answers");
        reply.trim() == "0"
    }

    /// Stops the server; `mode` is pg_ctl's: `fast`, or `immediate` for a crash.
    pub fn stop(&self, mode: &str) {
        assert!(self.command(&format!("stop {mode}")), "PostgreSQL does not stop:\n{}", self.log());
    }

    /// Starts it again after [`Cluster::stop`], on the same port.
    pub fn start_again(&self) {
        assert!(self.command("start"), "PostgreSQL does not start again:\n{}", self.log());
    }

    /// Crashes it and starts it again.
    pub fn crash_and_recover(&self) {
        self.stop("immediate");
        self.start_again();
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Folder of its unix socket; also a place to put files that should go with the server.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// A new folder beside the data folder that the server may write, for tablespaces.
    pub fn new_folder(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        self.make_folder(&path);
        path
    }

    /// A new folder at this place, which the server may write.
    pub fn make_folder(&self, path: &Path) {
        folder(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// What the server and pg_ctl wrote.
    pub fn log(&self) -> String {
        ["pg_ctl", "log"].map(|f| std::fs::read_to_string(self.dir.join(f)).unwrap_or_default()).concat()
    }

    /// A new empty database with a name that no other test has: `hint_1`, `hint_2`, …
    pub fn database(&self, hint: &str) -> Database<'_> {
        self.database_named(&unique(hint))
    }

    /// A new empty database of exactly this name, copied from the pristine `template0`.
    pub fn database_named(&self, name: &str) -> Database<'_> {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        self.maintenance().psql(&format!("CREATE DATABASE {quoted} TEMPLATE template0"));
        Database::new(self, name, true)
    }

    /// A new empty database in this encoding, locale C.
    pub fn database_encoded(&self, hint: &str, encoding: &str) -> Database<'_> {
        let name = unique(hint);
        let options = format!("TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'");
        self.maintenance().psql(&format!("CREATE DATABASE {name} {options}"));
        Database::new(self, &name, true)
    }

    /// A database that is there already, and is not ours to drop.
    pub fn existing(&self, name: &str) -> Database<'_> {
        Database::new(self, name, false)
    }

    /// The database `postgres`.
    pub fn maintenance(&self) -> Database<'_> {
        Database::new(self, "postgres", false)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let watcher = self.watcher.get_mut().unwrap_or_else(|e| e.into_inner());
        watcher.commands = None;
        let _ = watcher.child.wait();
    }
}
