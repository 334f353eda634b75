//! Each server on its own, and whether the two are two: reach, versions, identity, writability, settings.

use super::facts::{Server, Target};
use super::finding::{Finding, some_of};
use crate::error::Side;
use crate::pg::ConnectError;
use crate::schema::quote::quote_ident;

/// A server that cannot be reached.
pub(super) fn unreachable(error: &ConnectError) -> Finding {
    Finding::error("unreachable", error.to_string()).on(error.side)
}

/// Versions a source may have.
const SOURCE_VERSIONS: std::ops::RangeInclusive<u32> = 10..=18;
/// Versions a target may have.
const TARGET_VERSIONS: std::ops::RangeInclusive<u32> = 13..=18;

pub(super) fn judge_source(source: &Server, out: &mut Vec<Finding>) {
    version(Side::Source, source.version, SOURCE_VERSIONS, out);
    if source.in_recovery && !source.hot_standby_feedback && source.max_standby_delay >= 0 {
        out.push(
            Finding::warning(
                "standby-conflicts",
                format!(
                    "the source is a standby that cancels queries which hold up replay for {} ms; a long copy would be cancelled",
                    source.max_standby_delay
                ),
            )
            .on(Side::Source)
            .mend("ALTER SYSTEM SET max_standby_streaming_delay = -1; SELECT pg_reload_conf(); -- on the standby, until the migration is done"),
        );
    }
}

pub(super) fn judge_target(target: &Server, contents: &Target, out: &mut Vec<Finding>) {
    version(Side::Target, target.version, TARGET_VERSIONS, out);
    let database = quote_ident(&target.database);
    if target.in_recovery {
        out.push(
            Finding::error("target-is-standby", "the target is a standby: nothing can be written to it")
                .on(Side::Target)
                .mend("name its primary in --target, or promote it: SELECT pg_promote();"),
        );
    } else if target.read_only {
        out.push(
            Finding::error("target-read-only", "default_transaction_read_only is on: nothing can be written")
                .on(Side::Target)
                .mend(format!("ALTER DATABASE {database} SET default_transaction_read_only = off; -- or ALTER ROLE, or the server's setting, where it comes from")),
        );
    }
    if !target.may_create_schema {
        let role = quote_ident(&target.role);
        out.push(
            Finding::error(
                "target-no-create",
                format!("role {role} may not create schemas in database {database}"),
            )
            .on(Side::Target)
            .mend(format!("GRANT CREATE ON DATABASE {database} TO {role};")),
        );
    }
    if !contents.event_triggers.is_empty() {
        let names: Vec<String> = contents.event_triggers.iter().map(|n| quote_ident(n)).collect();
        out.push(
            Finding::notice(
                "target-event-triggers",
                format!("event triggers will fire for what the migration creates: {}", some_of(&names)),
            )
            .on(Side::Target)
            .mend(format!("ALTER EVENT TRIGGER {} DISABLE; -- where they should not", names[0])),
        );
    }
    if target.wal_level != "minimal" && !target.in_recovery {
        out.push(
            Finding::notice(
                "target-wal-level",
                format!("wal_level is {}: the copy is written to the log as well", target.wal_level),
            )
            .on(Side::Target)
            .mend("for a faster load of a server without standbys: wal_level = minimal, max_wal_senders = 0, and a restart; set them back after it"),
        );
    }
    if !target.fsync {
        out.push(
            Finding::notice(
                "target-fsync-off",
                "fsync is off: the load is faster, and a crash of the machine may destroy the target",
            )
            .on(Side::Target)
            .mend("ALTER SYSTEM RESET fsync; SELECT pg_reload_conf(); -- after the migration"),
        );
    }
}

fn version(side: Side, version: u32, supported: std::ops::RangeInclusive<u32>, out: &mut Vec<Finding>) {
    let major = version / 10_000;
    if major < *supported.start() {
        out.push(
            Finding::error(
                "version-too-old",
                format!(
                    "PostgreSQL {} is too old for a {side}: {} to {} are supported",
                    spelled(version),
                    supported.start(),
                    supported.end()
                ),
            )
            .on(side)
            .mend(format!("use a {side} of version {} or newer", supported.start())),
        );
    } else if major > *supported.end() {
        out.push(
            Finding::warning(
                "version-too-new",
                format!(
                    "PostgreSQL {major} is newer than this tool, which knows versions up to {}",
                    supported.end()
                ),
            )
            .on(side)
            .mend("look for a newer pg_migrator; new kinds of objects in this version may be missed"),
        );
    }
}

/// `15.4`; `9.6.24` until 9.
fn spelled(version: u32) -> String {
    if version >= 100_000 {
        format!("{}.{}", version / 10_000, version % 10_000)
    } else {
        format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }
}

pub(super) fn judge_pair(source: &Server, target: &Server, out: &mut Vec<Finding>) {
    let (from, to) = (source.version / 10_000, target.version / 10_000);
    if from > to {
        out.push(
            Finding::warning(
                "source-newer",
                format!("the source (PostgreSQL {from}) is newer than the target ({to}): what {to} does not know fails"),
            )
            .mend(format!("use a target of version {from} or newer, or see what fails with --allow-restore-errors")),
        );
    }
    out.extend(same_database(source, target));
}

/// Whether both sessions are on one and the same database.
pub(super) fn same_database(source: &Server, target: &Server) -> Option<Finding> {
    // A promoted copy keeps the identifier; only the very same server started at the very same moment.
    let same_server = source.system_identifier == target.system_identifier
        && source.started == target.started
        && source.version == target.version;
    (same_server && source.database_oid == target.database_oid).then(|| {
        let message = format!("source and target are the same database, {}", quote_ident(&source.database));
        Finding::error("same-database", message).mend("name another database in --target")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{good_server, shown};
    use super::*;
    use crate::pg::SqlError;

    #[test]
    fn good_servers_need_no_words() {
        let mut out = Vec::new();
        judge_source(&good_server(), &mut out);
        judge_target(&good_server(), &Target::default(), &mut out);
        let other = Server { database_oid: 2, ..good_server() };
        judge_pair(&good_server(), &other, &mut out);
        assert_eq!(shown(&out), "");
    }

    #[test]
    fn sources() {
        let mut out = Vec::new();
        judge_source(&Server { version: 90_624, ..good_server() }, &mut out);
        judge_source(&Server { version: 190_000, ..good_server() }, &mut out);
        judge_source(&Server { in_recovery: true, max_standby_delay: 30_000, ..good_server() }, &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Error version-too-old source: PostgreSQL 9.6.24 is too old for a source: 10 to 18 are supported
    use a source of version 10 or newer
Warning version-too-new source: PostgreSQL 19 is newer than this tool, which knows versions up to 18
    look for a newer pg_migrator; new kinds of objects in this version may be missed
Warning standby-conflicts source: the source is a standby that cancels queries which hold up replay for 30000 ms; a long copy would be cancelled
    ALTER SYSTEM SET max_standby_streaming_delay = -1; SELECT pg_reload_conf(); -- on the standby, until the migration is done
"#);
    }

    #[test]
    fn targets() {
        let mut out = Vec::new();
        let target = Target::default();
        judge_target(&Server { version: 120_003, ..good_server() }, &target, &mut out);
        judge_target(&Server { in_recovery: true, ..good_server() }, &target, &mut out);
        judge_target(
            &Server { read_only: true, may_create_schema: false, ..good_server() },
            &target,
            &mut out,
        );
        let triggered = Target { event_triggers: vec!["Log it".into()], ..Target::default() };
        judge_target(
            &Server { wal_level: "replica".into(), fsync: false, ..good_server() },
            &triggered,
            &mut out,
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error version-too-old target: PostgreSQL 12.3 is too old for a target: 13 to 18 are supported
    use a target of version 13 or newer
Error target-is-standby target: the target is a standby: nothing can be written to it
    name its primary in --target, or promote it: SELECT pg_promote();
Error target-read-only target: default_transaction_read_only is on: nothing can be written
    ALTER DATABASE app SET default_transaction_read_only = off; -- or ALTER ROLE, or the server's setting, where it comes from
Error target-no-create target: role mover may not create schemas in database app
    GRANT CREATE ON DATABASE app TO mover;
Notice target-event-triggers target: event triggers will fire for what the migration creates: "Log it"
    ALTER EVENT TRIGGER "Log it" DISABLE; -- where they should not
Notice target-wal-level target: wal_level is replica: the copy is written to the log as well
    for a faster load of a server without standbys: wal_level = minimal, max_wal_senders = 0, and a restart; set them back after it
Notice target-fsync-off target: fsync is off: the load is faster, and a crash of the machine may destroy the target
    ALTER SYSTEM RESET fsync; SELECT pg_reload_conf(); -- after the migration
"#);
    }

    #[test]
    fn pairs() {
        let mut out = Vec::new();
        let server = good_server();
        judge_pair(&server, &server, &mut out);
        judge_pair(&Server { version: 180_000, ..good_server() }, &server, &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Error same-database both: source and target are the same database, app
    name another database in --target
Warning source-newer both: the source (PostgreSQL 18) is newer than the target (15): what 15 does not know fails
    use a target of version 18 or newer, or see what fails with --allow-restore-errors
"#);
        let mut out = Vec::new();
        judge_pair(&server, &Server { started: "later".into(), ..good_server() }, &mut out);
        assert_eq!(shown(&out), "", "a promoted copy is another server");
    }

    #[test]
    fn errors_become_findings() {
        let connect = ConnectError {
            side: Side::Target,
            address: "b:5432/db".into(),
            sqlstate: None,
            reason: "connection refused".into(),
        };
        let sql = SqlError {
            side: Side::Source,
            what: "reading roles".into(),
            sqlstate: Some("42501".into()),
            message: "permission denied".into(),
            detail: Some("detail".into()),
            hint: None,
            context: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
        };
        insta::assert_snapshot!(shown(&[unreachable(&connect), Finding::unreadable(&sql)]), @r#"
Error unreachable target: cannot connect to the target (b:5432/db): connection refused
Error unreadable source: reading roles: permission denied (SQLSTATE 42501)
  detail: detail
"#);
    }
}
