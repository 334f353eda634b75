//! Whether the target is empty where the migration is going to write.

use super::Asked;
use super::facts::target::Existing;
use super::facts::{Server, Source, Target};
use super::finding::{Finding, counted, some_of};
use crate::config::Filter;
use crate::error::Side;
use crate::schema::quote::{qualified, quote_ident};
use crate::schema::{Definition, Schema};

const REMEDY: &str = "name an empty database in --target, or let the migration drop what it would create with --drop-target-first";

pub(super) fn judge(_: &Server, source: &Source, to: &Target, asked: Asked<'_>, out: &mut Vec<Finding>) {
    if asked.restore.drop_target_first || asked.resumes {
        return;
    }
    let in_the_way: Vec<String> = to
        .objects
        .iter()
        .filter(|o| source.schemas.contains(&o.schema) && would_be_made(o, asked.filter))
        .map(described)
        .collect();
    if !in_the_way.is_empty() {
        out.push(
            Finding::error(
                "target-not-empty",
                format!(
                    "{} in schemas that are to be migrated: {}",
                    match in_the_way.len() {
                        1 => "an object is there already".to_owned(),
                        n => format!("{n} objects are there already"),
                    },
                    some_of(&in_the_way)
                ),
            )
            .on(Side::Target)
            .about(in_the_way[0].clone())
            .mend(REMEDY),
        );
    }
    if asked.filter.is_everything() && source.large_objects > 0 && to.large_objects > 0 {
        out.push(
            Finding::error(
                "target-has-large-objects",
                format!(
                    "large objects are there already ({}), and their numbers may be those of the source's",
                    to.large_objects
                ),
            )
            .on(Side::Target)
            .mend(REMEDY),
        );
    }
}

/// What lives in no schema is in the way where it has the name of something that would be made.
pub(super) fn judge_outside(schema: &Schema, to: &Target, asked: Asked<'_>, out: &mut Vec<Finding>) {
    if asked.restore.drop_target_first || asked.resumes {
        return;
    }
    let in_the_way: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| to.outside.contains(&(o.address.class, o.name.clone())))
        .map(|o| {
            let reference = o.reference();
            if matches!(o.definition, Definition::Cast(_) | Definition::Transform(_)) {
                return reference;
            }
            let (kind, name) = reference.rsplit_once(' ').unwrap_or(("", &reference));
            format!("{} {name}", kind.to_lowercase())
        })
        .collect();
    if !in_the_way.is_empty() {
        let message =
            format!("{} there already: {}", counted(in_the_way.len(), "object"), some_of(&in_the_way));
        out.push(
            Finding::error("target-not-empty", message)
                .on(Side::Target)
                .about(in_the_way[0].clone())
                .mend(REMEDY),
        );
    }
}

/// Whether the migration may make something of this name; a table filter chooses among tables and views only.
fn would_be_made(object: &Existing, filter: &Filter) -> bool {
    match object.kind.as_str() {
        "table" | "view" | "materialized view" | "foreign table" => {
            filter.takes_table(&object.schema, &object.name)
        }
        _ => filter.takes_schema(&object.schema),
    }
}

fn described(object: &Existing) -> String {
    if object.name.is_empty() {
        format!("{} {}", object.kind, quote_ident(&object.schema))
    } else {
        format!("{} {}", object.kind, qualified(&object.schema, &object.name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asking, good_server, shown};
    use super::*;

    #[test]
    fn what_is_in_the_way() {
        let existing = |kind: &str, schema: &str, name: &str| Existing {
            kind: kind.into(),
            schema: schema.into(),
            name: name.into(),
        };
        let source =
            Source { schemas: vec!["public".into(), "s".into()], large_objects: 2, ..Source::default() };
        let to = Target {
            objects: vec![
                existing("schema", "s", ""),
                existing("schema", "own", ""),
                existing("table", "own", "t"),
                existing("table", "public", "Order"),
            ],
            large_objects: 1,
            ..Target::default()
        };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge(&good_server(), &source, &to, asked, &mut out));
        asking(
            |f, _| f.include_schemas = vec!["s".into()],
            |asked| judge(&good_server(), &source, &to, asked, &mut out),
        );
        insta::assert_snapshot!(shown(&out), @r#"
Error target-not-empty target [schema s]: 2 objects are there already in schemas that are to be migrated: schema s, table public."Order"
    name an empty database in --target, or let the migration drop what it would create with --drop-target-first
Error target-has-large-objects target: large objects are there already (1), and their numbers may be those of the source's
    name an empty database in --target, or let the migration drop what it would create with --drop-target-first
Error target-not-empty target [schema s]: an object is there already in schemas that are to be migrated: schema s
    name an empty database in --target, or let the migration drop what it would create with --drop-target-first
"#);
        out.clear();
        asking(
            |_, r| r.drop_target_first = true,
            |asked| judge(&good_server(), &source, &to, asked, &mut out),
        );
        asking(
            |_, _| (),
            |asked| judge(&good_server(), &source, &to, Asked { resumes: true, ..asked }, &mut out),
        );
        assert_eq!(shown(&out), "");
    }
}
