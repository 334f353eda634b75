//! Foreign data, publications, subscriptions, event triggers.

use super::each;
use crate::harness::assert_same_rows;

/// Kinds: ForeignDataWrapper, ForeignServer, UserMapping, EventTrigger, Publication, PublicationMember, Subscription. Nothing is
/// connected to, and event triggers fire for nothing of ours.
#[test]
fn foreign_data_event_triggers_publications_and_subscriptions() {
    each("foreign", 10, |pair| {
        assert_same_rows(&pair.source, &pair.target);
        let disabled = "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid \
                        WHERE datname = current_database() AND subenabled";
        assert_eq!(pair.target.psql(disabled), "0", "a subscription is never enabled");
        let run = pair.offline().args(["--drop-target-first", "-vv"]).ok();
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains("geheim") && !said.contains("ge heim"), "{said}");
        let fires = pair.target.try_psql("CREATE TABLE fires (a int)").unwrap_err();
        assert!(fires.contains("event trigger fired"), "{fires}");
    });
}
