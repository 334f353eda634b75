//! What is and what is not carried: unsupported kinds, what a filter tears apart, patterns that fit nothing.

use super::Asked;
use super::facts::Source;
use super::facts::source::Kind;
use super::finding::{Finding, Severity};
use crate::config::Filter;
use crate::error::Side;
use crate::schema::Schema;

/// Findings from the model of the source's schema.
pub(super) fn judge_schema(schema: &Schema, asked: Asked<'_>, out: &mut Vec<Finding>) {
    for object in &schema.unsupported {
        if object.pg_dump_neither {
            let message = format!("{} {} is not carried, nor is it by pg_dump", object.kind, object.identity);
            let finding = Finding::warning("not-carried", message).on(Side::Source);
            let remedy = "make it on the target by hand after the migration, where it is needed";
            out.push(finding.about(object.identity.clone()).mend(remedy));
            continue;
        }
        let message =
            format!("{} {} is of a kind that this version does not carry", object.kind, object.identity);
        out.push(if asked.restore.allow_unsupported {
            Finding::warning("unsupported-object", format!("{message}; it will be missing"))
                .on(Side::Source)
                .about(object.identity.clone())
                .mend("make it on the target by hand after the migration, where it is needed")
        } else {
            Finding::error("unsupported-object", message)
                .on(Side::Source)
                .about(object.identity.clone())
                .mend("leave it out on purpose with --allow-unsupported, and make it on the target by hand")
        });
    }
    for left in &schema.left_out {
        out.push(
            Finding::warning(
                "left-out-by-filter",
                format!(
                    "{} is left out, because it needs {}, which a filter leaves out",
                    left.object, left.because_of
                ),
            )
            .on(Side::Source)
            .about(left.object.clone())
            .mend(format!("let the filters take {} too, where {} is needed", left.because_of, left.object)),
        );
    }
}

/// Findings from the source's catalogs: patterns that fit nothing of it.
pub(super) fn judge_source(source: &Source, filter: &Filter, out: &mut Vec<Finding>) {
    let tables: Vec<(&str, &str)> = source
        .relations
        .iter()
        .filter(|r| r.kind != Kind::Sequence)
        .map(|r| (r.schema.as_str(), r.name.as_str()))
        .collect();
    let schemas: Vec<&str> = source.schemas.iter().map(String::as_str).collect();
    idle_patterns(filter, &schemas, &tables, out);
}

/// A pattern that fits nothing is most likely misspelt; an include pattern that fits nothing moves nothing.
fn idle_patterns(filter: &Filter, schemas: &[&str], tables: &[(&str, &str)], out: &mut Vec<Finding>) {
    let schema_patterns = [
        ("--include-schema", &filter.include_schemas, Severity::Error),
        ("--exclude-schema", &filter.exclude_schemas, Severity::Warning),
    ];
    for (flag, patterns, severity) in schema_patterns {
        for pattern in patterns {
            let one = Filter { include_schemas: vec![pattern.clone()], ..Filter::default() };
            if !schemas.iter().any(|s| one.takes_schema(s)) {
                out.push(idle(severity, flag, pattern, "schema"));
            }
        }
    }
    let table_patterns = [
        ("--include-table", &filter.include_tables, Severity::Error),
        ("--exclude-table", &filter.exclude_tables, Severity::Warning),
    ];
    for (flag, patterns, severity) in table_patterns {
        for pattern in patterns {
            let one = Filter { include_tables: vec![pattern.clone()], ..Filter::default() };
            if !tables.iter().any(|(s, t)| one.takes_table(s, t)) {
                out.push(idle(severity, flag, pattern, "table or view"));
            }
        }
    }
}

fn idle(severity: Severity, flag: &str, pattern: &str, noun: &str) -> Finding {
    let message = format!("{flag} {pattern} fits no {noun} of the source");
    let finding = match severity {
        Severity::Error => Finding::error("pattern-fits-nothing", message),
        _ => Finding::warning("pattern-fits-nothing", message),
    };
    finding
        .on(Side::Source)
        .about(pattern)
        .mend("write the name as the catalogs have it, without quotes; `*` stands for any run of characters")
}

#[cfg(test)]
mod tests {
    use super::super::facts::source::Relation;
    use super::super::testing::{asking, shown};
    use super::*;
    use crate::schema::{LeftOut, Unsupported};

    #[test]
    fn the_model() {
        let schema = Schema {
            unsupported: vec![Unsupported {
                kind: "operator class".into(),
                identity: "s.oc".into(),
                pg_dump_neither: false,
            }],
            left_out: vec![LeftOut { object: "s.v".into(), because_of: "t.t".into() }],
            ..Schema::default()
        };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge_schema(&schema, asked, &mut out));
        asking(|_, r| r.allow_unsupported = true, |asked| judge_schema(&schema, asked, &mut out));
        insta::assert_snapshot!(shown(&out), @r#"
Error unsupported-object source [s.oc]: operator class s.oc is of a kind that this version does not carry
    leave it out on purpose with --allow-unsupported, and make it on the target by hand
Warning left-out-by-filter source [s.v]: s.v is left out, because it needs t.t, which a filter leaves out
    let the filters take t.t too, where s.v is needed
Warning unsupported-object source [s.oc]: operator class s.oc is of a kind that this version does not carry; it will be missing
    make it on the target by hand after the migration, where it is needed
Warning left-out-by-filter source [s.v]: s.v is left out, because it needs t.t, which a filter leaves out
    let the filters take t.t too, where s.v is needed
"#);
    }

    #[test]
    fn patterns() {
        let table = |name: &str| Relation { schema: "s".into(), name: name.into(), ..Relation::default() };
        let source = Source {
            schemas: vec!["s".into(), "empty".into()],
            relations: ["a", "b", "c"].map(table).to_vec(),
            ..Source::default()
        };
        let mut out = Vec::new();
        let idle = |f: &mut Filter, _: &mut crate::config::RestoreOptions| {
            f.include_schemas = vec!["s".into(), "empty".into(), "sale".into()];
            f.exclude_schemas = vec!["x*".into()];
            f.include_tables = vec!["s.*".into(), "s.d".into()];
            f.exclude_tables = vec!["b".into(), "q".into()];
        };
        asking(idle, |asked| judge_source(&source, asked.filter, &mut out));
        insta::assert_snapshot!(shown(&out), @r#"
Error pattern-fits-nothing source [sale]: --include-schema sale fits no schema of the source
    write the name as the catalogs have it, without quotes; `*` stands for any run of characters
Warning pattern-fits-nothing source [x*]: --exclude-schema x* fits no schema of the source
    write the name as the catalogs have it, without quotes; `*` stands for any run of characters
Error pattern-fits-nothing source [s.d]: --include-table s.d fits no table or view of the source
    write the name as the catalogs have it, without quotes; `*` stands for any run of characters
Warning pattern-fits-nothing source [q]: --exclude-table q fits no table or view of the source
    write the name as the catalogs have it, without quotes; `*` stands for any run of characters
"#);
    }
}
