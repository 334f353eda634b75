//! Whether the target's columns take the source's values, and how each is sent.
//!
//! Invariant: columns are matched by name, whatever their order, and a value goes only where its own type is expected, or one that holds each
//! of its values unchanged: where a type is widened on both sides, changes from before that are still to be applied.

use std::collections::HashSet;

use super::{Found, Pass, TargetColumn, Unfit, field};
use crate::pg::{SqlError, Wire};
use crate::schema::quote::quote_ident;
use crate::stream::binary::{self, FIRST_UNPINNED};
use crate::stream::relation::{Column, Relation};

/// A column that keeps the two tables apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The source has it, the target has not.
    Lacking(Column),
    /// The target has it and needs a value, the source does not send it.
    Extra(String, String),
    /// Both have it, with types that differ; the target's as declared.
    Differs(Column, String),
}

/// Where each of the source's columns goes.
pub(super) fn fit(relation: &Relation, found: &[Found]) -> Result<Vec<Option<TargetColumn>>, Vec<Misfit>> {
    let mut misfits = Vec::new();
    let mut columns = Vec::with_capacity(relation.columns.len());
    for column in &relation.columns {
        let Some(f) = found.iter().find(|f| f.name == column.name) else {
            misfits.push(Misfit::Lacking(column.clone()));
            continue;
        };
        if !same_type(column, f) {
            misfits.push(Misfit::Differs(column.clone(), f.declared.clone()));
        }
        let pass = match (f.cast_by_function, f.is_array || f.array_oid == 0) {
            (false, _) => Pass::Text,
            (true, false) => Pass::Own { array_oid: f.array_oid, delimiter: f.delimiter },
            (true, true) => Pass::Single,
        };
        columns.push((!f.generated).then(|| TargetColumn {
            name: quote_ident(&f.name),
            declared: f.declared.clone(),
            type_oid: f.type_oid,
            pass,
            equals: f.equals.clone(),
            collate: String::new(),
        }));
    }
    for f in unsent(relation, found).filter(|f| f.required) {
        misfits.push(Misfit::Extra(f.name.clone(), f.declared.clone()));
    }
    if misfits.is_empty() { Ok(columns) } else { Err(misfits) }
}

/// How values in binary format are sent, many at once. What the two servers would have to agree on beyond the type's name is refused.
pub(super) fn pass_binary(
    relation: &Relation,
    found: &[Found],
    columns: &mut [Option<TargetColumn>],
) -> Result<(), Unfit> {
    for (column, place) in relation.columns.iter().zip(columns) {
        let f = found.iter().find(|f| f.name == column.name);
        let f = f.filter(|f| f.is_enum || f.base_oid < FIRST_UNPINNED && binary::is_safe(f.base_oid));
        let f = f.filter(|f| !wider_integer(column.type_oid, f.base_oid));
        let Some(f) = f.filter(|f| f.base_array_oid != 0) else {
            return Err(Unfit::Binary(quote_ident(&column.name)));
        };
        if let Some(place) = place {
            place.pass = Pass::Binary { array_oid: f.base_array_oid, element_oid: f.base_oid };
        }
    }
    Ok(())
}

/// The target's columns that get no value.
pub(super) fn unsent<'a>(relation: &Relation, found: &'a [Found]) -> impl Iterator<Item = &'a Found> {
    let sent: HashSet<String> = relation.columns.iter().map(|c| c.name.clone()).collect();
    found.iter().filter(move |f| !f.generated && !sent.contains(&f.name))
}

/// Whether the target's column takes the source's values. A domain arrives under its base type's name, so base
/// types are compared (`logicalrep_write_typ` in `proto.c`).
pub(super) fn same_type(column: &Column, found: &Found) -> bool {
    let base = match &column.type_name {
        Some((namespace, name)) => {
            let namespace = if namespace.is_empty() { "pg_catalog" } else { namespace };
            let (on_target, target_name) = (&found.base_name.0, &found.base_name.1);
            // The name of an array type that was made for another type carries as many underscores as it took to be unique.
            let same_name = name == target_name
                || found.is_array
                    && name.starts_with('_')
                    && name.trim_start_matches('_') == target_name.trim_start_matches('_');
            namespace == on_target && same_name
        }
        None if column.type_oid < FIRST_UNPINNED => {
            column.type_oid == found.base_oid
                || wider_integer(column.type_oid, found.base_oid)
                || (column.type_oid, found.base_oid) == (VARCHAR, TEXT)
        }
        None => false,
    };
    let is_domain = found.type_oid != found.base_oid;
    base && (is_domain || holds(found.base_oid, column.type_modifier, found.modifier))
}

const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const VARBIT: u32 = 1562;
const NUMERIC: u32 = 1700;
/// time, timestamp, timestamptz, timetz.
const TIMES: [u32; 4] = [1083, 1114, 1184, 1266];

/// Whether the target's is an integer type that holds the source's, of more bytes: its text is the same, its binary format is not.
fn wider_integer(source: u32, target: u32) -> bool {
    matches!((source, target), (21, 23 | 20) | (23, 20))
}

/// Whether the target's modifier (`atttypmod`) of this type leaves every value as it is that the source's admits.
fn holds(type_oid: u32, source: i32, target: i32) -> bool {
    if source == target {
        return true;
    }
    match type_oid {
        TEXT => target == -1,
        VARCHAR | VARBIT => target == -1 || source != -1 && target > source,
        NUMERIC => target == -1 || source != -1 && holds_digits(source, target),
        _ if TIMES.contains(&type_oid) => target == -1 || source != -1 && target > source,
        // char(n) and bit(n) fill up to their length.
        _ => false,
    }
}

/// numeric(p, s): as many digits on both sides of the point (`make_numeric_typmod` in `numeric.c`).
fn holds_digits(source: i32, target: i32) -> bool {
    let digits = |modifier: i32| {
        let modifier = modifier.saturating_sub(4);
        let (precision, scale) = ((modifier >> 16) & 0xffff, ((modifier & 0x7ff) ^ 1024) - 1024);
        (precision - scale, scale)
    };
    let (source, target) = (digits(source), digits(target));
    target.0 >= source.0 && target.1 >= source.1
}

/// The misfits in words; the target names the built-in types, which both servers have.
pub(super) async fn explain(wire: &mut Wire, misfits: &[Misfit]) -> Result<Vec<String>, SqlError> {
    let mut problems = Vec::new();
    for misfit in misfits {
        let source_type = match misfit {
            Misfit::Lacking(column) | Misfit::Differs(column, _) => match &column.type_name {
                Some((namespace, name)) if !namespace.is_empty() && namespace != "pg_catalog" => {
                    crate::schema::quote::qualified(namespace, name)
                }
                Some((_, name)) => name.clone(),
                None => {
                    let sql = format!(
                        "SELECT pg_catalog.format_type({}, {})",
                        column.type_oid, column.type_modifier
                    );
                    wire.rows("naming a type", &sql)
                        .await?
                        .first()
                        .map(|row| field(row, 0))
                        .unwrap_or_default()
                }
            },
            Misfit::Extra(..) => String::new(),
        };
        problems.push(match misfit {
            Misfit::Lacking(c) => {
                format!("column {} ({source_type}) is not on the target", quote_ident(&c.name))
            }
            Misfit::Extra(name, declared) => {
                format!(
                    "column {} ({declared}) of the target does not come from the source",
                    quote_ident(name)
                )
            }
            Misfit::Differs(c, declared) => {
                format!(
                    "column {} is {source_type} on the source and {declared} on the target",
                    quote_ident(&c.name)
                )
            }
        });
    }
    Ok(problems)
}
