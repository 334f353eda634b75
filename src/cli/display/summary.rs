//! The end of a migration in words: what was done, how fast, and what is left for the operator.
//!
//! Invariant: every failed or skipped object is named with the statements that make it.

use std::time::Duration;

use super::text::{bytes, counted, duration, rate};
use crate::progress::Summary;

/// The summary, several lines, no line break at its end.
pub(super) fn render(summary: &Summary) -> String {
    let mut lines = vec!["Summary".to_owned()];
    let width = summary.phases.iter().map(|(phase, _)| phase.len()).max().unwrap_or(0).max("copied".len());
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
    row("copied", copied);
    row(
        "built",
        format!("{}, {}", counted(summary.indexes, "index"), counted(summary.constraints, "constraint")),
    );
    if !summary.warnings.is_empty() {
        lines.push(format!("{}:", counted(summary.warnings.len() as u64, "warning")));
        lines.extend(summary.warnings.iter().map(|warning| format!("  - {}", indent(warning))));
    }
    if !summary.failed.is_empty() {
        lines.push(failed(summary));
    }
    lines.join("\n")
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
    fn nothing_done() {
        insta::assert_snapshot!(render(&Summary::default()), @r#"
Summary
  total   0.00 s
  copied  0 tables, 0 rows, 0 B
  built   0 indexes, 0 constraints
"#);
    }
}
