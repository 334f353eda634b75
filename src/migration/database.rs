//! `--create-database`: makes the target database where it is not there, and gives it the source's properties.
//!
//! Invariant: it is made only once Validate, run against the server's maintenance database in its place, has found nothing
//! that stops the migration; its properties are set when all else is done, so that none of them is in the way.

use super::tracker::Tracker;
use super::{Config, Error};
use crate::pg::{ConnectError, Server, Session};
use crate::progress::{Event, FailedObject};
use crate::schema::quote::quote_ident;
use crate::schema::{Database, RenderOptions, secret};

/// Databases that a server has for maintenance, in the order in which they are tried.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Whether this is the answer of a server that has no such database (`invalid_catalog_name`).
pub(super) fn is_missing(error: &ConnectError) -> bool {
    error.sqlstate.as_deref() == Some("3D000")
}

/// A session on the server's maintenance database.
pub(super) async fn maintenance(target: &Server) -> Result<Session, ConnectError> {
    match target.with_database(MAINTENANCE[0]).connect().await {
        Err(error) if is_missing(&error) => target.with_database(MAINTENANCE[1]).connect().await,
        reached => reached,
    }
}

/// Makes the database.
pub(super) async fn create(config: &Config, database: &Database, tracker: &Tracker) -> Result<(), Error> {
    let session = maintenance(&config.target).await?;
    let name = config.target.dbname();
    let sql = database.create(name, config.restore.no_tablespaces, session.version());
    session.batch(&format!("creating database {}", quote_ident(name)), &sql).await?;
    let message = format!("database {} made on the target", quote_ident(name));
    tracker.reporter.emit(Event::Note { message });
    Ok(())
}

/// Sets what is set on the source's database. Returns what failed.
pub(super) async fn set_properties(
    config: &Config,
    database: &Database,
    target: &Session,
    options: &RenderOptions,
    tracker: &Tracker,
) -> Result<Vec<FailedObject>, Error> {
    let mut failed = Vec::new();
    let statements = database.properties(config.target.dbname(), options);
    // A grant in somebody else's name is three statements that belong together.
    let mut group = String::new();
    for statement in &statements {
        if !group.is_empty() {
            group.push_str("; ");
        }
        group.push_str(statement);
        if statement.starts_with("SET ROLE ") || group.starts_with("SET ROLE ") && statement != "RESET ROLE" {
            continue;
        }
        let sql = std::mem::take(&mut group);
        let what = format!("setting a property of database {}", quote_ident(config.target.dbname()));
        if let Err(error) = target.batch(&what, &sql).await {
            if error.is_broken() {
                return Err(error.into());
            }
            let object = FailedObject {
                kind: "DATABASE PROPERTIES".to_owned(),
                object: quote_ident(config.target.dbname()),
                message: error.to_string(),
                skipped_because_of: None,
                statements: vec![format!("{};", secret::shown("ROLE", &sql))],
            };
            tracker.reporter.emit(Event::ObjectFailed {
                kind: object.kind.clone(),
                object: object.object.clone(),
                message: object.message.clone(),
                skipped_because_of: None,
                statements: object.statements.clone(),
            });
            failed.push(object);
        }
    }
    Ok(failed)
}
