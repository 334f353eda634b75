//! What the run makes on the servers, written down before it is made, so that all of it goes however the run ends.
//!
//! Invariants: every name begins with the run's tag; nothing else is ever dropped; before anything is dropped, every session of the run has
//! ended, so that nothing is made afterwards.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::BenchError;
use crate::cutover::subscription;
use crate::error::Side;
use crate::lsn::Lsn;
use crate::pg::{Server, Session, SqlError};
use crate::schema::quote::{quote_ident, quote_literal};
use crate::snapshot;

/// How long the sessions of the run may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long all of the clearing may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Something that could not be dropped.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub object: String,
    pub message: String,
}

#[derive(Clone, Debug, Default)]
struct Made {
    databases: Vec<(Side, String)>,
    /// Name, and the source's database.
    slots: Vec<(String, String)>,
    /// Name, and the target's database.
    subscriptions: Vec<(String, String)>,
}

/// The run's name, and what it has made.
#[derive(Debug)]
pub(super) struct Premises {
    source: Server,
    target: Server,
    tag: String,
    made: Mutex<Made>,
}

impl Premises {
    pub(super) fn new(source: Server, target: Server, tag: String) -> Self {
        Premises { source, target, tag, made: Mutex::default() }
    }

    /// The run's tag with this behind it: a name of a database, slot, publication or subscription.
    pub(super) fn name(&self, of: &str) -> String {
        format!("{}_{}", self.tag, of.replace('-', "_"))
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self, side: Side) -> &Server {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Makes a database, empty or as a copy of one that nobody is connected to.
    pub(super) async fn database(
        &self,
        side: Side,
        name: &str,
        like: Option<&Server>,
    ) -> Result<Server, BenchError> {
        let server = self.server(side);
        self.made().databases.push((side, name.to_owned()));
        let template = like.map_or("template0", |like| like.dbname());
        let session = server.connect().await?;
        let sql = format!("CREATE DATABASE {} TEMPLATE {}", quote_ident(name), quote_ident(template));
        session.batch(&format!("creating database {name}"), &sql).await?;
        Ok(server.with_database(name))
    }

    /// Drops a database of the run.
    pub(super) async fn drop_database(&self, side: Side, name: &str) -> Result<(), BenchError> {
        let session = self.server(side).connect().await?;
        drop_database(&session, name).await?;
        self.made().databases.retain(|made| *made != (side, name.to_owned()));
        Ok(())
    }

    /// Makes a slot in this database; returns where it begins.
    pub(super) async fn slot(&self, database: &Server, name: &str) -> Result<Lsn, BenchError> {
        let what = format!("creating replication slot {name}");
        self.made().slots.push((name.to_owned(), database.dbname().to_owned()));
        let session = database.connect().await?;
        let sql = format!(
            "SELECT lsn::text AS lsn FROM pg_catalog.pg_create_logical_replication_slot({}, 'pgoutput')",
            quote_literal(name)
        );
        let lsn: Option<String> = session.value(&what, &sql).await?;
        let lsn = lsn.unwrap_or_default().parse::<Lsn>();
        Ok(lsn.map_err(|e| SqlError::local(Side::Source, &what, e.to_string()))?)
    }

    /// Drops a slot of the run.
    pub(super) async fn drop_slot(&self, database: &Server, name: &str) -> Result<(), BenchError> {
        let session = database.connect().await?;
        drop_slot(&session, name).await?;
        self.made().slots.retain(|(made, _)| made != name);
        Ok(())
    }

    /// A subscription of this name may be there from now on.
    pub(super) fn expect_subscription(&self, database: &Server, name: &str) {
        self.made().subscriptions.push((name.to_owned(), database.dbname().to_owned()));
    }

    /// It is gone, with its database or before.
    pub(super) fn forget_subscription(&self, name: &str) {
        self.made().subscriptions.retain(|(made, _)| made != name);
    }

    /// Drops everything that is still there, but on servers that end with the run.
    pub(super) async fn clear(&self, source_ends: bool, target_ends: bool) -> Vec<Left> {
        let made = self.made().clone();
        let mut left = Vec::new();
        if made.databases.is_empty() {
            // Everything else is in one.
            return left;
        }
        let clearing = async {
            let mut note = |object: String, done: Result<(), BenchError>| {
                if let Err(error) = done {
                    left.push(Left { object, message: format!("is still there: {error}") });
                }
            };
            if !target_ends {
                note("sessions on the target".to_owned(), self.end_sessions(Side::Target).await);
                for (name, database) in made.subscriptions.iter().rev() {
                    let done = self.clear_subscription(database, name).await;
                    note(format!("subscription {name}"), done);
                }
            }
            if !source_ends {
                note("sessions on the source".to_owned(), self.end_sessions(Side::Source).await);
                for (name, database) in made.slots.iter().rev() {
                    let database = self.source.with_database(database);
                    note(format!("slot {name}"), self.drop_slot(&database, name).await);
                }
            }
            for (side, name) in made.databases.iter().rev() {
                let ends_anyway = if *side == Side::Source { source_ends } else { target_ends };
                if !ends_anyway {
                    note(format!("database {name} on the {side}"), self.drop_database(*side, name).await);
                }
            }
        };
        let in_time = tokio::time::timeout(LIMIT, clearing).await.is_ok();
        if !in_time {
            let message =
                format!("may still be there: the servers did not answer within {} s", LIMIT.as_secs());
            left.push(Left { object: format!("what is named {}…", self.tag), message });
        }
        left
    }

    /// Ends every session of the run, whatever it is doing.
    async fn end_sessions(&self, side: Side) -> Result<(), BenchError> {
        let session = self.server(side).connect().await?;
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) AS ended FROM pg_catalog.pg_stat_activity \
             WHERE application_name = {} AND pid <> pg_catalog.pg_backend_pid()",
            quote_literal(&self.tag)
        );
        let started = Instant::now();
        loop {
            let rows = session.query("ending the run's sessions", &sql).await?;
            if rows.is_empty() || started.elapsed() > PATIENCE {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn clear_subscription(&self, database: &str, name: &str) -> Result<(), BenchError> {
        match self.target.with_database(database).connect().await {
            Ok(session) => {
                subscription::drop(&session, name).await?;
                Ok(())
            }
            // Its database was not made yet, or is gone.
            Err(error) if error.sqlstate.as_deref() == Some("3D000") => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn drop_slot(session: &Session, name: &str) -> Result<(), SqlError> {
    snapshot::take_slot_over(session, name).await?;
    snapshot::drop_slot(session, name).await?;
    Ok(())
}

/// Sessions on it are ended first, by what every version has.
async fn drop_database(session: &Session, name: &str) -> Result<(), SqlError> {
    let what = format!("dropping database {name}");
    let end = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) AS ended FROM pg_catalog.pg_stat_activity WHERE datname = {}",
        quote_literal(name)
    );
    let drop = format!("DROP DATABASE IF EXISTS {}", quote_ident(name));
    let started = Instant::now();
    loop {
        session.query(&what, &end).await?;
        match session.batch(&what, &drop).await {
            // Somebody is still connected.
            Err(e) if e.sqlstate.as_deref() == Some("55006") && started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            done => return done,
        }
    }
}
