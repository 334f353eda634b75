//! What is right between two majors: an entry of the target's dump is as `pg_dump | psql` makes it, or as the source has it.
//!
//! pg_dump's own round trip alters some objects (a domain takes its base's default, the columns of an inheriting table come in
//! another order, and with them those of its statistics) and fails on others. So an entry that differs from the round trip's is right
//! if it is, byte for byte, what the same pg_dump says of the source; one that is neither is wrong. Invariant: nothing is left out
//! of the comparison, and there are no patterns: an entry is right as a whole or wrong. Only the order of the columns of inheriting
//! tables is not seen here; the caller asks the catalogs.

use std::collections::{HashMap, HashSet};

use crate::harness::diff;

/// What follows `-- Name: `, and with it the object's kind, schema and owner.
type Entries<'a> = Vec<(&'a str, &'a str)>;

/// What an entry begins with.
const ENTRY: &str = "\n--\n-- Name: ";

/// The dump's entries in their order; the first one is what stands before all of them.
fn entries(dump: &str) -> Entries<'_> {
    let split = dump.split(ENTRY).map(|entry| match entry.split_once("\n--\n") {
        Some((header, text)) => (header, text.trim_end()),
        None => ("", entry.trim_end()),
    });
    let mut entries: Entries<'_> = split.collect();
    // The entries of one table's columns come in the order of the columns.
    for run in entries.chunk_by_mut(|a, b| of_columns(a.0).is_some() && of_columns(a.0) == of_columns(b.0)) {
        run.sort_unstable();
    }
    entries
}

fn of_columns(header: &str) -> Option<&'static str> {
    ["DEFAULT", "COMMENT", "ACL"]
        .into_iter()
        .find(|kind| header.contains(&format!("; Type: {kind}; Schema: ")))
}

/// Takes an entry out: whether it was there.
fn take<'a>(from: &mut HashMap<(&'a str, &'a str), usize>, entry: (&'a str, &'a str)) -> bool {
    match from.get_mut(&entry).filter(|n| **n > 0) {
        Some(n) => {
            *n -= 1;
            true
        }
        None => false,
    }
}

fn counted<'a>(entries: &Entries<'a>) -> HashMap<(&'a str, &'a str), usize> {
    let mut counted = HashMap::new();
    for entry in entries {
        *counted.entry(*entry).or_default() += 1;
    }
    counted
}

/// As [`of_sorted`] of dumps in which the lines of inheriting tables are sorted.
pub fn wrong(source: &str, reference: &str, target: &str, whole: bool) -> String {
    let [source, reference, target] = [source, reference, target].map(|dump| {
        let sorted = |entry: &str| match entry.contains("\nINHERITS (") {
            true => {
                let (header, text) = entry.split_once("\n--\n").unwrap_or_default();
                let mut lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(',')).collect();
                lines.sort_unstable();
                format!("{header}\n--\n{}", lines.join("\n"))
            }
            false => entry.to_owned(),
        };
        dump.split(ENTRY).map(sorted).collect::<Vec<_>>().join(ENTRY)
    });
    of_sorted(&source, &reference, &target, whole)
}

/// What of the target's dump is neither as on the reference nor as on the source, as a diff; empty if all is right.
///
/// `whole`: the reference's script ran without an error, so that what it lacks the target may lack, and its order is the order.
fn of_sorted(source: &str, reference: &str, target: &str, whole: bool) -> String {
    let [source, reference, target] = [source, reference, target].map(entries);
    let (mut on_reference, mut on_source) = (counted(&reference), counted(&source));
    let mut by_header: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    // What is as on the reference uses up the source's own too: nothing is right twice.
    let mut odd: Entries<'_> = Vec::new();
    for entry in &target {
        match take(&mut on_reference, *entry) {
            true => _ = take(&mut on_source, *entry),
            false => odd.push(*entry),
        }
    }
    let missed: Vec<(&str, &str)> =
        reference.iter().copied().filter(|entry| take(&mut on_reference, *entry)).collect();
    for entry in missed {
        by_header.entry(entry.0).or_default().push(entry);
    }
    let mut out = String::new();
    for entry in &odd {
        let other = by_header.get_mut(entry.0).and_then(Vec::pop);
        if !take(&mut on_source, *entry) {
            let of_source: Vec<&str> = source.iter().filter(|e| e.0 == entry.0).map(|e| e.1).collect();
            out +=
                &format!("{}\nunlike the reference's\n{}", entry.0, diff(other.map_or("", |e| e.1), entry.1));
            out += &format!("and the source's\n{}\n", diff(&of_source.join("\n"), entry.1));
        }
    }
    for (header, text) in by_header.into_values().flatten() {
        out += &format!("{header}\nis missing:\n{text}\n");
    }
    if whole && out.is_empty() {
        let known: HashSet<&str> = reference.iter().map(|e| e.0).collect();
        let headers = |entries: &Entries<'_>| -> String {
            entries.iter().filter(|e| known.contains(e.0)).flat_map(|e| [e.0, "\n"]).collect()
        };
        let (expected, found) = (headers(&reference), headers(&target));
        if expected != found {
            out += &format!("another order:\n{}", diff(&expected, &found));
        }
    }
    if !whole {
        // What the reference's script did not get through must be there.
        let found = counted(&target.iter().map(|e| (e.0, "")).collect());
        for (header, n) in counted(&source.iter().map(|e| (e.0, "")).collect()) {
            if found.get(&header).is_none_or(|found| *found < n) {
                out += &format!("{}\nis missing, and pg_dump's own script fails\n", header.0);
            }
        }
    }
    out
}

#[test]
fn an_entry_is_right_as_the_references_or_the_sources_and_nothing_else_is() {
    let dump = |entries: &[(&str, &str)]| -> String {
        let entry = |(name, text): &(&str, &str)| {
            format!("\n--\n-- Name: {name}; Type: T; Schema: s\n--\n\n{text};\n\n")
        };
        std::iter::once("SET x;\n".to_owned()).chain(entries.iter().map(entry)).collect()
    };
    let source = dump(&[("a", "1"), ("b", "as on the source"), ("c", "3")]);
    let reference = dump(&[("a", "one"), ("b", "altered"), ("c", "3")]);
    assert_eq!(wrong(&source, &reference, &reference, true), "");
    assert_eq!(wrong(&source, &reference, &source, true), "");
    assert_eq!(
        wrong(&source, &reference, &dump(&[("a", "one"), ("b", "as on the source"), ("c", "3")]), true),
        ""
    );
    let cases = [
        (
            dump(&[("a", "one"), ("b", "neither"), ("c", "3")]),
            "b; Type: T; Schema: s\nunlike the reference's",
        ),
        (dump(&[("a", "one"), ("c", "3")]), "b; Type: T; Schema: s\nis missing"),
        (dump(&[("b", "altered"), ("a", "one"), ("c", "3")]), "another order"),
        (dump(&[("a", "one"), ("b", "altered"), ("c", "3"), ("d", "4")]), "d; Type: T; Schema: s\nunlike"),
        (dump(&[("a", "one"), ("b", "altered"), ("c", "3"), ("c", "3")]), "c; Type: T; Schema: s\nunlike"),
    ];
    for (target, says) in &cases {
        let said = wrong(&source, &reference, target, true);
        assert!(said.contains(says), "{target}\n{said}");
    }
    let half = dump(&[("a", "one"), ("c", "3")]);
    assert_eq!(wrong(&source, &half, &source, false), "");
    assert!(wrong(&source, &half, &half, false).contains("b; Type: T; Schema: s\nis missing"));
}
