//! The statements that change rows, rendered for one shape of change.
//!
//! Pure. Invariants: a column that is not present is not mentioned, so an unchanged TOASTed value stays as it is; operators and types are named
//! with their schemas, so that the empty `search_path` finds the identity's own; plain tables are named with ONLY.

use super::target_relation::{Pass, TargetRelation};

/// `text[]`'s OID (`pg_type.dat`).
const TEXT_ARRAY: u32 = 1009;

/// A statement to be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// With parameters `$1`, ….
    pub sql: String,
    /// The parameters' types.
    pub types: Vec<u32>,
    /// What each parameter is.
    pub values: Vec<Value>,
}

/// A parameter: a column, by the source's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Of the row as it was (its identity).
    Old(usize),
    /// Of the row as it shall be.
    New(usize),
}

fn place(target: &TargetRelation) -> String {
    if target.partitioned { target.name.clone() } else { format!("ONLY {}", target.name) }
}

/// `COPY … FROM STDIN`, its columns in the source's order.
pub(super) fn copy(target: &TargetRelation) -> String {
    let names: Vec<_> = target.mapped().map(|(_, c)| c.name.as_str()).collect();
    let list = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    let format = if target.binary { " (FORMAT binary)" } else { "" };
    format!("COPY {}{list} FROM STDIN{format}", target.name)
}

/// The array parameters of many rows, one row for each element. In the list of a SELECT and not in FROM, where the server first keeps all
/// that each function gives in a tuplestore, and then again reads it (`nodeFunctionscan.c`; measured on 18: 4 to 12 % of an update).
struct Unnest {
    types: Vec<u32>,
    source: String,
}

impl Unnest {
    fn new(target: &TargetRelation, columns: &[usize]) -> Self {
        let kind = |i: &usize| match target.columns[*i].as_ref().map(|c| &c.pass) {
            Some(Pass::Own { array_oid, .. } | Pass::Binary { array_oid, .. }) => *array_oid,
            _ => TEXT_ARRAY,
        };
        let values = (0..columns.len()).map(|n| format!("pg_catalog.unnest(${}) AS c{n}", n + 1));
        let values: Vec<_> = values.collect();
        Unnest {
            types: columns.iter().map(kind).collect(),
            source: format!("(SELECT {}) AS v", values.join(", ")),
        }
    }
}

fn keys_match(target: &TargetRelation, keys: &[usize]) -> String {
    let term = |(n, i): (usize, &usize)| {
        let column = target.columns[*i].as_ref()?;
        let equals = column.equals.as_deref().unwrap_or("OPERATOR(pg_catalog.=)");
        Some(format!("t.{} {equals} v.c{n}::{}{}", column.name, column.declared, column.collate))
    };
    let terms: Vec<_> = keys.iter().enumerate().filter_map(term).collect();
    terms.join(" AND ")
}

/// Types of an identity of one column whose rows are found by a list of values: integers, oid, text, varchar, bytea, numeric, dates and times,
/// uuid. All have their own array type, B-tree and hash.
const LISTED: [u32; 13] = [17, 20, 21, 23, 25, 26, 1043, 1082, 1083, 1114, 1184, 1700, 2950];

/// ` t.id = ANY ($1)`, where the identity is one column, and the first parameter its values. The server goes through its index once, in order,
/// for all of them, and from version 17 on without a descent for each (`_bt_advance_array_keys` in `nbtutils.c`); a join descends for every row and keeps what it joins in
/// a tuplestore (measured on 18: deletes 0.7 to 1.2 µs instead of 2.4 to 3). `None`: the table has partitions, which a join tells apart by each key, or the
/// identity is another.
fn in_list(target: &TargetRelation) -> Option<String> {
    let [key] = target.key.as_slice() else { return None };
    let column = target.columns.get(*key)?.as_ref()?;
    let plain = column.equals.as_deref() == Some("OPERATOR(pg_catalog.=)") && column.collate.is_empty();
    let list = match column.pass {
        Pass::Binary { element_oid, .. } if element_oid == column.type_oid => "$1".to_owned(),
        Pass::Text => format!("$1::{}[]", column.declared),
        _ => return None,
    };
    let listed = plain && !target.partitioned && LISTED.contains(&column.type_oid);
    listed.then(|| format!("t.{} OPERATOR(pg_catalog.=) ANY ({list})", column.name))
}

/// Whether many of its rows are found by a list of their keys: deletes always, updates where [`update_many`] is told to hash.
pub(super) fn has_list(target: &TargetRelation) -> bool {
    in_list(target).is_some()
}

/// Many updates at once: rows found by their identity, these columns set. `hashed`: by a list, and joined with their new values by hashing,
/// where [`has_list`].
pub(super) fn update_many(target: &TargetRelation, set: &[usize], hashed: bool) -> Statement {
    let columns: Vec<usize> = target.key.iter().chain(set).copied().collect();
    let unnest = Unnest::new(target, &columns);
    let assign = |(n, i): (usize, &usize)| {
        let column = target.columns[*i].as_ref()?;
        Some(format!("{} = v.c{}::{}", column.name, target.key.len() + n, column.declared))
    };
    let assignments: Vec<_> = set.iter().enumerate().filter_map(assign).collect();
    let list = in_list(target).filter(|_| hashed).map(|list| format!(" AND {list}"));
    Statement {
        sql: format!(
            "UPDATE {} AS t SET {} FROM {} WHERE {}{}",
            place(target),
            assignments.join(", "),
            unnest.source,
            keys_match(target, &target.key),
            list.unwrap_or_default()
        ),
        types: unnest.types,
        values: columns.into_iter().map(Value::New).collect(),
    }
}

/// Many deletes at once.
pub(super) fn delete_many(target: &TargetRelation) -> Statement {
    let unnest = Unnest::new(target, &target.key);
    let sql = match in_list(target) {
        Some(list) => format!("DELETE FROM {} AS t WHERE {list}", place(target)),
        None => {
            let matches = keys_match(target, &target.key);
            format!("DELETE FROM {} AS t USING {} WHERE {matches}", place(target), unnest.source)
        }
    };
    Statement { sql, types: unnest.types, values: target.key.iter().copied().map(Value::Old).collect() }
}

/// The parameters of one row's statement, numbered as they come.
#[derive(Default)]
struct Parameters {
    types: Vec<u32>,
    values: Vec<Value>,
}

impl Parameters {
    fn add(&mut self, target: &TargetRelation, value: Value) -> String {
        let (Value::Old(i) | Value::New(i)) = value;
        self.types.push(target.columns[i].as_ref().map_or(0, |c| c.type_oid));
        self.values.push(value);
        format!("${}", self.types.len())
    }

    fn into_statement(self, sql: String) -> Statement {
        Statement { sql, types: self.types, values: self.values }
    }
}

/// One insert.
pub(super) fn insert_one(target: &TargetRelation) -> Statement {
    let mut parameters = Parameters::default();
    let mut names = Vec::new();
    let mut values = Vec::new();
    for (i, column) in target.mapped() {
        names.push(column.name.as_str());
        values.push(parameters.add(target, Value::New(i)));
    }
    let sql = match names.is_empty() {
        true => format!("INSERT INTO {} DEFAULT VALUES", target.name),
        false => format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
            target.name,
            names.join(", "),
            values.join(", ")
        ),
    };
    parameters.into_statement(sql)
}

/// One update. `null`: which of the identity's values are NULL in the row as it was.
pub(super) fn update_one(
    target: &TargetRelation,
    set: &[usize],
    identity: fn(usize) -> Value,
    null: &[bool],
) -> Statement {
    let mut parameters = Parameters::default();
    let mut assignments = Vec::new();
    for i in set {
        let parameter = parameters.add(target, Value::New(*i));
        if let Some(column) = &target.columns[*i] {
            assignments.push(format!("{} = {parameter}", column.name));
        }
    }
    let condition = one_row(target, identity, null, &mut parameters);
    let sql = format!("UPDATE {} AS t SET {} WHERE {condition}", place(target), assignments.join(", "));
    parameters.into_statement(sql)
}

/// One delete.
pub(super) fn delete_one(target: &TargetRelation, null: &[bool]) -> Statement {
    let mut parameters = Parameters::default();
    let condition = one_row(target, Value::Old, null, &mut parameters);
    parameters.into_statement(format!("DELETE FROM {} AS t WHERE {condition}", place(target)))
}

/// The condition that one row fits: by its unique identity, or the first that is the same in every identity column.
fn one_row(
    target: &TargetRelation,
    identity: fn(usize) -> Value,
    null: &[bool],
    parameters: &mut Parameters,
) -> String {
    let mut terms = Vec::new();
    for i in &target.key {
        let Some(column) = &target.columns[*i] else { continue };
        let name = format!("{}.{}", if target.unique { "t" } else { "s" }, column.name);
        if null.get(*i).copied().unwrap_or(false) {
            // Not IS NULL, which is true of a composite value of NULLs as well; an index serves both.
            terms.push(format!("{name} IS NOT DISTINCT FROM NULL"));
            continue;
        }
        let parameter = parameters.add(target, identity(*i));
        match &column.equals {
            Some(equals) => terms.push(format!("{name} {equals} {parameter}{}", column.collate)),
            // What follows takes NULL for an empty text.
            None => terms.push(format!("{name} IS DISTINCT FROM NULL")),
        }
        if !target.unique {
            // Equal is not the same (1.0 and 1.00, 0 and -0), and json, xml or point have no equality at all. concat uses the output
            // function, whatever casts there are.
            terms.push(format!(
                "pg_catalog.concat({name}) COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) pg_catalog.concat({parameter})"
            ));
        }
    }
    if target.unique {
        return terms.join(" AND ");
    }
    let condition = if terms.is_empty() { "true".to_owned() } else { terms.join(" AND ") };
    match target.partitioned {
        false => format!("t.ctid = (SELECT s.ctid FROM {} AS s WHERE {condition} LIMIT 1)", place(target)),
        true => format!(
            "(t.tableoid, t.ctid) = (SELECT s.tableoid, s.ctid FROM {} AS s WHERE {condition} LIMIT 1)",
            place(target)
        ),
    }
}

/// TRUNCATE of all of them at once, because one may refer to another.
pub(super) fn truncate(targets: &[&TargetRelation], restart_identity: bool) -> String {
    let names: Vec<_> = targets.iter().map(|t| place(t)).collect();
    let restart = if restart_identity { " RESTART IDENTITY" } else { "" };
    format!("TRUNCATE {}{restart}", names.join(", "))
}

/// The same rows gone where a foreign key of another table forbids TRUNCATE.
pub(super) fn delete_all(target: &TargetRelation) -> String {
    format!("DELETE FROM {}", place(target))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::target_relation::TargetColumn;
    use super::*;
    use crate::stream::relation::{Column, Relation, ReplicaIdentity};

    fn target(full: bool) -> TargetRelation {
        let key = |name: &str| full || name == "id";
        let columns = ["id", "a", "g", "B"].map(|name| Column {
            name: name.into(),
            key: key(name),
            type_oid: 23,
            type_modifier: -1,
            type_name: None,
        });
        let identity = if full { ReplicaIdentity::Full } else { ReplicaIdentity::Default };
        let relation =
            Relation { oid: 1, namespace: "s".into(), name: "t".into(), identity, columns: columns.into() };
        let column = |name: &str, declared: &str, type_oid, equals: Option<&str>| TargetColumn {
            name: name.into(),
            declared: declared.into(),
            type_oid,
            pass: if declared == "xml" { Pass::Own { array_oid: 143, delimiter: b',' } } else { Pass::Text },
            equals: equals.map(str::to_owned),
            collate: String::new(),
        };
        TargetRelation {
            id: 0,
            relation: Arc::new(relation),
            oid: 1,
            name: "s.t".into(),
            binary: false,
            partitioned: false,
            columns: vec![
                Some(column("id", "integer", 23, Some("OPERATOR(pg_catalog.=)"))),
                Some(column("a", "xml", 142, None)),
                None,
                Some(column("\"B\"", "numeric(8,2)", 1700, Some("OPERATOR(pg_catalog.=)"))),
            ],
            key: if full { vec![0, 1, 3] } else { vec![0] },
            unique: !full,
            unsent: Vec::new(),
            parents: Vec::new(),
            cascades: false,
            apart: false,
        }
    }

    #[test]
    fn many_rows_at_once() {
        let t = target(false);
        assert_eq!(copy(&t), "COPY s.t (id, a, \"B\") FROM STDIN");
        let update = update_many(&t, &[1, 3], false);
        assert_eq!(
            update.sql,
            "UPDATE ONLY s.t AS t SET a = v.c1::xml, \"B\" = v.c2::numeric(8,2) FROM (SELECT pg_catalog.unnest($1) AS c0, \
             pg_catalog.unnest($2) AS c1, pg_catalog.unnest($3) AS c2) AS v WHERE t.id OPERATOR(pg_catalog.=) v.c0::integer"
        );
        assert_eq!(update.types, [1009, 143, 1009]);
        assert_eq!(update.values, [Value::New(0), Value::New(1), Value::New(3)]);
        let delete = delete_many(&t);
        assert_eq!(
            delete.sql,
            "DELETE FROM ONLY s.t AS t WHERE t.id OPERATOR(pg_catalog.=) ANY ($1::integer[])"
        );
        assert_eq!((delete.types, delete.values), (vec![1009], vec![Value::Old(0)]));
    }

    #[test]
    fn rows_are_found_by_a_list_where_one_plain_column_tells_them_apart() {
        let joined = |t: &TargetRelation| {
            assert!(!has_list(t));
            assert_eq!(update_many(t, &[3], true), update_many(t, &[3], false));
            delete_many(t).sql.starts_with(
                "DELETE FROM ONLY s.t AS t USING (SELECT pg_catalog.unnest($1) AS c0) AS v WHERE",
            )
        };
        let of = |change: fn(&mut TargetColumn)| {
            let mut t = target(false);
            t.columns[0].as_mut().map(change);
            t
        };
        assert!(joined(&of(|id| id.type_oid = 16_500)));
        assert!(joined(&of(|id| id.equals = Some("OPERATOR(x.=)".into()))));
        assert!(joined(&of(|id| id.collate = " COLLATE x".into())));
        assert!(joined(&of(|id| id.pass = Pass::Own { array_oid: 143, delimiter: b',' })));
        // A domain over integer.
        assert!(joined(&of(|id| id.pass = Pass::Binary { array_oid: 1016, element_oid: 20 })));
        let several = TargetRelation { key: vec![0, 3], ..target(false) };
        assert!(!has_list(&several));
        assert!(!has_list(&TargetRelation { partitioned: true, ..target(false) }));
        let binary = of(|id| id.pass = Pass::Binary { array_oid: 1007, element_oid: 23 });
        assert!(delete_many(&binary).sql.ends_with("WHERE t.id OPERATOR(pg_catalog.=) ANY ($1)"));
        assert!(update_many(&binary, &[3], true).sql.ends_with(
            " AS c1) AS v WHERE t.id OPERATOR(pg_catalog.=) v.c0::integer AND t.id OPERATOR(pg_catalog.=) ANY ($1)"
        ));
    }

    #[test]
    fn an_unchanged_value_is_not_mentioned() {
        let t = target(false);
        assert!(!update_many(&t, &[3], false).sql.contains("a ="));
        assert!(!update_one(&t, &[3], Value::New, &[]).sql.contains("a ="));
    }

    #[test]
    fn one_row_at_a_time() {
        let t = target(false);
        assert_eq!(
            insert_one(&t).sql,
            "INSERT INTO s.t (id, a, \"B\") OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)"
        );
        let update = update_one(&t, &[0, 3], Value::Old, &[]);
        assert_eq!(
            update.sql,
            "UPDATE ONLY s.t AS t SET id = $1, \"B\" = $2 WHERE t.id OPERATOR(pg_catalog.=) $3"
        );
        assert_eq!(update.values, [Value::New(0), Value::New(3), Value::Old(0)]);
        assert_eq!(update.types, [23, 1700, 23]);
    }

    #[test]
    fn a_full_identity_finds_one_row_and_its_nulls() {
        let mut t = target(true);
        let delete = delete_one(&t, &[true, false, false, false]);
        assert_eq!(
            delete.sql,
            "DELETE FROM ONLY s.t AS t WHERE t.ctid = (SELECT s.ctid FROM ONLY s.t AS s WHERE s.id IS NOT DISTINCT FROM NULL AND \
             s.a IS DISTINCT FROM NULL AND pg_catalog.concat(s.a) COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) pg_catalog.concat($1) AND \
             s.\"B\" OPERATOR(pg_catalog.=) $2 AND \
             pg_catalog.concat(s.\"B\") COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) pg_catalog.concat($2) LIMIT 1)"
        );
        t.partitioned = true;
        assert!(
            delete_one(&t, &[])
                .sql
                .contains("(t.tableoid, t.ctid) = (SELECT s.tableoid, s.ctid FROM s.t AS s")
        );
    }

    #[test]
    fn truncates() {
        let plain = target(false);
        let root = TargetRelation { partitioned: true, ..target(false) };
        assert_eq!(truncate(&[&plain, &root], true), "TRUNCATE ONLY s.t, s.t RESTART IDENTITY");
        assert_eq!(delete_all(&plain), "DELETE FROM ONLY s.t");
    }
}
