//! A session for SQL: queries with typed results, batches and pipelines of statements.
//!
//! Invariant: settings are pg_dump's and pg_restore's (see `settings.rs`); every statement's result is read.

use std::sync::{Arc, OnceLock};

use futures_util::TryStreamExt as _;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::connect::Kind;
use super::{CancelHandle, ConnectError, Server, SqlError};
use crate::error::Side;

impl Server {
    /// Opens a session.
    pub async fn connect(&self) -> Result<Session, ConnectError> {
        let login = self.login(Kind::Ordinary).await?;
        login.lent.give_away();
        let farewell = Arc::new(OnceLock::new());
        let (mut connection, last_words) = (login.connection, Arc::clone(&farewell));
        tokio::spawn(async move {
            let ended = (&mut connection).await;
            if let Some(said) = ended.as_ref().err().and_then(|e| e.as_db_error()) {
                // Stored before the connection is dropped, which is what the waiting statements notice.
                let _ = last_words.set(said.message().to_owned());
            }
            drop(connection);
        });
        Ok(Session {
            side: self.side,
            client: login.client,
            version: login.version,
            cancel: login.cancel,
            farewell,
        })
    }
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// Which server it is on.
    pub side: Side,
    client: tokio_postgres::Client,
    /// `server_version_num`.
    version: u32,
    cancel: CancelHandle,
    /// The last thing the server said outside of any statement, before it hung up.
    farewell: Arc<OnceLock<String>>,
}

/// A parameter with its type, for [`Session::execute`] and [`Session::query_with`].
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

impl Session {
    /// `server_version_num`, such as 150004.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// tokio-postgres's own client, for what is not offered here.
    pub fn client(&self) -> &tokio_postgres::Client {
        &self.client
    }

    /// Whether the connection is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Cancels this session's running statement, from any task.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Runs one query and returns its rows; one round trip. `what` says what is being done, for errors.
    /// Queries on one session may run concurrently (`join!`): they are pipelined.
    pub async fn query(&self, what: &str, sql: &str) -> Result<Vec<Row>, SqlError> {
        self.query_with(what, sql, &[]).await
    }

    /// The first column of the first row of a query; `None`: there is no row.
    pub async fn value<T: for<'a> FromSql<'a>>(&self, what: &str, sql: &str) -> Result<Option<T>, SqlError> {
        let rows = self.query(what, sql).await?;
        rows.first().map(|row| row.row.try_get(0).map_err(|e| SqlError::new(self.side, what, &e))).transpose()
    }

    /// [`Session::query`] with parameters.
    pub async fn query_with(
        &self,
        what: &str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, SqlError> {
        let rows = self.client.query_typed(sql, params).await.map_err(|e| self.error(what, &e))?;
        Ok(rows.into_iter().map(|row| Row { row, side: self.side }).collect())
    }

    /// Runs one statement with parameters; returns the number of rows it touched. One round trip.
    pub async fn execute(&self, what: &str, sql: &str, params: &[Param<'_>]) -> Result<u64, SqlError> {
        self.client.execute_typed(sql, params).await.map_err(|e| self.error(what, &e))
    }

    /// Runs statements separated by semicolons, in the simple protocol; results are thrown away.
    pub async fn batch(&self, what: &str, sql: &str) -> Result<(), SqlError> {
        self.client.batch_execute(sql).await.map_err(|e| self.error(what, &e))
    }

    /// Sends all statements at once and then reads every result, in order: one round trip for all.
    ///
    /// Each element may hold several statements separated by semicolons. Outside a transaction each element commits
    /// alone; inside one that the caller began, all after a failed one fail with 25P02. Statements and results
    /// wait in memory: keep a call to some thousand statements.
    pub async fn pipeline<S: AsRef<str>>(&self, what: &str, statements: &[S]) -> Vec<Result<(), SqlError>> {
        let mut pending = Vec::with_capacity(statements.len());
        for sql in statements {
            // Only queues the statement; nothing is awaited from the server here.
            pending.push(self.client.simple_query_raw(sql.as_ref()).await);
        }
        let mut results = Vec::with_capacity(pending.len());
        for stream in pending {
            let result = match stream {
                Ok(stream) => stream.try_for_each(|_| std::future::ready(Ok(()))).await,
                Err(e) => Err(e),
            };
            results.push(result.map_err(|e| self.error(what, &e)));
        }
        results
    }

    fn error(&self, what: &str, e: &tokio_postgres::Error) -> SqlError {
        let mut error = SqlError::new(self.side, what, e);
        if error.sqlstate.is_none()
            && let Some(text) = self.farewell.get()
        {
            error.message = format!("{}: {text}", error.message);
        }
        error
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
