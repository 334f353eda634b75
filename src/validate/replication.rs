//! Whether the source can send its changes, and what may hold that up or break it off: settings, rights, slots, transactions
//! that write.

use super::Online;
use super::facts::replication::Writing;
use super::facts::{Replication, Server};
use super::finding::{Finding, counted};
use super::providers::{self, Provider};
use crate::error::Side;
use crate::schema::quote::{quote_ident, quote_literal};

/// A transaction that is this old is likely to be there still when the slot is made, seconds.
const OLD: i64 = 5;

pub(super) fn judge(server: &Server, source: &Replication, online: Online<'_>, out: &mut Vec<Finding>) {
    let from = out.len();
    let provider = Provider::of_source(source);
    if server.in_recovery {
        out.push(
            Finding::error("source-is-standby", "the source is a standby: an online migration streams from a primary, where writes and their end can be seen")
                .mend("name its primary in --source; or migrate offline from the standby"),
        );
    }
    let wal_level = setting(source, "wal_level");
    if wal_level != "logical" {
        out.push(
            Finding::error(
                "source-wal-level",
                format!("wal_level is {wal_level}: changes can be streamed only with logical"),
            )
            .mend(providers::logical(provider)),
        );
    }
    if !source.may_replicate {
        let role = quote_ident(&server.role);
        out.push(
            Finding::error("source-no-replication", format!("role {role} may not replicate"))
                .about(role)
                .mend(providers::replication(provider, &server.role)),
        );
    }
    slot(source, online, out);
    room(source, provider, online, out);
    loss(source, provider, online, out);
    waits(&source.writing, online, out);
    timeout(source, out);
    for finding in &mut out[from..] {
        finding.side = Some(Side::Source);
    }
}

fn setting<'a>(source: &'a Replication, name: &str) -> &'a str {
    source.settings.get(name).map_or("", String::as_str)
}

fn number(source: &Replication, name: &str) -> i64 {
    setting(source, name).parse().unwrap_or(0)
}

/// Whether the slot's name can be had.
fn slot(source: &Replication, online: Online<'_>, out: &mut Vec<Finding>) {
    let name = online.options.slot_name.as_str();
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(fits) {
        out.push(
            Finding::error("slot-name", format!("{name:?} is no name for a slot"))
                .about(name)
                .mend("give --slot-name up to 63 lower-case letters, digits and underscores"),
        );
        return;
    }
    let Some(slot) = source.slots.iter().find(|s| s.name == name) else { return };
    if online.ours && slot.lost {
        out.push(
            Finding::error("slot-lost", format!("slot {name} of this migration is invalidated: WAL that it needs is gone"))
                .about(name)
                .mend("the migration has to start anew: run `pg_migrator cleanup`, then this command with --drop-target-first"),
        );
    }
    if online.ours {
        return;
    }
    let what = match (&slot.plugin, &slot.database) {
        (Some(plugin), Some(database)) => {
            format!("a logical one ({plugin}) of database {}", quote_ident(database))
        }
        _ => "a physical one".to_owned(),
    };
    let drop = format!("SELECT pg_drop_replication_slot({});", quote_literal(name));
    let remedy = match slot.active_pid {
        Some(_) => format!("choose another with --slot-name; or end what reads it, and: {drop}"),
        None => format!("choose another with --slot-name; or, if nobody needs it: {drop}"),
    };
    let active = slot.active_pid.map(|pid| format!(", read by process {pid} now")).unwrap_or_default();
    out.push(
        Finding::error(
            "slot-exists",
            format!("slot {name} is there already and is not this migration's: {what}{active}"),
        )
        .about(name)
        .mend(remedy),
    );
}

/// Whether there is room for one more slot and one more sender.
fn room(source: &Replication, provider: Option<Provider>, online: Online<'_>, out: &mut Vec<Finding>) {
    let used = i64::try_from(source.slots.len()).unwrap_or(i64::MAX);
    let max = number(source, "max_replication_slots");
    let there = online.ours && source.slots.iter().any(|s| s.name == online.options.slot_name);
    if used >= max && !there {
        out.push(
            Finding::error(
                "replication-slots",
                format!("no replication slot is free: {used} of {max} (max_replication_slots) are in use"),
            )
            .mend(format!(
                "drop those that nobody needs (SELECT slot_name FROM pg_replication_slots WHERE NOT active;), or: {}",
                providers::setting(provider, "max_replication_slots", &(used + 4).to_string(), "and restart")
            )),
        );
    }
    let (used, max) = (source.walsenders, number(source, "max_wal_senders"));
    if used >= max && !there {
        out.push(
            Finding::error(
                "wal-senders",
                format!("no WAL sender is free: {used} of {max} (max_wal_senders) are in use"),
            )
            .mend(providers::setting(
                provider,
                "max_wal_senders",
                &(used + 4).to_string(),
                "and restart",
            )),
        );
    }
}

/// What may make the source drop WAL that the slot needs, and what the slot's WAL may do to the source.
fn loss(source: &Replication, provider: Option<Provider>, online: Online<'_>, out: &mut Vec<Finding>) {
    let mut told = |name: &str, off: &str, follows: &str| {
        let value = setting(source, name);
        if !value.is_empty() && value != off {
            let remedy = providers::setting(provider, name, off, "and reload, until the migration is done");
            out.push(
                Finding::warning("slot-may-be-lost", format!("{name} is {value}: {follows}")).mend(remedy),
            );
        }
    };
    told(
        "max_slot_wal_keep_size",
        "-1",
        "a slot that holds back more WAL than that is invalidated, and the migration has to start anew",
    );
    told(
        "idle_replication_slot_timeout",
        "0",
        "nobody reads the slot while tables are copied, and a copy that takes longer loses it",
    );
    if let Some(bytes) = source.wal_bytes {
        let guard = match online.options.max_slot_wal_bytes {
            Some(_) => String::new(),
            None => "; --max-slot-wal ends the migration before the disk is full".to_owned(),
        };
        out.push(
            Finding::notice(
                "slot-holds-wal",
                format!("the source has {} MB of WAL now; the slot keeps all that is written from its creation until it is applied", bytes >> 20),
            )
            .mend(format!("see that the source's disk has room for the WAL of the whole copy{guard}")),
        );
    }
}

/// Transactions that the creation of a slot would wait for.
fn waits(writing: &[Writing], online: Online<'_>, out: &mut Vec<Finding>) {
    let age = |w: &Writing| w.seconds.map_or("for an unknown time".to_owned(), |s| format!("for {s} s"));
    let whose = |w: &Writing| {
        let role = w.role.as_deref().map(|r| format!(" of role {}", quote_ident(r))).unwrap_or_default();
        let database =
            w.database.as_deref().map(|d| format!(" in database {}", quote_ident(d))).unwrap_or_default();
        format!("{role}{database}")
    };
    let patience = online.options.slot_timeout.as_secs();
    let told = format!(
        "the slot's creation waits for it, {} at most (--slot-timeout-secs)",
        counted(patience as usize, "second")
    );
    for w in writing.iter().filter(|w| w.seconds.is_none_or(|s| s >= OLD)) {
        let finding = match (&w.gid, w.pid) {
            (Some(gid), _) => {
                let gid = quote_literal(gid);
                Finding::warning(
                    "slot-would-wait",
                    format!("transaction {gid}{} has been prepared {}: {told}", whose(w), age(w)),
                )
                .about(gid.clone())
                .mend(format!("COMMIT PREPARED {gid}; -- or ROLLBACK PREPARED, in that database"))
            }
            (None, Some(pid)) => {
                let query = w.query.as_deref().map(|q| format!(" ({})", shortened(q))).unwrap_or_default();
                Finding::warning(
                    "slot-would-wait",
                    format!(
                        "process {pid}{} has been in a transaction that writes {}{query}: {told}",
                        whose(w),
                        age(w)
                    ),
                )
                .about(format!("process {pid}"))
                .mend(format!("let it end, or: SELECT pg_terminate_backend({pid});"))
            }
            (None, None) => continue,
        };
        out.push(finding);
    }
}

/// The beginning of a statement, on one line.
fn shortened(query: &str) -> String {
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// A sender that gives up too soon, or never.
fn timeout(source: &Replication, out: &mut Vec<Finding>) {
    let value = setting(source, "wal_sender_timeout");
    match milliseconds(value) {
        Some(0) => out.push(Finding::notice(
            "wal-sender-timeout",
            "wal_sender_timeout is 0: where a connection dies without a word, the source goes on holding the slot for the dead one",
        )),
        Some(ms) if ms < 10_000 => out.push(
            Finding::warning(
                "wal-sender-timeout",
                format!("wal_sender_timeout is {value}: a short stall of the network breaks the stream off, again and again"),
            )
            .mend("ALTER SYSTEM SET wal_sender_timeout = '1min'; SELECT pg_reload_conf();"),
        ),
        _ => {}
    }
}

/// A time as `SHOW` has it: `1min`, `500ms`, `0`.
fn milliseconds(value: &str) -> Option<u64> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::super::facts::replication::Slot;
    use super::super::testing::{good_server, good_source, online, shown};
    use super::*;
    use crate::config::OnlineOptions;

    fn judged(server: &Server, source: &Replication, ours: bool, options: &OnlineOptions) -> String {
        let mut out = Vec::new();
        judge(server, source, Online { ours, ..online(options) }, &mut out);
        shown(&out)
    }

    fn set(source: &mut Replication, name: &str, value: &str) {
        source.settings.insert(name.into(), value.into());
    }

    #[test]
    fn a_good_source_needs_no_words() {
        let options = OnlineOptions::default();
        assert_eq!(judged(&good_server(), &good_source(), false, &options), "");
    }

    #[test]
    fn settings_and_rights() {
        let mut source = Replication { may_replicate: false, wal_bytes: Some(3 << 30), ..good_source() };
        for (name, value) in [
            ("wal_level", "replica"),
            ("max_slot_wal_keep_size", "10GB"),
            ("idle_replication_slot_timeout", "1d"),
            ("wal_sender_timeout", "0"),
            ("rds.logical_replication", "off"),
        ] {
            set(&mut source, name, value);
        }
        let server = Server { in_recovery: true, ..good_server() };
        insta::assert_snapshot!(judged(&server, &source, false, &OnlineOptions::default()), @r#"
Error source-is-standby source: the source is a standby: an online migration streams from a primary, where writes and their end can be seen
    name its primary in --source; or migrate offline from the standby
Error source-wal-level source: wal_level is replica: changes can be streamed only with logical
    RDS: set rds.logical_replication = 1 in the instance's (Aurora: the cluster's) parameter group and reboot
Error source-no-replication source [mover]: role mover may not replicate
    GRANT rds_replication TO mover;
Warning slot-may-be-lost source: max_slot_wal_keep_size is 10GB: a slot that holds back more WAL than that is invalidated, and the migration has to start anew
    RDS: set max_slot_wal_keep_size = -1 in the parameter group, and reload, until the migration is done
Warning slot-may-be-lost source: idle_replication_slot_timeout is 1d: nobody reads the slot while tables are copied, and a copy that takes longer loses it
    RDS: set idle_replication_slot_timeout = 0 in the parameter group, and reload, until the migration is done
Notice slot-holds-wal source: the source has 3072 MB of WAL now; the slot keeps all that is written from its creation until it is applied
    see that the source's disk has room for the WAL of the whole copy; --max-slot-wal ends the migration before the disk is full
Notice wal-sender-timeout source: wal_sender_timeout is 0: where a connection dies without a word, the source goes on holding the slot for the dead one
"#);
        set(&mut source, "wal_sender_timeout", "5s");
        source.settings.remove("rds.logical_replication");
        let options = OnlineOptions { max_slot_wal_bytes: Some(1), ..OnlineOptions::default() };
        insta::assert_snapshot!(judged(&good_server(), &source, false, &options), @r#"
Error source-wal-level source: wal_level is replica: changes can be streamed only with logical
    ALTER SYSTEM SET wal_level = logical; -- and restart the server
RDS: set rds.logical_replication = 1 in the instance's (Aurora: the cluster's) parameter group and reboot
Azure: set the server parameter wal_level = logical (Single Server: azure.replication_support = logical) and restart
Cloud SQL: set the flag cloudsql.logical_decoding = on (it restarts the instance)
Error source-no-replication source [mover]: role mover may not replicate
    ALTER ROLE mover WITH REPLICATION; -- as a superuser (Azure, Cloud SQL: as the administrator; RDS: GRANT rds_replication TO mover;)
Warning slot-may-be-lost source: max_slot_wal_keep_size is 10GB: a slot that holds back more WAL than that is invalidated, and the migration has to start anew
    ALTER SYSTEM SET max_slot_wal_keep_size = -1; -- and reload, until the migration is done
RDS: max_slot_wal_keep_size in the parameter group; Azure: the server parameter max_slot_wal_keep_size; Cloud SQL: the flag max_slot_wal_keep_size
Warning slot-may-be-lost source: idle_replication_slot_timeout is 1d: nobody reads the slot while tables are copied, and a copy that takes longer loses it
    ALTER SYSTEM SET idle_replication_slot_timeout = 0; -- and reload, until the migration is done
RDS: idle_replication_slot_timeout in the parameter group; Azure: the server parameter idle_replication_slot_timeout; Cloud SQL: the flag idle_replication_slot_timeout
Notice slot-holds-wal source: the source has 3072 MB of WAL now; the slot keeps all that is written from its creation until it is applied
    see that the source's disk has room for the WAL of the whole copy
Warning wal-sender-timeout source: wal_sender_timeout is 5s: a short stall of the network breaks the stream off, again and again
    ALTER SYSTEM SET wal_sender_timeout = '1min'; SELECT pg_reload_conf();
"#);
    }

    #[test]
    fn slots_and_senders() {
        let slot = |name: &str| Slot {
            name: name.into(),
            plugin: Some("pgoutput".into()),
            database: Some("App".into()),
            ..Slot::default()
        };
        let mut source = good_source();
        set(&mut source, "max_replication_slots", "2");
        source.slots = vec![slot("a"), slot("pg_migrator")];
        source.walsenders = 10;
        let mut said = judged(&good_server(), &source, false, &OnlineOptions::default());
        source.slots[1] = Slot { active_pid: Some(7), plugin: None, ..slot("pg_migrator") };
        said += "\n---\n";
        said += &judged(&good_server(), &source, false, &OnlineOptions::default());
        insta::assert_snapshot!(said, @r#"
Error slot-exists source [pg_migrator]: slot pg_migrator is there already and is not this migration's: a logical one (pgoutput) of database "App"
    choose another with --slot-name; or, if nobody needs it: SELECT pg_drop_replication_slot('pg_migrator');
Error replication-slots source: no replication slot is free: 2 of 2 (max_replication_slots) are in use
    drop those that nobody needs (SELECT slot_name FROM pg_replication_slots WHERE NOT active;), or: ALTER SYSTEM SET max_replication_slots = 6; -- and restart
RDS: max_replication_slots in the parameter group; Azure: the server parameter max_replication_slots; Cloud SQL: the flag max_replication_slots
Error wal-senders source: no WAL sender is free: 10 of 10 (max_wal_senders) are in use
    ALTER SYSTEM SET max_wal_senders = 14; -- and restart
RDS: max_wal_senders in the parameter group; Azure: the server parameter max_wal_senders; Cloud SQL: the flag max_wal_senders
---
Error slot-exists source [pg_migrator]: slot pg_migrator is there already and is not this migration's: a physical one, read by process 7 now
    choose another with --slot-name; or end what reads it, and: SELECT pg_drop_replication_slot('pg_migrator');
Error replication-slots source: no replication slot is free: 2 of 2 (max_replication_slots) are in use
    drop those that nobody needs (SELECT slot_name FROM pg_replication_slots WHERE NOT active;), or: ALTER SYSTEM SET max_replication_slots = 6; -- and restart
RDS: max_replication_slots in the parameter group; Azure: the server parameter max_replication_slots; Cloud SQL: the flag max_replication_slots
Error wal-senders source: no WAL sender is free: 10 of 10 (max_wal_senders) are in use
    ALTER SYSTEM SET max_wal_senders = 14; -- and restart
RDS: max_wal_senders in the parameter group; Azure: the server parameter max_wal_senders; Cloud SQL: the flag max_wal_senders
"#);
        assert_eq!(judged(&good_server(), &source, true, &OnlineOptions::default()), "", "ours");
        source.slots[1].lost = true;
        let lost = judged(&good_server(), &source, true, &OnlineOptions::default());
        assert!(lost.starts_with("Error slot-lost"), "{lost}");
        for name in ["", "Upper", "a-b", &"x".repeat(64)] {
            let options = OnlineOptions { slot_name: name.into(), ..OnlineOptions::default() };
            let said = judged(&good_server(), &good_source(), false, &options);
            assert!(said.starts_with("Error slot-name "), "{said}");
        }
    }

    #[test]
    fn transactions_that_hold_the_slot_up() {
        let writing = |seconds| Writing {
            pid: Some(9),
            seconds,
            role: Some("App".into()),
            database: Some("app".into()),
            query: Some(format!("UPDATE  t\n SET {} = 1", "x".repeat(80))),
            gid: None,
        };
        let prepared = Writing { pid: None, gid: Some("it's".into()), query: None, ..writing(Some(90)) };
        let hidden = Writing { pid: Some(3), ..Writing::default() };
        let source = Replication {
            writing: vec![prepared, writing(Some(8)), hidden, writing(Some(1))],
            ..good_source()
        };
        insta::assert_snapshot!(judged(&good_server(), &source, false, &OnlineOptions::default()), @r#"
Warning slot-would-wait source ['it''s']: transaction 'it''s' of role "App" in database app has been prepared for 90 s: the slot's creation waits for it, 300 seconds at most (--slot-timeout-secs)
    COMMIT PREPARED 'it''s'; -- or ROLLBACK PREPARED, in that database
Warning slot-would-wait source [process 9]: process 9 of role "App" in database app has been in a transaction that writes for 8 s (UPDATE t SET xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…): the slot's creation waits for it, 300 seconds at most (--slot-timeout-secs)
    let it end, or: SELECT pg_terminate_backend(9);
Warning slot-would-wait source [process 3]: process 3 has been in a transaction that writes for an unknown time: the slot's creation waits for it, 300 seconds at most (--slot-timeout-secs)
    let it end, or: SELECT pg_terminate_backend(3);
"#);
    }

    #[test]
    fn times() {
        let times = ["0", "1min", "500ms", "x", "1 week"].map(milliseconds);
        assert_eq!(times, [Some(0), Some(60_000), Some(500), None, None]);
    }
}
