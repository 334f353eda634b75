//! What is said at the end: writes that came too late, and what the operator should do next. Pure.
//!
//! Invariant: everything that is named comes with the statement or the step that deals with it.

use std::collections::BTreeMap;

use crate::lsn::Lsn;
use crate::schema::quote::quote_ident;

/// Transactions that committed on the source after the position it was drained to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateWrites {
    /// How many.
    pub transactions: u64,
    /// Changes by table.
    pub changes: BTreeMap<String, u64>,
}

/// Tables named before the rest is only counted.
const NAMED: usize = 5;

/// What is reported of late writes; `None` where there are none.
pub fn late(writes: &LateWrites, drained_to: Lsn) -> Option<String> {
    if writes.transactions == 0 {
        return None;
    }
    let mut tables: Vec<(&String, &u64)> = writes.changes.iter().collect();
    tables.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut shown: Vec<String> =
        tables.iter().take(NAMED).map(|(table, n)| format!("{table} ({n})")).collect();
    if tables.len() > NAMED {
        shown.push(format!("and {} more tables", tables.len() - NAMED));
    }
    let changes: u64 = writes.changes.values().sum();
    Some(format!(
        "the source was written to after {drained_to}, the position the target was drained to: {} in {}, not on the target: {}",
        counted(changes, "change"),
        counted(writes.transactions, "transaction"),
        shown.join(", ")
    ))
}

/// How a cutover ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The subscription that was kept, and its slot.
    pub kept: Option<(String, String)>,
    /// Published tables that the kept subscription does not know.
    pub unknown_tables: Vec<String>,
    /// The statement that takes the fence down, where one stands.
    pub lower_fence: Option<String>,
    /// What came too late.
    pub late: LateWrites,
    /// Sequences that the target does not have.
    pub missing_sequences: Vec<String>,
    /// Sequences whose value could not be read.
    pub unreadable_sequences: Vec<String>,
    /// The publication on the source, where it is not dropped with the slot: it is not ours, or a subscription was kept.
    pub publication_left: Option<String>,
    /// Rows were applied through the stream, so that statistics of the copy are older than the data.
    pub streamed: bool,
}

/// What the operator should do, in this order.
pub fn next_steps(outcome: &Outcome) -> Vec<String> {
    let mut steps = Vec::new();
    if outcome.late.transactions > 0 {
        steps.push(match &outcome.kept {
            None => "Stop the writers on the source, then run the same command again: the slot and the journal are kept, the late writes will be \
                     applied, and it can be cut over again. Do not let anyone write to the target before that."
                .to_owned(),
            Some((name, _)) => format!(
                "Enable the subscription {} soon: the late writes come with it. The sequences were set before them: compare those of the tables named.",
                quote_ident(name)
            ),
        });
        if outcome.kept.is_none() {
            return steps;
        }
    }
    if !outcome.missing_sequences.is_empty() {
        steps.push(format!(
            "Sequences that the target does not have (they were made on the source after the copy): {}. Create them where they are needed.",
            outcome.missing_sequences.join(", ")
        ));
    }
    if !outcome.unreadable_sequences.is_empty() {
        steps.push(format!(
            "Sequences that could not be read on the source and were not set: {}. Set them with setval().",
            outcome.unreadable_sequences.join(", ")
        ));
    }
    steps.push("Point the applications at the target.".to_owned());
    if outcome.streamed {
        steps.push("On the target: VACUUM (ANALYZE); the statistics are those of the copy.".to_owned());
    }
    if let Some((name, slot)) = &outcome.kept {
        let name = quote_ident(name);
        steps.push(format!(
            "The subscription {name} is kept, disabled, and stands at the exact position. To let PostgreSQL go on: ALTER SUBSCRIPTION {name} ENABLE. \
             While it is disabled its slot {slot} keeps WAL on the source. When it is no longer wanted: DROP SUBSCRIPTION {name}, which drops the slot too."
        ));
        if !outcome.unknown_tables.is_empty() {
            steps.push(format!(
                "Tables that were published after the subscription was made, whose changes it would pass over: {}. Once it is enabled, and before anyone \
                 writes to them on the source: ALTER SUBSCRIPTION {name} REFRESH PUBLICATION WITH (copy_data = false).",
                outcome.unknown_tables.join(", ")
            ));
        }
    }
    if let Some(lower) = &outcome.lower_fence {
        steps.push(format!(
            "The source's database is still read-only for new sessions. To let it be written to again, on the source: {lower}; sessions that began \
             meanwhile stay read-only until they connect again."
        ));
    }
    if let Some(publication) = &outcome.publication_left {
        let publication = quote_ident(publication);
        steps.push(match &outcome.kept {
            None => format!(
                "The publication is left on the source. When it is no longer wanted: DROP PUBLICATION {publication}."
            ),
            Some(_) => format!(
                "The publication stays on the source, because the subscription reads it. Once that is dropped: DROP PUBLICATION {publication}."
            ),
        });
    }
    steps
}

fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(tables: &[(&str, u64)]) -> LateWrites {
        LateWrites {
            transactions: tables.len() as u64,
            changes: tables.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect(),
        }
    }

    #[test]
    fn late_writes_name_the_tables() {
        assert_eq!(late(&LateWrites::default(), Lsn(7)), None);
        let said = [
            late(&writes(&[("public.t", 1)]), Lsn(0x16_B374_D848)),
            late(&writes(&[("a", 1), ("b", 9), ("c", 2), ("d", 2), ("e", 3), ("f", 1), ("g", 1)]), Lsn(7)),
        ];
        insta::assert_snapshot!(said.map(Option::unwrap).join("\n"), @r"
the source was written to after 16/B374D848, the position the target was drained to: 1 change in 1 transaction, not on the target: public.t (1)
the source was written to after 0/7, the position the target was drained to: 19 changes in 7 transactions, not on the target: b (9), e (3), c (2), d (2), a (1), and 2 more tables
");
    }

    #[test]
    fn next_steps_say_how() {
        let plain = Outcome { streamed: true, ..Outcome::default() };
        let all = Outcome {
            kept: Some(("Sub".to_owned(), "slot".to_owned())),
            lower_fence: Some("ALTER DATABASE app RESET default_transaction_read_only".to_owned()),
            late: writes(&[("public.t", 1)]),
            missing_sequences: vec!["public.s".to_owned()],
            unreadable_sequences: vec!["public.u".to_owned()],
            publication_left: Some("pub".to_owned()),
            unknown_tables: vec!["public.n".to_owned()],
            streamed: true,
        };
        let late = Outcome { late: writes(&[("public.t", 1)]), ..Outcome::default() };
        let said: Vec<String> = [plain, all, late].iter().map(|o| next_steps(o).join("\n")).collect();
        insta::assert_snapshot!(said.join("\n\n"), @r#"
Point the applications at the target.
On the target: VACUUM (ANALYZE); the statistics are those of the copy.

Enable the subscription "Sub" soon: the late writes come with it. The sequences were set before them: compare those of the tables named.
Sequences that the target does not have (they were made on the source after the copy): public.s. Create them where they are needed.
Sequences that could not be read on the source and were not set: public.u. Set them with setval().
Point the applications at the target.
On the target: VACUUM (ANALYZE); the statistics are those of the copy.
The subscription "Sub" is kept, disabled, and stands at the exact position. To let PostgreSQL go on: ALTER SUBSCRIPTION "Sub" ENABLE. While it is disabled its slot slot keeps WAL on the source. When it is no longer wanted: DROP SUBSCRIPTION "Sub", which drops the slot too.
Tables that were published after the subscription was made, whose changes it would pass over: public.n. Once it is enabled, and before anyone writes to them on the source: ALTER SUBSCRIPTION "Sub" REFRESH PUBLICATION WITH (copy_data = false).
The source's database is still read-only for new sessions. To let it be written to again, on the source: ALTER DATABASE app RESET default_transaction_read_only; sessions that began meanwhile stay read-only until they connect again.
The publication stays on the source, because the subscription reads it. Once that is dropped: DROP PUBLICATION pub.

Stop the writers on the source, then run the same command again: the slot and the journal are kept, the late writes will be applied, and it can be cut over again. Do not let anyone write to the target before that.
"#);
    }
}
