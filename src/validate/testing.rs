//! What the tests of the checks share.

use std::collections::BTreeMap;

use super::facts::replication::{self, Publication};
use super::facts::{Replication, Server, Subscriber};
use super::finding::Finding;
use super::{Asked, Online};
use crate::config::{Filter, OnlineOptions, RestoreOptions};
use crate::schema::{Address, Definition, Object, Schema, Table};

/// A server that nothing can be said against, as source or as target.
pub(super) fn good_server() -> Server {
    Server {
        version: 150_004,
        database: "app".into(),
        database_oid: 1,
        system_identifier: Some(7),
        started: "then".into(),
        encoding: "UTF8".into(),
        collate: "C.UTF-8".into(),
        ctype: "C.UTF-8".into(),
        provider: "libc".into(),
        role: "mover".into(),
        superuser: true,
        may_create_schema: true,
        max_connections: 100,
        reserved_connections: 3,
        used_connections: 5,
        role_connection_limit: -1,
        database_connection_limit: -1,
        lock_slots: 6400,
        wal_level: "minimal".into(),
        fsync: true,
        ..Server::default()
    }
}

/// A source that nothing can be said against: its publication publishes nothing, in full.
pub(super) fn good_source() -> Replication {
    let settings = [
        ("wal_level", "logical"),
        ("max_replication_slots", "10"),
        ("max_wal_senders", "10"),
        ("max_slot_wal_keep_size", "-1"),
        ("idle_replication_slot_timeout", "0"),
        ("wal_sender_timeout", "1min"),
    ];
    Replication {
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        may_replicate: true,
        publication: Some(Publication {
            insert: true,
            update: true,
            delete: true,
            truncate: true,
            ..Publication::default()
        }),
        ..Replication::default()
    }
}

/// A target that nothing can be said against.
pub(super) fn good_target() -> Subscriber {
    Subscriber {
        may_subscribe: true,
        may_advance: true,
        may_set_replica_role: true,
        max_origins: 10,
        origins_setting: "max_replication_slots".into(),
        max_workers: 4,
        ..Subscriber::default()
    }
}

/// Tables of schema `s`, with OIDs from 1 on: the model, and what the catalogs say of them.
pub(super) fn tables_of(names: &[&str], unlogged: &[&str]) -> (Schema, BTreeMap<u32, replication::Table>) {
    let mut schema = Schema { server_version: 150_000, ..Schema::default() };
    let mut tables = BTreeMap::new();
    for (oid, name) in (1..).zip(names) {
        let unlogged = unlogged.contains(name);
        let mut object = object(name, Definition::Table(Table { unlogged, ..Table::default() }));
        object.address = Address::relation(oid);
        schema.objects.push(object);
        let table = replication::Table {
            schema: "s".into(),
            name: (*name).into(),
            kind: 'r',
            persistence: if unlogged { 'u' } else { 'p' },
            ours: true,
            ..replication::Table::default()
        };
        tables.insert(oid, table);
    }
    (schema, tables)
}

/// An online migration named `move`.
pub(super) fn online(options: &OnlineOptions) -> Online<'_> {
    Online { options, subscription: "move", ours: false, subscribed: false, clears: false, streams: false }
}

/// An object of schema `s`.
pub(super) fn object(name: &str, definition: Definition) -> Object {
    Object {
        address: Address::relation(1),
        namespace: Some("s".into()),
        name: name.into(),
        parent: None,
        owner: None,
        acl: None,
        comments: Vec::new(),
        definition,
    }
}

/// Runs `test` with what an operator asks for by default, changed by `change`.
pub(super) fn asking<T>(
    change: impl FnOnce(&mut Filter, &mut RestoreOptions),
    test: impl FnOnce(Asked<'_>) -> T,
) -> T {
    let (mut filter, mut restore) =
        (Filter::default(), RestoreOptions { jobs: 4, ..RestoreOptions::default() });
    change(&mut filter, &mut restore);
    test(Asked { filter: &filter, restore: &restore, resumes: false, makes_database: false, online: None })
}

/// Findings as lines.
pub(super) fn shown(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|f| {
            let side = f.side.map_or("both".to_owned(), |s| s.to_string());
            let object = f.object.as_deref().map(|o| format!(" [{o}]")).unwrap_or_default();
            let remedy = f.remedy.as_deref().map(|r| format!("\n    {r}")).unwrap_or_default();
            format!("{:?} {} {side}{object}: {}{remedy}", f.severity, f.code, f.message)
        })
        .collect();
    lines.join("\n")
}
