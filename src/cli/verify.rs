//! `pg_migrator verify`: the comparison's report on stdout, for people or as one JSON object.
//!
//! Invariant: exit code 0 means that there are tables, and that every one was read on both sides and is equal.

use std::io::Write as _;

use serde_json::json;

use super::display::{Voice, count, counted};
use super::invocation::{Output, Verify};
use crate::error::ExitCode;
use crate::migration::compare;
use crate::verify::TableReport;

/// Compares, and prints the report.
pub(super) async fn run(asked: Verify, output: Output, voice: &Voice) -> ExitCode {
    let reports = match compare::run(&asked.source, &asked.target, &asked.filter, asked.jobs).await {
        Ok(reports) => reports,
        Err(error) => {
            voice.failed(&error.to_string(), error.exit_code());
            return error.exit_code();
        }
    };
    let equal = reports.iter().all(|r| r.equal);
    let text = match output {
        Output::Text => render(&reports),
        Output::Json => json!({ "equal": equal, "tables": reports }).to_string(),
    };
    let mut stdout = std::io::stdout().lock();
    if let Err(e) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        voice.failed(&format!("the report cannot be written to stdout: {e}"), ExitCode::OperatorMustAct);
        return ExitCode::OperatorMustAct;
    }
    if equal { ExitCode::Done } else { ExitCode::OperatorMustAct }
}

/// The tables that differ, one by one, and the sum of those that do not.
fn render(reports: &[TableReport]) -> String {
    let mut lines: Vec<String> = reports.iter().filter(|r| !r.equal).map(difference).collect();
    let equal: Vec<&TableReport> = reports.iter().filter(|r| r.equal).collect();
    let rows: u64 = equal.iter().filter_map(|r| r.source_rows).sum();
    let tables = counted(equal.len() as u64, "table");
    lines.push(format!(
        "{tables} with {} {} equal by count and hash; {} differ",
        counted(rows, "row"),
        if equal.len() == 1 { "is" } else { "are" },
        count((reports.len() - equal.len()) as u64)
    ));
    lines.join("\n")
}

fn difference(report: &TableReport) -> String {
    let table = &report.table;
    match (&report.error, report.source_rows, report.target_rows) {
        (Some(error), ..) => format!("{table}: cannot be compared: {error}"),
        (None, Some(source), Some(target)) if source == target => {
            format!("{table}: {} on both sides, and some differ", counted(source, "row"))
        }
        (None, source, target) => {
            let shown = |rows: Option<u64>| {
                rows.map_or("an unknown number of rows".to_owned(), |n| counted(n, "row"))
            };
            format!("{table}: {} on the source, {} on the target", shown(source), shown(target))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(table: &str, source: Option<u64>, target: Option<u64>, equal: bool) -> TableReport {
        TableReport { table: table.into(), source_rows: source, target_rows: target, equal, error: None }
    }

    #[test]
    fn differences() {
        let reports = [
            report("s.a", Some(1_000), Some(1_000), true),
            report("s.b", Some(1), Some(2), false),
            report("s.c", Some(7), Some(7), false),
            TableReport { error: Some("no such table".into()), ..report("s.d", Some(1), None, false) },
        ];
        insta::assert_snapshot!(render(&reports), @r#"
s.b: 1 row on the source, 2 rows on the target
s.c: 7 rows on both sides, and some differ
s.d: cannot be compared: no such table
1 table with 1,000 rows is equal by count and hash; 3 differ
"#);
        insta::assert_snapshot!(render(&[]), @"0 tables with 0 rows are equal by count and hash; 0 differ");
    }
}
