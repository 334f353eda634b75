//! A source of a few rows and a target that applies net effects, against which folding is tested and fuzzed.
//!
//! Keys are spelled in several ways that SQL calls equal (`a`, `0a`, `00a`), as a numeric or a citext can be. The parent module
//! imports what this one uses, so that the fuzz target can include it too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, ChangeKind, Column, Datum, Lsn, Net, Relation, ReplicaIdentity, Tuple, fold};

type Values = Vec<Option<Vec<u8>>>;
/// Rows by what SQL takes for their key.
type Rows = BTreeMap<(u8, u8), Values>;

/// A letter for each column, `k`: part of the identity.
const SHAPES: [&str; 5] = ["kvv", "vkvk", "vvkkv", "kvv full", "vv"];

/// A table on the source, with its rows.
struct Source {
    relation: Arc<Relation>,
    rows: Rows,
    /// Rows without identity: only ever added.
    heap: Vec<Values>,
    /// Whether a change was made whose row cannot be known whole, or that has no key.
    unclear: bool,
}

fn table(oid: u32, shape: &str) -> Source {
    let full = shape.ends_with(" full");
    let letters = shape.trim_end_matches(" full");
    let column = |letter| Column {
        name: "c".to_owned(),
        key: full || letter == 'k',
        type_oid: 25,
        type_modifier: -1,
        type_name: None,
    };
    let identity = match full {
        true => ReplicaIdentity::Full,
        false => ReplicaIdentity::Default,
    };
    let columns = letters.chars().map(column).collect();
    let relation = Relation { oid, namespace: "s".to_owned(), name: format!("t{oid}"), identity, columns };
    Source { relation: Arc::new(relation), rows: Rows::new(), heap: Vec::new(), unclear: false }
}

/// The positions of the columns that tell rows apart for the model; with FULL, those of the same shape without it.
fn key_columns(relation: &Relation) -> Vec<usize> {
    match relation.identity {
        ReplicaIdentity::Full => vec![0],
        _ => (0..relation.columns.len()).filter(|i| relation.columns[*i].key).collect(),
    }
}

fn class(relation: &Relation, values: &[Option<Vec<u8>>]) -> (u8, u8) {
    let last = |i: &usize| values[*i].as_ref().and_then(|text| text.last()).copied().unwrap_or_default();
    let keys = key_columns(relation);
    (keys.first().map_or(0, last), keys.get(1).map_or(0, last))
}

fn values(tuple: &Tuple) -> Vec<Option<Option<Vec<u8>>>> {
    let value = |datum| match datum {
        Datum::Unchanged => None,
        Datum::Null => Some(None),
        Datum::Text(bytes) | Datum::Binary(bytes) => Some(Some(bytes.to_vec())),
    };
    tuple.iter().map(value).collect()
}

fn tuple(values: &[Option<Vec<u8>>]) -> Tuple {
    Tuple::of(values.iter().map(|value| value.as_ref().map_or(Datum::Null, |bytes| Datum::Text(bytes))))
}

impl Source {
    /// What four bytes say, where it is possible.
    fn act(&mut self, [op, who, what, how]: [u8; 4]) -> Option<ChangeKind> {
        let keys = key_columns(&self.relation);
        let keyless = keys.is_empty();
        let is_key = |i: usize| keys.contains(&i);
        let spelled = |who: u8| -> Vec<Vec<u8>> {
            let zeros = "0".repeat(usize::from(how >> 6) % 3);
            vec![format!("{zeros}{}", char::from(b'a' + who % 3)).into(), vec![b'x' + who / 3 % 2]]
        };
        let value = |i: usize| match (what as usize + i) % 5 {
            0 => None,
            n => Some(vec![b'0' + what % 10; n * usize::from(how % 4)]),
        };
        let fresh = |who: u8| -> Values {
            let mut key = spelled(who).into_iter();
            (0..self.relation.columns.len()).map(|i| if is_key(i) { key.next() } else { value(i) }).collect()
        };
        let relation = Arc::clone(&self.relation);
        let at = class(&relation, &fresh(who));
        // The old row as the source logs it.
        let logged = |row: &Values| {
            let kept = row.iter().enumerate().map(|(i, value)| {
                let sent = relation.identity == ReplicaIdentity::Full || is_key(i);
                if sent { value.clone() } else { None }
            });
            tuple(&kept.collect::<Values>())
        };
        match op % 4 {
            0 if keyless => {
                let new = fresh(who);
                self.heap.push(new.clone());
                Some(ChangeKind::Insert { new: tuple(&new) })
            }
            0 if !self.rows.contains_key(&at) => {
                let new = fresh(who);
                self.rows.insert(at, new.clone());
                Some(ChangeKind::Insert { new: tuple(&new) })
            }
            1 | 2 if !keyless => {
                let row = self.rows.get(&at)?.clone();
                let mut new = row.clone();
                if op % 4 == 2 {
                    let mut key = spelled(what).into_iter();
                    for i in &keys {
                        new[*i] = key.next();
                    }
                }
                let to = class(&relation, &new);
                if to != at && self.rows.contains_key(&to) {
                    return None;
                }
                let moved = new != row;
                // Two bits for each of the first columns: written, left alone but sent, or not sent.
                let mut unsent = vec![false; new.len()];
                for i in (0..new.len()).filter(|i| !is_key(*i)) {
                    match how >> (i % 3 * 2) & 3 {
                        0 | 1 => new[i] = value(i),
                        2 => unsent[i] = new[i].is_some(),
                        _ => {}
                    }
                }
                let old = moved || relation.identity == ReplicaIdentity::Full || what > 200;
                // An identity column that is stored out of line and not touched is in the old row only.
                if old && what > 220 {
                    keys.iter().for_each(|i| unsent[*i] = new[*i] == row[*i]);
                }
                self.unclear |= relation.identity == ReplicaIdentity::Full
                    || moved && (0..new.len()).any(|i| unsent[i] && !is_key(i));
                self.rows.remove(&at);
                self.rows.insert(to, new.clone());
                let new = new.iter().zip(&unsent).map(|(value, unsent)| match (unsent, value) {
                    (true, _) => Datum::Unchanged,
                    (false, None) => Datum::Null,
                    (false, Some(bytes)) => Datum::Text(bytes),
                });
                Some(ChangeKind::Update { old: old.then(|| logged(&row)), new: Tuple::of(new) })
            }
            3 => {
                let row = self.rows.remove(&at)?;
                self.unclear |= relation.identity == ReplicaIdentity::Full;
                Some(ChangeKind::Delete { old: logged(&row) })
            }
            _ => None,
        }
    }
}

/// One table of the target.
struct Target {
    relation: Arc<Relation>,
    rows: Rows,
    heap: Vec<Values>,
}

impl Target {
    fn class(&self, tuple: &Tuple) -> (u8, u8) {
        let values: Values = values(tuple).into_iter().map(Option::flatten).collect();
        class(&self.relation, &values)
    }

    fn insert(&mut self, new: &Tuple) {
        assert!(!new.has_unchanged(), "an inserted row is whole");
        let row: Values = values(new).into_iter().map(Option::flatten).collect();
        if key_columns(&self.relation).is_empty() {
            return self.heap.push(row);
        }
        let there = self.rows.insert(class(&self.relation, &row), row);
        assert_eq!(there, None, "a unique violation");
    }

    fn update(&mut self, by: &Tuple, new: &Tuple) {
        let row = self.rows.remove(&self.class(by));
        assert!(row.is_some(), "an update finds its row");
        let mut row = row.unwrap_or_default();
        for (value, new) in row.iter_mut().zip(values(new)) {
            if let Some(new) = new {
                *value = new;
            }
        }
        let there = self.rows.insert(class(&self.relation, &row), row);
        assert_eq!(there, None, "a unique violation");
    }

    fn delete(&mut self, old: &Tuple) {
        assert!(self.rows.remove(&self.class(old)).is_some(), "a delete finds its row");
    }

    fn apply(&mut self, net: &Net, changes: &[Change]) {
        match net {
            Net::Rows { deletes, updates, inserts } => {
                deletes.iter().for_each(|old| self.delete(old));
                for update in updates {
                    for i in key_columns(&self.relation) {
                        assert_ne!(update.new.iter().nth(i), Some(Datum::Unchanged), "no key");
                    }
                    self.update(&update.new, &update.new);
                }
                inserts.iter().for_each(|new| self.insert(new));
            }
            Net::Serial(indexes) => {
                let all = changes.iter().enumerate();
                let mine = all.filter(|(_, change)| change.relation.oid == self.relation.oid);
                assert!(mine.map(|(i, _)| i as u32).eq(indexes.iter().copied()), "all its changes");
                for i in indexes {
                    match &changes[*i as usize].kind {
                        ChangeKind::Insert { new } => self.insert(new),
                        ChangeKind::Update { old, new } => self.update(old.as_ref().unwrap_or(new), new),
                        ChangeKind::Delete { old } => self.delete(old),
                    }
                }
            }
        }
    }
}

/// Acts on two tables of these shapes and compares the source's rows with those of a target that gets net effects only. The
/// bytes of an act: which table and whether a segment ends, and what [`Source::act`] reads. The first `before` acts are made
/// before the target is copied.
pub fn check(shapes: (u8, u8), before: usize, acts: &[[u8; 5]]) {
    let shape = |n: u8| SHAPES[usize::from(n) % SHAPES.len()];
    let mut sources = [table(1, shape(shapes.0)), table(2, shape(shapes.1))];
    let (first, rest) = acts.split_at(before.min(acts.len()));
    for [table, act @ ..] in first {
        sources[usize::from(table % 2)].act(*act);
    }
    let copy = |source: &Source| Target {
        relation: Arc::clone(&source.relation),
        rows: source.rows.clone(),
        heap: source.heap.clone(),
    };
    let mut targets = sources.each_ref().map(copy);
    for segment in rest.split_inclusive(|[ends, ..]| *ends > 240) {
        let mut changes = Vec::new();
        sources.iter_mut().for_each(|source| source.unclear = false);
        for [table, act @ ..] in segment {
            let source = &mut sources[usize::from(table % 2)];
            if let Some(kind) = source.act(*act) {
                changes.push(Change { relation: Arc::clone(&source.relation), kind, lsn: Lsn::ZERO });
            }
        }
        for net in fold(&changes) {
            let at = net.relation.oid as usize - 1;
            let serial = matches!(net.net, Net::Serial(_));
            assert!(!serial || sources[at].unclear, "serial without need");
            targets[at].apply(&net.net, &changes);
        }
        for (source, target) in sources.iter().zip(&targets) {
            assert_eq!(source.rows, target.rows, "{changes:#?}");
            assert_eq!(source.heap, target.heap);
        }
    }
}
