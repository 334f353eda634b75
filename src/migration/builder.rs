//! The way into the library: what a migration shall do, put together step by step, checked, started.
//!
//! Invariant: the defaults are the command line's, and what is started went through the same checks.

use std::marker::PhantomData;
use std::time::Duration;

use thiserror::Error;

use super::{Config, Running, handle};
use crate::config::{DEFAULT_NAME, Filter, OnlineOptions, RestoreOptions, name_fault, slot_name_fault};
use crate::error::Side;
use crate::pg::{ConnInfoError, Server};

/// [`Migration::offline`]
#[derive(Clone, Copy, Debug)]
pub enum Offline {}
/// [`Migration::online`]
#[derive(Clone, Copy, Debug)]
pub enum Online {}

/// A migration being put together.
#[derive(Clone)]
#[must_use = "nothing happens before it is started"]
pub struct Migration<Mode> {
    source: String,
    target: String,
    filter: Filter,
    restore: RestoreOptions,
    name: String,
    online: Option<OnlineOptions>,
    mode: PhantomData<Mode>,
}

/// Values that no migration can be started with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A connection string cannot be used.
    #[error("the {0}'s connection string: {1}")]
    Server(Side, ConnInfoError),
    /// A name cannot be used.
    #[error("the {what}'s name: {reason}")]
    Name {
        /// Of what.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A number must not be 0.
    #[error("{0} must not be 0")]
    Zero(&'static str),
}

impl Migration<Offline> {
    /// One consistent copy, while nobody writes to the source. Both are connection strings as libpq reads them.
    pub fn offline(source: impl Into<String>, target: impl Into<String>) -> Self {
        Migration::new(source.into(), target.into(), None)
    }
}

impl Migration<Online> {
    /// A copy, and then the source's changes until cutover, while the source stays writable.
    pub fn online(source: impl Into<String>, target: impl Into<String>) -> Self {
        Migration::new(source.into(), target.into(), Some(OnlineOptions::default()))
    }

    fn with(mut self, change: impl FnOnce(&mut OnlineOptions)) -> Self {
        change(self.online.get_or_insert_default());
        self
    }

    /// The replication slot that is made on the source (`pg_migrator` unless told).
    pub fn slot(self, name: impl Into<String>) -> Self {
        self.with(|o| o.slot_name = name.into())
    }

    /// The publication on the source (`pg_migrator` unless told).
    pub fn publication(self, name: impl Into<String>) -> Self {
        self.with(|o| o.publication = name.into())
    }

    /// Makes the publication where it is missing, for the tables that take part.
    pub fn create_publication(self, yes: bool) -> Self {
        self.with(|o| o.create_publication = yes)
    }

    /// CaughtUp below this lag, bytes of WAL (8 MiB unless told).
    pub fn lag_threshold_bytes(self, bytes: u64) -> Self {
        self.with(|o| o.lag_threshold_bytes = bytes)
    }

    /// Time between heartbeats (5 s unless told).
    pub fn heartbeat(self, every: Duration) -> Self {
        self.with(|o| o.cutover_poll = every)
    }

    /// Leaves the disabled subscription and its slot after cutover.
    pub fn keep_subscription(self, yes: bool) -> Self {
        self.with(|o| o.keep_subscription = yes)
    }

    /// How the target reaches the source, where that differs from how this program does: a connection string for libpq.
    pub fn subscription_conninfo(self, conninfo: impl Into<String>) -> Self {
        self.with(|o| o.subscription_conninfo = Some(conninfo.into()))
    }

    /// The migration stops when the slot holds back more bytes of WAL than this on the source.
    pub fn max_slot_wal_bytes(self, bytes: u64) -> Self {
        self.with(|o| o.max_slot_wal_bytes = Some(bytes))
    }

    /// Stops writes on the source at cutover.
    pub fn fence_source(self, yes: bool) -> Self {
        self.with(|o| o.fence_source = yes)
    }

    /// How long the slot's creation may wait for transactions that are older (5 min unless told).
    pub fn slot_timeout(self, time: Duration) -> Self {
        self.with(|o| o.slot_timeout = time)
    }

    /// How long the drain at cutover may take (5 min unless told).
    pub fn drain_timeout(self, time: Duration) -> Self {
        self.with(|o| o.drain_timeout = time)
    }

    /// How long a broken connection is tried again while changes are applied (2 min unless told).
    pub fn reconnect(self, time: Duration) -> Self {
        self.with(|o| o.reconnect = time)
    }
}

impl<Mode> Migration<Mode> {
    fn new(source: String, target: String, online: Option<OnlineOptions>) -> Self {
        Migration {
            source,
            target,
            filter: Filter::default(),
            restore: RestoreOptions::default(),
            name: DEFAULT_NAME.to_owned(),
            online,
            mode: PhantomData,
        }
    }

    /// The migration's name in the journal, and the subscription's (`pg_migrator` unless told).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Which schemas and tables take part (all unless told).
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Connection pairs that copy at once, and builders of indexes (4 unless told).
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.restore.jobs = jobs;
        self
    }

    /// Drops what the migration would create before it starts; nothing outside the migrated schemas.
    pub fn drop_target_first(mut self, yes: bool) -> Self {
        self.restore.drop_target_first = yes;
        self
    }

    /// All that Restore may do, at once.
    pub fn restore(mut self, options: RestoreOptions) -> Self {
        self.restore = options;
        self
    }

    /// Checks the values, without contacting a server: what [`super::check::run`] and [`super::run`] take.
    ///
    /// # Errors
    /// The first value that cannot be used; a message never holds a connection string.
    pub fn config(self) -> Result<Config, BuildError> {
        let server = |side, text: &str| Server::parse(side, text).map_err(|e| BuildError::Server(side, e));
        let named = |what, fault: Option<String>| match fault {
            Some(reason) => Err(BuildError::Name { what, reason }),
            None => Ok(()),
        };
        named("migration", name_fault(&self.name))?;
        if let Some(online) = &self.online {
            named("slot", slot_name_fault(&online.slot_name))?;
            named("publication", name_fault(&online.publication))?;
            if online.cutover_poll.is_zero() {
                return Err(BuildError::Zero("the time between heartbeats"));
            }
        }
        if self.restore.jobs == 0 {
            return Err(BuildError::Zero("the number of jobs"));
        }
        Ok(Config {
            source: server(Side::Source, &self.source)?,
            target: server(Side::Target, &self.target)?,
            filter: self.filter,
            restore: self.restore,
            subscription_name: self.name,
            online: self.online,
        })
    }

    /// Checks the values and starts the migration.
    ///
    /// # Errors
    /// As [`Migration::config`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O.
    pub fn start(self) -> Result<Running, BuildError> {
        Ok(handle::start(self.config()?))
    }
}

/// Without the connection strings, which may hold passwords.
impl<Mode> std::fmt::Debug for Migration<Mode> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migration")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .field("restore", &self.restore)
            .field("online", &self.online)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online() -> Migration<Online> {
        Migration::online("host=a password=geheim", "postgresql://b/db")
    }

    #[test]
    fn the_defaults_are_the_command_lines() {
        let config = Migration::offline("host=a", "host=b").config().unwrap();
        assert!(config.online.is_none() && config.filter.is_everything());
        assert_eq!((config.restore.jobs, config.restore.split_bytes), (4, 128 << 20));
        assert_eq!(config.subscription_name, "pg_migrator");
        assert_eq!(online().config().unwrap().online.unwrap().slot_name, "pg_migrator");
    }

    #[test]
    fn every_option_arrives() {
        let second = Duration::from_secs(1);
        let filter = Filter { include_schemas: vec!["s".into()], ..Filter::default() };
        let config = online()
            .slot("s")
            .publication("P")
            .name("N")
            .filter(filter.clone())
            .restore(RestoreOptions { no_owner: true, ..RestoreOptions::default() })
            .jobs(7)
            .drop_target_first(true)
            .create_publication(true)
            .keep_subscription(true)
            .fence_source(true)
            .lag_threshold_bytes(1)
            .max_slot_wal_bytes(2)
            .subscription_conninfo("host=inside")
            .heartbeat(second)
            .slot_timeout(2 * second)
            .drain_timeout(3 * second)
            .reconnect(4 * second)
            .config()
            .unwrap();
        let o = config.online.unwrap();
        assert_eq!(
            (config.subscription_name, o.slot_name, o.publication),
            ("N".into(), "s".into(), "P".into())
        );
        assert!(config.restore.no_owner && config.restore.drop_target_first && config.restore.jobs == 7);
        assert!(o.create_publication && o.keep_subscription && o.fence_source && config.filter == filter);
        assert_eq!((o.lag_threshold_bytes, o.max_slot_wal_bytes), (1, Some(2)));
        assert_eq!(o.subscription_conninfo.as_deref(), Some("host=inside"));
        assert_eq!(
            [o.cutover_poll, o.slot_timeout, o.drain_timeout, o.reconnect],
            [1, 2, 3, 4].map(|n| n * second)
        );
    }

    #[test]
    fn what_cannot_be_started_is_said() {
        let said = [
            Migration::offline("host=a nosuch=b", "host=b").config(),
            Migration::offline("host=a", "host='b").config(),
            Migration::offline("host=a", "host=b").name("").config(),
            Migration::offline("host=a", "host=b").jobs(0).config(),
            online().slot("Upper").config(),
            online().publication("x".repeat(64)).config(),
            online().heartbeat(Duration::ZERO).config(),
        ]
        .map(|built| built.map(|_| ()).unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"), @r#"
the source's connection string: invalid connection option "nosuch"
the target's connection string: unterminated quoted value in the connection string
the migration's name: a name must not be empty
the number of jobs must not be 0
the slot's name: a slot's name has only lower case letters, digits and underscores
the publication's name: a name has at most 63 bytes, this one has 64
the time between heartbeats must not be 0
"#);
    }

    #[test]
    fn passwords_are_never_shown() {
        assert!(!format!("{:?}", online().subscription_conninfo("password=geheim")).contains("geheim"));
    }
}
