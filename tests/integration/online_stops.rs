//! What the target refuses during StreamApply: the migration stops and says where, keeps the slot, and the same command goes on
//! once it is mended.

use crate::harness::{Database, Run, assert_same_rows, online_cluster};
use crate::live::{GOES_ON, Live};
use crate::trials::huge_transaction;

/// The stream stops with 4 and names relation, key and LSN.
#[track_caller]
fn stops(live: &Live, running: crate::harness::Running, said: &[&str]) -> Run {
    let run = running.wait().expect_code(4).expect_said(said);
    let hex = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_hexdigit());
    let words = run.stderr.split(|c: char| c.is_whitespace() || ",;:()".contains(c));
    let lsn =
        words.filter_map(|word| word.split_once('/')).any(|(a, b)| hex(a) && hex(b.trim_end_matches('.')));
    assert!(lsn, "no LSN is named:\n{}", run.stderr);
    assert_eq!(live.slots(), live.name, "the slot");
    run
}

/// The same command goes on, and both sides end equal.
#[track_caller]
fn goes_on(live: &Live, target: &str) {
    let mut running = live.command_to(target).spawn();
    running.wait_for(GOES_ON);
    live.source.psql("INSERT INTO t VALUES (100, 1, 'after')");
    live.drained();
    running.wait_for(crate::live::CAUGHT_UP);
    running.signal("INT");
    running.wait().expect_code(0);
    live.assert_finished();
    assert_same_rows(&live.source, &live.target);
}

const TABLE: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v int, w text); INSERT INTO t VALUES (1, 1, 'one'), (2, 2, 'two')";

#[test]
fn a_check_violation() {
    let live = Live::with(15, 18, TABLE);
    let running = live.start();
    live.target.psql("ALTER TABLE t ADD CONSTRAINT small CHECK (v < 100)");
    live.source.psql("BEGIN; INSERT INTO t VALUES (3, 3, 'three'); UPDATE t SET v = 100 WHERE id = 2; INSERT INTO t VALUES (77, 100, 'x'); COMMIT; INSERT INTO t VALUES (4, 4, 'four')");
    stops(&live, running, &["public.t", "small", "id", "2"]);
    // Nothing of that transaction, or after it, is there.
    assert_eq!(live.target.psql("SELECT id, v FROM t ORDER BY id"), "1|1\n2|2");
    // Unmended it stops at the same place.
    live.command().run().expect_code(4).expect_said(&["public.t", "small"]);
    live.target.psql("ALTER TABLE t DROP CONSTRAINT small");
    goes_on(&live, &live.target_conninfo());
}

#[test]
fn a_column_that_the_target_lacks() {
    let live = Live::with(13, 15, TABLE);
    let running = live.start();
    live.target.psql("ALTER TABLE t DROP COLUMN w");
    live.source.psql("UPDATE t SET v = 5 WHERE id = 1");
    stops(&live, running, &["public.t", "w"]);
    live.target
        .psql("ALTER TABLE t ADD COLUMN w text; UPDATE t SET w = CASE id WHEN 1 THEN 'one' ELSE 'two' END");
    goes_on(&live, &live.target_conninfo());
}

#[test]
fn a_column_that_the_source_gets() {
    let live = Live::with(17, 18, TABLE);
    let running = live.start();
    live.source.psql("INSERT INTO t VALUES (10, 1, 'before'); ALTER TABLE t ADD COLUMN added numeric DEFAULT 7; UPDATE t SET added = 8, v = 6 WHERE id = 1");
    let run = stops(&live, running, &["public.t", "added"]);
    // What came before it is there.
    let rows = live.target.psql("SELECT id, v FROM t ORDER BY id");
    assert_eq!(rows, "1|1\n2|2\n10|1", "{}", run.stderr);
    live.target.psql("ALTER TABLE t ADD COLUMN added numeric DEFAULT 7");
    goes_on(&live, &live.target_conninfo());
}

/// A role that owns the target database and nothing else: no superuser, no replica role.
fn owner(target: &Database) -> String {
    let role = format!("owner_of_{}", target.name);
    target.psql(&format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {} OWNER TO {role}", target.name));
    if target.cluster.major < 15 {
        target.psql(&format!("ALTER SCHEMA public OWNER TO {role}"));
    }
    role
}

#[test]
fn a_privilege_that_is_revoked() {
    for major in [13, 18] {
        let live = Live::on(online_cluster(13), online_cluster(major));
        live.source.psql(TABLE);
        let role = owner(&live.target);
        let target = live.target.conninfo_as(&role, live.target.cluster.port);
        let start = || live.command_to(&target).args(["--no-owner", "--no-privileges"]);
        let mut running = start().spawn();
        running.wait_for(crate::live::STREAMS);
        live.target.psql(&format!("REVOKE ALL ON t FROM {role}"));
        live.source.psql("UPDATE t SET v = 5 WHERE id = 2");
        stops(&live, running, &["public.t", "permission denied"]);
        live.target.psql(&format!("GRANT ALL ON t TO {role}"));
        let mut running = start().spawn();
        running.wait_for(GOES_ON);
        live.cut_over(running);
        assert_same_rows(&live.source, &live.target);
        live.target
            .psql(&format!("REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

#[test]
fn a_huge_transaction_takes_little_memory() {
    let peak = huge_transaction(15, 18, 300_000);
    assert!(peak < 150 * 1024, "{peak} kB");
}
