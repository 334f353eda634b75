//! pg_walstream's parser as the oracle: what ours reads, it reads too, and the same.
//!
//! The parent module imports what this one uses, so that the fuzz target can include it too.

use bytes::Bytes;
use pg_walstream::{ColumnData, LogicalReplicationMessage as Theirs, LogicalReplicationParser, TupleData};

use super::{ChangeKind, Datum, DecodeError, Decoder, Lsn, Message, Relation, ReplicaIdentity, Tuple};

/// Reads the frame with both; where ours gives a message, it is theirs.
pub fn check(decoder: &mut Decoder, frame: &Bytes) -> Result<Message, DecodeError> {
    let ours = decoder.decode(frame.clone(), Lsn(7))?;
    let theirs = LogicalReplicationParser::with_protocol_version(1).parse_wal_message_bytes(frame.clone());
    match theirs {
        Ok(theirs) => assert!(same(&ours, &theirs.message), "{ours:?}\n{:?}", theirs.message),
        // It is the more lenient one.
        Err(e) => assert_eq!(e.to_string(), "", "{ours:?}"),
    }
    Ok(ours)
}

/// Whether the two are the same message.
pub fn same(ours: &Message, theirs: &Theirs) -> bool {
    match (ours, theirs) {
        (Message::Begin(begin), Theirs::Begin { final_lsn, timestamp, xid }) => {
            (begin.final_lsn.0, begin.time, begin.xid) == (*final_lsn, *timestamp, *xid)
        }
        (Message::Commit(commit), Theirs::Commit { flags, commit_lsn, end_lsn, timestamp }) => {
            (0, commit.commit_lsn.0, commit.end_lsn.0, commit.time)
                == (*flags, *commit_lsn, *end_lsn, *timestamp)
        }
        (Message::Relation(ours), Theirs::Relation { .. }) => same_relation(ours, theirs),
        (Message::Type { oid, namespace, name }, Theirs::Type { type_id, namespace: n, type_name }) => {
            oid == type_id && namespace == schema(n) && name == type_name
        }
        (Message::Origin { commit_lsn, name }, Theirs::Origin { origin_lsn, origin_name }) => {
            commit_lsn.0 == *origin_lsn && name == origin_name
        }
        (Message::Change(change), theirs) => match (&change.kind, theirs) {
            (ChangeKind::Insert { new }, Theirs::Insert { relation_id, tuple }) => {
                change.relation.oid == *relation_id && same_row(new, tuple)
            }
            (
                ChangeKind::Update { old, new },
                Theirs::Update { relation_id, old_tuple, new_tuple, key_type },
            ) => {
                let part = old.as_ref().map(|_| part(&change.relation));
                let old = match (old, old_tuple) {
                    (None, None) => true,
                    (Some(ours), Some(theirs)) => same_row(ours, theirs),
                    _ => false,
                };
                change.relation.oid == *relation_id && old && same_row(new, new_tuple) && part == *key_type
            }
            (ChangeKind::Delete { old }, Theirs::Delete { relation_id, old_tuple, key_type }) => {
                let same = change.relation.oid == *relation_id && same_row(old, old_tuple);
                same && part(&change.relation) == *key_type
            }
            _ => false,
        },
        (Message::Truncate(truncate), Theirs::Truncate { relation_ids, flags }) => {
            truncate.relations.iter().map(|r| r.oid).eq(relation_ids.iter().copied())
                && *flags == u8::from(truncate.cascade) + 2 * u8::from(truncate.restart_identity)
        }
        (
            Message::Logical { transactional, lsn, prefix, content },
            Theirs::Message { flags, lsn: at, prefix: p, content: c },
        ) => u8::from(*transactional) == *flags && lsn.0 == *at && prefix == p && content == c,
        _ => false,
    }
}

fn schema(sent: &str) -> &str {
    if sent.is_empty() { "pg_catalog" } else { sent }
}

fn part(relation: &Relation) -> char {
    if relation.identity == ReplicaIdentity::Full { 'O' } else { 'K' }
}

fn same_relation(ours: &Relation, theirs: &Theirs) -> bool {
    let Theirs::Relation { relation_id, namespace, relation_name, replica_identity, columns } = theirs else {
        return false;
    };
    let identity = match ours.identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Nothing => b'n',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Index => b'i',
    };
    let same_columns = ours.columns.iter().zip(columns).all(|(ours, theirs)| {
        ours.name == *theirs.name
            && ours.key == theirs.is_key()
            && (ours.type_oid, ours.type_modifier) == (theirs.type_id, theirs.type_modifier)
    });
    ours.oid == *relation_id
        && ours.namespace == schema(namespace)
        && ours.name == **relation_name
        && identity == *replica_identity
        && ours.columns.len() == columns.len()
        && same_columns
}

fn same_row(ours: &Tuple, theirs: &TupleData) -> bool {
    let same = |(ours, theirs): (Datum, &ColumnData)| match ours {
        Datum::Null => theirs.is_null(),
        Datum::Unchanged => theirs.is_unchanged(),
        Datum::Text(bytes) => theirs.is_text() && theirs.as_bytes() == bytes,
        Datum::Binary(bytes) => theirs.is_binary() && theirs.as_bytes() == bytes,
    };
    ours.iter().count() == theirs.columns.len() && ours.iter().zip(&theirs.columns).all(same)
}
