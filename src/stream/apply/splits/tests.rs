//! Keys in both formats, ranges, and what the journal holds of them.

use super::*;
use crate::stream::relation::{Column, ReplicaIdentity};

#[test]
fn a_row_has_the_same_key_in_text_and_in_binary() {
    let column = |name: &str, type_oid, key| Column {
        name: name.into(),
        key,
        type_oid,
        type_modifier: -1,
        type_name: None,
    };
    let relation = Relation {
        oid: 1,
        namespace: "s".into(),
        name: "t".into(),
        identity: ReplicaIdentity::Default,
        columns: vec![
            column("other", 20, false),
            column("a", 20, true),
            column("b", 21, true),
            column("at", 1184, true),
            column("c", 25, true),
            column("d", 2950, true),
            column("e", 26, true),
        ],
    };
    for n in 0..200i64 {
        let (a, b) = ((n * 7919 - 500).to_string(), (n as i16 - 100).to_string());
        let (c, e) = (format!("text {n}"), n.to_string());
        let bytes = [n as u8; 16];
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let d = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        let text = Tuple::of([
            Datum::Text(b"1"),
            Datum::Text(a.as_bytes()),
            Datum::Text(b.as_bytes()),
            Datum::Text(b"2024-01-01"),
            Datum::Text(c.as_bytes()),
            Datum::Text(d.as_bytes()),
            Datum::Text(e.as_bytes()),
        ]);
        let binary = Tuple::of([
            Datum::Null,
            Datum::Binary(&(n * 7919 - 500).to_be_bytes()),
            Datum::Binary(&(n as i16 - 100).to_be_bytes()),
            Datum::Binary(b"12345678"),
            Datum::Binary(c.as_bytes()),
            Datum::Binary(&bytes),
            Datum::Binary(&(n as u32).to_be_bytes()),
        ]);
        let (mut of_text, mut of_binary) = (Teller::of(&relation), Teller::of(&relation));
        assert_eq!(of_text.key(&text).unwrap(), of_binary.key(&binary).unwrap());
    }
}

fn numbers() -> Relation {
    let column = Column { name: "id".into(), key: true, type_oid: 20, type_modifier: -1, type_name: None };
    let (namespace, name) = ("s".into(), "t".into());
    Relation { oid: 7, namespace, name, identity: ReplicaIdentity::Default, columns: vec![column] }
}

fn row(n: i64) -> Tuple {
    Tuple::of([Datum::Binary(&n.to_be_bytes())])
}

#[test]
fn neighbours_share_a_lane_and_lanes_get_alike() {
    let rows: Vec<Tuple> = (0..10_000).map(row).collect();
    let mut splits = Splits::default();
    splits.divide(&numbers(), rows.iter(), 4).unwrap();
    let relation = numbers();
    let mut ranges = splits.of(&relation).unwrap();
    let lanes: Vec<usize> = rows.iter().map(|row| ranges.lane(row).unwrap()).collect();
    assert!(lanes.is_sorted());
    for lane in 0..4 {
        let count = lanes.iter().filter(|l| **l == lane).count();
        assert!((2400..2600).contains(&count), "{count}");
    }
    // Any other row has its lane, too.
    assert_eq!(ranges.lane(&row(-1)), Some(3), "as unsigned bytes, negative numbers are the largest");
    assert_eq!(ranges.lane(&Tuple::of([Datum::Text(b"0")])), Some(0));
    assert_eq!(ranges.lane(&Tuple::of([Datum::Unchanged])), None);
}

#[test]
fn a_few_rows_are_not_divided_and_equal_ones_are_together() {
    let few: Vec<Tuple> = (0..7).map(row).collect();
    let mut splits = Splits::default();
    splits.divide(&numbers(), few.iter(), 4).unwrap();
    assert!(splits.of(&numbers()).is_none());
    let same: Vec<Tuple> = (0..8).map(|_| row(5)).collect();
    splits.divide(&numbers(), same.iter(), 4).unwrap();
    assert_eq!(splits.of(&numbers()).unwrap().lane(&row(5)), Some(3));
    assert_eq!(splits.of(&numbers()).unwrap().lane(&row(4)), Some(0));
}

#[test]
fn the_journal_gives_back_what_it_was_given() {
    let mut splits = Splits::default();
    assert_eq!(splits.to_json(), "{}", "the column's default");
    assert_eq!(Splits::from_json("{}"), Some(Splits::default()));
    let rows: Vec<Tuple> = (0..500).map(|n| row(n * 7919)).collect();
    splits.divide(&numbers(), rows.iter(), 16).unwrap();
    assert_eq!(Splits::from_json(&splits.to_json()), Some(splits.clone()));
    for bad in
        ["", "[]", "{\"7\": [\"0\"]}", "{\"7\": [\"zz\"]}", "{\"7\": [\"é\"]}", "{\"t\": []}", "{\"7\": 1}"]
    {
        assert_eq!(Splits::from_json(bad), None, "{bad}");
    }
}

#[test]
fn what_did_not_come_goes_nowhere() {
    assert_eq!(number(20, Datum::Unchanged), None);
    assert_eq!(number(20, Datum::Binary(b"1")), None);
    assert_eq!(number(20, Datum::Text(b"x")), None);
    for bad in ["", "00", "zz000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-00000000000000"] {
        assert_eq!(uuid(Datum::Text(bad.as_bytes())), None, "{bad}");
    }
}
