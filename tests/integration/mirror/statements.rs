//! Random statements over random tables. Pure: a seed in, statements out. The source refuses some of them, which is as well.

use super::tables::{Identity, Table};
use super::values::Kind;
use crate::harness::Chance;

type Act = fn(&mut Chance, &Table, &[Table]) -> Vec<String>;

/// What can be done to a table whose rows can change, and how often.
const ACTS: &[(Act, i64)] = &[
    (insert, 14),
    (insert_many, 4),
    (update, 16),
    (update_nothing, 2),
    (delete, 8),
    (again, 5),
    (copy_row, 3),
];

/// What is done to columns that are unique besides the key; to the key where there are none.
const OF_UNIQUE: &[(Act, i64)] = &[(shift_unique, 5), (swap_unique, 6), (swap_in_steps, 8)];

/// What moves a row from lane to lane, so that its batch is not spread.
const MOVING: &[(Act, i64)] = &[(rekey, 8), (rekey_many, 4), (rekey_in_a_circle, 3), (doomed, 4)];

/// What locks a table, or changes what the source says of it.
const LOCKING: &[(Act, i64)] = &[(truncate, 3), (name_otherwise, 2)];

/// Which statements there may be.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// No other transaction runs beside this one.
    pub alone: bool,
    /// Rows may get other keys, and tables be emptied.
    pub moving: bool,
}

/// The statements of this seed.
pub fn draw(seed: u64, table: &Table, all: &[Table], allowed: Allowed) -> Vec<String> {
    let alone = allowed.alone && allowed.moving;
    let mut c = Chance::new(seed);
    if table.identity == Identity::Nothing {
        return match c.between(0, 9) {
            0 if alone => truncate(&mut c, table, all),
            1..=3 => insert_many(&mut c, table, all),
            _ => insert(&mut c, table, all),
        };
    }
    let unique = allowed.moving || !table.uniques.is_empty();
    let acts = ACTS
        .iter()
        .chain(OF_UNIQUE.iter().filter(|_| unique))
        .chain(MOVING.iter().filter(|_| allowed.moving))
        .chain(LOCKING.iter().filter(|_| alone));
    let mut at = c.between(0, acts.clone().map(|(_, weight)| weight).sum::<i64>() - 1);
    for (act, weight) in acts {
        if at < *weight {
            return act(&mut c, table, all);
        }
        at -= weight;
    }
    Vec::new()
}

/// What fills a table before anything else.
pub fn fill(seed: u64, table: &Table) -> String {
    let mut c = Chance::new(seed);
    let rows = [0, 3, 12, 25, 25, 60, 300][c.between(0, 6) as usize];
    rows_from(&mut c, table, "1", &rows.to_string())
}

/// An integer of the keys, most of which are met again.
fn near(c: &mut Chance) -> i64 {
    match c.between(0, 9) {
        0 => c.between(100, 140),
        1 => c.between(-3, 0),
        _ => c.between(1, 12),
    }
}

fn written(table: &Table) -> Vec<usize> {
    (0..table.columns.len()).filter(|i| table.columns[*i].kind.is_written()).collect()
}

fn names(table: &Table, columns: &[usize]) -> String {
    columns.iter().map(|i| table.columns[*i].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// A value for this column, from this integer.
fn value(c: &mut Chance, table: &Table, column: usize, n: &str) -> String {
    let column_is = &table.columns[column];
    if !column_is.required && c.between(0, 6) == 0 {
        return "NULL".to_owned();
    }
    let apart = table.key.contains(&column) || table.uniques.contains(&column);
    let way = match apart {
        // Mostly one way, so that integers that differ give values that do.
        true if c.between(0, 3) > 0 => 0,
        _ => c.next() >> 8,
    };
    column_is.kind.of(n, way)
}

fn row(c: &mut Chance, table: &Table, key: &str) -> String {
    let values = written(table).into_iter().map(|i| {
        if table.key.contains(&i) || table.uniques.contains(&i) && c.between(0, 2) > 0 {
            value(c, table, i, key)
        } else {
            let n = near(c).to_string();
            value(c, table, i, &n)
        }
    });
    values.collect::<Vec<_>>().join(", ")
}

/// Which rows.
fn which(c: &mut Chance, table: &Table) -> String {
    let key = &table.columns[table.key[c.between(0, table.key.len() as i64 - 1) as usize]];
    let (place, name) = (table.place(), &key.name);
    match c.between(0, 9) {
        0..=3 => format!("{name}::text = ({})::text", key.kind.of(&near(c).to_string(), 0)),
        4..=6 => {
            let order = c.next() % 1000;
            format!(
                "ctid = (SELECT ctid FROM {place} ORDER BY md5(ctid::text || tableoid::regclass::text || {order}) LIMIT 1)"
            )
        }
        7 | 8 => {
            let (by, rest) = (c.between(2, 5), c.between(0, 1));
            format!("abs(hashtext({name}::text)) % {by} = {rest}")
        }
        _ => "true".to_owned(),
    }
}

fn overriding(table: &Table) -> &'static str {
    match table.columns.iter().any(|column| matches!(column.kind, Kind::Identity(_))) {
        true => " OVERRIDING SYSTEM VALUE",
        false => "",
    }
}

fn conflict(c: &mut Chance, table: &Table) -> &'static str {
    if table.waits || c.between(0, 2) == 0 { "" } else { " ON CONFLICT DO NOTHING" }
}

fn insert(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let list = names(table, &written(table));
    let rows: Vec<String> = (0..[1, 1, 1, 2, 5][c.between(0, 4) as usize])
        .map(|_| {
            let key = near(c).to_string();
            format!("({})", row(c, table, &key))
        })
        .collect();
    if list.is_empty() {
        return vec![format!("INSERT INTO {} DEFAULT VALUES", table.place())];
    }
    vec![format!(
        "INSERT INTO {} ({list}){} VALUES {}{}",
        table.place(),
        overriding(table),
        rows.join(", "),
        conflict(c, table)
    )]
}

fn rows_from(c: &mut Chance, table: &Table, from: &str, to: &str) -> String {
    let columns = written(table);
    if columns.is_empty() {
        return format!("INSERT INTO {} SELECT FROM generate_series({from}, {to})", table.place());
    }
    let values: Vec<String> = columns.iter().map(|i| value(c, table, *i, "g")).collect();
    format!(
        "INSERT INTO {} ({}){} SELECT {} FROM generate_series({from}, {to}) AS g{}",
        table.place(),
        names(table, &columns),
        overriding(table),
        values.join(", "),
        conflict(c, table)
    )
}

fn insert_many(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let from = [1, 5, 100, 1000][c.between(0, 3) as usize];
    let count = [4, 20, 20, 20, 150, 150, 400, 800][c.between(0, 7) as usize];
    vec![rows_from(c, table, &from.to_string(), &(from + count).to_string())]
}

fn update(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let columns: Vec<usize> =
        written(table).into_iter().filter(|i| !table.key.contains(i) || table.columns.len() == 1).collect();
    let mut set = Vec::new();
    for &i in &columns {
        let column = &table.columns[i];
        let seldom =
            matches!(column.kind, Kind::Wide | Kind::Long | Kind::Identity(_)) || table.uniques.contains(&i);
        if c.between(0, if seldom { 4 } else { 1 }) == 0 {
            let first = &table.columns[table.key[0]].name;
            let n = match c.between(0, 1) {
                0 => near(c).to_string(),
                _ => format!("{} + abs(hashtext({first}::text)) % 9", near(c)),
            };
            set.push(format!("{} = {}", column.name, value(c, table, i, &n)));
        }
    }
    if set.is_empty() {
        return update_nothing(c, table, &[]);
    }
    vec![format!("UPDATE {} SET {} WHERE {}", table.place(), set.join(", "), which(c, table))]
}

/// New versions of rows that are as they were.
fn update_nothing(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let columns = written(table);
    if columns.is_empty() {
        return Vec::new();
    }
    let name = &table.columns[columns[c.between(0, columns.len() as i64 - 1) as usize]].name;
    vec![format!("UPDATE {} SET {name} = {name} WHERE {}", table.place(), which(c, table))]
}

fn key_column(c: &mut Chance, table: &Table) -> usize {
    table.key[c.between(0, table.key.len() as i64 - 1) as usize]
}

fn rekey(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let at = key_column(c, table);
    if !table.columns[at].kind.is_written() {
        return Vec::new();
    }
    let to = near(c).to_string();
    let mut set = vec![format!("{} = {}", table.columns[at].name, value(c, table, at, &to))];
    // With another column, so that a new value and an unchanged one out of line come along.
    if let Some(other) = written(table).into_iter().find(|i| !table.key.contains(i))
        && c.between(0, 1) == 0
    {
        let n = near(c).to_string();
        set.push(format!("{} = {}", table.columns[other].name, value(c, table, other, &n)));
    }
    vec![format!("UPDATE {} SET {} WHERE {}", table.place(), set.join(", "), which(c, table))]
}

/// An integer of the table's key or what is unique, moved by what this gives.
fn reckon(c: &mut Chance, name: &str) -> String {
    let by = c.between(1, 3);
    match c.between(0, 4) {
        0 => format!("-{name}"),
        1 => format!("{name} + 1000"),
        2 => format!("{name} + {by}"),
        3 => format!("{name} - {by}"),
        _ => format!("13 - {name}"),
    }
}

fn rekey_many(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let at = key_column(c, table);
    let column = &table.columns[at];
    if !column.kind.is_integer() {
        return rekey(c, table, &[]);
    }
    let to = reckon(c, &column.name);
    vec![format!("UPDATE {} SET {} = {to} WHERE {}", table.place(), column.name, which(c, table))]
}

/// Rows that take each other's keys, by way of one that is free.
fn rekey_in_a_circle(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let at = key_column(c, table);
    steps_of_swap(c, table, at)
}

fn steps_of_swap(c: &mut Chance, table: &Table, at: usize) -> Vec<String> {
    let column = &table.columns[at];
    if !column.kind.is_written() {
        return Vec::new();
    }
    let (a, b) = (near(c), near(c));
    let of = |n: i64| column.kind.of(&n.to_string(), 0);
    let (place, name) = (table.place(), &column.name);
    let step = |from: i64, to: i64| {
        format!("UPDATE {place} SET {name} = {} WHERE {name}::text = ({})::text", of(to), of(from))
    };
    vec![step(a, 3000), step(b, a), step(3000, b)]
}

fn delete(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    vec![format!("DELETE FROM {} WHERE {}", table.place(), which(c, table))]
}

/// Rows go and come again, as they were or otherwise.
fn again(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let columns = written(table);
    if columns.is_empty() {
        return Vec::new();
    }
    let list = names(table, &columns);
    let place = table.place();
    if c.between(0, 1) == 0 {
        return vec![format!(
            "WITH gone AS (DELETE FROM {place} WHERE {} RETURNING *) INSERT INTO {place} ({list}){} SELECT {list} FROM gone",
            which(c, table),
            overriding(table)
        )];
    }
    let n = near(c).to_string();
    let key = &table.columns[table.key[0]];
    let values = row(c, table, &n);
    vec![
        format!("DELETE FROM {place} WHERE {}::text = ({})::text", key.name, key.kind.of(&n, 0)),
        format!("INSERT INTO {place} ({list}){} VALUES ({values}){}", overriding(table), conflict(c, table)),
    ]
}

/// A row that does not outlive its transaction, most often; it changes on the way.
fn doomed(c: &mut Chance, table: &Table, all: &[Table]) -> Vec<String> {
    let mut out = insert(c, table, all);
    out.extend(update(c, table, all));
    out.extend(rekey(c, table, all));
    let key = &table.columns[table.key[0]];
    out.push(format!(
        "DELETE FROM {} WHERE {}::text = ({})::text",
        table.place(),
        key.name,
        key.kind.of(&near(c).to_string(), 0)
    ));
    out
}

fn unique_column(c: &mut Chance, table: &Table) -> usize {
    match table.uniques.len() as i64 {
        0 => key_column(c, table),
        many => table.uniques[c.between(0, many - 1) as usize],
    }
}

fn shift_unique(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let at = unique_column(c, table);
    let column = &table.columns[at];
    if !column.kind.is_integer() {
        return update_nothing(c, table, &[]);
    }
    let to = reckon(c, &column.name);
    vec![format!("UPDATE {} SET {} = {to} WHERE {}", table.place(), column.name, which(c, table))]
}

/// In one statement, which only a constraint that waits allows.
fn swap_unique(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let at = unique_column(c, table);
    let column = &table.columns[at];
    if !column.kind.is_written() {
        return Vec::new();
    }
    let (a, b) = (column.kind.of(&near(c).to_string(), 0), column.kind.of(&near(c).to_string(), 0));
    let name = &column.name;
    vec![format!(
        "UPDATE {} SET {name} = CASE WHEN {name}::text = ({a})::text THEN {b} ELSE {a} END WHERE {name}::text IN (({a})::text, ({b})::text)",
        table.place()
    )]
}

fn swap_in_steps(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let at = unique_column(c, table);
    steps_of_swap(c, table, at)
}

/// A row once more, under another key.
fn copy_row(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    let columns = written(table);
    if columns.is_empty() {
        return Vec::new();
    }
    let n = near(c).to_string();
    let values: Vec<String> = columns
        .iter()
        .map(|i| match table.key.contains(i) || table.uniques.contains(i) {
            true => value(c, table, *i, &n),
            false => table.columns[*i].name.clone(),
        })
        .collect();
    let place = table.place();
    vec![format!(
        "INSERT INTO {place} ({}){} SELECT {} FROM {place} WHERE {} LIMIT 2",
        names(table, &columns),
        overriding(table),
        values.join(", "),
        which(c, table)
    )]
}

fn truncate(c: &mut Chance, table: &Table, all: &[Table]) -> Vec<String> {
    let mut places = vec![table.place()];
    if c.between(0, 1) == 0 {
        let other = all[c.between(0, all.len() as i64 - 1) as usize].place();
        if !places.contains(&other) {
            places.push(other);
        }
    }
    let identity = c.one_of(&["", " RESTART IDENTITY", " CONTINUE IDENTITY"]).to_owned();
    let cascade = c.one_of(&["", " CASCADE"]);
    vec![format!("TRUNCATE {}{identity}{cascade}", places.join(", "))]
}

/// The source names its rows in another way from here on; that is its own business.
fn name_otherwise(c: &mut Chance, table: &Table, _: &[Table]) -> Vec<String> {
    if table.partitioned || table.identity != Identity::Key {
        return Vec::new();
    }
    let identity = c.one_of(&["FULL", "DEFAULT"]);
    vec![format!("ALTER TABLE {} REPLICA IDENTITY {identity}", table.place())]
}
