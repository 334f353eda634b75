//! An online migration from start to cutover: what its tests begin and end with.

use std::time::Duration;

use crate::harness::{
    Cluster, Database, Migrator, Run, Running, assert_same_schema, migrator, online_cluster, unique,
};
use crate::moves::eventually;

/// Said when the slot is there; when changes are being applied; when a resumed migration does; when it has caught up.
pub const SLOT: &str = "the copy sees the source as of";
pub const STREAMS: &str = "StreamApply: applying the source's changes";
pub const GOES_ON: &str = "StreamApply: going on from";
pub const CAUGHT_UP: &str = "CaughtUp: lag is down";

/// Two databases, and the online migration of one into the other.
pub struct Live<'a> {
    pub source: Database<'a>,
    pub target: Database<'a>,
    /// Of the migration, its slot and its publication.
    pub name: String,
    /// Lanes that changes are applied over.
    pub lanes: usize,
    source_port: u16,
    target_port: u16,
}

impl Live<'static> {
    /// Empty databases on the shared servers of these majors.
    pub fn new(from: u32, to: u32) -> Self {
        Live::on(online_cluster(from), online_cluster(to))
    }

    /// Empty databases in these encodings.
    pub fn encoded(from: (u32, &str), to: (u32, &str)) -> Self {
        let (from_server, to_server) = (online_cluster(from.0), online_cluster(to.0));
        Live {
            source: from_server.database_encoded("live_source", from.1),
            target: to_server.database_encoded("live_target", to.1),
            ..Live::on(from_server, to_server)
        }
    }

    /// As [`Live::new`], the source filled by this script.
    pub fn with(from: u32, to: u32, script: &str) -> Self {
        let live = Live::new(from, to);
        live.source.psql(script);
        live
    }
}

impl<'a> Live<'a> {
    /// Empty databases on these servers.
    pub fn on(source: &'a Cluster, target: &'a Cluster) -> Self {
        Live {
            source: source.database("live_source"),
            target: target.database("live_target"),
            name: unique("live"),
            lanes: lanes(),
            source_port: source.port,
            target_port: target.port,
        }
    }

    /// The tool connects through these ports (proxies').
    pub fn through(mut self, source_port: u16, target_port: u16) -> Self {
        (self.source_port, self.target_port) = (source_port, target_port);
        self
    }

    /// Changes are applied over so many lanes.
    pub fn over(mut self, lanes: usize) -> Self {
        self.lanes = lanes;
        self
    }

    /// How the tool reaches the source.
    pub fn source_conninfo(&self) -> String {
        self.source.conninfo_as("postgres", self.source_port)
    }

    /// How the tool reaches the target.
    pub fn target_conninfo(&self) -> String {
        self.target.conninfo_as("postgres", self.target_port)
    }

    /// The command.
    pub fn command(&self) -> Migrator {
        self.command_to(&self.target_conninfo())
    }

    /// The command, with another way to the target.
    pub fn command_to(&self, target: &str) -> Migrator {
        migrator(["--mode", "online", "--jobs", "4", "--create-publication", "--cutover-poll-secs", "1"])
            .args(["--source", &self.source_conninfo(), "--target", target])
            .args(["--slot-name", &self.name, "--publication", &self.name])
            .args(["--subscription-name", &self.name, "--apply-jobs", &self.lanes.to_string()])
            .limit(Duration::from_secs(120))
    }

    /// Starts it and waits until changes are applied.
    #[track_caller]
    pub fn start(&self) -> Running {
        let mut running = self.command().spawn();
        running.wait_for(STREAMS);
        running
    }

    /// The slots on the source's database, with what they hold up to.
    pub fn slots(&self) -> String {
        self.source.psql("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
    }

    /// Waits until everything that is committed on the source now is durable on the target.
    #[track_caller]
    pub fn drained(&self) {
        let here = self.source.psql("SELECT pg_current_wal_flush_lsn()");
        // A slot is confirmed only to what is durable; a running transaction does not hold it back.
        let look = || {
            self.source.psql(&format!(
                "SELECT coalesce(confirmed_flush_lsn >= '{here}', false) FROM pg_replication_slots WHERE slot_name = '{}'",
                self.name
            ))
        };
        eventually(look, |there| there == "t", "never confirmed");
    }

    /// Interrupts, waits for the end, and checks that it was a cutover which left nothing behind.
    #[track_caller]
    pub fn cut_over(&self, mut running: Running) -> Run {
        running.wait_for(CAUGHT_UP);
        running.signal("INT");
        let run = running.wait().expect_code(0);
        self.assert_finished();
        run
    }

    /// Nothing of the migration is left on either side.
    #[track_caller]
    pub fn assert_finished(&self) {
        assert_eq!(self.slots(), "", "slots on the source");
        let left = "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ '^_?pg_migrator' \
                    UNION ALL SELECT 'subscription ' || subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database() \
                    UNION ALL SELECT 'disabled trigger ' || tgname FROM pg_trigger WHERE tgenabled = 'D'";
        assert_eq!(self.target.psql(left), "", "left on the target");
        assert_eq!(self.source.psql(left), "", "left on the source");
        let idle = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ 'pg_migrator'";
        for side in [&self.source, &self.target] {
            eventually(|| side.psql(idle), String::is_empty, "sessions left behind");
        }
    }

    /// [`assert_same_schema`], publications left aside: they are the source's own business.
    #[track_caller]
    pub fn assert_same_schema(&self) {
        let drop = "SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication \\gexec";
        self.source.psql(drop);
        self.target.psql(drop);
        assert_same_schema(&self.source, &self.target);
    }
}

/// Lanes that changes are applied over: as `PG_MIGRATOR_TEST_LANES` says, or one.
pub fn lanes() -> usize {
    std::env::var("PG_MIGRATOR_TEST_LANES").map_or(1, |n| n.parse().expect("a number of lanes"))
}
