//! What the tests of the checks share.

use super::Asked;
use super::facts::Server;
use super::finding::Finding;
use crate::config::{Filter, RestoreOptions};
use crate::schema::{Address, Definition, Object};

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
    test(Asked { filter: &filter, restore: &restore, resumes: false })
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
