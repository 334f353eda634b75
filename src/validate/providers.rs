//! Where a server runs, as far as it shows, and how a setting or a right is had there: managed servers have no `ALTER SYSTEM`.
//!
//! Invariant: what fits the server comes first; where nothing shows where it runs, every way is said, SQL first.

use super::facts::{Replication, Subscriber};
use crate::schema::quote::quote_ident;

/// Who runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// Amazon RDS and Aurora.
    Rds,
    /// Azure Database for PostgreSQL.
    Azure,
    /// Google Cloud SQL.
    CloudSql,
}

impl Provider {
    fn of_role(role: &str) -> Option<Provider> {
        match role {
            "rds_superuser" => Some(Provider::Rds),
            "azure_pg_admin" => Some(Provider::Azure),
            "cloudsqlsuperuser" => Some(Provider::CloudSql),
            _ => None,
        }
    }

    pub(super) fn of_source(replication: &Replication) -> Option<Provider> {
        replication.settings.keys().find_map(|name| match name.split_once('.') {
            Some(("rds", _)) => Some(Provider::Rds),
            Some(("azure", _)) => Some(Provider::Azure),
            Some(("cloudsql", _)) => Some(Provider::CloudSql),
            _ => Provider::of_role(name),
        })
    }

    pub(super) fn of_target(subscriber: &Subscriber) -> Option<Provider> {
        subscriber.provider_role.as_deref().and_then(Provider::of_role)
    }
}

/// How `wal_level` becomes `logical`.
pub(super) fn logical(provider: Option<Provider>) -> String {
    let rds = "set rds.logical_replication = 1 in the instance's (Aurora: the cluster's) parameter group and reboot";
    let azure = "set the server parameter wal_level = logical (Single Server: azure.replication_support = logical) and restart";
    let cloud_sql = "set the flag cloudsql.logical_decoding = on (it restarts the instance)";
    match provider {
        Some(Provider::Rds) => format!("RDS: {rds}"),
        Some(Provider::Azure) => format!("Azure: {azure}"),
        Some(Provider::CloudSql) => format!("Cloud SQL: {cloud_sql}"),
        None => format!(
            "ALTER SYSTEM SET wal_level = logical; -- and restart the server\nRDS: {rds}\nAzure: {azure}\nCloud SQL: {cloud_sql}"
        ),
    }
}

/// How a setting of the server is changed; `after`: what it needs to take effect.
pub(super) fn setting(provider: Option<Provider>, name: &str, value: &str, after: &str) -> String {
    match provider {
        Some(Provider::Rds) => format!("RDS: set {name} = {value} in the parameter group, {after}"),
        Some(Provider::Azure) => format!("Azure: set the server parameter {name} = {value}, {after}"),
        Some(Provider::CloudSql) => format!("Cloud SQL: set the flag {name} = {value}"),
        None => format!(
            "ALTER SYSTEM SET {name} = {}; -- {after}\nRDS: {name} in the parameter group; Azure: the server parameter {name}; Cloud SQL: the flag {name}",
            sql_value(value)
        ),
    }
}

fn sql_value(value: &str) -> String {
    let plain = value.strip_prefix('-').unwrap_or(value).bytes().all(|b| b.is_ascii_digit());
    if plain { value.to_owned() } else { format!("'{value}'") }
}

/// How a role may replicate.
pub(super) fn replication(provider: Option<Provider>, role: &str) -> String {
    let role = quote_ident(role);
    match provider {
        Some(Provider::Rds) => format!("GRANT rds_replication TO {role};"),
        Some(Provider::Azure | Provider::CloudSql) => {
            format!("ALTER ROLE {role} WITH REPLICATION; -- as the server's administrator")
        }
        None => format!(
            "ALTER ROLE {role} WITH REPLICATION; -- as a superuser (Azure, Cloud SQL: as the administrator; RDS: GRANT rds_replication TO {role};)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str) -> Option<Provider> {
        let settings = [("wal_level", "replica"), (name, "x")];
        let settings = settings.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        Provider::of_source(&Replication { settings, ..Replication::default() })
    }

    #[test]
    fn providers_are_recognised() {
        assert_eq!(with("rds.logical_replication"), Some(Provider::Rds));
        assert_eq!(with("azure.extensions"), Some(Provider::Azure));
        assert_eq!(with("cloudsql.logical_decoding"), Some(Provider::CloudSql));
        assert_eq!(with("cloudsqlsuperuser"), Some(Provider::CloudSql));
        assert_eq!(with("max_wal_senders"), None);
    }

    #[test]
    fn remedies() {
        let providers = [None, Some(Provider::Rds), Some(Provider::Azure), Some(Provider::CloudSql)];
        let lines: Vec<String> = providers
            .into_iter()
            .flat_map(|p| {
                [
                    logical(p),
                    setting(p, "max_wal_senders", "12", "and restart"),
                    setting(p, "idle_replication_slot_timeout", "1d", "and reload"),
                    replication(p, "Mover"),
                ]
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
ALTER SYSTEM SET wal_level = logical; -- and restart the server
RDS: set rds.logical_replication = 1 in the instance's (Aurora: the cluster's) parameter group and reboot
Azure: set the server parameter wal_level = logical (Single Server: azure.replication_support = logical) and restart
Cloud SQL: set the flag cloudsql.logical_decoding = on (it restarts the instance)
ALTER SYSTEM SET max_wal_senders = 12; -- and restart
RDS: max_wal_senders in the parameter group; Azure: the server parameter max_wal_senders; Cloud SQL: the flag max_wal_senders
ALTER SYSTEM SET idle_replication_slot_timeout = '1d'; -- and reload
RDS: idle_replication_slot_timeout in the parameter group; Azure: the server parameter idle_replication_slot_timeout; Cloud SQL: the flag idle_replication_slot_timeout
ALTER ROLE "Mover" WITH REPLICATION; -- as a superuser (Azure, Cloud SQL: as the administrator; RDS: GRANT rds_replication TO "Mover";)
RDS: set rds.logical_replication = 1 in the instance's (Aurora: the cluster's) parameter group and reboot
RDS: set max_wal_senders = 12 in the parameter group, and restart
RDS: set idle_replication_slot_timeout = 1d in the parameter group, and reload
GRANT rds_replication TO "Mover";
Azure: set the server parameter wal_level = logical (Single Server: azure.replication_support = logical) and restart
Azure: set the server parameter max_wal_senders = 12, and restart
Azure: set the server parameter idle_replication_slot_timeout = 1d, and reload
ALTER ROLE "Mover" WITH REPLICATION; -- as the server's administrator
Cloud SQL: set the flag cloudsql.logical_decoding = on (it restarts the instance)
Cloud SQL: set the flag max_wal_senders = 12
Cloud SQL: set the flag idle_replication_slot_timeout = 1d
ALTER ROLE "Mover" WITH REPLICATION; -- as the server's administrator
"#);
    }
}
