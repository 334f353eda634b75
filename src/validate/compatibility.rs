//! Whether text means the same on both sides: encoding, locale, collations.

use super::Asked;
use super::facts::{Server, Source, Target};
use super::finding::{Finding, some_of};
use crate::error::Side;
use crate::schema::quote::{qualified, quote_ident};
use crate::schema::{Definition, Object, Schema};

pub(super) fn judge(
    source: &Server,
    from: &Source,
    target: &Server,
    to: &Target,
    asked: Asked<'_>,
    out: &mut Vec<Finding>,
) {
    encoding(source, target, out);
    let differing = differing(source, target);
    if !differing.is_empty() {
        out.push(
            Finding::warning(
                "locale-differs",
                format!(
                    "the databases sort and compare text differently ({}): orders, ranges of text keys and upper/lower case may change",
                    differing.join(", ")
                ),
            )
            .mend(format!(
                "CREATE DATABASE … TEMPLATE template0 ENCODING '{}' LC_COLLATE '{}' LC_CTYPE '{}'; -- where the target should sort as the source",
                source.encoding, source.collate, source.ctype
            )),
        );
    }
    for group in from.collations.chunk_by(|a, b| a.name == b.name) {
        let users: Vec<String> = group
            .iter()
            .filter(|c| asked.filter.takes_table(&c.schema, &c.used_by))
            .map(|c| qualified(&c.schema, &c.used_by))
            .collect();
        let name = &group[0].name;
        if users.is_empty() || to.collations.contains(name) {
            continue;
        }
        let name = quote_ident(name);
        let remedy = match group[0].of_libc {
            true => {
                "install the locale on the target's machine and run there: SELECT pg_import_system_collations('pg_catalog');"
            }
            false => {
                "use a target that was built with ICU and has this collation, or another collation on the source"
            }
        };
        out.push(
            Finding::error(
                "collation-missing",
                format!("collation {name}, used by {}, is not on the target", some_of(&users)),
            )
            .on(Side::Target)
            .about(name)
            .mend(remedy),
        );
    }
}

/// What the databases' own locales differ in.
fn differing(source: &Server, target: &Server) -> Vec<String> {
    let pairs = [
        ("provider", &source.provider, &target.provider),
        ("collation", &source.collate, &target.collate),
        ("character classes", &source.ctype, &target.ctype),
    ];
    let differing = pairs.into_iter().filter(|(_, a, b)| a != b);
    differing.map(|(what, a, b)| format!("{what} {a} → {b}")).collect()
}

/// What sorts text otherwise on the target: the database's locale, or another version of a library behind locales.
pub(super) fn sorted_otherwise(source: &Server, target: &Server) -> Vec<String> {
    let mut why = differing(source, target);
    for (library, version) in &source.libraries {
        if let Some(other) = target.libraries.get(library).filter(|other| *other != version) {
            why.push(format!("version of {library} {version} → {other}"));
        }
    }
    why
}

/// What rests on an order of text that is another one on the target: partitions and checks, by name. (Indexes are built there.)
pub(super) fn judge_schema(
    schema: &Schema,
    source: &Server,
    from: &Source,
    target: &Server,
    asked: Asked<'_>,
    out: &mut Vec<Finding>,
) {
    let why = sorted_otherwise(source, target);
    if why.is_empty() {
        return;
    }
    let partitioned = schema
        .objects
        .iter()
        .filter(|o| matches!(&o.definition, Definition::Table(table) if table.by_locale))
        .map(Object::reference);
    let checks =
        from.text_checks.iter().filter(|(schema, table, _)| asked.filter.takes_table(schema, table)).map(
            |(schema, table, check)| {
                format!("CONSTRAINT {} ON {}", quote_ident(check), qualified(schema, table))
            },
        );
    let mut concerned: Vec<String> = partitioned.collect();
    let routed = !concerned.is_empty();
    concerned.extend(checks);
    let Some(first) = concerned.first() else { return };
    let rows = if routed { "; rows find their partitions anew, and one that finds none fails" } else { "" };
    let message = format!(
        "text is sorted otherwise on the target ({}), and these rest on its order: {}{rows}",
        why.join(", "),
        some_of(&concerned)
    );
    out.push(
        Finding::warning("sorted-otherwise", message)
            .about(first.clone())
            .mend("use COLLATE \"C\" in the keys and checks on the source, or a target with the same locale and libraries"),
    );
}

fn encoding(source: &Server, target: &Server, out: &mut Vec<Finding>) {
    let (from, to) = (source.encoding.as_str(), target.encoding.as_str());
    if from == to {
        return;
    }
    let remedy = format!("CREATE DATABASE … TEMPLATE template0 ENCODING '{from}'; -- as the target");
    let finding = match (from, to) {
        ("SQL_ASCII", _) => Finding::warning(
            "encoding-unknown",
            format!("the source's encoding is SQL_ASCII, so its text may be anything: what is not valid {to} will fail"),
        )
        .mend(remedy),
        (_, "SQL_ASCII") => Finding::warning(
            "encoding-unknown",
            "the target's encoding is SQL_ASCII: text arrives as UTF-8, and the target will not know that it is",
        )
        .mend(remedy),
        // UTF8 holds every character that any other server encoding has (MULE_INTERNAL has some of its own).
        (from, "UTF8") if from != "MULE_INTERNAL" => {
            Finding::notice("encoding-converted", format!("text is converted from {from} to UTF8"))
        }
        _ => Finding::error(
            "encoding-lossy",
            format!("the source's encoding is {from} and the target's {to}, which lacks characters that {from} has"),
        )
        .mend(format!("{remedy} (or ENCODING 'UTF8')")),
    };
    out.push(finding);
}

#[cfg(test)]
mod tests {
    use super::super::facts::source::CollationUse;
    use super::super::testing::{asking, good_server, shown};
    use super::*;

    fn pair(from: &str, to: &str) -> String {
        let mut out = Vec::new();
        encoding(
            &Server { encoding: from.into(), ..good_server() },
            &Server { encoding: to.into(), ..good_server() },
            &mut out,
        );
        shown(&out)
    }

    #[test]
    fn encodings() {
        let pairs = [
            ("UTF8", "UTF8"),
            ("LATIN1", "UTF8"),
            ("UTF8", "LATIN1"),
            ("SQL_ASCII", "UTF8"),
            ("UTF8", "SQL_ASCII"),
            ("MULE_INTERNAL", "UTF8"),
        ];
        let lines: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} → {b}: {}", pair(a, b))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
UTF8 → UTF8: 
LATIN1 → UTF8: Notice encoding-converted both: text is converted from LATIN1 to UTF8
UTF8 → LATIN1: Error encoding-lossy both: the source's encoding is UTF8 and the target's LATIN1, which lacks characters that UTF8 has
    CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'; -- as the target (or ENCODING 'UTF8')
SQL_ASCII → UTF8: Warning encoding-unknown both: the source's encoding is SQL_ASCII, so its text may be anything: what is not valid UTF8 will fail
    CREATE DATABASE … TEMPLATE template0 ENCODING 'SQL_ASCII'; -- as the target
UTF8 → SQL_ASCII: Warning encoding-unknown both: the target's encoding is SQL_ASCII: text arrives as UTF-8, and the target will not know that it is
    CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'; -- as the target
MULE_INTERNAL → UTF8: Error encoding-lossy both: the source's encoding is MULE_INTERNAL and the target's UTF8, which lacks characters that MULE_INTERNAL has
    CREATE DATABASE … TEMPLATE template0 ENCODING 'MULE_INTERNAL'; -- as the target (or ENCODING 'UTF8')
"#);
    }

    #[test]
    fn partitions_and_checks_that_rest_on_an_order() {
        let object = |name: &str, by_locale| {
            super::super::testing::object(
                name,
                Definition::Table(crate::schema::Table { by_locale, ..crate::schema::Table::default() }),
            )
        };
        let schema = Schema { objects: vec![object("p", true), object("t", false)], ..Schema::default() };
        let check = |schema: &str| (schema.to_owned(), "t".to_owned(), "in order".to_owned());
        let from = Source { text_checks: vec![check("s"), check("left_out")], ..Source::default() };
        let icu = |version: &str| Server {
            libraries: [("icu".to_owned(), version.to_owned())].into(),
            ..good_server()
        };
        let mut out = Vec::new();
        asking(
            |f, _| f.exclude_schemas = vec!["left_out".into()],
            |asked| {
                judge_schema(&schema, &icu("1"), &from, &icu("1"), asked, &mut out);
                judge_schema(&schema, &icu("1"), &from, &good_server(), asked, &mut out);
                assert!(out.is_empty());
                judge_schema(&schema, &icu("1"), &from, &icu("2"), asked, &mut out);
            },
        );
        insta::assert_snapshot!(shown(&out), @r#"
Warning sorted-otherwise both [TABLE s.p]: text is sorted otherwise on the target (version of icu 1 → 2), and these rest on its order: TABLE s.p, CONSTRAINT "in order" ON s.t; rows find their partitions anew, and one that finds none fails
    use COLLATE "C" in the keys and checks on the source, or a target with the same locale and libraries
"#);
    }

    #[test]
    fn locales_and_collations() {
        let collation = |name: &str, schema: &str| CollationUse {
            name: name.into(),
            of_libc: true,
            schema: schema.into(),
            used_by: "t".into(),
        };
        let from = Source {
            collations: vec![
                collation("de_DE", "s"),
                collation("de_DE", "u"),
                collation("en_US", "s"),
                collation("fr_FR", "left_out"),
            ],
            ..Source::default()
        };
        let to = Target { collations: vec!["en_US".into()], ..Target::default() };
        let target = Server { collate: "de_DE.UTF-8".into(), provider: "icu de".into(), ..good_server() };
        let mut out = Vec::new();
        asking(
            |f, _| f.exclude_schemas = vec!["left_out".into()],
            |asked| judge(&good_server(), &from, &target, &to, asked, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Warning locale-differs both: the databases sort and compare text differently (provider libc → icu de, collation C.UTF-8 → de_DE.UTF-8): orders, ranges of text keys and upper/lower case may change
    CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'; -- where the target should sort as the source
Error collation-missing target ["de_DE"]: collation "de_DE", used by s.t, u.t, is not on the target
    install the locale on the target's machine and run there: SELECT pg_import_system_collations('pg_catalog');
"#);
    }
}
