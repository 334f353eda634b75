//! Decoding, message by message, and against pg_walstream's encoder and parser.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pg_walstream::{ColumnData, ColumnInfo, LogicalReplicationMessage as Theirs, TupleData, encode_message};
use proptest::prelude::*;

use super::{DecodeError, Decoder, Problem};
use crate::lsn::Lsn;
use crate::stream::{ChangeKind, Datum, Message, Relation, ReplicaIdentity, Tuple};

#[path = "oracle.rs"]
mod oracle;

fn encode(message: &Theirs) -> Bytes {
    let mut bytes = BytesMut::new();
    encode_message(message, 1, &mut bytes);
    bytes.freeze()
}

fn relation(oid: u32, identity: u8, columns: &[&str]) -> Theirs {
    let columns = columns.iter().enumerate();
    Theirs::Relation {
        relation_id: oid,
        namespace: Arc::from("s"),
        relation_name: Arc::from("t"),
        replica_identity: identity,
        columns: columns
            .map(|(i, name)| ColumnInfo::new(u8::from(i == 0), (*name).to_owned(), 16_400, -1))
            .collect(),
    }
}

fn row(values: &[Option<&str>]) -> TupleData {
    let value = |value: &Option<&str>| match value {
        None => ColumnData::null(),
        Some("?") => ColumnData::unchanged(),
        Some(text) => ColumnData::text(text.as_bytes().to_vec()),
    };
    TupleData::new(values.iter().map(value).collect())
}

fn known(decoder: &mut Decoder, message: &Theirs) -> Arc<Relation> {
    match decoder.decode(encode(message), Lsn(1)) {
        Ok(Message::Relation(relation)) => relation,
        other => panic!("{other:?}"),
    }
}

fn problem(decoder: &mut Decoder, frame: impl Into<Bytes>) -> Problem {
    decoder.decode(frame.into(), Lsn(1)).unwrap_err().problem
}

#[test]
fn the_same_description_is_the_same_relation() {
    let mut decoder = Decoder::new();
    let first = known(&mut decoder, &relation(1, b'd', &["a", "b"]));
    assert!(Arc::ptr_eq(&first, &known(&mut decoder, &relation(1, b'd', &["a", "b"]))));
    let insert = |values| encode(&Theirs::Insert { relation_id: 1, tuple: row(values) });
    let two = insert(&[Some("1"), None]);
    let Ok(Message::Change(change)) = decoder.decode(two.clone(), Lsn(9)) else { panic!("a change") };
    assert!(Arc::ptr_eq(&first, &change.relation));
    assert_eq!(change.lsn, Lsn(9));

    // Another one replaces it at once.
    let second = known(&mut decoder, &relation(1, b'd', &["a", "c", "d"]));
    assert_ne!(first, second);
    let wrong = problem(&mut decoder, two);
    assert_eq!(wrong, Problem::Columns { table: "s.t".to_owned(), expected: 3, found: 2 });
    // So does a type's new name.
    let named = Theirs::Type { type_id: 16_400, namespace: String::new(), type_name: "mood".to_owned() };
    decoder.decode(encode(&named), Lsn(1)).unwrap();
    let third = known(&mut decoder, &relation(1, b'd', &["a", "c", "d"]));
    assert!(!Arc::ptr_eq(&second, &third));
    assert_eq!(third.columns[0].type_name, Some(("pg_catalog".to_owned(), "mood".to_owned())));
}

#[test]
fn old_rows_are_marked_as_the_identity_demands() {
    let mut decoder = Decoder::new();
    known(&mut decoder, &relation(1, b'i', &["a", "b"]));
    known(&mut decoder, &relation(2, b'f', &["a", "b"]));
    let delete = |relation_id, key_type| {
        encode(&Theirs::Delete { relation_id, old_tuple: row(&[Some("1"), None]), key_type })
    };
    let update = |relation_id, key_type| {
        encode(&Theirs::Update {
            relation_id,
            old_tuple: Some(row(&[Some("1"), None])),
            new_tuple: row(&[Some("2"), Some("?")]),
            key_type: Some(key_type),
        })
    };
    for (oid, right, wrong) in [(1, 'K', 'O'), (2, 'O', 'K')] {
        let Ok(Message::Change(change)) = decoder.decode(update(oid, right), Lsn(1)) else {
            panic!("a change")
        };
        let old = Tuple::of([Datum::Text(b"1"), Datum::Null]);
        let new = Tuple::of([Datum::Text(b"2"), Datum::Unchanged]);
        assert_eq!(change.kind, ChangeKind::Update { old: Some(old.clone()), new });
        let Ok(Message::Change(change)) = decoder.decode(delete(oid, right), Lsn(1)) else {
            panic!("a change")
        };
        assert_eq!(change.kind, ChangeKind::Delete { old });
        for frame in [delete(oid, wrong), update(oid, wrong)] {
            let unknown = Problem::Unknown { what: "kind of row", value: wrong as u8 };
            assert_eq!(problem(&mut decoder, frame), unknown);
        }
    }
}

#[test]
fn what_the_protocol_forbids_is_an_error() {
    let mut decoder = Decoder::new();
    known(&mut decoder, &relation(1, b'd', &["a", "b"]));
    assert_eq!(problem(&mut decoder, ""), Problem::Short);
    assert_eq!(problem(&mut decoder, "S\0\0\0\x01\x01"), Problem::UnknownKind);
    assert_eq!(problem(&mut decoder, "B\0\0"), Problem::Short);
    let insert = |relation_id, values| encode(&Theirs::Insert { relation_id, tuple: row(values) });
    assert_eq!(problem(&mut decoder, insert(5, &[Some("1"), None])), Problem::UnknownRelation(5));
    // An inserted row is whole.
    let unchanged = Problem::Row { what: "the new row", table: "s.t".to_owned() };
    assert_eq!(problem(&mut decoder, insert(1, &[Some("1"), Some("?")])), unchanged);
    let truncate = encode(&Theirs::Truncate { relation_ids: vec![1, 6], flags: 3 });
    assert_eq!(problem(&mut decoder, truncate), Problem::UnknownRelation(6));
    let truncate = encode(&Theirs::Truncate { relation_ids: vec![1], flags: 4 });
    assert_eq!(problem(&mut decoder, truncate), Problem::Unknown { what: "flags", value: 4 });
    assert_eq!(problem(&mut decoder, b"O\0\0\0\0\0\0\0\0\xff\0".to_vec()), Problem::NotText);
    let mut long = insert(1, &[Some("1"), None]).to_vec();
    long.push(0);
    assert_eq!(problem(&mut decoder, long), Problem::Trailing(1));

    let error = decoder.decode(Bytes::from_static(b"B"), Lsn(0x16_0000_0001)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the source's replication message at 16/1 (kind 'B') cannot be read: it ends too early"
    );
    assert_eq!(error, DecodeError { lsn: Lsn(0x16_0000_0001), kind: Some('B'), problem: Problem::Short });
}

#[test]
fn every_prefix_of_a_message_is_an_error() {
    let mut decoder = Decoder::new();
    let relation = relation(1, b'd', &["a", "b"]);
    let values = [Some("text"), None];
    let messages = [
        relation,
        Theirs::Insert { relation_id: 1, tuple: row(&values) },
        Theirs::Update {
            relation_id: 1,
            old_tuple: Some(row(&values)),
            new_tuple: row(&[Some("a"), Some("?")]),
            key_type: Some('K'),
        },
        Theirs::Delete { relation_id: 1, old_tuple: row(&values), key_type: 'K' },
        Theirs::Truncate { relation_ids: vec![1, 1], flags: 1 },
        Theirs::Message { flags: 1, lsn: 5, prefix: "p".to_owned(), content: Bytes::from_static(b"cc") },
    ];
    for message in messages {
        let whole = encode(&message);
        assert!(oracle::check(&mut decoder, &whole).is_ok(), "{message:?}");
        for end in 0..whole.len() {
            assert!(decoder.decode(whole.slice(..end), Lsn(1)).is_err(), "{end} bytes of {message:?}");
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zéü \"]{0,12}", Just(String::new())]
}

/// Columns of the two relations that changes are made of.
const WIDTHS: [usize; 2] = [3, 5];

fn any_row(relation: usize, unchanged: bool) -> impl Strategy<Value = TupleData> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let value = prop_oneof![
        3 => bytes().prop_map(ColumnData::text),
        1 => bytes().prop_map(ColumnData::binary),
        1 => Just(ColumnData::null()),
        1 => Just(if unchanged { ColumnData::unchanged() } else { ColumnData::null() }),
    ];
    prop::collection::vec(value, WIDTHS[relation]).prop_map(TupleData::new)
}

fn any_relation() -> impl Strategy<Value = Theirs> {
    let identity = prop::sample::select(b"dnfi".to_vec());
    let column = (0..2_u8, name(), any::<u32>(), any::<i32>())
        .prop_map(|(key, name, oid, modifier)| ColumnInfo::new(key, name, oid, modifier));
    (10..20_u32, name(), name(), identity, prop::collection::vec(column, 0..8)).prop_map(
        |(relation_id, namespace, name, replica_identity, columns)| Theirs::Relation {
            relation_id,
            namespace: namespace.into(),
            relation_name: name.into(),
            replica_identity,
            columns,
        },
    )
}

/// Relation 0 is keyed, relation 1 has FULL.
fn any_change() -> impl Strategy<Value = Theirs> {
    (0..2_usize).prop_flat_map(|at| {
        let (relation_id, key) = (at as u32, if at == 0 { 'K' } else { 'O' });
        prop_oneof![
            any_row(at, false).prop_map(move |tuple| Theirs::Insert { relation_id, tuple }),
            (prop::option::of(any_row(at, false)), any_row(at, true)).prop_map(move |(old, new)| {
                let key_type = old.as_ref().map(|_| key);
                Theirs::Update { relation_id, old_tuple: old, new_tuple: new, key_type }
            }),
            any_row(at, false).prop_map(move |old| Theirs::Delete {
                relation_id,
                old_tuple: old,
                key_type: key
            }),
        ]
    })
}

fn any_message() -> impl Strategy<Value = Theirs> {
    prop_oneof![
        any::<(u64, i64, u32)>().prop_map(|(final_lsn, timestamp, xid)| Theirs::Begin {
            final_lsn,
            timestamp,
            xid
        }),
        any::<(u64, u64, i64)>().prop_map(|(commit_lsn, end_lsn, timestamp)| Theirs::Commit {
            flags: 0,
            commit_lsn,
            end_lsn,
            timestamp
        }),
        any_relation(),
        (any::<u32>(), name(), name()).prop_map(|(type_id, namespace, type_name)| Theirs::Type {
            type_id,
            namespace,
            type_name
        }),
        (any::<u64>(), name())
            .prop_map(|(origin_lsn, origin_name)| Theirs::Origin { origin_lsn, origin_name }),
        (0..2_u8, any::<u64>(), name(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(
            |(flags, lsn, prefix, content)| Theirs::Message { flags, lsn, prefix, content: content.into() }
        ),
        (prop::collection::vec(0..2_u32, 0..4), 0..4_u8)
            .prop_map(|(relation_ids, flags)| Theirs::Truncate { relation_ids, flags }),
        any_change(),
        any_change(),
        any_change(),
    ]
}

fn two_relations() -> Decoder {
    let mut decoder = Decoder::new();
    known(&mut decoder, &relation(0, b'd', &["a", "b", "c"]));
    known(&mut decoder, &relation(1, b'f', &["a", "b", "c", "d", "e"]));
    decoder
}

proptest! {
    #[test]
    fn what_pg_walstream_encodes_is_read_as_it_was(messages in prop::collection::vec(any_message(), 1..20)) {
        let mut decoder = two_relations();
        for message in messages {
            let ours = oracle::check(&mut decoder, &encode(&message));
            prop_assert!(ours.as_ref().is_ok_and(|ours| oracle::same(ours, &message)), "{:?}", ours);
        }
    }

    #[test]
    fn damaged_messages_are_read_alike_or_refused(
        message in any_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&message).to_vec();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = oracle::check(&mut two_relations(), &bytes.into());
    }
}

#[test]
fn identities() {
    let mut decoder = Decoder::new();
    for (sent, identity) in [
        (b'd', ReplicaIdentity::Default),
        (b'n', ReplicaIdentity::Nothing),
        (b'f', ReplicaIdentity::Full),
        (b'i', ReplicaIdentity::Index),
    ] {
        assert_eq!(known(&mut decoder, &relation(1, sent, &["a"])).identity, identity);
    }
    let other = encode(&relation(1, b'x', &["a"]));
    assert_eq!(problem(&mut decoder, other), Problem::Unknown { what: "replica identity", value: b'x' });
}
