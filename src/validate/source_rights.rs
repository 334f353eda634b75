//! Whether the role may read everything that is to be migrated, all of it.

use super::Asked;
use super::facts::source::Kind;
use super::facts::{Server, Source};
use super::finding::{Finding, counted, some_of};
use crate::error::Side;
use crate::schema::quote::{qualified, quote_ident};

pub(super) fn judge(server: &Server, source: &Source, asked: Asked<'_>, out: &mut Vec<Finding>) {
    let role = quote_ident(&server.role);
    let taken = |kind: Kind| {
        source.relations.iter().filter(move |r| {
            // A sequence follows the table it belongs to.
            let taken = match (&r.owned_by, r.kind) {
                (Some((schema, table)), _) => asked.filter.takes_table(schema, table),
                (None, Kind::Sequence) => asked.filter.takes_schema(&r.schema),
                (None, _) => asked.filter.takes_table(&r.schema, &r.name),
            };
            r.kind == kind && taken
        })
    };
    for (kind, noun, code) in [
        (Kind::Table, "table", "source-tables-unreadable"),
        (Kind::Sequence, "sequence", "source-sequences-unreadable"),
    ] {
        let unreadable: Vec<_> = taken(kind).filter(|r| !r.readable).collect();
        if unreadable.is_empty() {
            continue;
        }
        let names: Vec<String> = unreadable.iter().map(|r| qualified(&r.schema, &r.name)).collect();
        let mut schemas: Vec<String> = unreadable.iter().map(|r| quote_ident(&r.schema)).collect();
        schemas.dedup();
        let schemas = schemas.join(", ");
        let mut remedy = format!(
            "GRANT USAGE ON SCHEMA {schemas} TO {role}; GRANT SELECT ON ALL {}S IN SCHEMA {schemas} TO {role};",
            noun.to_uppercase()
        );
        if server.version >= 140_000 {
            remedy += &format!(" -- or, for everything: GRANT pg_read_all_data TO {role};");
        }
        out.push(
            Finding::error(
                code,
                format!("role {role} may not read {}: {}", counted(names.len(), noun), some_of(&names)),
            )
            .on(Side::Source)
            .about(names[0].clone())
            .mend(remedy),
        );
    }
    let hidden: Vec<String> =
        taken(Kind::Table).filter(|r| r.rows_hidden).map(|r| qualified(&r.schema, &r.name)).collect();
    if !hidden.is_empty() {
        out.push(
            Finding::error(
                "source-rows-hidden",
                format!("row security hides rows of {} from role {role}: {}", counted(hidden.len(), "table"), some_of(&hidden)),
            )
            .on(Side::Source)
            .about(hidden[0].clone())
            .mend(format!(
                "ALTER ROLE {role} BYPASSRLS; -- by a superuser; or connect as the tables' owner where row security is not forced"
            )),
        );
    }
    if source.large_objects_unreadable > 0 && asked.filter.is_everything() {
        out.push(
            Finding::error(
                "source-large-objects-unreadable",
                format!("role {role} may not read all large objects: {} of {} are shut", source.large_objects_unreadable, source.large_objects),
            )
            .on(Side::Source)
            .mend(format!(
                "DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO {role}', o); END LOOP; END $$;"
            )),
        );
    }
    if server.in_recovery {
        let unlogged: Vec<String> =
            taken(Kind::Table).filter(|r| r.unlogged).map(|r| qualified(&r.schema, &r.name)).collect();
        if !unlogged.is_empty() {
            out.push(
                Finding::error(
                    "source-unlogged-on-standby",
                    format!("unlogged tables cannot be read on a standby: {}", some_of(&unlogged)),
                )
                .on(Side::Source)
                .about(unlogged[0].clone())
                .mend("name the primary in --source, or leave them out with --exclude-table"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::source::Relation;
    use super::super::testing::{asking, good_server, shown};
    use super::*;

    fn relation(schema: &str, name: &str) -> Relation {
        Relation { schema: schema.into(), name: name.into(), readable: true, ..Relation::default() }
    }

    #[test]
    fn what_may_not_be_read() {
        let source = Source {
            relations: vec![
                relation("s", "fine"),
                Relation { readable: false, ..relation("s", "Shut") },
                Relation { readable: false, kind: Kind::Sequence, ..relation("t", "seq") },
                Relation { rows_hidden: true, ..relation("s", "veiled") },
                Relation { unlogged: true, ..relation("s", "fast") },
                Relation { readable: false, ..relation("left_out", "x") },
                Relation {
                    readable: false,
                    kind: Kind::Sequence,
                    owned_by: Some(("left_out".into(), "x".into())),
                    ..relation("s", "x_seq")
                },
            ],
            large_objects: 3,
            large_objects_unreadable: 2,
            ..Source::default()
        };
        let server = Server { in_recovery: true, ..good_server() };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge(&server, &source, asked, &mut out));
        assert_eq!(out.len(), 5);
        out.clear();
        asking(
            |f, _| f.exclude_schemas = vec!["left*".into()],
            |asked| judge(&server, &source, asked, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error source-tables-unreadable source [s."Shut"]: role mover may not read 1 table: s."Shut"
    GRANT USAGE ON SCHEMA s TO mover; GRANT SELECT ON ALL TABLES IN SCHEMA s TO mover; -- or, for everything: GRANT pg_read_all_data TO mover;
Error source-sequences-unreadable source [t.seq]: role mover may not read 1 sequence: t.seq
    GRANT USAGE ON SCHEMA t TO mover; GRANT SELECT ON ALL SEQUENCES IN SCHEMA t TO mover; -- or, for everything: GRANT pg_read_all_data TO mover;
Error source-rows-hidden source [s.veiled]: row security hides rows of 1 table from role mover: s.veiled
    ALTER ROLE mover BYPASSRLS; -- by a superuser; or connect as the tables' owner where row security is not forced
Error source-unlogged-on-standby source [s.fast]: unlogged tables cannot be read on a standby: s.fast
    name the primary in --source, or leave them out with --exclude-table
"#);
    }
}
