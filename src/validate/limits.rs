//! Whether the servers have room: connections and locks.

use super::Asked;
use super::facts::source::Kind;
use super::facts::{Server, Source};
use super::finding::Finding;
use crate::error::Side;
use crate::schema::quote::quote_ident;

/// Connections beside the copying ones: the coordinator's, and one to spare for the operator.
const EXTRA: i64 = 2;

pub(super) fn judge_source(server: &Server, source: &Source, asked: Asked<'_>, out: &mut Vec<Finding>) {
    judge_connections(Side::Source, server, asked, out);
    let tables = source
        .relations
        .iter()
        .filter(|r| r.kind == Kind::Table && asked.filter.takes_table(&r.schema, &r.name))
        .count();
    let tables = i64::try_from(tables).unwrap_or(i64::MAX);
    // The lock table has some slack beyond its nominal size, and other sessions need a part of it.
    if server.lock_slots > 0 && tables > server.lock_slots * 4 / 5 {
        out.push(
            Finding::warning(
                "source-locks",
                format!(
                    "{tables} tables are to be locked at once, and the lock table is made for {}: the server may run out of shared memory",
                    server.lock_slots
                ),
            )
            .on(Side::Source)
            .mend(format!(
                "ALTER SYSTEM SET max_locks_per_transaction = {}; -- and restart; or migrate in parts with --include-schema",
                (tables * 2 / server.max_connections.max(1)).max(128)
            )),
        );
    }
}

pub(super) fn judge_connections(side: Side, server: &Server, asked: Asked<'_>, out: &mut Vec<Finding>) {
    let jobs = i64::try_from(asked.restore.jobs).unwrap_or(i64::MAX - EXTRA);
    // Our own session is counted among the used ones and stays.
    let needed = jobs + EXTRA - 1;
    let reserved = if server.superuser { 0 } else { server.reserved_connections };
    let limit = |limit: i64, used: i64| if limit < 0 { i64::MAX } else { limit - used };
    let rooms = [
        (
            server.max_connections - reserved - server.used_connections,
            format!("max_connections is {}, {reserved} of them reserved", server.max_connections),
            "ALTER SYSTEM SET max_connections = …; -- and restart".to_owned(),
        ),
        (
            if server.superuser {
                i64::MAX
            } else {
                limit(server.role_connection_limit, server.role_connections)
            },
            format!("role {} is limited to {}", quote_ident(&server.role), server.role_connection_limit),
            format!("ALTER ROLE {} CONNECTION LIMIT -1;", quote_ident(&server.role)),
        ),
        (
            if server.superuser {
                i64::MAX
            } else {
                limit(server.database_connection_limit, server.database_connections)
            },
            format!(
                "database {} is limited to {}",
                quote_ident(&server.database),
                server.database_connection_limit
            ),
            format!("ALTER DATABASE {} CONNECTION LIMIT -1;", quote_ident(&server.database)),
        ),
    ];
    for (free, why, remedy) in rooms {
        if free >= needed {
            continue;
        }
        let fitting = (free + 1 - EXTRA).max(0);
        let way_out = if fitting > 0 {
            format!("use --jobs {fitting}, or: {remedy}")
        } else {
            format!("close other sessions, or: {remedy}")
        };
        out.push(
            Finding::error(
                "connections",
                format!("--jobs {jobs} needs {needed} more connections and {} are free ({why})", free.max(0)),
            )
            .on(side)
            .mend(way_out),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::source::Relation;
    use super::super::testing::{asking, good_server, shown};
    use super::*;

    #[test]
    fn connections() {
        let servers = [
            good_server(),
            Server { used_connections: 97, ..good_server() },
            Server { superuser: false, used_connections: 96, ..good_server() },
            Server { superuser: false, role_connection_limit: 4, role_connections: 1, ..good_server() },
            Server {
                superuser: false,
                database_connection_limit: 1,
                database_connections: 1,
                ..good_server()
            },
            Server { role_connection_limit: 1, ..good_server() },
        ];
        let mut out = Vec::new();
        for server in servers {
            asking(|_, _| (), |asked| judge_connections(Side::Source, &server, asked, &mut out));
        }
        insta::assert_snapshot!(shown(&out), @r#"
Error connections source: --jobs 4 needs 5 more connections and 3 are free (max_connections is 100, 0 of them reserved)
    use --jobs 2, or: ALTER SYSTEM SET max_connections = …; -- and restart
Error connections source: --jobs 4 needs 5 more connections and 1 are free (max_connections is 100, 3 of them reserved)
    close other sessions, or: ALTER SYSTEM SET max_connections = …; -- and restart
Error connections source: --jobs 4 needs 5 more connections and 3 are free (role mover is limited to 4)
    use --jobs 2, or: ALTER ROLE mover CONNECTION LIMIT -1;
Error connections source: --jobs 4 needs 5 more connections and 0 are free (database app is limited to 1)
    close other sessions, or: ALTER DATABASE app CONNECTION LIMIT -1;
"#);
    }

    #[test]
    fn locks() {
        let source = Source {
            relations: (0..90).map(|i| Relation { name: format!("t{i}"), ..Relation::default() }).collect(),
            ..Source::default()
        };
        let mut out = Vec::new();
        asking(
            |_, _| (),
            |asked| {
                judge_source(&Server { lock_slots: 113, ..good_server() }, &source, asked, &mut out);
                judge_source(&Server { lock_slots: 100, ..good_server() }, &source, asked, &mut out);
            },
        );
        insta::assert_snapshot!(shown(&out), @r#"
Warning source-locks source: 90 tables are to be locked at once, and the lock table is made for 100: the server may run out of shared memory
    ALTER SYSTEM SET max_locks_per_transaction = 128; -- and restart; or migrate in parts with --include-schema
"#);
    }
}
