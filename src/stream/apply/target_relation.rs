//! A published table as the target has it: which column each value goes to, and how.
//!
//! Invariant: a mapping exists only where every value of the source's rows has a column of the same type on the target; columns are
//! matched by name, whatever their order. Made once per version of a relation, before its first change. A column that only the target has
//! keeps its default, and the operator hears of it: were it refused, a source transaction that changes rows, drops a column, and changes rows again could never be applied.

mod fit;

use std::sync::Arc;

use crate::pg::{SqlError, Wire};
use crate::schema::quote::{quote_ident, quote_literal};
use crate::stream::relation::Relation;
use fit::{explain, fit, pass_binary, unsent};

/// A table of the target, for changes of one version of the source's relation.
#[derive(Clone, Debug)]
pub(super) struct TargetRelation {
    /// Number of this mapping, unique within an applier.
    pub id: u32,
    /// What the source sends.
    pub relation: Arc<Relation>,
    /// Its OID on the target.
    pub oid: u32,
    /// Quoted identity on the target.
    pub name: String,
    /// Its values come in binary format.
    pub binary: bool,
    /// It has partitions, which rows are routed to.
    pub partitioned: bool,
    /// For each column that the source sends, where it goes; `None`: the target generates it.
    pub columns: Vec<Option<TargetColumn>>,
    /// The identity's columns, by the source's numbers; with FULL all that are mapped.
    pub key: Vec<usize>,
    /// The identity names one row, by a unique index of the target.
    pub unique: bool,
    /// Its rows may go to different lanes ([`super::route`]).
    pub apart: bool,
    /// Columns of the target, quoted, that the source does not send.
    pub unsent: Vec<String>,
    /// Tables of the target that its foreign keys refer to, by OID; read where constraints are enforced.
    pub parents: Vec<u32>,
    /// Where constraints are enforced: a row that goes takes or changes rows of other tables (`ON DELETE CASCADE`, `SET NULL`).
    pub cascades: bool,
}

/// A column of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TargetColumn {
    /// Quoted name.
    pub name: String,
    /// Its type with modifier, as SQL writes it.
    pub declared: String,
    /// Its type's OID.
    pub type_oid: u32,
    /// How an array of its values is sent.
    pub pass: Pass,
    /// `OPERATOR(schema.=)`: equality by index, or the type's default; `None`: the type has none.
    pub equals: Option<String>,
    /// ` COLLATE …` where the identity's index has another collation than the column.
    pub collate: String,
}

/// How many values of a column are sent at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Pass {
    /// As `text[]`; a cast from text is the same as the type's input function.
    #[default]
    Text,
    /// As an array of its own type, because its cast from text is another function.
    Own {
        /// The array type's OID.
        array_oid: u32,
        /// What stands between elements.
        delimiter: u8,
    },
    /// As a binary array of its own type, or of its domain's base type.
    Binary {
        /// The array type's OID.
        array_oid: u32,
        /// The elements' type's.
        element_oid: u32,
    },
    /// Not at all: there is no array of it, and its cast from text is another function.
    Single,
}

impl TargetRelation {
    /// Whether updates and deletes may be done many at once.
    pub fn by_sets(&self) -> bool {
        self.unique && self.columns.iter().flatten().all(|c| c.pass != Pass::Single)
    }

    /// The columns that rows have on both sides, with the source's numbers.
    pub fn mapped(&self) -> impl Iterator<Item = (usize, &TargetColumn)> {
        self.columns.iter().enumerate().filter_map(|(i, c)| Some((i, c.as_ref()?)))
    }
}

/// Why there is no mapping.
#[derive(Debug)]
pub(super) enum Unfit {
    /// Reading the target's catalogs failed.
    Sql(Box<SqlError>),
    /// What does not fit, in words.
    Problems(Vec<String>),
    /// A column, quoted, whose values must not come in binary format.
    Binary(String),
}

impl From<SqlError> for Unfit {
    fn from(e: SqlError) -> Self {
        Unfit::Sql(Box::new(e))
    }
}

/// What the catalogs say of a column.
#[derive(Clone, Debug, Default)]
struct Found {
    name: String,
    type_oid: u32,
    modifier: i32,
    declared: String,
    generated: bool,
    base_oid: u32,
    base_name: (String, String),
    is_array: bool,
    array_oid: u32,
    /// Of the base type.
    base_array_oid: u32,
    is_enum: bool,
    delimiter: u8,
    cast_by_function: bool,
    equals: Option<String>,
    /// NOT NULL, and nothing gives it a value.
    required: bool,
}

const WHAT: &str = "reading a table's columns";

/// Reads the target's table and matches its columns with the source's.
pub(super) async fn map(
    wire: &mut Wire,
    id: u32,
    relation: &Arc<Relation>,
    constraints_enforced: bool,
    binary: bool,
) -> Result<TargetRelation, Unfit> {
    let namespace = if relation.namespace.is_empty() { "pg_catalog" } else { &relation.namespace };
    let name = crate::schema::quote::qualified(namespace, &relation.name);
    let rows = wire.rows(WHAT, &columns_query(namespace, &relation.name)).await?;
    let Some(first) = rows.first() else {
        return Err(Unfit::Problems(vec!["the target has no such table".to_owned()]));
    };
    let oid: u32 = field(first, 0).parse().unwrap_or(0);
    let kind = field(first, 1);
    if kind != "r" && kind != "p" {
        return Err(Unfit::Problems(vec!["on the target it is not a table".to_owned()]));
    }
    // A table without columns is one row without a column.
    let found: Vec<Found> = rows.iter().map(|row| read(row)).filter(|f| !f.name.is_empty()).collect();
    let mut columns = match fit(relation, &found) {
        Ok(columns) => columns,
        Err(misfits) => return Err(Unfit::Problems(explain(wire, &misfits).await?)),
    };
    if binary {
        pass_binary(relation, &found, &mut columns)?;
    }
    let key: Vec<usize> =
        (0..columns.len()).filter(|&i| relation.columns[i].key && columns[i].is_some()).collect();
    let mut unique = false;
    if relation.has_key() {
        let index = wire.rows("reading a table's indexes", &index_query(oid)).await?;
        unique = use_index(&index, relation, &mut columns);
    }
    let mut parents = Vec::new();
    let mut cascades = false;
    if constraints_enforced {
        let sql = format!(
            "SELECT FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = {oid} AND confdeltype IN ('c', 'n', 'd')"
        );
        cascades = !wire.rows("reading a table's foreign keys", &sql).await?.is_empty();
        let sql = format!(
            "SELECT DISTINCT confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conrelid = {oid} AND confrelid <> {oid}"
        );
        let rows = wire.rows("reading a table's foreign keys", &sql).await?;
        parents.extend(rows.iter().filter_map(|row| field(row, 0).parse::<u32>().ok()));
    }
    Ok(TargetRelation {
        id,
        relation: Arc::clone(relation),
        oid,
        name,
        binary,
        partitioned: kind == "p",
        columns,
        key,
        unique,
        apart: false,
        unsent: unsent(relation, &found).map(|f| quote_ident(&f.name)).collect(),
        parents,
        cascades,
    })
}

fn field(row: &[Option<bytes::Bytes>], at: usize) -> String {
    let bytes = row.get(at).and_then(Option::as_ref);
    bytes.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
}

/// The table and its columns, one row each. Domains are followed to their base type; equality is the default operator class's,
/// of the element type with arrays (`GetDefaultOpClass` in `indexcmds.c`).
fn columns_query(namespace: &str, name: &str) -> String {
    format!(
        "SELECT c.oid, c.relkind, a.attname, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod), \
         a.attgenerated <> '', b.oid, bn.nspname, b.typname, b.typelem <> 0 AND b.typlen = -1, t.typarray, t.typdelim, \
         EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = 25 AND k.casttarget = b.oid AND k.castmethod = 'f'), \
         CASE WHEN b.typelem <> 0 AND b.typlen = -1 AND eq.op IS NOT NULL THEN 'OPERATOR(pg_catalog.=)' ELSE eq.op END, \
         a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', b.typarray, b.typtype = 'e' \
         FROM pg_catalog.pg_class c \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN LATERAL (\
           WITH RECURSIVE up AS (\
             SELECT t.oid AS oid, t.typbasetype AS base UNION ALL \
             SELECT d.oid, d.typbasetype FROM up JOIN pg_catalog.pg_type d ON d.oid = up.base) \
           SELECT up.oid FROM up WHERE up.base = 0) root ON true \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = root.oid \
         LEFT JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN b.typelem <> 0 AND b.typlen = -1 THEN b.typelem ELSE b.oid END \
         LEFT JOIN LATERAL (\
           SELECT pg_catalog.format('OPERATOR(%I.%s)', opn.nspname, o.oprname) AS op \
           FROM pg_catalog.pg_opclass oc \
           JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype \
             AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = CASE oc.opcmethod WHEN 403 THEN 3 ELSE 1 END \
           JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr \
           JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace \
           WHERE oc.opcdefault AND oc.opcmethod IN (403, 405) AND (oc.opcintype = e.oid \
             OR oc.opcintype = CASE e.typtype WHEN 'e' THEN 3500 WHEN 'r' THEN 3831 WHEN 'm' THEN 4537 END \
             OR EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = e.oid AND k.casttarget = oc.opcintype \
               AND k.castmethod = 'b' AND k.castcontext = 'i')) \
           ORDER BY oc.opcintype = e.oid DESC, oc.opcmethod LIMIT 1) eq ON true \
         WHERE c.relname = {} AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {}) \
         ORDER BY a.attnum",
        quote_literal(name),
        quote_literal(namespace)
    )
}

fn read(row: &[Option<bytes::Bytes>]) -> Found {
    let yes = |at| field(row, at) == "t";
    let number = |at| field(row, at).parse::<u32>().unwrap_or(0);
    Found {
        name: field(row, 2),
        type_oid: number(3),
        modifier: field(row, 4).parse().unwrap_or(-1),
        declared: field(row, 5),
        generated: yes(6),
        base_oid: number(7),
        base_name: (field(row, 8), field(row, 9)),
        is_array: yes(10),
        array_oid: number(11),
        delimiter: field(row, 12).bytes().next().unwrap_or(b','),
        cast_by_function: yes(13),
        equals: Some(field(row, 14)).filter(|op| !op.is_empty()),
        required: yes(15),
        base_array_oid: number(16),
        is_enum: yes(17),
    }
}

/// Columns of the table's unique indexes, those of the primary key and the replica identity first: index, column, equality, collation
/// where it is not the column's.
fn index_query(oid: u32) -> String {
    format!(
        "SELECT i.indexrelid, a.attname, \
         CASE WHEN o.oid IS NOT NULL THEN pg_catalog.format('OPERATOR(%I.%s)', opn.nspname, o.oprname) END, \
         CASE WHEN i.indcollation[k] <> a.attcollation THEN pg_catalog.format(' COLLATE %I.%I', cn.nspname, co.collname) END \
         FROM pg_catalog.pg_index i \
         CROSS JOIN LATERAL pg_catalog.generate_series(0, i.indnkeyatts - 1) AS k \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND a.attnum > 0 \
         LEFT JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[k] AND oc.opcmethod = 403 \
         LEFT JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype \
           AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = 3 \
         LEFT JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr \
         LEFT JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace \
         LEFT JOIN pg_catalog.pg_collation co ON co.oid = i.indcollation[k] \
         LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
         WHERE i.indrelid = {oid} AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
         ORDER BY i.indisreplident DESC, i.indisprimary DESC, i.indnkeyatts, i.indexrelid, k"
    )
}

/// Takes equality and collation from the first unique index that has no column outside the identity; whether there is one.
fn use_index(
    rows: &[Vec<Option<bytes::Bytes>>],
    relation: &Relation,
    columns: &mut [Option<TargetColumn>],
) -> bool {
    let mut at = 0;
    while at < rows.len() {
        let index = field(&rows[at], 0);
        let length = rows[at..].iter().take_while(|row| field(row, 0) == index).count();
        let members = &rows[at..at + length];
        at += length;
        let place = |row: &[Option<bytes::Bytes>]| {
            let name = field(row, 1);
            let place = relation.columns.iter().position(|c| c.key && c.name == name)?;
            // NULL where the index is over an expression, or of another kind than a B-tree.
            (columns[place].is_some() && row.get(2).is_some_and(Option::is_some)).then_some(place)
        };
        let places: Vec<Option<usize>> = members.iter().map(|row| place(row)).collect();
        if places.iter().any(Option::is_none) {
            continue;
        }
        for (row, place) in members.iter().zip(places.into_iter().flatten()) {
            if let Some(column) = &mut columns[place] {
                column.equals = Some(field(row, 2));
                column.collate = field(row, 3);
            }
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::fit::{Misfit, same_type};
    use super::*;
    use crate::stream::relation::{Column, ReplicaIdentity};

    fn column(name: &str, type_oid: u32) -> Column {
        Column { name: name.into(), key: name == "id", type_oid, type_modifier: -1, type_name: None }
    }

    fn relation(columns: Vec<Column>) -> Relation {
        let identity = ReplicaIdentity::Default;
        Relation { oid: 1, namespace: "s".into(), name: "t".into(), identity, columns }
    }

    fn found(name: &str, oid: u32) -> Found {
        Found { name: name.into(), type_oid: oid, base_oid: oid, modifier: -1, ..Found::default() }
    }

    #[test]
    fn columns_are_matched_by_name_and_generated_ones_left_out() {
        let relation = relation(vec![column("id", 23), column("a", 25), column("g", 23)]);
        let generated = Found { generated: true, ..found("g", 23) };
        let columns = fit(&relation, &[found("a", 25), generated.clone(), found("id", 23)]).unwrap();
        let names: Vec<_> = columns.iter().map(|c| c.as_ref().map(|c| c.name.as_str())).collect();
        assert_eq!(names, [Some("id"), Some("a"), None]);
        let more = Found { name: "more".into(), ..generated };
        assert!(fit(&relation, &[found("a", 25), more, found("id", 23), found("g", 23)]).is_ok());
    }

    #[test]
    fn every_difference_is_told() {
        let relation = relation(vec![column("id", 23), column("a", 25), column("new", 25)]);
        let required = |name| Found { required: true, ..found(name, 23) };
        let target = [found("id", 21), found("a", 25), required("old"), found("kept", 25)];
        let misfits = fit(&relation, &target).unwrap_err();
        assert_eq!(
            misfits,
            [
                Misfit::Differs(column("id", 23), "".into()),
                Misfit::Lacking(column("new", 25)),
                Misfit::Extra("old".into(), "".into())
            ]
        );
    }

    #[test]
    fn types_are_compared_by_oid_or_by_name_and_domains_by_their_base() {
        let mut c = column("a", 16_500);
        let mut f = Found { base_name: ("s".into(), "mood".into()), ..found("a", 17_001) };
        assert!(!same_type(&c, &f));
        c.type_name = Some(("s".into(), "mood".into()));
        assert!(same_type(&c, &f));
        c.type_name = Some(("s".into(), "_mood".into()));
        f = Found { is_array: true, base_name: ("s".into(), "__mood".into()), ..f };
        assert!(same_type(&c, &f));
        // A domain over integer.
        c.type_name = Some((String::new(), "int4".into()));
        f = Found { base_oid: 23, base_name: ("pg_catalog".into(), "int4".into()), ..found("a", 17_002) };
        assert!(same_type(&c, &f));
    }

    #[test]
    fn a_type_that_holds_every_value_takes_them() {
        let fits = |source: (u32, i32), target: (u32, i32)| {
            let c = Column { type_modifier: source.1, ..column("a", source.0) };
            same_type(&c, &Found { modifier: target.1, ..found("a", target.0) })
        };
        let numeric = |precision: i32, scale: i32| (1700, ((precision << 16) | (scale & 0x7ff)) + 4);
        let wider = [
            ((1043, 14), (1043, 24)),
            ((1043, 14), (1043, -1)),
            ((1043, 14), (25, -1)),
            ((21, -1), (20, -1)),
            ((1184, 3), (1184, 6)),
            (numeric(8, 2), numeric(9, 3)),
            (numeric(8, 2), (1700, -1)),
            (numeric(5, -2), numeric(7, 0)),
        ];
        for (source, target) in wider {
            assert!(fits(source, target) && !fits(target, source), "{source:?} {target:?}");
        }
        assert!(
            !fits(numeric(8, 2), numeric(8, 3))
                && !fits((1042, 14), (1042, 24))
                && !fits((700, -1), (701, -1))
        );
    }

    #[test]
    fn an_index_over_more_than_the_identity_names_no_row() {
        let relation = relation(vec![column("id", 23), column("a", 25)]);
        let row = |index: &str, name: &str, collate: Option<&str>| {
            let some = |s: &str| Some(bytes::Bytes::from(s.to_owned()));
            vec![some(index), some(name), some("OPERATOR(x.=)"), collate.and_then(some)]
        };
        let mut columns = vec![Some(TargetColumn::default()), Some(TargetColumn::default())];
        assert!(!use_index(&[row("1", "a", None), row("1", "id", None)], &relation, &mut columns));
        let rows = [row("1", "a", None), row("1", "id", None), row("2", "id", Some(" COLLATE x"))];
        assert!(use_index(&rows, &relation, &mut columns));
        let id = columns[0].as_ref().unwrap();
        assert_eq!((id.equals.as_deref(), id.collate.as_str()), (Some("OPERATOR(x.=)"), " COLLATE x"));
        assert_eq!(columns[1].as_ref().unwrap().equals, None);
    }
}
