//! What the operator asked for, validated: plain values that every room may read.
//!
//! `cli/` makes these from raw arguments; a library user fills them directly. Invariant: a value that can be
//! constructed here can be acted on; nothing below re-reads arguments or the environment.

use std::fmt;
use std::time::Duration;

/// Which schemas and tables take part.
///
/// A pattern is a name with `*` for any run of characters, matched against the unquoted catalog name; a table
/// pattern may be `schema.table`. With no include pattern everything is in; an exclude pattern wins over an include pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `--include-schema`
    pub include_schemas: Vec<String>,
    /// `--exclude-schema`
    pub exclude_schemas: Vec<String>,
    /// `--include-table`
    pub include_tables: Vec<String>,
    /// `--exclude-table`
    pub exclude_tables: Vec<String>,
}

impl Filter {
    /// Whether nothing is filtered: the whole database, with the objects that live in no schema.
    pub fn is_everything(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether objects of this schema take part.
    pub fn takes_schema(&self, schema: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|p| matches(p, schema));
        (self.include_schemas.is_empty() || any(&self.include_schemas)) && !any(&self.exclude_schemas)
    }

    /// Whether this table takes part.
    pub fn takes_table(&self, schema: &str, table: &str) -> bool {
        let any = |patterns: &[String]| {
            patterns.iter().any(|p| match p.split_once('.') {
                Some((s, t)) => matches(s, schema) && matches(t, table),
                None => matches(p, table),
            })
        };
        self.takes_schema(schema)
            && (self.include_tables.is_empty() || any(&self.include_tables))
            && !any(&self.exclude_tables)
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(head) else { return false };
    (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| matches(rest, &tail[i..]))
}

/// What is wrong with a name of an object that is to be made; `None`: nothing.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("a name must not be empty".to_owned())
    } else if name.len() > MAX_NAME_BYTES {
        Some(format!("a name has at most {MAX_NAME_BYTES} bytes, this one has {}", name.len()))
    } else if name.contains('\0') {
        Some("a name must not hold a NUL".to_owned())
    } else {
        None
    }
}

/// What is wrong with the name of a replication slot (`ReplicationSlotValidateName`, `src/backend/replication/slot.c`).
pub fn slot_name_fault(name: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let letters = || "a slot's name has only lower case letters, digits and underscores".to_owned();
    name_fault(name).or_else(|| (!name.bytes().all(fits)).then(letters))
}

/// The name of a migration, its slot, its publication and its subscription, where none is given.
pub const DEFAULT_NAME: &str = "pg_migrator";

/// `NAMEDATALEN - 1`, `src/include/pg_config_manual.h`.
const MAX_NAME_BYTES: usize = 63;

/// What Restore may and must not do.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Connection pairs that copy at once, and builders of indexes; at least 1.
    pub jobs: usize,
    /// `--drop-target-first`
    pub drop_target_first: bool,
    /// `--allow-restore-errors`
    pub allow_restore_errors: bool,
    /// `--allow-unsupported`: go on although the source has objects that this version does not carry.
    pub allow_unsupported: bool,
    /// Carry the planner's statistics to targets that take them (18 and later); `--analyze`: gather them there.
    pub carry_statistics: bool,
    /// `--create-database`: make the target database where it is missing, and give it the source's properties.
    pub create_database: bool,
    /// `--roles`: make the source's roles that the target lacks.
    pub roles: bool,
    /// `--no-owner`
    pub no_owner: bool,
    /// `--no-privileges`
    pub no_privileges: bool,
    /// `--no-tablespaces`
    pub no_tablespaces: bool,
    /// `maintenance_work_mem` for index builds on the target, in kilobytes; `None`: the server's own setting.
    pub maintenance_work_mem_kb: Option<u64>,
    /// A table larger than this many bytes (heap and TOAST) may be split into parts; 0: never.
    pub split_bytes: u64,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        RestoreOptions {
            jobs: 4,
            drop_target_first: false,
            allow_restore_errors: false,
            allow_unsupported: false,
            carry_statistics: true,
            create_database: false,
            roles: false,
            no_owner: false,
            no_privileges: false,
            no_tablespaces: false,
            maintenance_work_mem_kb: None,
            // Large enough that a part's fixed cost (a transaction on both sides) is nothing beside its rows, small enough
            // that the last table's parts keep every connection busy.
            split_bytes: 128 << 20,
        }
    }
}

/// What an online migration does beside Restore.
#[derive(Clone)]
pub struct OnlineOptions {
    /// `--slot-name`
    pub slot_name: String,
    /// `--publication`
    pub publication: String,
    /// `--create-publication`: make it where it is missing, for the tables that take part.
    pub create_publication: bool,
    /// `--lag-threshold-bytes`: CaughtUp below this lag.
    pub lag_threshold_bytes: u64,
    /// `--cutover-poll-secs`: time between heartbeats.
    pub cutover_poll: Duration,
    /// `--keep-subscription`: leave the disabled subscription and its slot after cutover.
    pub keep_subscription: bool,
    /// `--subscription-conninfo`: how the target reaches the source, where that differs from how we do.
    pub subscription_conninfo: Option<String>,
    /// `--max-slot-wal`: the migration stops when the slot holds back more bytes of WAL than this.
    pub max_slot_wal_bytes: Option<u64>,
    /// `--fence-source`: stop writes on the source at cutover.
    pub fence_source: bool,
    /// `--slot-timeout-secs`: how long the slot's creation may wait for old transactions.
    pub slot_timeout: Duration,
    /// `--drain-timeout-secs`: how long the drain at cutover may take.
    pub drain_timeout: Duration,
    /// `--reconnect-secs`: how long a broken connection is tried again during StreamApply.
    pub reconnect: Duration,
    /// `--apply-jobs`: apply lanes; 0: by the target's processors.
    pub lanes: usize,
    /// Without `--no-binary`: values come in binary format where that suits the types of all published columns.
    pub binary: bool,
    /// `--apply-memory`: memory that changes under way may take, bytes.
    pub apply_memory: usize,
}

/// Without `subscription_conninfo`, which may hold a password.
impl fmt::Debug for OnlineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.subscription_conninfo.as_ref().map(|_| "(hidden)");
        f.debug_struct("OnlineOptions")
            .field("slot_name", &self.slot_name)
            .field("publication", &self.publication)
            .field("create_publication", &self.create_publication)
            .field("lag_threshold_bytes", &self.lag_threshold_bytes)
            .field("cutover_poll", &self.cutover_poll)
            .field("keep_subscription", &self.keep_subscription)
            .field("subscription_conninfo", &hidden)
            .field("max_slot_wal_bytes", &self.max_slot_wal_bytes)
            .field("fence_source", &self.fence_source)
            .field("slot_timeout", &self.slot_timeout)
            .field("drain_timeout", &self.drain_timeout)
            .field("reconnect", &self.reconnect)
            .field("lanes", &self.lanes)
            .field("binary", &self.binary)
            .field("apply_memory", &self.apply_memory)
            .finish_non_exhaustive()
    }
}

impl Default for OnlineOptions {
    fn default() -> Self {
        OnlineOptions {
            slot_name: DEFAULT_NAME.to_owned(),
            publication: DEFAULT_NAME.to_owned(),
            create_publication: false,
            lag_threshold_bytes: 8 << 20,
            cutover_poll: Duration::from_secs(5),
            keep_subscription: false,
            subscription_conninfo: None,
            max_slot_wal_bytes: None,
            fence_source: false,
            slot_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(300),
            reconnect: Duration::from_secs(120),
            lanes: 0,
            binary: true,
            apply_memory: 256 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("a*", "abc") && matches("*c", "abc") && matches("a*c", "abc") && matches("*", ""));
        assert!(!matches("a*d", "abc") && !matches("ab", "abc") && matches("é*", "éa"));
    }

    #[test]
    fn a_connection_string_is_never_shown() {
        let conninfo = Some("host=a password=geheim".to_owned());
        let options = OnlineOptions { subscription_conninfo: conninfo, ..OnlineOptions::default() };
        assert!(!format!("{options:?}").contains("geheim"));
    }

    #[test]
    fn an_exclude_wins_over_an_include() {
        let filter = Filter {
            include_schemas: vec!["s*".into()],
            exclude_tables: vec!["s1.t".into()],
            ..Filter::default()
        };
        assert!(filter.takes_table("s2", "t"));
        assert!(!filter.takes_table("s1", "t"));
        assert!(!filter.takes_table("x", "t"));
    }
}
