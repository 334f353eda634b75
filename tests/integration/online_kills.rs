//! Online migrations under load whose parts are killed at random points: they go on, by themselves or by the same command, and
//! end equal.

use crate::harness::{Cluster, Options, assert_same_rows, online_cluster};
use crate::live::Live;
use crate::trials::{Blow, survives};

#[test]
fn killed_tool_and_servers() {
    survives(15, 15, 21, &[Blow::Tool, Blow::Source, Blow::Target, Blow::Tool]);
}

#[test]
fn broken_links_and_ended_sessions() {
    survives(
        13,
        18,
        22,
        &[Blow::SourceLink, Blow::Walsender, Blow::TargetLink, Blow::SourceSessions, Blow::TargetSessions],
    );
}

/// The target's session, which holds the claim, is whole all the time.
#[test]
fn when_only_the_source_restarts_the_same_run_goes_on() {
    let source = Cluster::start(15, &Options::online(15));
    let live = Live::on(&source, online_cluster(15));
    live.source.psql("CREATE TABLE t (id int PRIMARY KEY)");
    let running = live.start();
    for i in 0..2 {
        source.crash_and_recover();
        live.source.psql(&format!("INSERT INTO t VALUES ({i})"));
        live.drained();
    }
    live.cut_over(running);
    assert_same_rows(&live.source, &live.target);
}
