//! Whether the target can have a real subscription at the end, and whether changes can be applied to it as the source made them.
//!
//! Without a real subscription the journal alone stands for it, and nothing is lost but `--keep-subscription`.

use super::Online;
use super::facts::{Server, Subscriber};
use super::finding::Finding;
use super::providers::{self, Provider};
use crate::error::Side;
use crate::schema::quote::{quote_ident, quote_literal};

pub(super) fn judge(server: &Server, target: &Subscriber, online: Online<'_>, out: &mut Vec<Finding>) {
    let from = out.len();
    name(target, online, out);
    real(server, target, online, out);
    if !target.may_set_replica_role {
        let role = quote_ident(&server.role);
        let finding = Finding::warning(
            "target-replica-role",
            format!(
                "role {role} may not set session_replication_role: triggers and rules of migrated tables stay switched off on the target from the copy to Cutover, and foreign keys dropped, for everybody"
            ),
        );
        out.push(if server.version >= 150_000 {
            finding
                .mend(format!("GRANT SET ON PARAMETER session_replication_role TO {role}; -- as a superuser"))
        } else {
            finding.mend("migrate as a superuser of the target, where that matters")
        });
    }
    for finding in &mut out[from..] {
        finding.side = Some(Side::Target);
    }
}

/// Whether the subscription's name can be had.
fn name(target: &Subscriber, online: Online<'_>, out: &mut Vec<Finding>) {
    let Some(there) = target.subscriptions.iter().find(|s| s.name == online.subscription) else { return };
    let slot = there.slot.as_deref();
    if (online.ours || online.subscribed)
        && !there.enabled
        && slot.is_none_or(|slot| slot == online.options.slot_name)
    {
        return;
    }
    let quoted = quote_ident(&there.name);
    let state = if there.enabled { "enabled" } else { "disabled" };
    let reads = slot.map(|s| format!(", reading slot {s}")).unwrap_or_default();
    out.push(
        Finding::error(
            "subscription-exists",
            format!("subscription {quoted} is there already and is not this migration's: {state}{reads}"),
        )
        .about(format!("subscription {quoted}"))
        .mend(format!(
            "choose another with --subscription-name; or, if nobody needs it: ALTER SUBSCRIPTION {quoted} DISABLE; ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE); DROP SUBSCRIPTION {quoted};{}",
            slot.map(|s| format!(" -- its slot stays on its source: SELECT pg_drop_replication_slot({});", quote_literal(s)))
                .unwrap_or_default()
        )),
    );
}

/// Whether a real subscription can be had.
fn real(server: &Server, target: &Subscriber, online: Online<'_>, out: &mut Vec<Finding>) {
    let role = quote_ident(&server.role);
    let database = quote_ident(&server.database);
    let provider = Provider::of_target(target);
    let lacks = [
        (
            !target.may_subscribe,
            format!("role {role} may not create subscriptions"),
            match server.version {
                160_000.. => format!(
                    "GRANT pg_create_subscription TO {role}; GRANT CREATE ON DATABASE {database} TO {role};"
                ),
                _ => "migrate as a superuser of the target: before 16 nobody else can create subscriptions"
                    .to_owned(),
            },
        ),
        (
            !target.may_advance,
            format!("role {role} may not set where a subscription goes on (pg_replication_origin_advance)"),
            format!(
                "GRANT EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn) TO {role}; -- as a superuser"
            ),
        ),
        (
            target.origins >= target.max_origins,
            format!(
                "no replication origin is free: {} of {} ({}) are in use",
                target.origins, target.max_origins, target.origins_setting
            ),
            providers::setting(
                provider,
                &target.origins_setting,
                &(target.origins + 4).to_string(),
                "and restart",
            ),
        ),
    ];
    let keep = online.options.keep_subscription;
    for (_, why, remedy) in lacks.into_iter().filter(|(lacks, ..)| *lacks) {
        let code = "no-real-subscription";
        out.push(if keep {
            Finding::error(code, format!("{why}, so --keep-subscription has nothing to keep")).mend(remedy)
        } else {
            Finding::notice(code, format!("{why}: the journal alone keeps the migration's position"))
                .mend(remedy)
        });
    }
    if keep && target.max_workers == 0 {
        out.push(
            Finding::warning(
                "target-no-workers",
                "max_logical_replication_workers is 0: the kept subscription would do nothing once it is enabled",
            )
            .mend(providers::setting(provider, "max_logical_replication_workers", "4", "and restart")),
        );
    }
    if keep && target.may_subscribe && target.needs_password {
        out.push(
            Finding::notice(
                "subscription-needs-password",
                format!(
                    "role {role} is no superuser: its subscription must log in to the source with a password"
                ),
            )
            .mend("give one in --source, or in --subscription-conninfo"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::subscription::Subscription;
    use super::super::testing::{good_server, good_target, online, shown};
    use super::*;
    use crate::config::OnlineOptions;

    fn judged(version: u32, target: &Subscriber, ours: bool, keep: bool) -> String {
        let options = OnlineOptions { keep_subscription: keep, ..OnlineOptions::default() };
        let server = Server { version, ..good_server() };
        let mut out = Vec::new();
        judge(&server, target, Online { ours, ..online(&options) }, &mut out);
        shown(&out)
    }

    #[test]
    fn a_good_target_needs_no_words() {
        assert_eq!(judged(150_000, &good_target(), false, true), "");
    }

    #[test]
    fn names() {
        let subscription =
            Subscription { name: "move".into(), slot: Some("pg_migrator".into()), enabled: false };
        let mut target = Subscriber { subscriptions: vec![subscription], ..good_target() };
        assert_eq!(judged(150_000, &target, true, false), "", "ours");
        let options = OnlineOptions::default();
        let mut begun = Vec::new();
        name(&target, Online { subscribed: true, ..online(&options) }, &mut begun);
        assert!(begun.is_empty(), "ours, its slot was given up");
        let mut said = judged(150_000, &target, false, false);
        target.subscriptions[0].enabled = true;
        target.subscriptions[0].slot = Some("it's".into());
        said += "\n";
        said += &judged(150_000, &target, true, false);
        insta::assert_snapshot!(said, @r#"
Error subscription-exists target [subscription move]: subscription move is there already and is not this migration's: disabled, reading slot pg_migrator
    choose another with --subscription-name; or, if nobody needs it: ALTER SUBSCRIPTION move DISABLE; ALTER SUBSCRIPTION move SET (slot_name = NONE); DROP SUBSCRIPTION move; -- its slot stays on its source: SELECT pg_drop_replication_slot('pg_migrator');
Error subscription-exists target [subscription move]: subscription move is there already and is not this migration's: enabled, reading slot it's
    choose another with --subscription-name; or, if nobody needs it: ALTER SUBSCRIPTION move DISABLE; ALTER SUBSCRIPTION move SET (slot_name = NONE); DROP SUBSCRIPTION move; -- its slot stays on its source: SELECT pg_drop_replication_slot('it''s');
"#);
    }

    #[test]
    fn rights() {
        let target = Subscriber {
            may_subscribe: false,
            may_advance: false,
            may_set_replica_role: false,
            max_origins: 0,
            max_workers: 0,
            ..good_target()
        };
        let said = [
            judged(140_000, &target, false, false),
            judged(160_000, &target, false, true),
            judged(160_000, &Subscriber { needs_password: true, ..good_target() }, false, true),
        ];
        insta::assert_snapshot!(said.join("\n---\n"), @r#"
Notice no-real-subscription target: role mover may not create subscriptions: the journal alone keeps the migration's position
    migrate as a superuser of the target: before 16 nobody else can create subscriptions
Notice no-real-subscription target: role mover may not set where a subscription goes on (pg_replication_origin_advance): the journal alone keeps the migration's position
    GRANT EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn) TO mover; -- as a superuser
Notice no-real-subscription target: no replication origin is free: 0 of 0 (max_replication_slots) are in use: the journal alone keeps the migration's position
    ALTER SYSTEM SET max_replication_slots = 4; -- and restart
RDS: max_replication_slots in the parameter group; Azure: the server parameter max_replication_slots; Cloud SQL: the flag max_replication_slots
Warning target-replica-role target: role mover may not set session_replication_role: triggers and rules of migrated tables stay switched off on the target from the copy to Cutover, and foreign keys dropped, for everybody
    migrate as a superuser of the target, where that matters
---
Error no-real-subscription target: role mover may not create subscriptions, so --keep-subscription has nothing to keep
    GRANT pg_create_subscription TO mover; GRANT CREATE ON DATABASE app TO mover;
Error no-real-subscription target: role mover may not set where a subscription goes on (pg_replication_origin_advance), so --keep-subscription has nothing to keep
    GRANT EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn) TO mover; -- as a superuser
Error no-real-subscription target: no replication origin is free: 0 of 0 (max_replication_slots) are in use, so --keep-subscription has nothing to keep
    ALTER SYSTEM SET max_replication_slots = 4; -- and restart
RDS: max_replication_slots in the parameter group; Azure: the server parameter max_replication_slots; Cloud SQL: the flag max_replication_slots
Warning target-no-workers target: max_logical_replication_workers is 0: the kept subscription would do nothing once it is enabled
    ALTER SYSTEM SET max_logical_replication_workers = 4; -- and restart
RDS: max_logical_replication_workers in the parameter group; Azure: the server parameter max_logical_replication_workers; Cloud SQL: the flag max_logical_replication_workers
Warning target-replica-role target: role mover may not set session_replication_role: triggers and rules of migrated tables stay switched off on the target from the copy to Cutover, and foreign keys dropped, for everybody
    GRANT SET ON PARAMETER session_replication_role TO mover; -- as a superuser
---
Notice subscription-needs-password target: role mover is no superuser: its subscription must log in to the source with a password
    give one in --source, or in --subscription-conninfo
"#);
    }
}
