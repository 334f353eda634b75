//! Online migrations under load whose parts are killed at random points: they go on, by themselves or by the same command, and
//! end equal.

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
