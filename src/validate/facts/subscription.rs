//! What an online migration needs to know of the target: subscriptions, and what the role may do that applying changes asks for.

use crate::pg::{Session, SqlError};

/// The target as a receiver of changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriber {
    /// Subscriptions of this database: name, slot, whether enabled.
    pub(crate) subscriptions: Vec<Subscription>,
    /// A superuser, or (16 and later) a member of `pg_create_subscription` with `CREATE` on the database, or of a
    /// provider's role that stands for one.
    pub(crate) may_subscribe: bool,
    /// Neither a superuser nor a provider's own: its subscription must log in with a password.
    pub(crate) needs_password: bool,
    /// `EXECUTE` on `pg_replication_origin_advance`.
    pub(crate) may_advance: bool,
    /// `session_replication_role` can be set: tried, in a transaction that ends with the try.
    pub(crate) may_set_replica_role: bool,
    /// How many origins can be tracked at once, and the name of the setting.
    pub(crate) max_origins: i64,
    pub(crate) origins_setting: String,
    /// Origins tracked now, where the role may look.
    pub(crate) origins: i64,
    pub(crate) max_workers: i64,
    /// A role that tells which provider the server is with.
    pub(crate) provider_role: Option<String>,
}

/// A subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    pub(crate) slot: Option<String>,
    pub(crate) enabled: bool,
}

/// Reads it: four queries, pipelined, and one more where the role may.
pub(crate) async fn read(session: &Session) -> Result<Subscriber, SqlError> {
    let sql = "SELECT s.subname::text AS name, s.subslotname::text AS slot, s.subenabled AS enabled
         FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
         WHERE d.datname = pg_catalog.current_database() ORDER BY 1";
    let (subscriptions, mut subscriber, may_set_replica_role) = tokio::try_join!(
        session.query("reading subscriptions", sql),
        role(session),
        may_set_replica_role(session),
    )?;
    for row in &subscriptions {
        subscriber.subscriptions.push(Subscription {
            name: row.get("name")?,
            slot: row.get("slot")?,
            enabled: row.get("enabled")?,
        });
    }
    Ok(Subscriber { may_set_replica_role, ..subscriber })
}

async fn role(session: &Session) -> Result<Subscriber, SqlError> {
    // A role of this name exists from 16 on; of the others, each with its provider only.
    let sql = "SELECT r.rolsuper AS superuser,
            EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = 'pg_create_subscription'
                AND pg_catalog.pg_has_role(p.oid, 'USAGE')) AS member,
            EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname IN ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser')
                AND pg_catalog.pg_has_role(p.oid, 'USAGE')) AS of_provider,
            (SELECT p.rolname::text FROM pg_catalog.pg_roles p
                WHERE p.rolname IN ('rds_superuser', 'azure_pg_admin', 'cloudsqlsuperuser') LIMIT 1) AS provider_role,
            pg_catalog.has_database_privilege(pg_catalog.current_database()::text, 'CREATE') AS may_create,
            pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_advance(text, pg_lsn)', 'EXECUTE') AS may_advance,
            pg_catalog.has_table_privilege('pg_catalog.pg_replication_origin_status', 'SELECT')
                AND pg_catalog.has_function_privilege('pg_catalog.pg_show_replication_origin_status()', 'EXECUTE') AS may_count,
            pg_catalog.current_setting('max_active_replication_origins', true)::int8 AS max_origins,
            pg_catalog.current_setting('max_replication_slots')::int8 AS max_slots,
            pg_catalog.current_setting('max_logical_replication_workers')::int8 AS max_workers
         FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let rows = session.query("reading the right to subscribe", sql).await?;
    let Some(row) = rows.first() else { return Ok(Subscriber::default()) };
    let (superuser, member, of_provider): (bool, bool, bool) =
        (row.get("superuser")?, row.get("member")?, row.get("of_provider")?);
    let may_create: bool = row.get("may_create")?;
    let max_origins: Option<i64> = row.get("max_origins")?;
    let origins_setting =
        if max_origins.is_some() { "max_active_replication_origins" } else { "max_replication_slots" };
    let mut subscriber = Subscriber {
        may_subscribe: superuser || of_provider || (member && may_create),
        needs_password: !superuser && !of_provider,
        may_advance: row.get("may_advance")?,
        max_origins: max_origins.unwrap_or(row.get("max_slots")?),
        origins_setting: origins_setting.to_owned(),
        max_workers: row.get("max_workers")?,
        provider_role: row.get("provider_role")?,
        ..Subscriber::default()
    };
    if row.get("may_count")? {
        let sql = "SELECT pg_catalog.count(*) AS total FROM pg_catalog.pg_replication_origin_status";
        subscriber.origins = session.value("counting replication origins", sql).await?.unwrap_or(0);
    }
    Ok(subscriber)
}

/// Providers let roles set it that the catalogs know nothing of: only trying tells. The setting goes with the statement's
/// own transaction.
async fn may_set_replica_role(session: &Session) -> Result<bool, SqlError> {
    let sql = "SELECT pg_catalog.set_config('session_replication_role', 'replica', true)";
    match session.query("trying to set session_replication_role", sql).await {
        Ok(_) => Ok(true),
        Err(e) if e.sqlstate.is_some() => Ok(false),
        Err(e) => Err(e),
    }
}
