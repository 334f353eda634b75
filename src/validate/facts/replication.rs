//! What an online migration needs to know of the source: settings of replication, slots, transactions under way, the publication
//! and what it covers, and how the rows of each table are told apart.

use std::collections::BTreeMap;

use crate::pg::{Session, SqlError};
use crate::schema::quote::quote_literal;

/// The source as a sender of changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replication {
    /// Settings by name, as `SHOW` has them; those that this version does not have are missing.
    pub(crate) settings: BTreeMap<String, String>,
    /// The role has the attribute `REPLICATION` or is a superuser, or a provider's role lends it that.
    pub(crate) may_replicate: bool,
    pub(crate) slots: Vec<Slot>,
    /// Sessions that send WAL.
    pub(crate) walsenders: i64,
    /// Bytes in `pg_wal`, where the role may look.
    pub(crate) wal_bytes: Option<i64>,
    /// Transactions that write, of any database, oldest first: a slot's creation waits for them.
    pub(crate) writing: Vec<Writing>,
    pub(crate) publication: Option<Publication>,
    /// Every table that is not the server's own, partitioned and foreign ones and those of extensions included, by OID.
    pub(crate) tables: BTreeMap<u32, Table>,
}

/// A replication slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) name: String,
    /// `None` for a physical one.
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) active_pid: Option<i32>,
    /// `lost`, or why it was invalidated: it can be dropped and nothing else.
    pub(crate) lost: bool,
}

/// A transaction that has written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writing {
    /// `None` for a prepared one.
    pub(crate) pid: Option<i32>,
    /// The identifier of a prepared one.
    pub(crate) gid: Option<String>,
    /// How long ago it began, where the role may see that.
    pub(crate) seconds: Option<i64>,
    pub(crate) role: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) query: Option<String>,
}

/// The publication of the name that was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publication {
    pub(crate) comment: Option<String>,
    pub(crate) insert: bool,
    pub(crate) update: bool,
    pub(crate) delete: bool,
    /// True before 11, which does not stream it at all.
    pub(crate) truncate: bool,
    pub(crate) via_root: bool,
    pub(crate) generated_columns: bool,
    /// OIDs under whose names changes are sent: partitions, or the topmost published ones with `via_root`.
    pub(crate) tables: Vec<u32>,
    /// Tables that a row filter is on, by OID.
    pub(crate) row_filters: Vec<u32>,
    /// Tables whose column list leaves out columns, by OID.
    pub(crate) column_lists: Vec<u32>,
}

/// A table as a publication sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `r` ordinary, `p` partitioned, `f` foreign.
    pub(crate) kind: char,
    /// `p` permanent, `u` unlogged.
    pub(crate) persistence: char,
    /// What it is a partition of.
    pub(crate) parent: Option<u32>,
    pub(crate) identity: Identity,
    /// The index of its identity has a generated column, which is not sent.
    pub(crate) identity_generated: bool,
    /// The role owns it.
    pub(crate) ours: bool,
}

/// How a row that changes or goes is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identity {
    /// By a key.
    #[default]
    Key,
    /// By all its columns.
    Full,
    /// Not at all: `REPLICA IDENTITY DEFAULT` without a primary key that serves, or `NOTHING`, or an index that is gone.
    None,
}

impl Publication {
    /// The published table under whose name this table's changes are sent, if they are.
    pub(crate) fn sends(&self, tables: &BTreeMap<u32, Table>, table: u32) -> Option<u32> {
        let up = |oid: &u32| tables.get(oid).and_then(|t| t.parent);
        std::iter::successors(Some(table), up).find(|oid| self.tables.contains(oid))
    }
}

const SETTINGS: [&str; 10] = [
    "wal_level",
    "max_replication_slots",
    "max_wal_senders",
    "max_slot_wal_keep_size",
    "idle_replication_slot_timeout",
    "wal_sender_timeout",
    "rds.logical_replication",
    "azure.extensions",
    "azure.replication_support",
    "cloudsql.logical_decoding",
];

/// Reads it: seven queries, pipelined.
pub(crate) async fn read(session: &Session, publication: &str) -> Result<Replication, SqlError> {
    let (settings, role, slots, wal_bytes, writing, publication, tables) = tokio::try_join!(
        settings(session),
        role(session),
        slots(session),
        wal_bytes(session),
        writing(session),
        read_publication(session, publication),
        tables(session),
    )?;
    let (may_replicate, walsenders) = role;
    Ok(Replication { settings, may_replicate, slots, walsenders, wal_bytes, writing, publication, tables })
}

async fn settings(session: &Session) -> Result<BTreeMap<String, String>, SqlError> {
    let names: Vec<String> = SETTINGS.iter().map(|name| format!("({})", quote_literal(name))).collect();
    // A provider's settings may be hidden from `pg_settings`. A role of the provider's tells as much.
    let sql = format!(
        "SELECT v.name, pg_catalog.current_setting(v.name, true) AS setting FROM (VALUES {}) AS v (name)
         UNION ALL SELECT r.rolname::text, 'role' FROM pg_catalog.pg_roles r
         WHERE r.rolname IN ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser')",
        names.join(", ")
    );
    let mut settings = BTreeMap::new();
    for row in session.query("reading the settings of replication", &sql).await? {
        if let Some(setting) = row.get::<Option<String>>("setting")? {
            settings.insert(row.get("name")?, setting);
        }
    }
    Ok(settings)
}

async fn role(session: &Session) -> Result<(bool, i64), SqlError> {
    let sql = "SELECT r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_catalog.pg_roles p
                WHERE p.rolname = 'rds_replication' AND pg_catalog.pg_has_role(p.oid, 'MEMBER')) AS may_replicate,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication) AS walsenders
         FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let rows = session.query("reading the right to replicate", sql).await?;
    let Some(row) = rows.first() else { return Ok((false, 0)) };
    Ok((row.get("may_replicate")?, row.get("walsenders")?))
}

async fn slots(session: &Session) -> Result<Vec<Slot>, SqlError> {
    let lost = if session.version() >= 130_000 { "coalesce(s.wal_status = 'lost', false)" } else { "false" };
    let sql = format!(
        "SELECT s.slot_name::text AS name, s.plugin::text AS plugin, s.database::text AS database,
            s.active_pid AS active_pid, {lost} AS lost
         FROM pg_catalog.pg_replication_slots s ORDER BY 1"
    );
    let rows = session.query("reading replication slots", &sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Slot {
                name: row.get("name")?,
                plugin: row.get("plugin")?,
                database: row.get("database")?,
                active_pid: row.get("active_pid")?,
                lost: row.get("lost")?,
            })
        })
        .collect()
}

async fn wal_bytes(session: &Session) -> Result<Option<i64>, SqlError> {
    let sql = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_ls_waldir()', 'EXECUTE') AS may";
    if !session.value("reading the right to see the WAL's size", sql).await?.unwrap_or(false) {
        return Ok(None);
    }
    let sql = "SELECT pg_catalog.sum(w.size)::int8 AS bytes FROM pg_catalog.pg_ls_waldir() w";
    // Files come and go while it looks, which some versions take for an error; it is only good to know.
    // Files come and go while they are counted.
    Ok(session.value("reading the WAL's size", sql).await.unwrap_or_default().flatten())
}

async fn writing(session: &Session) -> Result<Vec<Writing>, SqlError> {
    // Everybody may see who holds the lock on a transaction's number, and so which transactions have one.
    let sql = "SELECT a.pid AS pid, NULL::text AS gid, extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::int8 AS seconds,
            a.usename::text AS role, a.datname::text AS database, a.query AS query
         FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l
            WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted)
         UNION ALL SELECT NULL, p.gid, extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::int8,
            p.owner::text, p.database::text, NULL FROM pg_catalog.pg_prepared_xacts p
         ORDER BY seconds DESC NULLS LAST";
    let rows = session.query("reading the transactions that write", sql).await?;
    rows.iter()
        .map(|row| {
            Ok(Writing {
                pid: row.get("pid")?,
                gid: row.get("gid")?,
                seconds: row.get("seconds")?,
                role: row.get("role")?,
                database: row.get("database")?,
                query: row.get("query")?,
            })
        })
        .collect()
}

async fn read_publication(session: &Session, name: &str) -> Result<Option<Publication>, SqlError> {
    let from = |version: u32, yes: &'static str, no: &'static str| {
        if session.version() >= version { yes } else { no }
    };
    let sql = format!(
        "SELECT pg_catalog.obj_description(p.oid, 'pg_publication') AS comment, p.pubinsert AS insert, p.pubupdate AS update, p.pubdelete AS delete, {truncate} AS truncate,
            {via_root} AS via_root, {generated} AS generated_columns,
            ARRAY(SELECT t.relid FROM pg_catalog.pg_get_publication_tables(p.pubname::text) t) AS tables,
            {row_filters} AS row_filters, {column_lists} AS column_lists
         FROM pg_catalog.pg_publication p WHERE p.pubname = {name}",
        truncate = from(110_000, "p.pubtruncate", "true"),
        via_root = from(130_000, "p.pubviaroot", "false"),
        generated = from(180_000, "p.pubgencols <> 'n'", "false"),
        row_filters = from(
            150_000,
            "ARRAY(SELECT r.prrelid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prqual IS NOT NULL)",
            "'{}'::oid[]"
        ),
        // A list that has every column leaves out none.
        column_lists = from(
            150_000,
            "ARRAY(SELECT r.prrelid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prattrs IS NOT NULL
                AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum > 0
                    AND NOT a.attisdropped AND a.attgenerated = '' AND a.attnum <> ALL (r.prattrs)))",
            "'{}'::oid[]"
        ),
        name = quote_literal(name),
    );
    let rows = session.query("reading the publication", &sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Publication {
        comment: row.get("comment")?,
        insert: row.get("insert")?,
        update: row.get("update")?,
        delete: row.get("delete")?,
        truncate: row.get("truncate")?,
        via_root: row.get("via_root")?,
        generated_columns: row.get("generated_columns")?,
        tables: row.get("tables")?,
        row_filters: row.get("row_filters")?,
        column_lists: row.get("column_lists")?,
    }))
}

async fn tables(session: &Session) -> Result<BTreeMap<u32, Table>, SqlError> {
    let generated = if session.version() >= 120_000 { "a.attgenerated <> ''" } else { "false" };
    // `RelationGetIndexList` in `src/backend/utils/cache/relcache.c` says which index serves as the identity.
    let sql = format!(
        "SELECT c.oid AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
            c.relpersistence::text AS persistence,
            p.inhparent AS parent, c.relreplident::text AS identity, k.indexrelid IS NOT NULL AS has_key,
            EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND {generated}
                AND a.attnum = ANY (k.indkey::int2[])) AS identity_generated,
            pg_catalog.pg_has_role(c.relowner, 'USAGE') AS ours
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_inherits p ON c.relispartition AND p.inhrelid = c.oid
         LEFT JOIN LATERAL (SELECT i.indexrelid, i.indkey FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
            AND i.indimmediate AND i.indislive AND (CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
            LIMIT 1) k ON true
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384"
    );
    let letter = |text: String| text.chars().next().unwrap_or_default();
    let mut tables = BTreeMap::new();
    for row in session.query("reading replica identities", &sql).await? {
        let identity = match (row.get::<String>("identity")?.as_str(), row.get("has_key")?) {
            ("f", _) => Identity::Full,
            (_, true) => Identity::Key,
            (_, false) => Identity::None,
        };
        let table = Table {
            schema: row.get("schema")?,
            name: row.get("name")?,
            kind: letter(row.get("kind")?),
            persistence: letter(row.get("persistence")?),
            parent: row.get("parent")?,
            identity,
            identity_generated: row.get("identity_generated")?,
            ours: row.get("ours")?,
        };
        tables.insert(row.get("oid")?, table);
    }
    Ok(tables)
}
