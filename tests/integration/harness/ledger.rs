//! The ledger: clients that write to a source while it is migrated, in every way that is hard to carry over, and books that tell
//! afterwards what must be there.
//!
//! Invariant: every transaction writes one number of its client, in order; a number whose commit was acknowledged must
//! be found exactly once, one whose commit's answer was lost may be, any other must not. The tables are in
//! `tests/fixtures/ledger.sql`; what a client does in them is in [`super::entries`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::entries::{Chance, Entry};
use super::{Database, assert_same_rows, fixture};

/// Clients that are writing.
pub struct Ledger {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Page>>,
}

struct Shared {
    truncates: AtomicBool,
    stop: AtomicBool,
    server: RwLock<String>,
    /// Between two transactions of one client.
    pause: Duration,
    acknowledged: AtomicU64,
    started: Instant,
    /// Microseconds since `started`.
    last_acknowledged: AtomicU64,
}

/// What all clients know.
#[derive(Debug)]
pub struct Books(Vec<Page>);

/// What one client knows.
#[derive(Debug, Default)]
struct Page {
    client: u64,
    committed: BTreeSet<i64>,
    unknown: BTreeSet<i64>,
    refused: BTreeMap<String, u64>,
    /// Errors that no migration explains: mistakes of the workload, or worse.
    surprises: Vec<String>,
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Committed,
    Aborted,
    Unknown,
}

impl Ledger {
    /// Makes the ledger's tables.
    #[track_caller]
    pub fn open(source: &Database) {
        source.psql_file(&fixture("ledger.sql"));
    }

    /// Starts up to 16 clients; a seed always makes the same choices, in whatever order the clients then run. They pause between
    /// transactions, so that a debug build on a busy machine keeps up.
    pub fn start(source: &Database, seed: u64, clients: u64) -> Ledger {
        Self::start_at(source.conninfo(), seed, clients, Duration::from_millis(15))
    }

    /// As [`Ledger::start`], through this connection string, with a pause between each client's transactions.
    pub fn start_at(server: String, seed: u64, clients: u64, pause: Duration) -> Ledger {
        assert!((1..=16).contains(&clients), "the ledger's tables are for 16 clients");
        println!("ledger: seed {seed}, {clients} clients");
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            server: RwLock::new(server),
            pause,
            acknowledged: AtomicU64::new(0),
            started: Instant::now(),
            last_acknowledged: AtomicU64::new(0),
            truncates: AtomicBool::new(false),
        });
        let start = |client| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || Client::new(client, seed, shared).run())
        };
        Ledger { clients: (1..=clients).map(start).collect(), shared }
    }

    /// Transactions acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// When the last one was.
    pub fn last_acknowledged(&self) -> Instant {
        self.shared.started + Duration::from_micros(self.shared.last_acknowledged.load(Ordering::Acquire))
    }

    /// From now on tables are emptied too. Not while a slot is being made: a TRUNCATE under way at that moment can leave the server unable to
    /// decode what follows ("could not map filenumber … to relation OID"), whoever reads the slot.
    pub fn truncate_too(&self) {
        self.shared.truncates.store(true, Ordering::Release);
    }

    /// Waits until so many more transactions are acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let (goal, started) = (self.acknowledged() + more, Instant::now());
        while self.acknowledged() < goal {
            assert!(started.elapsed() < Duration::from_secs(120), "the ledger's clients do not get on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// From now on, connections are made to another server; those there are go on until they break.
    pub fn redirect(&self, server: &str) {
        *self.shared.server.write().unwrap() = server.to_owned();
    }

    /// Ends all clients after their current transaction.
    #[track_caller]
    pub fn stop(mut self) -> Books {
        self.shared.stop.store(true, Ordering::Release);
        let clients = std::mem::take(&mut self.clients);
        let books = Books(clients.into_iter().map(|c| c.join().expect("a client of the ledger")).collect());
        let surprises: Vec<&String> = books.0.iter().flat_map(|page| &page.surprises).take(5).collect();
        assert!(surprises.is_empty(), "errors that no migration explains: {surprises:#?}");
        println!("ledger: {}", books.summary());
        books
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

impl Books {
    /// Transactions that must be there.
    pub fn committed(&self) -> usize {
        self.0.iter().map(|page| page.committed.len()).sum()
    }

    fn summary(&self) -> String {
        let mut refused = BTreeMap::new();
        for (code, n) in self.0.iter().flat_map(|page| &page.refused) {
            *refused.entry(code).or_insert(0) += n;
        }
        let unknown: usize = self.0.iter().map(|page| page.unknown.len()).sum();
        format!("{} committed, {unknown} unknown, refused {refused:?}", self.committed())
    }

    /// This database has exactly what the books say.
    #[track_caller]
    pub fn check(&self, database: &Database) {
        for table in ["numbered", "log"] {
            let mut found: BTreeMap<u64, BTreeMap<i64, u64>> = BTreeMap::new();
            for line in database
                .psql(&format!("SELECT client, n, count(*) FROM ledger.{table} GROUP BY 1, 2"))
                .lines()
            {
                let numbers: Vec<i64> = line.split('|').map(|v| v.parse().unwrap()).collect();
                found.entry(numbers[0] as u64).or_default().insert(numbers[1], numbers[2] as u64);
            }
            for page in &self.0 {
                let found = found.remove(&page.client).unwrap_or_default();
                let of = format!("{table} of client {} in {}", page.client, database.name);
                let doubled: Vec<_> = found.iter().filter(|(_, count)| **count != 1).take(10).collect();
                assert!(doubled.is_empty(), "{of}: doubled: {doubled:?}");
                let missing: Vec<_> =
                    page.committed.iter().filter(|n| !found.contains_key(n)).take(10).collect();
                assert!(missing.is_empty(), "{of}: acknowledged and missing: {missing:?}");
                let may = |n: &&i64| page.committed.contains(n) || page.unknown.contains(n);
                let odd: Vec<_> = found.keys().filter(|n| !may(n)).take(10).collect();
                assert!(odd.is_empty(), "{of}: never committed: {odd:?}");
            }
            assert!(found.is_empty(), "{table}: clients nobody knows: {:?}", found.keys());
        }
        let sums = "SELECT (SELECT sum(balance) FROM ledger.account), (SELECT count(*) FROM ledger.account a \
                    WHERE balance <> (SELECT coalesce(sum(delta), 0) FROM ledger.audit WHERE account = a.id))";
        assert_eq!(database.psql(sums), "0|0", "balances, and accounts that differ from their audit");
    }

    /// Both sides have what the books say, and the same rows and sequences everywhere.
    #[track_caller]
    pub fn check_both(&self, source: &Database, target: &Database) {
        self.check(source);
        assert_same_rows(source, target);
        self.check(target);
    }
}

struct Client {
    page: Page,
    chance: Chance,
    shared: Arc<Shared>,
    runtime: Runtime,
    session: Option<tokio_postgres::Client>,
    /// The number being written.
    n: i64,
    /// A prepared transaction whose end is not known: its name, and whether it shall be committed.
    pending: Option<(String, bool)>,
}

impl Client {
    fn new(client: u64, seed: u64, shared: Arc<Shared>) -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let page = Page { client, ..Page::default() };
        let chance = Chance::new(seed.wrapping_mul(1_000_003) + client);
        Client { page, chance, shared, runtime, session: None, n: 0, pending: None }
    }

    fn run(mut self) -> Page {
        while !self.shared.stop.load(Ordering::Acquire) {
            if !self.connected() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            self.n += 1;
            self.transaction();
            std::thread::sleep(self.shared.pause);
        }
        // A prepared transaction must not be left open: it would hold back every slot that is made later.
        let started = Instant::now();
        while self.pending.is_some() && started.elapsed() < Duration::from_secs(20) {
            if !self.connected() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.page
    }

    /// Connects where that is needed and possible, and ends what was left prepared.
    fn connected(&mut self) -> bool {
        if self.session.as_ref().is_some_and(|session| !session.is_closed()) && self.pending.is_none() {
            return true;
        }
        let server = self.shared.server.read().unwrap().clone();
        let mut config: tokio_postgres::Config = server.parse().unwrap();
        config.connect_timeout(Duration::from_secs(5)).application_name("ledger");
        let connected = self.runtime.block_on(async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
            tokio::spawn(connection);
            let settings = "SET search_path = ledger; SET lock_timeout = '5s'; SET statement_timeout = '60s'";
            client.batch_execute(settings).await.ok()?;
            Some(client)
        });
        self.session = connected;
        if self.session.is_none() {
            return false;
        }
        if let Some((name, commit)) = self.pending.clone() {
            let (n, there) = (self.n, format!("SELECT FROM pg_prepared_xacts WHERE gid = '{name}'"));
            let session = self.session.as_ref().unwrap();
            match self.runtime.block_on(session.query(&there, &[])) {
                Err(_) => return false,
                // Never prepared, or already committed: the number is either there or not.
                Ok(rows) if rows.is_empty() => {
                    self.close(n, if commit { Outcome::Unknown } else { Outcome::Aborted })
                }
                Ok(_) => {
                    let verb = if commit { "COMMIT" } else { "ROLLBACK" };
                    if self.send(&format!("{verb} PREPARED '{name}'")).is_err() {
                        return false;
                    }
                    self.close(n, if commit { Outcome::Committed } else { Outcome::Aborted });
                }
            }
            self.pending = None;
        }
        true
    }

    fn transaction(&mut self) {
        let (client, n) = (self.page.client, self.n);
        let entry = Entry::draw(&mut self.chance, client, n);
        if entry.truncates() && !self.shared.truncates.load(Ordering::Acquire) {
            return;
        }
        let number = |n: i64| {
            format!(
                "INSERT INTO numbered (client, n) VALUES ({client}, {n}); INSERT INTO log VALUES ({client}, {n}, 'entry');"
            )
        };
        match entry {
            Entry::Commit(body) => {
                let outcome = match self.send(&format!("BEGIN; {} {body}", number(n))) {
                    Ok(()) => self.end("COMMIT"),
                    Err(()) => Outcome::Aborted,
                };
                self.close(n, outcome);
            }
            Entry::Rollback(body) => {
                let _ = self.send(&format!("BEGIN; {} {body}", number(-n)));
                self.end("ROLLBACK");
            }
            Entry::Prepare { body, commit, millis } => {
                let name = format!("ledger_{}_{client}_{n}", self.page_name());
                let n = if commit { n } else { -n };
                if self.send(&format!("BEGIN; {} {body}", number(n))).is_err() {
                    return;
                }
                self.pending = Some((name.clone(), commit));
                match self.end(&format!("PREPARE TRANSACTION '{name}'")) {
                    Outcome::Committed => {
                        std::thread::sleep(Duration::from_millis(millis));
                        let verb = if commit { "COMMIT" } else { "ROLLBACK" };
                        if self.send(&format!("{verb} PREPARED '{name}'")).is_ok() {
                            self.pending = None;
                            self.close(self.n, if commit { Outcome::Committed } else { Outcome::Aborted });
                        }
                    }
                    Outcome::Aborted => self.pending = None,
                    Outcome::Unknown => {}
                }
            }
        }
    }

    /// Prepared transactions' names are the server's, not the database's.
    fn page_name(&self) -> String {
        let server = self.shared.server.read().unwrap();
        server
            .rsplit("dbname=")
            .next()
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect()
    }

    fn close(&mut self, n: i64, outcome: Outcome) {
        match outcome {
            Outcome::Committed => {
                self.page.committed.insert(n);
                let since = self.shared.started.elapsed().as_micros() as u64;
                self.shared.last_acknowledged.fetch_max(since, Ordering::AcqRel);
                self.shared.acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            Outcome::Unknown => {
                self.page.unknown.insert(n);
            }
            Outcome::Aborted => {}
        }
    }

    /// Ends a transaction; only an error of the server's own tells that it is not committed.
    fn end(&mut self, command: &str) -> Outcome {
        let Some(session) = &self.session else { return Outcome::Unknown };
        match self.runtime.block_on(session.batch_execute(command)) {
            Ok(()) => Outcome::Committed,
            Err(error) => {
                let sure =
                    error.code().is_some_and(|c| !c.code().starts_with("57") && !c.code().starts_with("08"));
                self.note(&error, command);
                if sure { Outcome::Aborted } else { Outcome::Unknown }
            }
        }
    }

    /// Sends statements; after an error the transaction is over.
    fn send(&mut self, sql: &str) -> Result<(), ()> {
        let Some(session) = &self.session else { return Err(()) };
        let result = self.runtime.block_on(session.batch_execute(sql));
        result.map_err(|error| {
            self.note(&error, sql);
            if let Some(session) = &self.session {
                let _ = self.runtime.block_on(session.batch_execute("ROLLBACK"));
            }
        })
    }

    /// Whether an error is what restarts, fences and other clients cause.
    fn note(&mut self, error: &tokio_postgres::Error, sql: &str) {
        let code = error.code().map_or("connection".to_owned(), |c| c.code().to_owned());
        // Shutdowns and cancels, connections, read-only, deadlocks, locks not had, too many clients.
        let expected = ["57", "08", "25006", "40", "55P03", "53300", "connection"];
        if !expected.iter().any(|e| code.starts_with(e)) {
            let message = error.as_db_error().map_or(error.to_string(), |e| e.to_string());
            self.page.surprises.push(format!("{code} {message}: {sql}"));
        }
        *self.page.refused.entry(code).or_default() += 1;
    }
}
