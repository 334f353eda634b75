//! pgoutput's bytes → [`Message`]s (protocol 1; `src/backend/replication/logical/proto.c`, PostgreSQL manual, "Logical Replication
//! Message Formats").
//!
//! This parser is our own, and pg_walstream's is the oracle it is tested, fuzzed and measured against: that one makes a vector
//! of reference-counted values of each row, whereas a row that only passes through needs none of it. Here a row stays
//! the one slice that came ([`Tuple`]), checked once, so a change costs no allocation however many columns it has; and
//! what the protocol forbids (trailing bytes, a row that does not have its relation's columns, a relation never described) is an
//! error and not passed on.
//!
//! Invariant: any bytes give a message or an error; after an error the decoder is not used further.
//! Of protocol 2, [`super::in_progress`] makes what protocol 1 would have sent; the messages of protocols 3 and 4 (prepared
//! transactions, transactions applied before they commit) are refused: they are not asked for.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustc_hash::FxHashMap;

use super::batch::Commit;
use super::change::{Change, ChangeKind};
use super::message::{Begin, Message, Truncate};
use super::relation::{Column, Relation, ReplicaIdentity};
use super::tuple::Tuple;
use crate::lsn::Lsn;

/// A message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source's replication message at {lsn}{} cannot be read: {problem}", kind.map(|k| format!(" (kind {k:?})")).unwrap_or_default())]
pub struct DecodeError {
    /// The position that came with it.
    pub lsn: Lsn,
    /// Its kind.
    pub kind: Option<char>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not of protocol 1.
    #[error("a message of this kind is not part of the protocol that was asked for")]
    UnknownKind,
    /// Too few bytes.
    #[error("it ends too early")]
    Short,
    /// Too many bytes.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// A name that is no UTF-8.
    #[error("a name in it is not valid UTF-8")]
    NotText,
    /// A relation that was not described before.
    #[error("the table with OID {0} was not described before")]
    UnknownRelation(u32),
    /// A row of another shape than its relation.
    #[error("a row of table {table} has {found} columns instead of {expected}")]
    Columns {
        /// `schema.table`
        table: String,
        /// Columns of the relation.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
    /// A value that has no meaning there.
    #[error("{what} of table {table} is malformed")]
    Row {
        /// Which row.
        what: &'static str,
        /// `schema.table`
        table: String,
    },
    /// A byte or number that has no meaning there.
    #[error("unknown {what} {value}")]
    Unknown {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u8,
    },
}

/// Reads messages, and remembers what the source has described. A clone goes its own way from there.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    relations: FxHashMap<u32, Arc<Relation>>,
    types: HashMap<u32, (String, String)>,
    /// The relation of the last change: the next change's, most often.
    last: Option<Arc<Relation>>,
}

impl Decoder {
    /// For a new session of the stream: the source describes every relation again before its first change.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// A table as it was last described.
    pub(super) fn described(&self, oid: u32) -> Option<Arc<Relation>> {
        self.relations.get(&oid).map(Arc::clone)
    }

    /// Takes a table's description over. (Types need not be: the source names them again before every description.)
    pub(super) fn adopt(&mut self, other: &Decoder, oid: u32) {
        if let Some(relation) = other.described(oid) {
            self.relations.insert(oid, relation);
            self.last = None;
        }
    }

    /// Reads the payload of one XLogData message that came with the position `wal_start`.
    pub fn decode(&mut self, mut frame: Bytes, wal_start: Lsn) -> Result<Message, DecodeError> {
        let kind = frame.first().copied();
        self.message(&mut frame, wal_start)
            .and_then(|message| match frame.len() {
                0 => Ok(message),
                n => Err(Problem::Trailing(n)),
            })
            .map_err(|problem| DecodeError { lsn: wal_start, kind: kind.map(char::from), problem })
    }

    fn message(&mut self, frame: &mut Bytes, lsn: Lsn) -> Result<Message, Problem> {
        Ok(match byte(frame)? {
            b'B' => {
                Message::Begin(Begin { final_lsn: position(frame)?, time: time(frame)?, xid: number(frame)? })
            }
            b'C' => {
                none(byte(frame)?, "flags")?;
                let (commit_lsn, end_lsn) = (position(frame)?, position(frame)?);
                Message::Commit(Commit { commit_lsn, end_lsn, time: time(frame)? })
            }
            b'O' => Message::Origin { commit_lsn: position(frame)?, name: text(frame)? },
            b'R' => Message::Relation(self.relation(frame)?),
            b'Y' => {
                let (oid, namespace, name) = (number(frame)?, namespace(frame)?, text(frame)?);
                self.types.insert(oid, (namespace.clone(), name.clone()));
                Message::Type { oid, namespace, name }
            }
            b'I' => {
                let relation = self.known(number(frame)?)?;
                expect(byte(frame)?, b"N", "kind of row")?;
                let new = row(frame, &relation, "the new row", false)?;
                Message::Change(Change { relation, kind: ChangeKind::Insert { new }, lsn })
            }
            b'U' => {
                let relation = self.known(number(frame)?)?;
                let mut part = byte(frame)?;
                let mut old = None;
                if part != b'N' {
                    expect(part, old_part(&relation), "kind of row")?;
                    old = Some(row(frame, &relation, "the old row", false)?);
                    part = byte(frame)?;
                }
                expect(part, b"N", "kind of row")?;
                let new = row(frame, &relation, "the new row", true)?;
                Message::Change(Change { relation, kind: ChangeKind::Update { old, new }, lsn })
            }
            b'D' => {
                let relation = self.known(number(frame)?)?;
                expect(byte(frame)?, old_part(&relation), "kind of row")?;
                let old = row(frame, &relation, "the old row", false)?;
                Message::Change(Change { relation, kind: ChangeKind::Delete { old }, lsn })
            }
            b'T' => {
                let (count, flags) = (number(frame)?, byte(frame)?);
                none(flags & !3, "flags")?;
                let mut relations = Vec::with_capacity((count as usize).min(frame.len() / 4));
                for _ in 0..count {
                    relations.push(self.known(number(frame)?)?);
                }
                Message::Truncate(Truncate {
                    relations,
                    cascade: flags & 1 != 0,
                    restart_identity: flags & 2 != 0,
                })
            }
            b'M' => {
                let flags = byte(frame)?;
                none(flags & !1, "flags")?;
                let (lsn, prefix, length) = (position(frame)?, text(frame)?, number(frame)? as usize);
                if frame.len() < length {
                    return Err(Problem::Short);
                }
                let content = frame.split_to(length);
                Message::Logical { transactional: flags & 1 != 0, lsn, prefix, content }
            }
            _ => return Err(Problem::UnknownKind),
        })
    }

    /// The relation that was described under this OID.
    fn known(&mut self, oid: u32) -> Result<Arc<Relation>, Problem> {
        if let Some(last) = self.last.as_ref().filter(|last| last.oid == oid) {
            return Ok(Arc::clone(last));
        }
        let found = self.relations.get(&oid).ok_or(Problem::UnknownRelation(oid))?;
        self.last = Some(Arc::clone(found));
        Ok(Arc::clone(found))
    }

    /// Reads a description; the same one again is the same value.
    fn relation(&mut self, frame: &mut Bytes) -> Result<Arc<Relation>, Problem> {
        let (oid, namespace, name) = (number(frame)?, namespace(frame)?, text(frame)?);
        let identity = match byte(frame)? {
            b'd' => ReplicaIdentity::Default,
            b'n' => ReplicaIdentity::Nothing,
            b'f' => ReplicaIdentity::Full,
            b'i' => ReplicaIdentity::Index,
            value => return Err(Problem::Unknown { what: "replica identity", value }),
        };
        let count = short(frame)?;
        // A column takes ten bytes at least: a count that lies reserves nothing.
        let mut columns = Vec::with_capacity(usize::from(count).min(frame.len() / 10));
        for _ in 0..count {
            let flags = byte(frame)?;
            none(flags & !1, "flags of a column")?;
            let (name, type_oid, modifier) = (text(frame)?, number(frame)?, number(frame)?);
            columns.push(Column {
                name,
                key: flags & 1 != 0,
                type_oid,
                type_modifier: modifier as i32,
                type_name: self.types.get(&type_oid).cloned(),
            });
        }
        let relation = Relation { oid, namespace, name, identity, columns };
        if let Some(known) = self.relations.get(&oid).filter(|known| ***known == relation) {
            return Ok(Arc::clone(known));
        }
        let relation = Arc::new(relation);
        self.relations.insert(oid, Arc::clone(&relation));
        self.last = None;
        Ok(relation)
    }
}

/// How an old row is marked: the server decides by the same field that the relation's description has.
fn old_part(relation: &Relation) -> &'static [u8] {
    if relation.identity == ReplicaIdentity::Full { b"O" } else { b"K" }
}

/// A row of this relation; `Unchanged` values only where they can be.
fn row(
    frame: &mut Bytes,
    relation: &Relation,
    what: &'static str,
    may_be_unchanged: bool,
) -> Result<Tuple, Problem> {
    let found = short(frame)?;
    if usize::from(found) != relation.columns.len() {
        let (table, expected) = (relation.identity_name(), relation.columns.len());
        return Err(Problem::Columns { table, expected, found: found.into() });
    }
    let (tuple, unchanged) = Tuple::split_and_look(frame, found)
        .ok_or_else(|| Problem::Row { what, table: relation.identity_name() })?;
    match unchanged && !may_be_unchanged {
        true => Err(Problem::Row { what, table: relation.identity_name() }),
        false => Ok(tuple),
    }
}

fn byte(frame: &mut Bytes) -> Result<u8, Problem> {
    frame.try_get_u8().map_err(|_| Problem::Short)
}

fn short(frame: &mut Bytes) -> Result<u16, Problem> {
    frame.try_get_u16().map_err(|_| Problem::Short)
}

fn number(frame: &mut Bytes) -> Result<u32, Problem> {
    frame.try_get_u32().map_err(|_| Problem::Short)
}

fn position(frame: &mut Bytes) -> Result<Lsn, Problem> {
    frame.try_get_u64().map(Lsn).map_err(|_| Problem::Short)
}

fn time(frame: &mut Bytes) -> Result<i64, Problem> {
    frame.try_get_i64().map_err(|_| Problem::Short)
}

/// Text up to a zero byte.
fn text(frame: &mut Bytes) -> Result<String, Problem> {
    let end = frame.iter().position(|b| *b == 0).ok_or(Problem::Short)?;
    let bytes = frame.split_to(end);
    frame.advance(1);
    String::from_utf8(bytes.into()).map_err(|_| Problem::NotText)
}

/// A schema's name; `pg_catalog` is sent as nothing.
fn namespace(frame: &mut Bytes) -> Result<String, Problem> {
    text(frame).map(|name| if name.is_empty() { "pg_catalog".to_owned() } else { name })
}

fn none(value: u8, what: &'static str) -> Result<(), Problem> {
    if value == 0 { Ok(()) } else { Err(Problem::Unknown { what, value }) }
}

fn expect(value: u8, one_of: &[u8], what: &'static str) -> Result<(), Problem> {
    if one_of.contains(&value) { Ok(()) } else { Err(Problem::Unknown { what, value }) }
}

#[cfg(test)]
mod tests;
