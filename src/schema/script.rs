//! Steps → a plain SQL script that psql accepts: what `pg_migrator schema` prints.
//!
//! Passes are pg_restore's (`RestorePass` in `pg_backup.h`): everything in order, then privileges, because they may take
//! rights from owners, then refreshes of materialized views, which need their owners' rights. Invariant: one
//! connection can run the script from top to bottom on an empty database.

use super::{Section, Step};

/// What goes into a script.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions {
    /// The sections; empty: all of them.
    pub sections: Vec<Section>,
}

/// Session settings, as pg_dump writes them (`_doSetFixedOutputState` in `pg_backup_archiver.c`).
const HEADER: &str = "--\n-- PostgreSQL schema\n--\n\n\
SET statement_timeout = 0;\n\
SET lock_timeout = 0;\n\
SET idle_in_transaction_session_timeout = 0;\n\
SET client_encoding = 'UTF8';\n\
SET standard_conforming_strings = on;\n\
SELECT pg_catalog.set_config('search_path', '', false);\n\
SET check_function_bodies = false;\n\
SET xmloption = content;\n\
SET client_min_messages = warning;\n\
SET row_security = off;\n\n";

/// What stands where a dump has rows.
const NO_ROWS: &str =
    "--\n-- The rows of tables and the contents of large objects are not part of this script.\n--\n\n";

/// For each step whether it comes after privileges: refreshes, and what needs one (a materialized view's indexes).
pub fn after_privileges(steps: &[Step]) -> Vec<bool> {
    let mut after: Vec<bool> = Vec::with_capacity(steps.len());
    for step in steps {
        let needs_one = step.needs.iter().any(|&n| after.get(n).copied().unwrap_or(false));
        after.push(step.kind == "MATERIALIZED VIEW DATA" || needs_one);
    }
    after
}

/// Whether a step makes an event trigger, or needs one that is made (its security label): nothing else comes after it.
pub fn fires_events(steps: &[Step], step: usize) -> bool {
    let is_one = |n: usize| steps.get(n).is_some_and(|s| s.kind == "EVENT TRIGGER");
    is_one(step) || steps.get(step).is_some_and(|s| s.needs.iter().any(|&n| is_one(n)))
}

/// The script, one step at a time.
pub fn script<'s>(steps: &'s [Step], options: &ScriptOptions) -> impl Iterator<Item = String> + use<'s> {
    let sections = options.sections.clone();
    let takes = move |section: Section| sections.is_empty() || sections.contains(&section);
    let after = after_privileges(steps);
    // Event triggers would fire for whatever comes after them.
    let last: Vec<&Step> = (0..steps.len())
        .filter(|&i| fires_events(steps, i))
        .map(|i| &steps[i])
        .filter(|s| takes(s.section))
        .collect();
    let chosen: Vec<(&Step, bool)> = (0..steps.len())
        .zip(after)
        .filter(|&(i, _)| takes(steps[i].section) && !fires_events(steps, i))
        .map(|(i, after)| (&steps[i], after))
        .collect();
    let of = move |section: Option<Section>, late: bool| {
        let steps: Vec<&'s Step> = chosen
            .iter()
            .filter(|(step, after)| *after == late && section.is_none_or(|s| s == step.section))
            .map(|(step, _)| *step)
            .collect();
        steps
    };
    let no_rows = takes_data(options).then(|| NO_ROWS.to_owned());
    let privileges: Vec<&Step> = of(None, false).into_iter().chain(of(None, true)).collect();
    std::iter::once(HEADER.to_owned())
        .chain(of(Some(Section::PreData), false).into_iter().filter_map(creation))
        .chain(no_rows)
        .chain(of(Some(Section::Data), false).into_iter().filter_map(creation))
        .chain(of(Some(Section::PostData), false).into_iter().filter_map(creation))
        .chain(privileges.into_iter().filter_map(|step| paragraph(step, "ACL", &step.acl)))
        .chain(of(None, true).into_iter().filter_map(creation))
        .chain(last.into_iter().filter_map(creation))
}

fn takes_data(options: &ScriptOptions) -> bool {
    options.sections.is_empty() || options.sections.contains(&Section::Data)
}

fn creation(step: &Step) -> Option<String> {
    paragraph(step, step.kind, &step.create)
}

/// A heading and the statements; nothing where there are none.
fn paragraph(step: &Step, kind: &str, statements: &[String]) -> Option<String> {
    if statements.is_empty() {
        return None;
    }
    // A name may hold a line break; the comment must not end before it does.
    let identity = step.identity.replace(['\n', '\r'], " ");
    let mut out = format!("--\n-- Name: {identity}; Type: {kind}\n--\n\n");
    for statement in statements {
        out.push_str(statement);
        out.push_str(";\n");
    }
    out.push('\n');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::Address;
    use super::*;

    fn step(kind: &'static str, section: Section, needs: Vec<usize>) -> Step {
        Step {
            address: Address::relation(1),
            kind,
            identity: format!("\"a\nb\" {kind}"),
            section,
            create: vec![format!("CREATE {kind}")],
            index_first: None,
            acl: vec![format!("GRANT {kind}")],
            drop: Vec::new(),
            needs,
            locks: Vec::new(),
        }
    }

    fn steps() -> Vec<Step> {
        vec![
            step("TABLE", Section::PreData, vec![]),
            step("SEQUENCE SET", Section::Data, vec![]),
            step("MATERIALIZED VIEW DATA", Section::PostData, vec![0]),
            step("INDEX", Section::PostData, vec![2]),
            step("RULE", Section::PostData, vec![0]),
        ]
    }

    fn lines(sections: &[Section]) -> Vec<String> {
        let text: String = script(&steps(), &ScriptOptions { sections: sections.to_vec() }).collect();
        assert!(text.lines().all(|l| !l.starts_with('b')), "a name broke out of its comment");
        let wanted =
            |l: &&str| l.starts_with("CREATE") || l.starts_with("GRANT") || l.contains("rows of tables");
        text.lines().filter(wanted).map(str::to_owned).collect()
    }

    #[test]
    fn privileges_stand_between_definitions_and_refreshes() {
        assert_eq!(
            lines(&[]),
            [
                "CREATE TABLE;",
                "-- The rows of tables and the contents of large objects are not part of this script.",
                "CREATE SEQUENCE SET;",
                "CREATE RULE;",
                "GRANT TABLE;",
                "GRANT SEQUENCE SET;",
                "GRANT RULE;",
                "GRANT MATERIALIZED VIEW DATA;",
                "GRANT INDEX;",
                "CREATE MATERIALIZED VIEW DATA;",
                "CREATE INDEX;",
            ]
        );
    }

    #[test]
    fn a_section_alone() {
        assert_eq!(lines(&[Section::PreData]), ["CREATE TABLE;", "GRANT TABLE;"]);
    }
}
