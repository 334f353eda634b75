//! Two real databases, the source written to as a plan says, and what was seen in it after each commit.

use std::collections::HashMap;
use std::time::Duration;

use pg_migrator::error::Side;
use pg_migrator::journal::{self, Origin, Progress};
use pg_migrator::lsn::Lsn;
use pg_migrator::pg::{Server, Session};
use pg_migrator::stream::suspend;

use super::plan::{Plan, Round, Transaction};
use super::tables::Table;
use super::values::TYPES;
use crate::harness::{Database, online_cluster, unique};

/// The name of the migration in the journal.
pub const NAME: &str = "move";

/// A source and a target, for one trial after the other.
pub struct World {
    source: Database<'static>,
    /// Held for its end.
    _target: Database<'static>,
    pub from: Server,
    /// The target by a superuser, and by a role that is none.
    to: [Server; 2],
    plain: String,
    /// Applies as the plan says.
    pub to_now: Server,
    pub slot: String,
    /// Asks the source, never inside a transaction.
    pub asks: Session,
    /// Asks the target.
    pub looks: Session,
    /// Holds locks on the target.
    holds: Session,
    writers: [Session; 2],
    pub tables: Vec<Table>,
    /// What was there after each transaction that committed, in order; the first before any.
    pub states: Vec<State>,
    /// Whether values may come in binary format: the source can, and no column has been seen yet that cannot.
    pub may_be_binary: bool,
    /// Whether they do, for the applier that is open.
    pub binary: bool,
    pub tally: Tally,
}

/// The source's rows after a commit.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The transaction's number, as WAL has it.
    pub xid: u32,
    /// Of each table, its rows.
    pub rows: Vec<String>,
}

/// What the trials did, all together: that they did anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub statements: u64,
    pub refused: u64,
    pub commits: u64,
    pub changes: u64,
    pub truncates: u64,
    /// Segments applied change by change.
    pub serial: u64,
    /// The last batch before a look was spread over several lanes.
    pub spread: u64,
    /// The target was compared with the source.
    pub looks: u64,
    /// Applying was broken off.
    pub cuts: u64,
    /// So that lanes stood apart.
    pub apart: u64,
    /// Began to apply in binary format.
    pub binary: u64,
}

impl World {
    /// Empty databases of these majors.
    pub async fn new(from: u32, to: u32) -> World {
        let source = online_cluster(from).database("mirror_source");
        let target = online_cluster(to).database("mirror_target");
        let slot = unique("mirror_slot");
        source.psql(&format!(
            "CREATE PUBLICATION by_root FOR ALL TABLES WITH (publish_via_partition_root = true); CREATE PUBLICATION by_part FOR ALL TABLES; \
             SELECT FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ));
        let from = Server::parse(Side::Source, &source.conninfo()).unwrap();
        let plain = unique("mirror_role");
        target
            .psql(&format!("CREATE ROLE {plain} LOGIN; GRANT CREATE ON DATABASE {} TO {plain}", target.name));
        let to = ["postgres", &plain]
            .map(|role| Server::parse(Side::Target, &target.conninfo_as(role, target.cluster.port)).unwrap());
        let (asks, looks) = (from.connect().await.unwrap(), to[0].connect().await.unwrap());
        let holds = to[0].connect().await.unwrap();
        let writers = [from.connect().await.unwrap(), from.connect().await.unwrap()];
        World {
            source,
            _target: target,
            from,
            to_now: to[0].clone(),
            to,
            plain,
            slot,
            asks,
            looks,
            holds,
            writers,
            tables: Vec::new(),
            states: Vec::new(),
            may_be_binary: false,
            binary: false,
            tally: Tally::default(),
        }
    }

    /// Whether the source can send every change of a transaction while that is in progress, and by itself.
    pub fn can_hurry(&self) -> bool {
        self.source.cluster.major >= 16
    }

    /// Streams that begin from here on are sent so, or transactions come whole.
    pub async fn hurry(&self, on: bool) {
        if self.can_hurry() {
            let what = if on { "SET debug_logical_replication_streaming = immediate" } else { "RESET ALL" };
            let sql = format!("ALTER DATABASE {} {what}", self.source.name);
            self.asks.batch("setting", &sql).await.unwrap();
        }
    }

    /// Whether any transaction was sent so.
    pub fn has_hurried(&self) -> bool {
        let sql = format!(
            "SELECT sum(stream_txns) > 0 FROM pg_stat_replication_slots WHERE slot_name = '{}'",
            self.slot
        );
        self.source.psql(&sql) == "t"
    }

    /// Where the source's WAL ends.
    pub async fn end(&self) -> Lsn {
        self.asks
            .value("asking", "SELECT pg_current_wal_insert_lsn()::text AS at")
            .await
            .unwrap()
            .map(parse)
            .unwrap()
    }

    /// Where the journal stands.
    pub async fn progress(&self) -> Vec<Progress> {
        journal::stream_record(&self.looks, NAME).await.unwrap().unwrap().lanes
    }

    /// The tables of this plan on both sides, empty, and a journal that stands here.
    pub async fn begin(&mut self, plan: &Plan) -> Result<(), String> {
        self.tables = plan.draw_tables();
        let script: Vec<&str> =
            self.tables.iter().flat_map(|table| &table.script).map(String::as_str).collect();
        let script = format!(
            "SET client_min_messages = error; DROP SCHEMA IF EXISTS m CASCADE; CREATE SCHEMA m; {TYPES} {}",
            script.join("; ")
        );
        // What a trial that failed has left open ends first.
        for writer in self.writers.iter().chain([&self.holds]) {
            writer.batch("ending", "ROLLBACK").await.map_err(|e| e.to_string())?;
        }
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name LIKE 'pg_migrator%' AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')";
        self.looks.batch("ending", ended).await.map_err(|e| e.to_string())?;
        for side in [&self.asks, &self.looks] {
            side.batch("making tables", &script).await.map_err(|e| format!("{e}\n{script}"))?;
        }
        self.to_now = self.to[usize::from(plan.plain)].clone();
        let role = if plan.plain { &self.plain } else { "postgres" };
        let give = format!(
            "SET client_min_messages = error; DROP SCHEMA IF EXISTS _pg_migrator CASCADE; ALTER SCHEMA m OWNER TO {role}; \
             DO $$ DECLARE name text; BEGIN \
             FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'm'::regnamespace AND relkind IN ('r', 'p') LOOP \
             EXECUTE format('ALTER TABLE %s OWNER TO {role}', name); END LOOP; END $$"
        );
        self.looks.batch("giving tables away", &give).await.map_err(|e| e.to_string())?;
        let at = self.end().await;
        self.forget(at).await?;
        let origin = Origin {
            name: NAME.to_owned(),
            mode: "online",
            system_identifier: "1".to_owned(),
            database: self.source.name.clone(),
            snapshot: String::new(),
            snapshot_lsn: "0/0".to_owned(),
            slot: Some((self.slot.clone(), "p".to_owned())),
        };
        let owner = self.to_now.connect().await.map_err(|e| e.to_string())?;
        journal::begin(&owner, &origin).await.map_err(|e| e.to_string())?;
        journal::stream_begun(&owner, NAME, plan.lanes, at, &[]).await.map_err(|e| e.to_string())?;
        let names: Vec<_> = self.tables.iter().map(|t| ("m".to_owned(), t.bare())).collect();
        suspend(&owner, NAME, &names).await.map_err(|e| e.to_string())?;
        let rows = self.rows(&self.asks).await;
        self.may_be_binary = self.asks.version() >= 140_000;
        self.states = vec![State { xid: 0, rows }];
        Ok(())
    }

    /// The slot lets go of what came before; a walsender that was broken off may hold it for a moment.
    async fn forget(&self, at: Lsn) -> Result<(), String> {
        let advance = format!("SELECT pg_replication_slot_advance('{}', '{at}')", self.slot);
        let mut last = String::new();
        for _ in 0..500 {
            match self.asks.batch("advancing the slot", &advance).await {
                Ok(()) => return Ok(()),
                Err(e) if e.sqlstate.as_deref() == Some("55006") => last = e.to_string(),
                Err(e) => return Err(e.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(last)
    }

    /// Every table's rows, as one text each.
    pub async fn rows(&self, session: &Session) -> Vec<String> {
        let of = |(n, table): (usize, &Table)| {
            format!(
                "SELECT {n} AS n, coalesce(string_agg(r, E'\\n' ORDER BY r COLLATE \"C\"), '') AS rows FROM \
                 (SELECT left(t::text, 150) || ' #' || md5(t::text) AS r FROM {} AS t) AS all_rows",
                table.place()
            )
        };
        let all: Vec<String> = self.tables.iter().enumerate().map(of).collect();
        let sql = format!("{} ORDER BY n", all.join(" UNION ALL "));
        let rows = session.query("reading all rows", &sql).await.unwrap();
        rows.iter().map(|row| row.get("rows").unwrap()).collect()
    }

    /// The target has the rows that the source had after this commit.
    pub async fn compare(&mut self, state: usize, when: &str) -> Result<(), String> {
        self.tally.looks += 1;
        let spread = "SELECT count(DISTINCT xmin::text) FROM _pg_migrator.lane";
        let lanes: i64 = self.looks.value("looking", spread).await.unwrap().unwrap();
        self.tally.spread += u64::from(lanes > 1);
        let found = self.rows(&self.looks).await;
        let expected = &self.states[state].rows;
        if *expected == found {
            return Ok(());
        }
        let mut out = format!(
            "{when}: the target differs from the source's state {state} of {}\n",
            self.states.len() - 1
        );
        for ((table, expected), found) in self.tables.iter().zip(expected).zip(&found) {
            let missing = without(expected, found);
            let extra = without(found, expected);
            let some = |rows: &[&str], sign: &str| {
                rows.iter().take(6).map(|r| format!("  {sign} {r}\n")).collect::<String>()
            };
            if !missing.is_empty() || !extra.is_empty() {
                out += &format!("{}: {} missing, {} too many\n", table.place(), missing.len(), extra.len());
                out += &some(&missing, "-");
                out += &some(&extra, "+");
            }
        }
        Err(out)
    }

    /// Keeps some of so many lanes from recording what they did, and so from committing it: those whose bits are set, unless that is
    /// none or all of them.
    pub async fn hold_lanes(&self, which: u32, lanes: usize) {
        let lanes = lanes as u32;
        let all = (1 << lanes) - 1;
        let which = match which & all {
            some if some != 0 && some != all => some,
            _ => 1 << (which % lanes),
        };
        let hold = format!("BEGIN; SELECT FROM _pg_migrator.lane WHERE ({which} >> lane) & 1 = 1 FOR UPDATE");
        self.holds.batch("holding lanes", &hold).await.unwrap();
    }

    /// Returns once some lanes have committed what others are kept from, or a session has waited for so long that none will.
    pub async fn held_apart(&self) {
        let mut waited = 0;
        for _ in 0..1000 {
            let lanes = self.progress().await;
            if lanes.windows(2).any(|two| two[0] != two[1]) || waited > 20 {
                return;
            }
            waited += u32::from(self.waiting("*").await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether a session waits for what is held.
    async fn waiting(&self, and: &str) -> bool {
        let waiting = format!(
            "SELECT count({and}) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        );
        self.looks.value::<i64>("looking", &waiting).await.unwrap() > Some(0)
    }

    /// Kills the sessions that wait for what is held, and lets go of it.
    pub async fn kill_held(&self) {
        while self.waiting("pg_terminate_backend(pid)").await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.holds.batch("letting go", "ROLLBACK").await.unwrap();
    }

    /// Writes what fills the tables.
    pub async fn fill(&mut self, plan: &Plan) {
        let lines = plan.filling(&self.tables);
        let all = Transaction { steps: Vec::new(), undone: false, guarded: true, deferred: false };
        self.transaction(&all, lines).await;
    }

    /// Writes a round.
    pub async fn write(&mut self, round: &Round) {
        let lines: Vec<Vec<String>> =
            round.transactions.iter().map(|t| t.lines(&self.tables, round.allowed())).collect();
        if !round.beside {
            for (transaction, lines) in round.transactions.iter().zip(lines) {
                self.transaction(transaction, lines).await;
            }
            return;
        }
        for (pair, lines) in round.transactions.chunks(2).zip(lines.chunks(2)) {
            self.two(pair, lines).await;
        }
    }

    async fn transaction(&mut self, transaction: &Transaction, lines: Vec<String>) {
        let mut open = self.open(0, transaction, false).await;
        for line in &lines {
            open = open && self.line(0, transaction, line).await;
        }
        self.close(0, transaction, open).await;
    }

    /// Two transactions, statement by statement in turn. What one must not wait for long, the other has locked.
    async fn two(&mut self, pair: &[Transaction], lines: &[Vec<String>]) {
        let mut open = vec![false; pair.len()];
        for (n, transaction) in pair.iter().enumerate() {
            open[n] = self.open(n, transaction, true).await;
        }
        let longest = lines.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..longest {
            for (n, transaction) in pair.iter().enumerate() {
                if let Some(line) = lines[n].get(at) {
                    open[n] = open[n] && self.line(n, transaction, line).await;
                }
            }
        }
        for (n, transaction) in pair.iter().enumerate().rev() {
            self.close(n, transaction, open[n]).await;
        }
    }

    async fn open(&mut self, writer: usize, transaction: &Transaction, beside: bool) -> bool {
        let wait = if beside { "SET LOCAL lock_timeout = '5ms';" } else { "" };
        let deferred = if transaction.deferred { "SET CONSTRAINTS ALL DEFERRED" } else { "" };
        self.writers[writer].batch("beginning", &format!("BEGIN; {wait} {deferred}")).await.unwrap();
        true
    }

    /// `false`: the transaction is over.
    async fn line(&mut self, writer: usize, transaction: &Transaction, line: &str) -> bool {
        self.tally.statements += 1;
        let control = ["SAVEPOINT", "RELEASE", "ROLLBACK TO"].iter().any(|verb| line.starts_with(verb));
        let session = &self.writers[writer];
        if control || !transaction.guarded {
            let done = session.batch("writing", line).await.is_ok();
            self.tally.refused += u64::from(!done);
            return done;
        }
        let guarded = format!("SAVEPOINT g; {line}; RELEASE g");
        if session.batch("writing", &guarded).await.is_err() {
            self.tally.refused += 1;
            session.batch("going back", "ROLLBACK TO g; RELEASE g").await.unwrap();
        }
        true
    }

    async fn close(&mut self, writer: usize, transaction: &Transaction, open: bool) {
        let session = &self.writers[writer];
        if !open || transaction.undone {
            session.batch("going back", "ROLLBACK").await.unwrap();
            return;
        }
        let xid: i64 = session.value("asking", "SELECT txid_current() AS xid").await.unwrap().unwrap();
        // Constraints that waited may refuse it.
        if session.batch("committing", "COMMIT").await.is_err() {
            session.batch("going back", "ROLLBACK").await.unwrap();
            return;
        }
        self.tally.commits += 1;
        let rows = self.rows(&self.asks).await;
        self.states.push(State { xid: xid as u32, rows });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.source.try_psql(&format!("SELECT pg_drop_replication_slot('{}')", self.slot));
    }
}

fn parse(lsn: String) -> Lsn {
    lsn.parse().unwrap()
}

/// The lines of one that the other has not, as often as it has them more often.
fn without<'a>(one: &'a str, other: &'a str) -> Vec<&'a str> {
    let mut left: HashMap<&str, i64> = HashMap::new();
    other.lines().for_each(|line| *left.entry(line).or_default() += 1);
    let more = |line: &&'a str| {
        let count = left.entry(*line).or_default();
        *count -= 1;
        *count < 0
    };
    one.lines().filter(more).collect()
}
