//! Validate on its own: what `pg_migrator check` runs, and what a migration runs first.
//!
//! Invariant: nothing is changed on either side, and nothing stays locked.

use super::Config;
use crate::dump;
use crate::pg::Session;
use crate::snapshot::BEGIN_READER;
use crate::validate::{self, Asked, Finding, Report, Severity};

/// Looks at both servers and says everything that would stop or disturb the migration. A server that cannot be
/// reached is a finding too; the other one is looked at all the same.
pub async fn run(config: &Config) -> Report {
    let (source, target) = tokio::join!(config.source.connect(), config.target.connect());
    let asked = Asked { filter: &config.filter, restore: &config.restore, resumes: false };
    let report = validate::of_servers(source.as_ref(), target.as_ref(), asked).await;
    let Ok(source) = source else { return report };
    // A table that may not be read cannot be locked, so the model cannot be read either: that is said already.
    let blocked = ["source-tables-unreadable", "version-too-old"];
    if report.of(Severity::Error).any(|f| blocked.contains(&f.code)) {
        return report;
    }
    report.and(of_schema(&source, asked).await)
}

async fn of_schema(source: &Session, asked: Asked<'_>) -> Report {
    if let Err(e) = source.batch("beginning to read the schema", BEGIN_READER).await {
        return Report::from(Finding::unreadable(&e));
    }
    let schema = dump::read(source, asked.filter).await;
    // Ends the transaction and its locks; where even that fails, so does the connection, and they end with it.
    let _ = source.batch("ending the reading of the schema", "ROLLBACK").await;
    match schema {
        Ok(schema) => validate::of_schema(&schema, asked),
        Err(e) => Report::from(Finding::schema_unreadable(source.side, &e)),
    }
}
