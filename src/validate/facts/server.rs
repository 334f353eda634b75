//! What is read from either server: version, identity, settings, limits, the role.

use std::collections::BTreeMap;

use crate::pg::{Session, SqlError};

/// One server and the database and role of our session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// `server_version_num`
    pub(crate) version: u32,
    pub(crate) database: String,
    pub(crate) database_oid: u32,
    /// From `pg_control_system`, where the role may read it.
    pub(crate) system_identifier: Option<i64>,
    /// Tells a server from a promoted copy of it, which has the same identifier.
    pub(crate) started: String,
    pub(crate) in_recovery: bool,
    /// `default_transaction_read_only` as server, database and role have it. Our sessions could switch it off; somebody
    /// switched it on.
    pub(crate) read_only: bool,
    pub(crate) encoding: String,
    pub(crate) collate: String,
    pub(crate) ctype: String,
    /// `libc`, `icu`, `builtin`, with the locale where the provider has its own.
    pub(crate) provider: String,
    /// Versions of the libraries that sort text, as far as the server tells: `libc`, `icu`.
    pub(crate) libraries: BTreeMap<String, String>,
    pub(crate) role: String,
    pub(crate) superuser: bool,
    pub(crate) may_create_schema: bool,
    pub(crate) may_create_databases: bool,
    pub(crate) may_create_roles: bool,
    pub(crate) max_connections: i64,
    /// Slots that ordinary roles cannot have.
    pub(crate) reserved_connections: i64,
    /// Client connections, ours included, as far as the role sees them.
    pub(crate) used_connections: i64,
    pub(crate) role_connection_limit: i64,
    pub(crate) role_connections: i64,
    pub(crate) database_connection_limit: i64,
    pub(crate) database_connections: i64,
    /// `max_locks_per_transaction × (max_connections + max_prepared_transactions)`.
    pub(crate) lock_slots: i64,
    pub(crate) wal_level: String,
    pub(crate) fsync: bool,
    pub(crate) hot_standby_feedback: bool,
    /// Milliseconds; -1: queries are never cancelled.
    pub(crate) max_standby_delay: i64,
}

/// Reads it: four queries.
pub(crate) async fn read(session: &Session) -> Result<Server, SqlError> {
    let version = session.version();
    let provider = match version {
        170_000.. => {
            "CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END || coalesce(' ' || d.datlocale, '')"
        }
        150_000.. => {
            "CASE d.datlocprovider WHEN 'c' THEN 'libc' ELSE 'icu' END || coalesce(' ' || d.daticulocale, '')"
        }
        _ => "'libc'",
    };
    let sql = format!(
        "SELECT d.datname::text AS database, d.oid AS database_oid,
            pg_catalog.pg_postmaster_start_time()::text AS started,
            pg_catalog.pg_is_in_recovery() AS in_recovery,
            (SELECT s.reset_val = 'on' FROM pg_catalog.pg_settings s
                WHERE s.name = 'default_transaction_read_only') AS read_only,
            pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding,
            d.datcollate::text AS collate, d.datctype::text AS ctype, ({provider})::text AS provider,
            r.rolname::text AS role, r.rolsuper AS superuser,
            r.rolcreatedb AS may_create_databases, r.rolcreaterole AS may_create_roles,
            pg_catalog.has_database_privilege(d.oid, 'CREATE') AS may_create_schema,
            r.rolconnlimit::int8 AS role_connection_limit, d.datconnlimit::int8 AS database_connection_limit,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
                WHERE coalesce(a.backend_type, 'client backend') = 'client backend') AS used_connections,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
                WHERE a.usesysid = r.oid AND coalesce(a.backend_type, 'client backend') = 'client backend') AS role_connections,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
                WHERE a.datid = d.oid AND coalesce(a.backend_type, 'client backend') = 'client backend') AS database_connections,
            pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may_identify
         FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
         WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user"
    );
    let settings = "SELECT s.name::text AS name, s.setting::text AS setting FROM pg_catalog.pg_settings s
         WHERE s.name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
            'max_locks_per_transaction', 'max_prepared_transactions', 'wal_level', 'fsync', 'hot_standby_feedback',
            'max_standby_streaming_delay')";
    // A collation of each library says the library's version; C has none.
    let libraries = "SELECT CASE l.collprovider WHEN 'c' THEN 'libc' ELSE 'icu' END AS library,
            pg_catalog.max(pg_catalog.pg_collation_actual_version(l.oid))::text AS version
         FROM pg_catalog.pg_collation l WHERE l.collname = 'und-x-icu' OR l.oid = (SELECT c.oid FROM pg_catalog.pg_collation c
            WHERE c.collprovider = 'c' AND c.collcollate !~ '^(C|POSIX)' ORDER BY c.oid LIMIT 1)
         GROUP BY 1";
    let (rows, settings, libraries) = tokio::try_join!(
        session.query("reading the server's properties", &sql),
        session.query("reading the server's settings", settings),
        session.query("reading the versions of locales", libraries)
    )?;
    let mut server = Server { version, ..Server::default() };
    for row in &libraries {
        if let Some(version) = row.get::<Option<String>>("version")? {
            server.libraries.insert(row.get("library")?, version);
        }
    }
    let mut may_identify = false;
    if let Some(row) = rows.first() {
        server = Server {
            version,
            database: row.get("database")?,
            database_oid: row.get("database_oid")?,
            started: row.get("started")?,
            in_recovery: row.get("in_recovery")?,
            read_only: row.get("read_only")?,
            encoding: row.get("encoding")?,
            collate: row.get("collate")?,
            ctype: row.get("ctype")?,
            provider: row.get("provider")?,
            role: row.get("role")?,
            superuser: row.get("superuser")?,
            may_create_schema: row.get("may_create_schema")?,
            may_create_databases: row.get("may_create_databases")?,
            may_create_roles: row.get("may_create_roles")?,
            role_connection_limit: row.get("role_connection_limit")?,
            role_connections: row.get("role_connections")?,
            database_connection_limit: row.get("database_connection_limit")?,
            database_connections: row.get("database_connections")?,
            used_connections: row.get("used_connections")?,
            libraries: server.libraries,
            ..Server::default()
        };
        may_identify = row.get("may_identify")?;
    }
    let (mut per_transaction, mut prepared) = (0, 0);
    for row in &settings {
        let setting: String = row.get("setting")?;
        let number = setting.parse::<i64>().unwrap_or(0);
        match row.get::<String>("name")?.as_str() {
            "max_connections" => server.max_connections = number,
            "superuser_reserved_connections" | "reserved_connections" => {
                server.reserved_connections += number
            }
            "max_locks_per_transaction" => per_transaction = number,
            "max_prepared_transactions" => prepared = number,
            "wal_level" => server.wal_level = setting,
            "fsync" => server.fsync = setting == "on",
            "hot_standby_feedback" => server.hot_standby_feedback = setting == "on",
            "max_standby_streaming_delay" => server.max_standby_delay = number,
            _ => {}
        }
    }
    server.lock_slots = per_transaction * (server.max_connections + prepared);
    if may_identify {
        // A query of its own: the right to call it is checked when the query starts, whether or not it is called.
        let sql = "SELECT s.system_identifier AS id FROM pg_catalog.pg_control_system() s";
        server.system_identifier = session.value("reading the system identifier", sql).await?;
    }
    Ok(server)
}
