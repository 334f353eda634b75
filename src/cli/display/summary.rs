//! The end of a migration in words: what was done, how fast, and what is left for the operator.
//!
//! Invariant: every failed or skipped object is named with the statements that make it.

use std::time::Duration;

use super::text::{bytes, count, counted, duration, rate};
use crate::progress::{StreamSummary, Summary};

/// The summary, several lines, no line break at its end.
pub(super) fn render(summary: &Summary) -> String {
    let mut lines = vec!["Summary".to_owned()];
    let labels = summary.phases.iter().map(|(phase, _)| phase.as_str());
    let labels = labels.chain(["copied"]).chain(summary.stream.is_some().then_some("cut over"));
    let width = labels.map(str::len).max().unwrap_or(0);
    let mut row = |label: &str, value: String| lines.push(format!("  {label:width$}  {value}"));
    let mut total = Duration::ZERO;
    for (phase, seconds) in &summary.phases {
        let time = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
        total += time;
        row(phase, duration(time));
    }
    row("total", duration(total));
    let restore = summary.phases.iter().find(|(phase, _)| phase == "Restore").map(|(_, seconds)| *seconds);
    let pace = restore
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|time| rate(summary.bytes, time));
    let mut copied = format!(
        "{}, {}, {}",
        counted(summary.tables, "table"),
        counted(summary.rows, "row"),
        bytes(summary.bytes)
    );
    if let Some(pace) = pace.filter(|_| summary.bytes > 0) {
        copied += &format!(" ({pace} over all of Restore)");
    }
    if summary.large_objects > 0 {
        copied += &format!("; {}", counted(summary.large_objects, "large object"));
    }
    if restore.is_none() && summary.stream.is_some() {
        row("copied", "by an earlier run".to_owned());
    } else {
        row("copied", copied);
        let indexes = counted(summary.indexes, "index");
        row("built", format!("{indexes}, {}", counted(summary.constraints, "constraint")));
    }
    if let Some(stream) = &summary.stream {
        row("applied", applied(stream));
        if stream.missing > 0 {
            row("missing", format!("{} found no row on the target", counted(stream.missing, "change")));
        }
        if stream.ignored > 0 {
            row("ignored", format!("{} to tables that do not take part", counted(stream.ignored, "change")));
        }
        let time = Duration::try_from_secs_f64(stream.cutover_seconds).unwrap_or_default();
        row(
            "cut over",
            format!(
                "in {} at {}; {} set",
                duration(time),
                stream.final_lsn,
                counted(stream.sequences, "sequence")
            ),
        );
        if let Some(subscription) = &stream.kept_subscription {
            row("kept", format!("subscription {subscription}, disabled, and its slot"));
        }
    }
    if !summary.warnings.is_empty() {
        lines.push(format!("{}:", counted(summary.warnings.len() as u64, "warning")));
        lines.extend(summary.warnings.iter().map(|warning| format!("  - {}", indent(warning))));
    }
    if !summary.failed.is_empty() {
        lines.push(failed(summary));
    }
    let next = summary.stream.iter().flat_map(|stream| &stream.next_steps);
    let next: Vec<String> =
        next.enumerate().map(|(i, step)| format!("  {}. {}", i + 1, indent(step))).collect();
    if !next.is_empty() {
        lines.push("Next:".to_owned());
        lines.extend(next);
    }
    lines.join("\n")
}

/// What came through the stream, by operation.
fn applied(stream: &StreamSummary) -> String {
    format!(
        "{}: {} inserted, {} updated, {} deleted, {} truncated",
        counted(stream.transactions, "transaction"),
        counted(stream.inserts, "row"),
        count(stream.updates),
        count(stream.deletes),
        counted(stream.truncates, "table")
    )
}

fn failed(summary: &Summary) -> String {
    let mut out = format!(
        "{} not on the target. Once each cause is mended, run on the target, in this order:",
        match summary.failed.len() {
            1 => "1 object is".to_owned(),
            n => format!("{} are", counted(n as u64, "object")),
        }
    );
    for object in &summary.failed {
        let reason = match &object.skipped_because_of {
            Some(cause) => format!("skipped: needs {cause}"),
            None => object.message.clone(),
        };
        // As SQL, so that the whole block can be pasted into psql.
        out += &format!("\n-- {} {}: {}", object.kind, object.object, reason.replace('\n', " "));
        for statement in &object.statements {
            // Not indented: a function's body is text that must stay as it is.
            out += &format!("\n{};", statement.trim_end().trim_end_matches(';'));
        }
    }
    out
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::FailedObject;

    #[test]
    fn all_of_it() {
        let summary = Summary {
            phases: vec![("Validate".into(), 0.4), ("Dump".into(), 1.25), ("Restore".into(), 100.0)],
            tables: 12,
            rows: 3_000_000,
            bytes: 700 << 20,
            large_objects: 3,
            indexes: 14,
            constraints: 1,
            warnings: vec!["collation differs".into()],
            stream: None,
            failed: vec![
                FailedObject {
                    kind: "VIEW".into(),
                    object: "public.v".into(),
                    message: "no such function\n  f()".into(),
                    skipped_because_of: None,
                    statements: vec!["CREATE VIEW public.v AS\n SELECT f()".into()],
                },
                FailedObject {
                    kind: "VIEW".into(),
                    object: "public.w".into(),
                    message: String::new(),
                    skipped_because_of: Some("VIEW public.v".into()),
                    statements: vec![
                        "CREATE VIEW public.w AS SELECT 1".into(),
                        "ALTER VIEW public.w OWNER TO o".into(),
                    ],
                },
            ],
        };
        insta::assert_snapshot!(render(&summary), @r#"
Summary
  Validate  0.40 s
  Dump      1.25 s
  Restore   1 min 40 s
  total     1 min 42 s
  copied    12 tables, 3,000,000 rows, 700 MB (7.0 MB/s over all of Restore); 3 large objects
  built     14 indexes, 1 constraint
1 warning:
  - collation differs
2 objects are not on the target. Once each cause is mended, run on the target, in this order:
-- VIEW public.v: no such function   f()
CREATE VIEW public.v AS
 SELECT f();
-- VIEW public.w: skipped: needs VIEW public.v
CREATE VIEW public.w AS SELECT 1;
ALTER VIEW public.w OWNER TO o;
"#);
    }

    #[test]
    fn after_cutover() {
        let stream = StreamSummary {
            transactions: 1_234,
            inserts: 500_000,
            updates: 300,
            deletes: 2,
            truncates: 1,
            missing: 1,
            ignored: 20,
            final_lsn: crate::lsn::Lsn(0x16_B374_D848),
            cutover_seconds: 0.42,
            sequences: 1000,
            kept_subscription: Some("mig".into()),
            next_steps: vec!["Point the applications at the target.".into(), "On the target:\nVACUUM".into()],
        };
        let phases = vec![("Restore".into(), 100.0), ("StreamApply".into(), 0.5), ("Cutover".into(), 0.42)];
        let plain = StreamSummary {
            missing: 0,
            ignored: 0,
            kept_subscription: None,
            next_steps: vec![],
            ..stream.clone()
        };
        let summary = Summary { phases, tables: 1, rows: 2, stream: Some(stream), ..Summary::default() };
        insta::assert_snapshot!(render(&summary), @r#"
Summary
  Restore      1 min 40 s
  StreamApply  0.50 s
  Cutover      0.42 s
  total        1 min 41 s
  copied       1 table, 2 rows, 0 B
  built        0 indexes, 0 constraints
  applied      1,234 transactions: 500,000 rows inserted, 300 updated, 2 deleted, 1 table truncated
  missing      1 change found no row on the target
  ignored      20 changes to tables that do not take part
  cut over     in 0.42 s at 16/B374D848; 1,000 sequences set
  kept         subscription mig, disabled, and its slot
Next:
  1. Point the applications at the target.
  2. On the target:
    VACUUM
"#);
        let summary = Summary { stream: Some(plain), ..Summary::default() };
        insta::assert_snapshot!(render(&summary), @r#"
Summary
  total     0.00 s
  copied    by an earlier run
  applied   1,234 transactions: 500,000 rows inserted, 300 updated, 2 deleted, 1 table truncated
  cut over  in 0.42 s at 16/B374D848; 1,000 sequences set
"#);
    }

    #[test]
    fn nothing_done() {
        insta::assert_snapshot!(render(&Summary::default()), @r#"
Summary
  total   0.00 s
  copied  0 tables, 0 rows, 0 B
  built   0 indexes, 0 constraints
"#);
    }
}
