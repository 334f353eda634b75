//! `pg_migrator check`: Validate alone, its report on stdout, for people or as one JSON object.
//!
//! Invariant: the exit code says the same as the report.

use std::io::Write as _;

use serde_json::json;

use super::display::{Level, Voice, counted};
use super::invocation::Output;
use crate::error::ExitCode;
use crate::migration::{self, Config};
use crate::validate::{Finding, Report, Severity};

/// Checks, and prints the report.
pub(super) async fn run(config: &Config, output: Output, voice: &Voice) -> ExitCode {
    let report = migration::check::run(config).await;
    let text = match output {
        Output::Text => render(&report),
        Output::Json => to_json(&report),
    };
    let mut stdout = std::io::stdout().lock();
    if let Err(e) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        voice.say(Level::Error, &format!("the report cannot be written to stdout: {e}"));
        return ExitCode::OperatorMustAct;
    }
    report.exit_code()
}

const SEVERITIES: [(Severity, &str); 3] =
    [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Notice, "notice")];

fn to_json(report: &Report) -> String {
    let number = |severity| report.of(severity).count();
    json!({
        "ok": report.is_good(),
        "errors": number(Severity::Error),
        "warnings": number(Severity::Warning),
        "notices": number(Severity::Notice),
        "findings": report.findings,
    })
    .to_string()
}

/// The report for people: grouped by severity, each finding with its remedy.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for (severity, noun) in SEVERITIES {
        let findings: Vec<&Finding> = report.of(severity).collect();
        if findings.is_empty() {
            continue;
        }
        out += &format!("{}\n", counted(findings.len() as u64, noun));
        let mut rest = findings.iter().peekable();
        while let Some(finding) = rest.next() {
            let side = finding.side.map(|s| format!("{s}: ")).unwrap_or_default();
            out += &format!("  {side}{}  [{}]\n", finding.message.replace('\n', "\n    "), finding.code);
            // One remedy for all of them is said once, after the last.
            let said_later =
                rest.peek().is_some_and(|f| f.code == finding.code && f.remedy == finding.remedy);
            if let Some(remedy) = finding.remedy.as_ref().filter(|_| !said_later) {
                out += &format!("    → {}\n", remedy.replace('\n', "\n      "));
            }
        }
        out.push('\n');
    }
    out += if report.is_good() {
        "Nothing stops the migration."
    } else {
        "The migration would refuse to start: mend the errors, then check again."
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(
            vec![
                Finding::warning("locale-differs", "the databases sort differently"),
                Finding::error("target-not-empty", "an object is there already: table public.t")
                    .on(crate::error::Side::Target)
                    .about("table public.t")
                    .mend("use --drop-target-first"),
            ],
            None,
        )
    }

    #[test]
    fn for_people() {
        insta::assert_snapshot!(render(&report()), @r#"
1 error
  target: an object is there already: table public.t  [target-not-empty]
    → use --drop-target-first

1 warning
  the databases sort differently  [locale-differs]

The migration would refuse to start: mend the errors, then check again.
"#);
        insta::assert_snapshot!(render(&Report::default()), @"Nothing stops the migration.");
    }

    #[test]
    fn for_machines() {
        insta::assert_snapshot!(to_json(&report()), @r#"{"errors":1,"findings":[{"code":"target-not-empty","message":"an object is there already: table public.t","object":"table public.t","remedy":"use --drop-target-first","severity":"error","side":"target"},{"code":"locale-differs","message":"the databases sort differently","object":null,"remedy":null,"severity":"warning","side":null}],"notices":0,"ok":false,"warnings":1}"#);
    }
}
