//! A source and a target with the same tables, and the library's own way from one to the other without a walsender: what the
//! slot has is read by SQL, decoded, batched and applied. So that each trap of applying can be set by itself, and looked into.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pg_migrator::error::Side;
use pg_migrator::journal::{self, Origin, Progress};
use pg_migrator::lsn::Lsn;
use pg_migrator::pg::{Server, Session};
use pg_migrator::progress::{Event, Reporter};
use pg_migrator::stream::{Applied, Applier, ApplyError, ApplySetup, Batcher, Decoder, Limits, Taken};

use crate::harness::{Database, diff, online_cluster, rows, unique};
use crate::live::lanes;

/// The majors that applying is tested on, source and target.
pub const PAIRS: [(u32, u32); 3] = [(13, 13), (13, 18), (18, 18)];

pub struct Pair {
    pub source: Database<'static>,
    pub target: Database<'static>,
    pub limits: Limits,
    /// Lanes that apply.
    pub jobs: usize,
    /// Values come in binary format: from sources that can, until a type comes that cannot.
    pub binary: bool,
    /// Warnings so far: object and message.
    pub warnings: Arc<Mutex<Vec<(String, String)>>>,
    slot: String,
    server: Server,
    reader: Session,
    pub applier: Option<Applier>,
}

impl Pair {
    /// Both databases with this schema, and rows if it makes some.
    pub async fn new(majors: (u32, u32), schema: &str) -> Pair {
        Pair::of_role(majors, schema, "postgres").await
    }

    /// The target's tables belong to this role, which applies.
    pub async fn of_role(majors: (u32, u32), schema: &str, role: &str) -> Pair {
        let source = online_cluster(majors.0).database("apply_source");
        let target = online_cluster(majors.1).database("apply_target");
        source.psql(schema);
        if role == "postgres" {
            target.psql(schema);
        } else {
            target.psql(&format!(
                "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role}; \
                 SET SESSION AUTHORIZATION {role}; {schema}",
                target.name
            ));
        }
        let slot = unique("apply_slot");
        let via_root = if majors.0 >= 13 { " WITH (publish_via_partition_root = true)" } else { "" };
        source.psql(&format!(
            "CREATE PUBLICATION p FOR ALL TABLES{via_root}; SELECT FROM pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ));
        let conninfo = target.conninfo_as(role, target.cluster.port);
        let server = Server::parse(Side::Target, &conninfo).unwrap();
        let session = server.connect().await.unwrap();
        let origin = Origin {
            name: "move".to_owned(),
            mode: "online",
            system_identifier: "1".to_owned(),
            database: source.name.clone(),
            snapshot: String::new(),
            snapshot_lsn: "0/0".to_owned(),
            slot: Some((slot.clone(), "p".to_owned())),
        };
        journal::begin(&session, &origin).await.unwrap();
        journal::stream_begun(&session, "move", lanes(), Lsn::ZERO, &[]).await.unwrap();
        let reader = Server::parse(Side::Source, &source.conninfo()).unwrap().connect().await.unwrap();
        Pair {
            source,
            target,
            limits: Limits::default(),
            jobs: lanes(),
            binary: majors.0 >= 14,
            warnings: Arc::default(),
            slot,
            server,
            reader,
            applier: None,
        }
    }

    pub async fn session(&self) -> Session {
        self.server.connect().await.unwrap()
    }

    /// Where the journal stands.
    pub async fn progress(&self) -> Vec<Progress> {
        journal::stream_record(&self.session().await, "move").await.unwrap().unwrap().lanes
    }

    async fn open(&mut self) -> Result<(), ApplyError> {
        if self.applier.is_none() {
            let warnings = Arc::clone(&self.warnings);
            let reporter = Reporter::new(move |event| {
                if let Event::Warning { object, message } = event {
                    warnings.lock().unwrap().push((object, message));
                }
            });
            let lanes = self.progress().await;
            let setup = ApplySetup {
                name: "move".into(),
                lanes,
                jobs: self.jobs,
                spread_from: 1,
                encoding: "UTF8".into(),
                binary: self.binary,
                reporter,
            };
            self.applier = Some(Applier::open(&self.server, setup).await?);
        }
        Ok(())
    }

    /// Applies what the source has done since the journal's position. The source sends everything since the slot was made each
    /// time, as it does to a migration that goes on.
    pub async fn sync(&mut self) -> Result<Applied, ApplyError> {
        let mut all = Applied::default();
        let mut failed = self.try_sync(&mut all).await.err();
        if let Some(ApplyError::Binary { .. }) = failed {
            assert!(self.binary, "nobody asked for it");
            self.binary = false;
            self.applier = None;
            failed = self.try_sync(&mut all).await.err();
        }
        match failed {
            None => Ok(all),
            Some(error) => {
                self.applier = None;
                Err(error)
            }
        }
    }

    async fn try_sync(&mut self, all: &mut Applied) -> Result<(), ApplyError> {
        self.open().await?;
        let lanes = self.progress().await;
        let sql = format!(
            "SELECT lsn::text AS lsn, data FROM pg_catalog.pg_logical_slot_peek_binary_changes('{}', NULL, NULL, \
             'proto_version', '1', 'publication_names', 'p'{})",
            self.slot,
            if self.binary { ", 'binary', 'true'" } else { "" }
        );
        let (mut decoder, mut batcher) =
            (Decoder::new(), Batcher::new(&lanes, self.limits, Taken::everything()));
        let applier = self.applier.as_mut().unwrap();
        let rows = match self.reader.query("reading changes", &sql).await {
            // An array's elements have no send function: the source itself gives up.
            Err(e) if self.binary && e.sqlstate.as_deref() == Some("42883") => {
                return Err(ApplyError::Binary {
                    relation: String::new(),
                    column: e.message,
                    lsn: Lsn::ZERO,
                });
            }
            rows => rows.unwrap(),
        };
        for row in rows {
            let lsn: Lsn = row.get::<String>("lsn").unwrap().parse().unwrap();
            let message = decoder.decode(Bytes::from(row.get::<Vec<u8>>("data").unwrap()), lsn).unwrap();
            batcher.push(message).unwrap();
            while batcher.is_full()
                && let Some(batch) = batcher.take()
            {
                all.add(applier.apply(batch, false).await?);
            }
        }
        while let Some(batch) = batcher.take() {
            all.add(applier.apply(batch, true).await?);
        }
        Ok(())
    }

    /// The sessions that apply end; the next ones go on from the journal.
    pub fn close(&mut self) {
        self.applier = None;
    }

    /// Runs this on the source and applies it.
    #[track_caller]
    pub fn go(&mut self, sql: &str) -> impl Future<Output = Applied> {
        self.source.psql(sql);
        let at = std::panic::Location::caller();
        async move { self.sync().await.unwrap_or_else(|e| panic!("{at}: {e}")) }
    }

    /// Both sides have the same rows in all tables.
    #[track_caller]
    pub fn assert_same(&self) {
        let tables = |database| -> String {
            let all = rows(database);
            all.lines().filter(|l| l.starts_with("table|")).flat_map(|l| [l, "\n"]).collect()
        };
        let (expected, found) = (tables(&self.source), tables(&self.target));
        assert!(expected == found, "the target's rows differ:\n{}", diff(&expected, &found));
    }

    pub fn warned(&self, object: &str, part: &str) -> bool {
        self.warnings.lock().unwrap().iter().any(|(o, m)| o == object && m.contains(part))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.applier = None;
        let _ = self.source.try_psql(&format!("SELECT pg_drop_replication_slot('{}')", self.slot));
    }
}
