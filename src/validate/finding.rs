//! What Validate says: findings, each with its object and its remedy, and the report that holds them all.
//!
//! Invariant: a `code` is stable and names one check; a remedy is something to do, as SQL where SQL does it.

use serde::Serialize;

use crate::error::{ExitCode, Side};
use crate::pg::SqlError;
use crate::schema::listed;
use crate::schema::quote::quote_ident;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The migration refuses to start.
    Error,
    /// The migration starts; the result may differ from what is expected.
    Warning,
    /// Good to know.
    Notice,
}

/// One thing that Validate found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The check's stable name, such as `target-not-empty`.
    pub code: &'static str,
    /// The server it is about; `None`: both together.
    #[serde(serialize_with = "side")]
    pub side: Option<Side>,
    /// What it is about, quoted identity; `None`: the server or database itself.
    pub object: Option<String>,
    /// What is the matter.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

fn side<S: serde::Serializer>(side: &Option<Side>, s: S) -> Result<S::Ok, S::Error> {
    match side {
        Some(side) => s.collect_str(side),
        None => s.serialize_none(),
    }
}

impl Finding {
    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Finding { severity, code, side: None, object: None, message: message.into(), remedy: None }
    }

    /// A finding that stops the migration.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Finding::new(Severity::Error, code, message)
    }

    /// A finding to think about.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Finding::new(Severity::Warning, code, message)
    }

    /// A finding to know.
    pub(crate) fn notice(code: &'static str, message: impl Into<String>) -> Self {
        Finding::new(Severity::Notice, code, message)
    }

    /// A server that answers, but not what it is asked.
    pub fn unreadable(error: &SqlError) -> Self {
        Finding::error("unreadable", said_by(error.side, error)).on(error.side)
    }

    /// The schema's model cannot be read.
    pub fn schema_unreadable(side: Side, error: &dyn std::fmt::Display) -> Self {
        Finding::error("schema-unreadable", said_by(side, error)).on(side)
    }

    /// Tables that came to be after Validate had judged the publication, which lacks them; `None` where there are none.
    pub fn made_meanwhile(publication: &str, tables: &[String]) -> Option<Self> {
        let first = tables.first()?;
        let publication = quote_ident(publication);
        let message = format!(
            "while the slot was being made, tables came to be that publication {publication} lacks: {}",
            some_of(tables)
        );
        let finding = Finding::error("tables-not-published", message).on(Side::Source).about(first.clone());
        Some(finding.mend(format!("ALTER PUBLICATION {publication} ADD TABLE {};", listed(tables))))
    }

    /// No table of the source is left to be compared.
    pub fn nothing_to_compare(database: &str) -> Self {
        let message =
            format!("database {} has no table that takes part: nothing is compared", quote_ident(database));
        Finding::error("nothing-to-compare", message)
            .on(Side::Source)
            .mend("name the database that was migrated in --source, and filters that take something of it")
    }

    /// On this server.
    pub(crate) fn on(self, side: Side) -> Self {
        Finding { side: Some(side), ..self }
    }

    /// About this object.
    pub(crate) fn about(self, object: impl Into<String>) -> Self {
        Finding { object: Some(object.into()), ..self }
    }

    /// To be mended so.
    pub(crate) fn mend(self, remedy: impl Into<String>) -> Self {
        Finding { remedy: Some(remedy.into()), ..self }
    }
}

/// An error without the side that it begins with, which the finding has.
fn said_by(side: Side, error: &dyn std::fmt::Display) -> String {
    let said = error.to_string();
    said.strip_prefix(&format!("{side}: ")).unwrap_or(&said).to_owned()
}

/// Everything that Validate found, most serious first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Sorted by severity; within one, in the order in which the checks ran.
    pub findings: Vec<Finding>,
    /// The server that could not be reached or read first, for the exit code.
    #[serde(skip)]
    pub(crate) unreachable: Option<Side>,
}

impl Report {
    /// A report of `findings`.
    pub(crate) fn new(mut findings: Vec<Finding>, unreachable: Option<Side>) -> Self {
        findings.sort_by_key(|f| f.severity);
        // What breaks off while it is read is that server's fault, whichever question it was.
        let unread = |f: &&Finding| matches!(f.code, "unreadable" | "schema-unreadable");
        let unreachable = unreachable.or_else(|| findings.iter().find(unread).and_then(|f| f.side));
        Report { findings, unreachable }
    }

    /// Findings of one severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.severity == severity)
    }

    /// Whether nothing stops the migration.
    pub fn is_good(&self) -> bool {
        self.of(Severity::Error).next().is_none()
    }

    /// The errors, each with its remedy, each on a line of its own.
    pub fn errors_in_words(&self) -> String {
        let line = |f: &Finding| {
            let side = f.side.map(|s| format!("{s}: ")).unwrap_or_default();
            let remedy = f.remedy.as_deref().map(|r| format!("\n    → {r}")).unwrap_or_default();
            format!("\n  {side}{} [{}]{remedy}", f.message, f.code)
        };
        self.of(Severity::Error).map(line).collect()
    }

    /// 0 without errors, 3 or 4 where a server could not be reached or read, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self.unreachable {
            Some(side) => ExitCode::of(side),
            None if self.is_good() => ExitCode::Done,
            None => ExitCode::OperatorMustAct,
        }
    }
}

impl From<Finding> for Report {
    fn from(finding: Finding) -> Self {
        Report::new(vec![finding], None)
    }
}

/// `a, b, c and 4 more`: the first few of many.
pub(crate) fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 table`, `2 tables`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        let report = |f: Vec<Finding>, u| Report::new(f, u).exit_code();
        assert_eq!(report(vec![], None), ExitCode::Done);
        assert_eq!(report(vec![Finding::warning("w", "")], None), ExitCode::Done);
        assert_eq!(report(vec![Finding::error("e", "")], None), ExitCode::OperatorMustAct);
        assert_eq!(report(vec![Finding::error("e", "")], Some(Side::Target)), ExitCode::Target);
    }

    #[test]
    fn a_server_that_goes_away_is_its_own_fault_and_named_once() {
        let gone =
            Finding::unreadable(&SqlError::local(Side::Target, "looking for ICU", "connection closed"));
        assert_eq!(gone.message, "looking for ICU: connection closed");
        let report = Report::new(vec![Finding::error("e", ""), gone], None);
        assert_eq!(report.exit_code(), ExitCode::Target);
        let other = Finding::schema_unreadable(Side::Source, &"cannot lock t: source: gone");
        assert_eq!(other.message, "cannot lock t: source: gone");
        assert_eq!(report.and(other.into()).exit_code(), ExitCode::Target);
    }

    #[test]
    fn most_serious_first_and_json() {
        let report = Report::new(
            vec![
                Finding::notice("n", "x"),
                Finding::error("e", "y").on(Side::Source).about("t").mend("DROP"),
            ],
            None,
        );
        insta::assert_snapshot!(serde_json::to_string(&report).unwrap(), @r#"{"findings":[{"severity":"error","code":"e","side":"source","object":"t","message":"y","remedy":"DROP"},{"severity":"notice","code":"n","side":null,"object":null,"message":"x","remedy":null}]}"#);
    }

    #[test]
    fn the_first_few() {
        assert_eq!(some_of(&["a", "b"]), "a, b");
        assert_eq!(some_of(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
