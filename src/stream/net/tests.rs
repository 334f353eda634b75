//! Folding, rule by rule, and against the model.

use proptest::prelude::*;

use super::fold;
use crate::lsn::Lsn;
use crate::stream::{Change, ChangeKind, Column, Datum, Net, Relation, ReplicaIdentity, Tuple};

#[path = "model.rs"]
mod model;

use std::sync::Arc;

/// Values: `-` NULL, `?` unchanged, else text.
fn row(values: &str) -> Tuple {
    Tuple::of(values.split(' ').map(|value| match value {
        "-" => Datum::Null,
        "?" => Datum::Unchanged,
        text => Datum::Text(text.as_bytes()),
    }))
}

fn shown(row: &Tuple) -> String {
    let value = |datum| match datum {
        Datum::Null => "-".to_owned(),
        Datum::Unchanged => "?".to_owned(),
        Datum::Text(bytes) | Datum::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    row.iter().map(value).collect::<Vec<_>>().join(" ")
}

fn relation(identity: ReplicaIdentity, keys: &[bool]) -> Arc<Relation> {
    let column = |key: &bool| Column {
        name: "c".to_owned(),
        key: *key,
        type_oid: 25,
        type_modifier: -1,
        type_name: None,
    };
    let columns = keys.iter().map(column).collect();
    Arc::new(Relation { oid: 1, namespace: "s".to_owned(), name: "t".to_owned(), identity, columns })
}

/// `+ new`, `- old`, `= new`, `old > new`
fn change(relation: &Arc<Relation>, text: &str) -> Change {
    let kind = match text.split_once(" > ") {
        Some((old, new)) => ChangeKind::Update { old: Some(row(old)), new: row(new) },
        None => match text.split_at(2) {
            ("+ ", new) => ChangeKind::Insert { new: row(new) },
            ("- ", old) => ChangeKind::Delete { old: row(old) },
            (_, new) => ChangeKind::Update { old: None, new: row(new) },
        },
    };
    Change { relation: Arc::clone(relation), kind, lsn: Lsn::ZERO }
}

/// The net effect as text: deletes, updates, inserts; `serial`.
fn folded(relation: &Arc<Relation>, changes: &[&str]) -> String {
    let changes: Vec<Change> = changes.iter().map(|text| change(relation, text)).collect();
    let nets = fold(&changes);
    assert_eq!(nets.len(), 1);
    match &nets[0].net {
        Net::Rows { deletes, updates, inserts } => {
            let deletes = deletes.iter().map(|row| format!("- {}", shown(row)));
            let updates = updates.iter().map(|update| format!("= {}", shown(&update.new)));
            let inserts = inserts.iter().map(|row| format!("+ {}", shown(row)));
            deletes.chain(updates).chain(inserts).collect::<Vec<_>>().join(", ")
        }
        Net::Serial(indexes) => {
            assert!(indexes.iter().copied().eq(0..changes.len() as u32));
            "serial".to_owned()
        }
    }
}

/// With a key in the first of three columns.
fn keyed(changes: &[&str]) -> String {
    folded(&relation(ReplicaIdentity::Default, &[true, false, false]), changes)
}

#[test]
fn changes_of_one_row_become_one() {
    assert_eq!(keyed(&["+ 1 a b", "= 1 c d"]), "+ 1 c d");
    assert_eq!(keyed(&["+ 1 a b", "- 1 - -"]), "");
    assert_eq!(keyed(&["= 1 a b", "= 1 c d"]), "= 1 c d");
    assert_eq!(keyed(&["= 1 a b", "- 1 - -"]), "- 1 - -");
    assert_eq!(keyed(&["- 1 - -", "+ 1 a b"]), "- 1 - -, + 1 a b");
    assert_eq!(keyed(&["- 1 - -", "+ 1 a b", "= 1 c d"]), "- 1 - -, + 1 c d");
    assert_eq!(keyed(&["- 1 - -", "+ 1 a b", "- 1 - -"]), "- 1 - -");
    assert_eq!(keyed(&["+ 1 a b", "- 1 - -", "+ 1 c d"]), "+ 1 c d");
    assert_eq!(keyed(&["= 1 a b", "= 2 a b"]), "= 1 a b, = 2 a b");
    assert_eq!(keyed(&["+ 1 a b"]), "+ 1 a b");
    assert_eq!(keyed(&["- 2 - -", "- 1 - -"]), "- 1 - -, - 2 - -");
}

#[test]
fn unchanged_toast_keeps_what_is_known() {
    assert_eq!(keyed(&["= 1 a ?"]), "= 1 a ?");
    assert_eq!(keyed(&["= 1 a b", "= 1 c ?"]), "= 1 c b");
    assert_eq!(keyed(&["= 1 a ?", "= 1 ? b"]), "= 1 a b");
    assert_eq!(keyed(&["= 1 a ?", "= 1 ? ?"]), "= 1 a ?");
    assert_eq!(keyed(&["+ 1 a b", "= 1 c ?"]), "+ 1 c b");
    assert_eq!(keyed(&["+ 1 a -", "= 1 c ?"]), "+ 1 c -");
    assert_eq!(keyed(&["- 1 - -", "+ 1 a b", "= 1 ? c"]), "- 1 - -, + 1 a c");
}

#[test]
fn unchanged_toast_in_a_key_change() {
    assert_eq!(keyed(&["1 - - > 2 a b"]), "- 1 - -, + 2 a b");
    assert_eq!(keyed(&["1 - - > 2 a ?"]), "serial");
    assert_eq!(keyed(&["= 1 a b", "1 - - > 2 c ?"]), "- 1 - -, + 2 c b");
    assert_eq!(keyed(&["= 1 ? b", "1 - - > 2 ? ?"]), "serial");
    assert_eq!(keyed(&["= 1 a ?", "= 1 ? b", "1 - - > 2 ? ?", "2 - - > 3 ? ?"]), "- 1 - -, + 3 a b");
    assert_eq!(keyed(&["+ 1 a b", "1 - - > 2 ? ?"]), "+ 2 a b");
    assert_eq!(keyed(&["1 - - > 2 a b", "2 - - > 1 a b"]), "- 1 - -, + 1 a b");
    assert_eq!(keyed(&["1 - - > 2 a b", "- 2 - -"]), "- 1 - -");
}

#[test]
fn unchanged_toast_in_the_key_itself() {
    // The key is stored out of line and was not touched: the old row has it.
    assert_eq!(keyed(&["1 - - > ? a b"]), "= 1 a b");
    assert_eq!(keyed(&["1 - - > ? a ?", "= 1 ? c"]), "= 1 a c");
    let two = relation(ReplicaIdentity::Index, &[true, false, true]);
    assert_eq!(folded(&two, &["1 - x > ? a y"]), "- 1 - x, + 1 a y");
    // A server without the remedy of 2022 says nothing of it.
    assert_eq!(keyed(&["= ? a b"]), "serial");
}

#[test]
fn keys_swapped_through_a_third() {
    let swap = ["1 - - > 0 a a", "2 - - > 1 b b", "0 - - > 2 a a"];
    assert_eq!(
        keyed(&swap),
        "- 1 - -, - 2 - -, + 2 a a, + 1 b b".replace("+ 2 a a, + 1 b b", "+ 1 b b, + 2 a a")
    );
}

#[test]
fn keys_that_only_sql_calls_equal() {
    assert_eq!(keyed(&["1.0 - - > 1.00 a b"]), "- 1.0 - -, + 1.00 a b");
    assert_eq!(keyed(&["- 1.0 - -", "+ 1.00 a b", "- 1.00 - -"]), "- 1.0 - -");
    assert_eq!(keyed(&["1.0 - - > 1.00 a b", "1.00 - - > 1.0 c d"]), "- 1.0 - -, + 1.0 c d");
    assert_eq!(keyed(&["+ A a b", "A - - > a c ?"]), "+ a c b");
}

#[test]
fn keys_of_several_columns() {
    let apart = relation(ReplicaIdentity::Index, &[true, false, true]);
    assert_eq!(folded(&apart, &["= 1 a 2", "= 1 b 2", "= 2 c 1", "= 12 d -"]), "= 1 b 2, = 12 d -, = 2 c 1");
    let together = relation(ReplicaIdentity::Index, &[false, true, true]);
    assert_eq!(
        folded(&together, &["= a 1 2", "= b 1 2", "= c 2 1", "= d 12 -"]),
        "= b 1 2, = d 12 -, = c 2 1"
    );
}

#[test]
fn replica_identity_full() {
    let full = relation(ReplicaIdentity::Full, &[true, true]);
    assert_eq!(folded(&full, &["+ 1 a", "+ 1 a"]), "+ 1 a, + 1 a");
    assert_eq!(folded(&full, &["+ 1 a", "1 a > 1 b"]), "serial");
    assert_eq!(folded(&full, &["- 1 a"]), "serial");
}

#[test]
fn no_identity_at_all() {
    for identity in [ReplicaIdentity::Nothing, ReplicaIdentity::Default] {
        let none = relation(identity, &[false, false]);
        assert_eq!(folded(&none, &["+ 1 a", "+ 1 a"]), "+ 1 a, + 1 a");
        assert_eq!(folded(&none, &["+ 1 a", "= 1 b"]), "serial");
        assert_eq!(folded(&none, &["- 1 a"]), "serial");
    }
}

#[test]
fn what_does_not_add_up_is_not_guessed() {
    assert_eq!(keyed(&["= 1 a b", "+ 1 a b"]), "serial");
    assert_eq!(keyed(&["- 1 - -", "= 1 a b"]), "serial");
    assert_eq!(keyed(&["- 1 - -", "- 1 - -", "+ 1 a b"]), "serial");
    assert_eq!(keyed(&["= 2 a b", "1 - - > 2 a b"]), "serial");
    assert_eq!(keyed(&["+ 1 a ?"]), "serial");
    assert_eq!(keyed(&["= 2 a b", "+ 1 a ?"]), "serial");
}

#[test]
fn relations_apart_and_in_order() {
    let (one, mut two) =
        (relation(ReplicaIdentity::Default, &[true]), relation(ReplicaIdentity::Default, &[true]));
    Arc::make_mut(&mut two).oid = 2;
    let changes = [change(&two, "+ 1"), change(&one, "+ 1"), change(&two, "+ 2")];
    let oids: Vec<u32> = fold(&changes).iter().map(|net| net.relation.oid).collect();
    assert_eq!(oids, [2, 1]);
    // The same description again is the same relation; another one is not mixed with it.
    let mut again = Arc::new((*one).clone());
    let net = |changes: &[Change]| fold(changes).remove(0).net;
    assert!(matches!(net(&[change(&one, "+ 1"), change(&again, "+ 2")]), Net::Rows { .. }));
    Arc::make_mut(&mut again).columns[0].name = "d".to_owned();
    assert!(matches!(net(&[change(&one, "+ 1"), change(&again, "+ 2")]), Net::Serial(_)));
}

#[test]
fn many_keys_and_threads() {
    let tables: Vec<Arc<Relation>> = (0..5)
        .map(|oid| {
            let mut relation = relation(ReplicaIdentity::Default, &[true, false]);
            Arc::make_mut(&mut relation).oid = oid;
            relation
        })
        .collect();
    let changes: Vec<Change> =
        (0..100_000).map(|i| change(&tables[i % 5], &format!("= {} {i}", i % 20_000))).collect();
    let nets = fold(&changes);
    assert_eq!(nets.len(), 5);
    for net in nets {
        let Net::Rows { updates, .. } = net.net else { panic!("rows") };
        assert_eq!(updates.len(), 4_000);
        for update in updates {
            let row = shown(&update.new);
            let (key, value) = row.split_once(' ').unwrap();
            assert_eq!(value.parse::<usize>().unwrap(), 80_000 + key.parse::<usize>().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_net_effect_is_the_effect(
        shapes in any::<(u8, u8)>(),
        before in 0..20_usize,
        acts in prop::collection::vec(any::<[u8; 5]>(), 0..80),
    ) {
        model::check(shapes, before, &acts);
    }
}
