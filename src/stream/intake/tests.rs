//! Transactions that come in parts give what the same ones give that come whole, against a model of what pgoutput sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pg_walstream::{ColumnData, ColumnInfo, LogicalReplicationMessage as Theirs, TupleData, encode_message};
use proptest::prelude::*;

use super::Intake;
use crate::lsn::Lsn;
use crate::stream::{
    Batch, Batcher, ChangeKind, Datum, InProgress, Limits, Segment, Status, StreamError, Taken,
};

/// Small, so that much is read back in many pieces, and from files.
const BATCH: Limits = Limits { bytes: usize::MAX, changes: 5 };
const MEMORY: usize = 40_000;

fn encode(message: &Theirs) -> Bytes {
    let mut bytes = BytesMut::new();
    encode_message(message, 1, &mut bytes);
    bytes.freeze()
}

/// A table's version in its name, as after `ALTER … RENAME`.
pub(in crate::stream) fn description(oid: u32, version: u32) -> Bytes {
    encode(&Theirs::Relation {
        relation_id: oid,
        namespace: Arc::from("s"),
        relation_name: Arc::from(format!("t{oid}v{version}").as_str()),
        replica_identity: b'd',
        columns: vec![ColumnInfo::new(1, "key".to_owned(), 25, -1)],
    })
}

pub(in crate::stream) fn insert(oid: u32, key: usize, width: usize) -> Bytes {
    let value = format!("{key:0>width$}");
    encode(&Theirs::Insert {
        relation_id: oid,
        tuple: TupleData::new(vec![ColumnData::text(value.into_bytes())]),
    })
}

fn truncate(oid: u32) -> Bytes {
    encode(&Theirs::Truncate { relation_ids: vec![oid], flags: 0 })
}

pub(in crate::stream) fn begin(at: u64) -> Bytes {
    encode(&Theirs::Begin { final_lsn: at, timestamp: 0, xid: 1 })
}

pub(in crate::stream) fn commit(at: u64) -> Bytes {
    encode(&Theirs::Commit { flags: 0, commit_lsn: at, end_lsn: at + 5, timestamp: 0 })
}

/// With the id that a message has inside a block.
fn inside(own: u32, message: &Bytes) -> Bytes {
    [&message[..1], &own.to_be_bytes(), &message[1..]].concat().into()
}

/// Frames as a walsender makes them, one after the other.
#[derive(Debug, Default)]
pub(in crate::stream) struct Wal(pub Vec<u8>);

impl Wal {
    pub fn send(&mut self, at: u64, payload: &[u8]) {
        self.0.push(b'd');
        self.0.extend((payload.len() as u32 + 29).to_be_bytes());
        self.0.push(b'w');
        self.0.extend(at.to_be_bytes());
        self.0.extend([0; 16]);
        self.0.extend(payload);
    }

    fn keepalive(&mut self, at: u64) {
        self.0.extend(b"d\0\0\0\x16k");
        self.0.extend(at.to_be_bytes());
        self.0.extend([0; 9]);
    }
}

/// What was applied: `t1v2 7` or `truncate t1v2`, with the commits.
#[derive(Clone, Debug, Default, PartialEq)]
struct Applied {
    changes: Vec<String>,
    commits: Vec<(u64, usize)>,
}

impl Applied {
    fn batch(&mut self, batch: Batch) {
        for segment in batch.segments {
            match segment {
                Segment::Truncate { relations, .. } => {
                    self.changes
                        .extend(relations.iter().map(|relation| format!("truncate {}", relation.name)));
                }
                Segment::Rows { changes, .. } => {
                    for change in changes {
                        let ChangeKind::Insert { new } = &change.kind else { panic!("{change:?}") };
                        let Some(Datum::Text(key)) = new.iter().next() else { panic!("{change:?}") };
                        let key: usize = std::str::from_utf8(key).unwrap().parse().unwrap();
                        self.changes.push(format!("{} {key}", change.relation.name));
                    }
                }
            }
        }
        if let Some(ends) = batch.ends {
            // Batches end where they will: only the last commit and what precedes it count.
            self.commits.push((ends.commit_lsn.0, self.changes.len()));
        }
    }
}

fn intake() -> Intake {
    let batcher = Batcher::new(&[], BATCH, Taken::everything());
    Intake::new(batcher, InProgress::new(MEMORY, std::env::temp_dir()), Arc::default())
}

/// Reads it all, chunk by chunk.
fn read(intake: &mut Intake, wal: Wal, applied: &mut Applied) -> Result<(), StreamError> {
    assert!(intake.is_done());
    intake.give(wal.0.into());
    while !intake.is_done() {
        intake.step()?;
        while intake.batcher.is_full() {
            let Some(batch) = intake.batcher.take() else { break };
            applied.batch(batch);
        }
    }
    Ok(())
}

fn finish(mut intake: Intake, mut applied: Applied) -> Applied {
    while let Some(batch) = intake.batcher.take_ready() {
        applied.batch(batch);
    }
    applied
}

#[test]
fn a_transaction_in_progress_comes_between_those_that_commit_before_and_after_it() {
    let (mut intake, mut applied, mut wal) = (intake(), Applied::default(), Wal::default());
    wal.send(1, b"S\0\0\0\x09\x01");
    wal.send(1, &inside(9, &description(1, 1)));
    wal.send(1, &inside(9, &insert(1, 1, 1)));
    wal.send(1, b"E");
    for at in [10, 20] {
        wal.send(2, &begin(at));
        wal.send(2, &description(1, 0));
        wal.send(2, &insert(1, at as usize, 1));
        wal.send(at + 5, &commit(at));
    }
    read(&mut intake, wal, &mut applied).unwrap();
    // It is in nobody's way: the position is that of what has committed.
    applied.batch(intake.batcher.take_ready().unwrap());
    assert_eq!(intake.batcher.settled(), Lsn(25));
    let mut wal = Wal::default();
    wal.keepalive(28);
    read(&mut intake, wal, &mut applied).unwrap();
    assert_eq!((intake.batcher.settled(), intake.in_progress.transactions()), (Lsn(28), 1));

    let mut wal = Wal::default();
    let mut end = b"c\0\0\0\x09\0".to_vec();
    end.extend([30_u64.to_be_bytes(), 35_u64.to_be_bytes(), [0; 8]].concat());
    wal.send(35, &end);
    // The table was described to others since.
    wal.send(36, &begin(40));
    wal.send(36, &insert(1, 40, 1));
    wal.send(45, &commit(40));
    read(&mut intake, wal, &mut applied).unwrap();
    let applied = finish(intake, applied);
    assert_eq!(applied.changes, ["t1v0 10", "t1v0 20", "t1v1 1", "t1v0 40"]);
    assert_eq!(applied.commits, [(20, 2), (30, 3), (40, 4)], "columns that change end a batch");
}

#[test]
fn one_that_commits_after_the_limit_is_late_as_any_other() {
    let (mut intake, mut applied, mut wal) = (intake(), Applied::default(), Wal::default());
    wal.send(1, b"S\0\0\0\x09\x01");
    wal.send(1, &inside(9, &description(1, 1)));
    for key in 0..20 {
        wal.send(1, &inside(9, &insert(1, key, 1)));
    }
    wal.send(1, b"E");
    read(&mut intake, wal, &mut applied).unwrap();
    intake.batcher.set_limit(Lsn(30));
    let mut wal = Wal::default();
    let mut end = b"c\0\0\0\x09\0".to_vec();
    end.extend([30_u64.to_be_bytes(), 35_u64.to_be_bytes(), [0; 8]].concat());
    wal.send(35, &end);
    wal.keepalive(50);
    read(&mut intake, wal, &mut applied).unwrap();
    let late = intake.status.late();
    assert_eq!((late.transactions, late.changes), (1, BTreeMap::from([("s.t1v1".to_owned(), 20)])));
    assert_eq!((intake.batcher.settled(), finish(intake, applied)), (Lsn(30), Applied::default()));
}

#[test]
fn errors_say_where_and_whether_anybody_is_to_blame() {
    let fail = |intake: &mut Intake, wal| read(intake, wal, &mut Applied::default()).unwrap_err();
    let mut wal = Wal::default();
    wal.send(0x16_0000_0001, b"E");
    let error = fail(&mut intake(), wal);
    assert!(error.to_string().starts_with("source: a message of kind 'E' came where"), "{error}");
    assert!(error.to_string().ends_with("(at LSN 16/1)"), "{error}");
    let mut wal = Wal::default();
    wal.send(1, b"S\0\0\0\x09\x01");
    wal.send(2, &inside(9, &insert(1, 1, MEMORY)));
    let batcher = Batcher::new(&[], BATCH, Taken::everything());
    let error =
        fail(&mut Intake::new(batcher, InProgress::new(1, "/no".into()), Arc::new(Status::default())), wal);
    assert!(matches!(error, StreamError::Spill(_)) && !error.is_retryable(), "{error}");
}

/// What happens next on the source.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Transaction n changes table t.
    Insert(usize, u32),
    Truncate(usize, u32),
    Savepoint(usize),
    Release(usize),
    RollBackTo(usize),
    /// What transaction n has done is sent.
    Stream(usize),
    Commit(usize),
    RollBack(usize),
    /// The name of table t changes.
    Rename(u32),
    Keepalive,
}

/// A change: by whom, which table, what; with what the table was called.
#[derive(Clone, Debug)]
struct Done {
    own: u32,
    oid: u32,
    message: Bytes,
    said: String,
}

/// One transaction of the source.
#[derive(Clone, Debug, Default)]
struct Session {
    xid: u32,
    /// Open subtransactions, each with those inside it that were released.
    open: Vec<Vec<u32>>,
    /// Not sent yet, and sent.
    fresh: Vec<Done>,
    sent: Vec<Done>,
    streamed: bool,
    /// Tables described in it.
    schemas: BTreeSet<u32>,
}

/// The source: what its walsender sends, and what it would send of whole transactions.
#[derive(Debug, Default)]
struct Model {
    wal: Wal,
    sessions: BTreeMap<usize, Session>,
    xids: u32,
    versions: BTreeMap<u32, u32>,
    schemas: BTreeSet<u32>,
    lsn: u64,
    keys: usize,
    expected: Applied,
}

impl Model {
    fn xid(&mut self) -> u32 {
        self.xids += 1;
        self.xids
    }

    fn change(&mut self, n: usize, oid: u32, truncates: bool) {
        self.keys += 1;
        self.lsn += 1;
        let key = self.keys;
        let message = if truncates { truncate(oid) } else { insert(oid, key, 1 + key % 7 * 500) };
        let version = *self.versions.entry(oid).or_default();
        let said =
            if truncates { format!("truncate t{oid}v{version}") } else { format!("t{oid}v{version} {key}") };
        if !self.sessions.contains_key(&n) {
            let xid = self.xid();
            self.sessions.insert(n, Session { xid, ..Session::default() });
        }
        let Some(session) = self.sessions.get_mut(&n) else { return };
        let own = session.open.last().map_or(session.xid, |inside| inside[0]);
        session.fresh.push(Done { own, oid, message, said });
    }

    fn rename(&mut self, oid: u32) {
        // What was not sent yet would be sent under the name it had then: to keep the model simple, it goes out first.
        for n in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.stream(n);
        }
        *self.versions.entry(oid).or_default() += 1;
        self.schemas.remove(&oid);
        for session in self.sessions.values_mut() {
            session.schemas.remove(&oid);
        }
    }

    fn stream(&mut self, n: usize) {
        let Some(session) = self.sessions.get_mut(&n) else { return };
        let wal = &mut self.wal;
        let mut start = b"S".to_vec();
        start.extend(session.xid.to_be_bytes());
        start.push(u8::from(!session.streamed));
        wal.send(self.lsn, &start);
        session.streamed = true;
        for done in session.fresh.drain(..) {
            if session.schemas.insert(done.oid) {
                let version = self.versions.get(&done.oid).copied().unwrap_or_default();
                wal.send(self.lsn, &inside(done.own, &description(done.oid, version)));
            }
            wal.send(self.lsn, &inside(done.own, &done.message));
            session.sent.push(done);
        }
        wal.send(self.lsn, b"E");
    }

    fn roll_back_to(&mut self, n: usize) {
        let Some(session) = self.sessions.get_mut(&n) else { return };
        let Some(mut gone) = session.open.pop() else { return };
        session.fresh.retain(|done| !gone.contains(&done.own));
        // Those inside it first, as the abort record lists them.
        gone.rotate_left(1);
        for own in &gone {
            if session.sent.iter().any(|done| done.own == *own) {
                let abort = [&b"A"[..], &session.xid.to_be_bytes(), &own.to_be_bytes()].concat();
                self.wal.send(self.lsn, &abort);
                session.schemas.clear();
            }
        }
        session.sent.retain(|done| !gone.contains(&done.own));
    }

    fn commit(&mut self, n: usize) {
        self.lsn += 10;
        let at = self.lsn;
        if self.sessions.get(&n).is_some_and(|session| session.streamed && !session.fresh.is_empty()) {
            self.stream(n);
        }
        let Some(mut session) = self.sessions.remove(&n) else { return };
        if session.streamed {
            let mut end = b"c".to_vec();
            end.extend(session.xid.to_be_bytes());
            end.push(0);
            end.extend([at.to_be_bytes(), (at + 5).to_be_bytes(), [0; 8]].concat());
            self.wal.send(at + 5, &end);
            self.schemas.append(&mut session.schemas);
        } else {
            self.wal.send(at, &begin(at));
            for done in &session.fresh {
                if self.schemas.insert(done.oid) {
                    let version = self.versions.get(&done.oid).copied().unwrap_or_default();
                    self.wal.send(at, &description(done.oid, version));
                }
                self.wal.send(at, &done.message);
            }
            self.wal.send(at + 5, &commit(at));
        }
        self.lsn += 5;
        self.expected.changes.extend(session.sent.into_iter().chain(session.fresh).map(|done| done.said));
        self.expected.commits.push((at, self.expected.changes.len()));
    }

    fn roll_back(&mut self, n: usize) {
        let Some(session) = self.sessions.remove(&n) else { return };
        if session.streamed {
            let xid = session.xid.to_be_bytes();
            self.wal.send(self.lsn, &[&b"A"[..], &xid, &xid].concat());
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(n, oid) => self.change(n, oid, false),
            Step::Truncate(n, oid) => self.change(n, oid, true),
            Step::Savepoint(n) => {
                let own = self.xid();
                if let Some(session) = self.sessions.get_mut(&n) {
                    session.open.push(vec![own]);
                }
            }
            Step::Release(n) => {
                if let Some(session) = self.sessions.get_mut(&n)
                    && let Some(inside) = session.open.pop()
                    && let Some(outer) = session.open.last_mut()
                {
                    outer.extend(inside);
                }
            }
            Step::RollBackTo(n) => self.roll_back_to(n),
            Step::Stream(n) => self.stream(n),
            Step::Commit(n) => self.commit(n),
            Step::RollBack(n) => self.roll_back(n),
            Step::Rename(oid) => self.rename(oid),
            Step::Keepalive => self.wal.keepalive(self.lsn),
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let n = || 0..4_usize;
    let oid = || 1..4_u32;
    prop_oneof![
        8 => (n(), oid()).prop_map(|(n, oid)| Step::Insert(n, oid)),
        1 => (n(), oid()).prop_map(|(n, oid)| Step::Truncate(n, oid)),
        2 => n().prop_map(Step::Savepoint),
        1 => n().prop_map(Step::Release),
        2 => n().prop_map(Step::RollBackTo),
        4 => n().prop_map(Step::Stream),
        1 => n().prop_map(Step::Commit),
        1 => n().prop_map(Step::RollBack),
        1 => oid().prop_map(Step::Rename),
        1 => Just(Step::Keepalive),
    ]
}

proptest! {
    #[test]
    fn parts_give_what_the_whole_gives(
        steps in prop::collection::vec(any_step(), 0..150),
        chunk in 1..20_usize,
    ) {
        let (mut intake, mut applied, mut model) = (intake(), Applied::default(), Model::default());
        for (i, step) in steps.into_iter().enumerate() {
            model.step(step);
            if i % chunk == 0 {
                read(&mut intake, std::mem::take(&mut model.wal), &mut applied).unwrap();
            }
        }
        (0..4).for_each(|n| model.commit(n));
        read(&mut intake, std::mem::take(&mut model.wal), &mut applied).unwrap();
        prop_assert_eq!((intake.in_progress.transactions(), intake.in_progress.memory()), (0, 0));
        let applied = finish(intake, applied);
        prop_assert_eq!(&applied.changes, &model.expected.changes);
        // Where batches ended, transactions did.
        for ends in &applied.commits {
            prop_assert!(model.expected.commits.contains(ends), "{ends:?} of {:?}", model.expected.commits);
        }
        prop_assert_eq!(applied.commits.last().map(|c| c.0), model.expected.commits.last().map(|c| c.0));
    }
}
