//! A workload on the servers: tables and starting rows on both, a slot for each contender, then the load.
//!
//! Invariant: the slots are made before the first transaction of the load and after the last of the starting rows.

use tokio::task::JoinSet;

use super::BenchError;
use super::arena::Arena;
use super::workload::{Plan, SCHEMA};
use crate::cutover::flush_lsn;
use crate::error::Side;
use crate::lsn::Lsn;
use crate::pg::{Server, SqlError};
use crate::schema::quote::quote_ident;

/// Transactions that are sent before an answer is read.
const AHEAD: usize = 250;

/// A slot and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub name: String,
    pub from: Lsn,
}

/// Tables on both sides.
#[derive(Debug)]
pub(super) struct Stage {
    pub source: Server,
    /// The target's starting state; nobody connects to it.
    pub start: Server,
    pub publication: String,
}

impl Stage {
    /// Makes the tables, with the starting rows, on both sides, and the publication.
    pub(super) async fn set(arena: &Arena, name: &str, plan: &Plan) -> Result<Stage, BenchError> {
        let premises = &arena.premises;
        let (here, there) = (premises.name(name), premises.name(&format!("{name}_start")));
        let (source, start) = tokio::try_join!(
            premises.database(Side::Source, &here, None),
            premises.database(Side::Target, &there, None)
        )?;
        tokio::try_join!(fill(&source, plan), fill(&start, plan))?;
        let publication = premises.name("p");
        let session = source.connect().await?;
        for sql in &plan.source_only {
            session.batch("preparing the load", sql).await?;
        }
        let tables: Vec<String> =
            plan.tables.iter().map(|t| format!("{SCHEMA}.{}", quote_ident(t))).collect();
        let sql = format!("CREATE PUBLICATION {} FOR TABLE {}", quote_ident(&publication), tables.join(", "));
        session.batch("creating the publication", &sql).await?;
        Ok(Stage { source, start, publication })
    }

    /// Makes the backlog; returns a position behind its end.
    pub(super) async fn load(&self, plan: &Plan) -> Result<Lsn, BenchError> {
        let mut clients = JoinSet::new();
        for statements in plan.load.clone() {
            let source = self.source.clone();
            clients.spawn(async move { client(&source, &statements).await });
        }
        while let Some(ended) = clients.join_next().await {
            match ended {
                Ok(done) => done?,
                Err(e) => std::panic::resume_unwind(e.into_panic()),
            }
        }
        let session = self.source.connect().await?;
        Ok(flush_lsn(&session).await?)
    }
}

async fn fill(server: &Server, plan: &Plan) -> Result<(), BenchError> {
    let session = server.connect().await?;
    let prepare = format!("SET synchronous_commit = off; CREATE SCHEMA {SCHEMA}");
    session.batch("making the tables", &prepare).await?;
    for sql in &plan.start {
        session.batch("making the tables", sql).await?;
    }
    Ok(session.batch("reading through the tables", "VACUUM ANALYZE").await?)
}

/// One client of the load.
async fn client(source: &Server, statements: &[String]) -> Result<(), BenchError> {
    let session = source.connect().await?;
    session.batch("preparing the load", "SET synchronous_commit = off").await?;
    for chunk in statements.chunks(AHEAD) {
        let results = session.pipeline("making the backlog", chunk).await;
        results.into_iter().collect::<Result<Vec<()>, SqlError>>()?;
    }
    Ok(())
}
