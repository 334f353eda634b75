//! A session for SQL: queries with typed results, batches of statements.
//!
//! Invariant: settings are pg_dump's and pg_restore's (`setup_connection` in `pg_dump.c`): empty `search_path`,
//! ISO dates, shortest exact floats, no timeouts, row security off.

use tokio_postgres::types::FromSql;

use super::{ConnectError, SqlError};
use crate::error::Side;

/// A server and how to reach it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Which of the two.
    pub side: Side,
    conninfo: String,
}

impl Server {
    /// A server at `conninfo`.
    pub fn new(side: Side, conninfo: &str) -> Self {
        Server { side, conninfo: conninfo.to_owned() }
    }

    /// Opens a session with the settings above.
    pub async fn connect(&self) -> Result<Session, ConnectError> {
        let fail = |e: tokio_postgres::Error| ConnectError {
            side: self.side,
            address: String::new(),
            sqlstate: e.code().map(|c| c.code().to_owned()),
            reason: e.to_string(),
        };
        let (client, connection) =
            tokio_postgres::connect(&self.conninfo, tokio_postgres::NoTls).await.map_err(fail)?;
        tokio::spawn(connection);
        let mut session = Session { side: self.side, client, version: 0 };
        let row = client_version(&session).await.map_err(|e| ConnectError {
            side: self.side,
            address: String::new(),
            sqlstate: e.sqlstate,
            reason: e.message,
        })?;
        session.version = row;
        Ok(session)
    }
}

async fn client_version(session: &Session) -> Result<u32, SqlError> {
    session.batch("preparing the session", "SET search_path = ''; SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET row_security = off; SET client_min_messages = warning; SET standard_conforming_strings = on; SET client_encoding = 'UTF8'").await?;
    let rows = session
        .query("reading the version", "SELECT current_setting('server_version_num')::int4 AS v")
        .await?;
    let v: i32 = rows[0].get("v")?;
    Ok(v as u32)
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// Which server it is on.
    pub side: Side,
    client: tokio_postgres::Client,
    /// `server_version_num`.
    version: u32,
}

impl Session {
    /// `server_version_num`, such as 150004.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Runs one query and returns its rows; one round trip. `what` says what is being done, for errors.
    /// Queries on one session may run concurrently (`join!`): they are pipelined.
    pub async fn query(&self, what: &str, sql: &str) -> Result<Vec<Row>, SqlError> {
        let rows = self.client.query_typed(sql, &[]).await.map_err(|e| SqlError::new(self.side, what, &e))?;
        Ok(rows.into_iter().map(|row| Row { row, side: self.side }).collect())
    }

    /// Runs statements separated by semicolons, in the simple protocol; results are thrown away.
    pub async fn batch(&self, what: &str, sql: &str) -> Result<(), SqlError> {
        self.client.batch_execute(sql).await.map_err(|e| SqlError::new(self.side, what, &e))
    }
}

/// A row whose columns are read by name; a column that is missing or of another type is an error, never a panic.
#[derive(Debug)]
pub struct Row {
    row: tokio_postgres::Row,
    side: Side,
}

impl Row {
    /// The value of `column`; `Option<T>` for columns that may be NULL.
    pub fn get<'a, T: FromSql<'a>>(&'a self, column: &str) -> Result<T, SqlError> {
        self.row
            .try_get(column)
            .map_err(|e| SqlError::new(self.side, &format!("reading column {column:?} of a result"), &e))
    }
}
