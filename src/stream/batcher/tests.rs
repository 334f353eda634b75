//! Batching, rule by rule, and against any order of pushing and taking.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{BatchError, Batcher, Dropped, Limits};
use crate::config::Filter;
use crate::journal::Progress;
use crate::lsn::Lsn;
use crate::stream::{
    Batch, Begin, Change, ChangeKind, Column, Commit, Datum, Message, Relation, ReplicaIdentity, Segment,
    Taken, Truncate, Tuple,
};

const SMALL: Limits = Limits { bytes: usize::MAX, changes: 3 };

fn table(oid: u32, name: &str, columns: usize) -> Arc<Relation> {
    let column =
        |i| Column { name: format!("c{i}"), key: i == 0, type_oid: 25, type_modifier: -1, type_name: None };
    Arc::new(Relation {
        oid,
        namespace: "s".to_owned(),
        name: name.to_owned(),
        identity: ReplicaIdentity::Default,
        columns: (0..columns).map(column).collect(),
    })
}

fn progress(at: u64) -> Progress {
    Progress { commit_lsn: Lsn(at - 5), end_lsn: Lsn(at) }
}

/// Begins a transaction whose commit record is at `lsn` and five bytes long.
fn begin(lsn: u64) -> Message {
    Message::Begin(Begin { final_lsn: Lsn(lsn), time: 0, xid: 1 })
}

fn end(lsn: u64) -> Message {
    Message::Commit(Commit { commit_lsn: Lsn(lsn), end_lsn: Lsn(lsn + 5), time: 0 })
}

fn insert(relation: &Arc<Relation>, key: usize) -> Message {
    let key = key.to_string();
    let values = (0..relation.columns.len()).map(|_| Datum::Text(key.as_bytes()));
    let kind = ChangeKind::Insert { new: Tuple::of(values) };
    Message::Change(Change { relation: Arc::clone(relation), kind, lsn: Lsn(1) })
}

fn truncate(relations: &[&Arc<Relation>]) -> Message {
    let relations = relations.iter().copied().map(Arc::clone).collect();
    Message::Truncate(Truncate { relations, cascade: false, restart_identity: true })
}

fn push(batcher: &mut Batcher, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        assert_eq!(batcher.push(message), Ok(None));
    }
}

/// A transaction that inserts these keys.
fn transaction(lsn: u64, relation: &Arc<Relation>, keys: std::ops::Range<usize>) -> Vec<Message> {
    let changes = keys.map(|key| insert(relation, key));
    [begin(lsn)].into_iter().chain(changes).chain([end(lsn)]).collect()
}

/// A batch in short: `2 rows of t`, `truncate t`; ends; transactions.
fn shown(batch: &Batch) -> (Vec<String>, Option<u64>, u64) {
    let segment = |segment: &Segment| match segment {
        Segment::Rows { changes, net } => {
            assert_eq!(changes.len(), net.iter().map(|net| rows_of(&net.net)).sum::<usize>());
            format!("{} rows", changes.len())
        }
        Segment::Truncate { relations, restart_identity } => {
            assert!(restart_identity);
            let names: Vec<&str> = relations.iter().map(|relation| relation.name.as_str()).collect();
            format!("truncate {}", names.join(", "))
        }
    };
    let ends = batch.ends.map(|ends| ends.commit_lsn.0);
    (batch.segments.iter().map(segment).collect(), ends, batch.transactions)
}

/// All changes in these tests are inserts.
fn rows_of(net: &crate::stream::Net) -> usize {
    match net {
        crate::stream::Net::Rows { inserts, .. } => inserts.len(),
        crate::stream::Net::Serial(_) => panic!("serial"),
    }
}

fn taken(batch: Option<Batch>) -> Option<(Vec<String>, Option<u64>, u64)> {
    batch.as_ref().map(shown)
}

fn rows(
    segments: &[&str],
    ends: impl Into<Option<u64>>,
    transactions: u64,
) -> Option<(Vec<String>, Option<u64>, u64)> {
    Some((segments.iter().map(|s| (*s).to_owned()).collect(), ends.into(), transactions))
}

#[test]
fn whole_transactions_are_taken_together() {
    let t = table(1, "t", 1);
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::everything());
    assert!(batcher.is_empty() && batcher.take().is_none() && batcher.take_ready().is_none());
    push(&mut batcher, transaction(10, &t, 0..2));
    push(&mut batcher, transaction(20, &t, 2..3));
    push(&mut batcher, [begin(30), insert(&t, 3)]);
    assert!(batcher.has_ready() && batcher.bytes() > 0);
    assert_eq!(taken(batcher.take_ready()), rows(&["3 rows"], 20, 2));
    assert_eq!(batcher.settled(), Lsn(25));
    assert_eq!(taken(batcher.take_ready()), None);
    push(&mut batcher, [insert(&t, 4), end(30)]);
    assert!(!batcher.is_empty());
    assert_eq!(taken(batcher.take_ready()), rows(&["2 rows"], 30, 1));
    assert!(batcher.is_empty() && batcher.bytes() == 0);
}

#[test]
fn empty_transactions_move_the_position() {
    let mut batcher = Batcher::new(&[progress(5)], Limits::default(), Taken::everything());
    assert_eq!(batcher.settled(), Lsn(5));
    push(&mut batcher, [begin(10), end(10), begin(20), end(20)]);
    assert_eq!(batcher.settled(), Lsn(5));
    assert_eq!(taken(batcher.take_ready()), rows(&[], 20, 0));
    assert_eq!(batcher.settled(), Lsn(25));
}

#[test]
fn what_a_lane_has_is_skipped_whole() {
    let t = table(1, "t", 1);
    let mut batcher = Batcher::new(&[progress(25)], SMALL, Taken::everything());
    push(&mut batcher, transaction(10, &t, 0..9));
    push(&mut batcher, transaction(20, &t, 0..9));
    assert!(batcher.is_empty() && !batcher.is_full());
    assert_eq!(batcher.settled(), Lsn(25));
    // A commit record may begin where the last one ends.
    push(&mut batcher, transaction(25, &t, 0..1));
    assert_eq!(taken(batcher.take_ready()), rows(&["1 rows"], 25, 1));
}

#[test]
fn batches_end_where_a_lane_stands() {
    let t = table(1, "t", 1);
    let lanes = [progress(25), progress(15), progress(25), progress(45)];
    let mut batcher = Batcher::new(&lanes, Limits::default(), Taken::everything());
    for (i, lsn) in [10, 20, 30, 40, 50].into_iter().enumerate() {
        push(&mut batcher, transaction(lsn, &t, i..i + 1));
    }
    assert!(batcher.is_full());
    assert_eq!(taken(batcher.take_ready()), rows(&["1 rows"], 20, 1));
    assert_eq!(batcher.settled(), Lsn(25));
    assert_eq!(taken(batcher.take()), rows(&["2 rows"], 40, 2));
    assert!(!batcher.is_full());
    assert_eq!(taken(batcher.take()), rows(&["1 rows"], 50, 1));
    assert!(batcher.is_empty());
}

/// So that they are applied, although the target may not fit the new columns yet.
#[test]
fn what_is_complete_before_columns_change_is_a_batch_by_itself() {
    let (old, new) = (table(1, "t", 1), table(1, "t", 2));
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::everything());
    push(&mut batcher, [Message::Relation(Arc::clone(&old)), begin(10), insert(&old, 1), end(10)]);
    push(
        &mut batcher,
        [begin(20), insert(&old, 2), Message::Relation(Arc::clone(&new)), insert(&new, 3), end(20)],
    );
    let first = batcher.take().unwrap();
    assert_eq!((first.ends.map(|e| e.commit_lsn), first.segments.len()), (Some(Lsn(10)), 1));
    let second = batcher.take().unwrap();
    assert_eq!((second.ends.map(|e| e.commit_lsn), second.segments.len()), (Some(Lsn(20)), 2));
    assert!(batcher.take().is_none() && batcher.is_empty());
}

#[test]
fn a_huge_transaction_comes_in_pieces() {
    let t = table(1, "t", 1);
    let mut batcher = Batcher::new(&[], SMALL, Taken::everything());
    push(&mut batcher, transaction(10, &t, 0..1));
    push(&mut batcher, [begin(20), insert(&t, 1), insert(&t, 2)]);
    assert!(batcher.is_full());
    // What is complete goes first.
    assert_eq!(taken(batcher.take()), rows(&["1 rows"], 10, 1));
    assert!(!batcher.is_full());
    push(&mut batcher, [insert(&t, 3)]);
    assert!(batcher.is_full() && !batcher.has_ready());
    assert_eq!(taken(batcher.take_ready()), None);
    assert_eq!(taken(batcher.take()), rows(&["3 rows"], None, 0));
    assert_eq!(batcher.settled(), Lsn(15));
    // A keepalive in its middle is not past its commit.
    batcher.skip_to(Lsn(1000));
    assert_eq!(batcher.settled(), Lsn(20));
    push(&mut batcher, [end(20)]);
    assert_eq!(taken(batcher.take()), rows(&[], 20, 1));
    assert_eq!(batcher.settled(), Lsn(25));
}

#[test]
fn truncate_stands_between_rows() {
    let (t, u) = (table(1, "t", 1), table(2, "u", 1));
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::everything());
    push(
        &mut batcher,
        [begin(10), insert(&t, 1), truncate(&[&t, &u]), insert(&t, 1), insert(&t, 2), end(10)],
    );
    assert_eq!(taken(batcher.take()), rows(&["1 rows", "truncate t, u", "2 rows"], 10, 1));
}

#[test]
fn rows_of_different_shapes_are_not_mixed() {
    let (old, new) = (table(1, "t", 1), table(1, "t", 2));
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::everything());
    push(&mut batcher, [Message::Relation(Arc::clone(&old)), begin(10), insert(&old, 1)]);
    // The same again changes nothing, whether it is the same value or an equal one.
    push(&mut batcher, [Message::Relation(Arc::clone(&old)), Message::Relation(table(1, "t", 1))]);
    push(&mut batcher, [insert(&old, 2), Message::Relation(Arc::clone(&new)), insert(&new, 3), end(10)]);
    assert_eq!(taken(batcher.take()), rows(&["2 rows", "1 rows"], 10, 1));
    // A name that was another table's.
    let (moved, other) = (table(1, "t_old", 2), table(3, "t", 2));
    push(
        &mut batcher,
        [begin(20), insert(&new, 1), Message::Relation(Arc::clone(&other)), insert(&other, 1)],
    );
    push(&mut batcher, [Message::Relation(Arc::clone(&moved)), insert(&moved, 5), end(20)]);
    assert_eq!(taken(batcher.take()), rows(&["1 rows", "1 rows", "1 rows"], 20, 1));
    // A new table beside them does not end a segment.
    let fresh = table(9, "fresh", 1);
    push(&mut batcher, [begin(30), insert(&moved, 6), Message::Relation(Arc::clone(&fresh))]);
    push(&mut batcher, [insert(&fresh, 1), insert(&moved, 7), end(30)]);
    assert_eq!(taken(batcher.take()), rows(&["3 rows"], 30, 1));
}

#[test]
fn tables_that_do_not_take_part_are_dropped() {
    let (t, out) = (table(1, "t", 1), table(2, "out", 1));
    let filter = Filter { exclude_tables: vec!["out".to_owned()], ..Filter::default() };
    let mut batcher = Batcher::new(&[progress(15)], Limits::default(), Taken::new(filter, []));
    // Not again what was counted before.
    push(&mut batcher, [begin(10), insert(&out, 1), end(10)]);
    push(&mut batcher, [Message::Relation(Arc::clone(&out)), begin(20)]);
    assert_eq!(batcher.push(insert(&out, 1)), Ok(Some(Dropped::Ignored(1))));
    assert_eq!(batcher.push(truncate(&[&out, &out])), Ok(Some(Dropped::Ignored(2))));
    push(&mut batcher, [end(20)]);
    assert_eq!(taken(batcher.take()), rows(&[], 20, 0));
    push(&mut batcher, [begin(30)]);
    assert_eq!(batcher.push(truncate(&[&out, &t])), Ok(Some(Dropped::Ignored(1))));
    push(&mut batcher, [end(30)]);
    assert_eq!(taken(batcher.take()), rows(&["truncate t"], 30, 1));
    assert_eq!(batcher.take_strangers(), ["s.\"out\""]);
    assert!(batcher.take_strangers().is_empty());
}

#[test]
fn a_renamed_table_still_takes_part() {
    let filter = Filter { include_tables: vec!["t".to_owned()], ..Filter::default() };
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::new(filter, []));
    let (t, renamed) = (table(1, "t", 1), table(1, "u", 1));
    push(&mut batcher, [Message::Relation(Arc::clone(&t)), begin(10), insert(&t, 1), end(10)]);
    push(&mut batcher, [Message::Relation(Arc::clone(&renamed)), begin(20), insert(&renamed, 1), end(20)]);
    assert_eq!(taken(batcher.take()), rows(&["1 rows"], 10, 1));
    assert_eq!(taken(batcher.take()), rows(&["1 rows"], 20, 1));
}

#[test]
fn after_the_limit_changes_are_counted_and_not_applied() {
    let (t, out) = (table(1, "t", 1), table(2, "out", 1));
    let filter = Filter { exclude_tables: vec!["out".to_owned()], ..Filter::default() };
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::new(filter, []));
    push(&mut batcher, [Message::Relation(Arc::clone(&t)), begin(10), insert(&t, 1)]);
    // Begun before the limit was known: it is applied whole, else a part of it would be.
    batcher.set_limit(Lsn(10));
    push(&mut batcher, [insert(&t, 2), end(10)]);
    assert_eq!(taken(batcher.take()), rows(&["2 rows"], 10, 1));
    // Empty ones are nothing to speak of.
    push(&mut batcher, [begin(20), end(20), begin(30)]);
    assert_eq!(batcher.push(insert(&out, 1)), Ok(Some(Dropped::Ignored(1))));
    push(&mut batcher, [end(30)]);
    assert_eq!(batcher.settled(), Lsn(35));
    push(&mut batcher, [begin(40), insert(&t, 3), insert(&t, 4), truncate(&[&t])]);
    let late = BTreeMap::from([("s.t".to_owned(), 3)]);
    assert_eq!(batcher.push(end(40)), Ok(Some(Dropped::Late(late))));
    // No position reaches past it.
    batcher.skip_to(Lsn(1000));
    push(&mut batcher, [begin(1010), end(1010)]);
    assert_eq!(batcher.settled(), Lsn(40));
    assert!(batcher.is_empty() && batcher.take().is_none());
}

#[test]
fn a_keepalive_counts_once_all_before_it_is_taken() {
    let t = table(1, "t", 1);
    let mut batcher = Batcher::new(&[], Limits::default(), Taken::everything());
    batcher.skip_to(Lsn(7));
    assert_eq!(batcher.settled(), Lsn(7));
    push(&mut batcher, transaction(10, &t, 0..1));
    batcher.skip_to(Lsn(30));
    assert_eq!(batcher.settled(), Lsn(7));
    batcher.take();
    assert_eq!(batcher.settled(), Lsn(30));
    batcher.skip_to(Lsn(20));
    assert_eq!(batcher.settled(), Lsn(30));
}

#[test]
fn what_is_no_sequence_of_transactions_is_an_error() {
    let t = table(1, "t", 1);
    let new = || Batcher::new(&[], Limits::default(), Taken::everything());
    assert_eq!(new().push(insert(&t, 1)), Err(BatchError::Outside("row change")));
    assert_eq!(new().push(truncate(&[&t])), Err(BatchError::Outside("TRUNCATE")));
    assert_eq!(new().push(end(1)), Err(BatchError::Outside("commit")));
    let mut batcher = new();
    push(&mut batcher, [begin(10)]);
    assert_eq!(batcher.push(begin(20)), Err(BatchError::Nested { outer: Lsn(10), inner: Lsn(20) }));
    let mut batcher = new();
    push(&mut batcher, [begin(10)]);
    assert_eq!(batcher.push(end(20)), Err(BatchError::Mismatch { announced: Lsn(10), found: Lsn(20) }));
    let mut batcher = new();
    push(&mut batcher, [begin(20), end(20)]);
    assert_eq!(batcher.push(begin(10)), Err(BatchError::Order { last: Lsn(20), next: Lsn(10) }));
}

/// The keys inserted, in order; truncates as `usize::MAX`.
fn keys(batch: &Batch) -> Vec<usize> {
    let mut keys = Vec::new();
    for segment in &batch.segments {
        let Segment::Rows { changes, .. } = segment else {
            keys.push(usize::MAX);
            continue;
        };
        for change in changes {
            let first = &changes[0];
            assert_eq!(first.relation, change.relation, "one version in a segment");
            let ChangeKind::Insert { new } = &change.kind else { panic!("an insert") };
            let Some(Datum::Text(text)) = new.iter().next() else { panic!("a key") };
            keys.push(std::str::from_utf8(text).unwrap().parse().unwrap());
        }
    }
    keys
}

proptest! {
    /// Each step: what is pushed, and whether and how something is taken.
    #[test]
    fn nothing_is_lost_or_repeated(
        steps in prop::collection::vec((0..10_u8, 0..6_u8), 0..120),
        lanes in prop::collection::vec(1..40_u64, 0..3),
        limit in prop::option::of((0..120_usize, 1..60_u64)),
    ) {
        let versions = [table(1, "t", 1), table(1, "t", 2)];
        let lanes: Vec<Progress> = lanes.iter().map(|n| progress(n * 10 + 5)).collect();
        let least = Progress::least(&lanes);
        let mut batcher = Batcher::new(&lanes, SMALL, Taken::everything());
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        let (mut number, mut version, mut open, mut collects) = (0, 0, None, false);
        let (mut lsn, mut set, mut transactions, mut collected) = (0, None, 0, 0);
        // By key: where its transaction commits.
        let mut commits = vec![0];
        let mut take = |batcher: &mut Batcher, all: bool, commits: &[u64]| {
            let batch = if all { batcher.take() } else { batcher.take_ready() };
            if let Some(batch) = batch {
                let keys = keys(&batch);
                let ahead = |key: &usize| lanes.iter().any(|lane| commits.get(*key).is_some_and(|at| *at < lane.end_lsn.0));
                assert!(batch.ends.is_some() || !keys.iter().any(ahead), "cut where lanes stand apart");
                for lane in &lanes {
                    let mut sides = keys.iter().filter_map(|key| commits.get(*key)).map(|at| *at < lane.end_lsn.0);
                    let first = sides.next();
                    assert!(sides.all(|side| Some(side) == first), "over a lane's position");
                }
                got.extend(keys);
                transactions += batch.transactions;
            }
        };
        batcher.push(Message::Relation(Arc::clone(&versions[0]))).unwrap();
        for (step, (what, taking)) in steps.into_iter().enumerate() {
            if let Some((_, limit)) = limit.filter(|(at, _)| *at == step) {
                set = Some(limit * 10);
                batcher.set_limit(Lsn(limit * 10));
            }
            match (what, open) {
                (0..=2, None) => {
                    lsn += 10;
                    batcher.push(begin(lsn)).unwrap();
                    collects = lsn >= least.0 && set.is_none_or(|limit| lsn < limit);
                    open = Some(0_u64);
                }
                (0..=2, Some(changes)) => {
                    let dropped = batcher.push(end(lsn)).unwrap();
                    let is_late = lsn >= least.0 && !collects && changes > 0;
                    assert_eq!(dropped.is_some(), is_late);
                    collected += u64::from(collects && changes > 0);
                    open = None;
                }
                (3, _) => {
                    version = 1 - version;
                    batcher.push(Message::Relation(Arc::clone(&versions[version]))).unwrap();
                }
                (4, None) => batcher.skip_to(Lsn(lsn + 7)),
                (_, Some(changes)) => {
                    number += 1;
                    commits.push(lsn);
                    let is_truncate = what == 9;
                    let message = if is_truncate { truncate(&[&versions[version]]) } else { insert(&versions[version], number) };
                    batcher.push(message).unwrap();
                    if collects {
                        expected.push(if is_truncate { usize::MAX } else { number });
                    }
                    open = Some(changes + 1);
                }
                _ => {}
            }
            match taking {
                0 => take(&mut batcher, false, &commits),
                1 => take(&mut batcher, true, &commits),
                2 if batcher.is_full() => take(&mut batcher, true, &commits),
                _ => {}
            }
            prop_assert!(batcher.settled() <= Lsn(lsn + 7).max(least));
        }
        if let Some(changes) = open
            && lanes.iter().any(|lane| lane.end_lsn > Lsn(lsn))
        {
            // What only some of the lanes lack is not cut.
            batcher.push(end(lsn)).unwrap();
            collected += u64::from(collects && changes > 0);
        }
        for _ in 0..5 {
            take(&mut batcher, true, &commits);
        }
        prop_assert_eq!(got, expected);
        prop_assert_eq!(transactions, collected);
        prop_assert_eq!(batcher.bytes(), 0);
    }
}
