//! A batch in two, where one of its source transactions ends.
//!
//! Pure. For a batch that the target refused: the transaction that it does not take is in one of the halves, and the other need not be
//! applied change by change because of it. Invariant: the halves, one after the other, are the batch; each ends with a whole transaction.

use super::batch::{Batch, Seam, Segment};
use super::net::fold;

impl Batch {
    /// Changes of rows.
    pub fn rows(&self) -> usize {
        let count = |segment: &Segment| match segment {
            Segment::Rows { changes, .. } => changes.len(),
            Segment::Truncate { .. } => 0,
        };
        self.segments.iter().map(count).sum()
    }

    /// Cuts the batch where a transaction ends, as near its middle as can be. `Err`: it is one transaction, or a piece of one.
    ///
    /// # Errors
    /// The batch as it was.
    pub fn halves(self) -> Result<(Batch, Batch), Box<Batch>> {
        let inner = self.seams.split_last().map_or(&[][..], |(_, inner)| inner);
        let all = self.seams.last().map_or(0, |seam| seam.changes);
        let nearest = inner.iter().enumerate().min_by_key(|(_, seam)| (seam.changes * 2).abs_diff(all));
        match nearest {
            Some((at, &seam)) if self.ends.is_some() => Ok(self.cut(at, seam)),
            _ => Err(Box::new(self)),
        }
    }

    fn cut(self, at: usize, seam: Seam) -> (Batch, Batch) {
        let Batch { segments: mut first, ends, transactions, bytes, mut seams } = self;
        let mut second = first.split_off(seam.segments.min(first.len()));
        let mut inside = 0;
        if let Some(Segment::Rows { changes, net }) = first.last_mut()
            && changes.len() > seam.in_last
        {
            let rest = changes.split_off(seam.in_last);
            *net = fold(changes);
            second.insert(0, Segment::Rows { net: fold(&rest), changes: rest });
            inside = 1;
        }
        let later = seams.split_off(at + 1).into_iter().map(|other| Seam {
            segments: other.segments - seam.segments + inside,
            in_last: other.in_last - if other.segments == seam.segments { seam.in_last } else { 0 },
            changes: other.changes - seam.changes,
            commit: other.commit,
        });
        let later: Vec<Seam> = later.collect();
        let kept = seams.len() as u64;
        let first =
            Batch { segments: first, ends: Some(seam.commit), transactions: kept, bytes: bytes / 2, seams };
        let transactions = transactions.saturating_sub(kept);
        (first, Batch { segments: second, ends, transactions, bytes: bytes.div_ceil(2), seams: later })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::lsn::Lsn;
    use crate::stream::{
        Batcher, Begin, Change, ChangeKind, Column, Commit, Datum, Limits, Message, Relation,
        ReplicaIdentity, Taken, Truncate, Tuple,
    };

    fn table(oid: u32) -> Arc<Relation> {
        let column = |i| Column {
            name: format!("c{i}"),
            key: i == 0,
            type_oid: 25,
            type_modifier: -1,
            type_name: None,
        };
        Arc::new(Relation {
            oid,
            namespace: "s".to_owned(),
            name: format!("t{oid}"),
            identity: ReplicaIdentity::Default,
            columns: (0..2).map(column).collect(),
        })
    }

    /// What a transaction does: a row into a table, TRUNCATE of one.
    #[derive(Clone, Debug)]
    enum Deed {
        Row(u32),
        Truncate(u32),
    }

    /// Everything of a batch in order: what a row inserts, or what was emptied; and after which of these transactions end.
    fn contents(batch: &Batch) -> Vec<String> {
        let each = batch.segments.iter().flat_map(|segment| match segment {
            Segment::Rows { changes, net } => {
                let rows: usize = net
                    .iter()
                    .map(|part| match &part.net {
                        crate::stream::Net::Rows { inserts, .. } => inserts.len(),
                        crate::stream::Net::Serial(all) => all.len(),
                    })
                    .sum();
                assert_eq!(rows, changes.len(), "the net effect is not that of the changes");
                changes.iter().map(|c| format!("{} {:?}", c.relation.name, c.kind)).collect::<Vec<_>>()
            }
            Segment::Truncate { relations, .. } => vec![format!("truncate {}", relations[0].name)],
        });
        each.collect()
    }

    /// The commits in order, each with what is before it.
    fn ends(batch: &Batch, before: usize) -> Vec<(usize, Commit)> {
        let mut ends = Vec::new();
        for seam in &batch.seams {
            let segments = &batch.segments[..seam.segments];
            let all: usize = segments
                .iter()
                .map(|segment| match segment {
                    Segment::Rows { changes, .. } => changes.len(),
                    Segment::Truncate { .. } => 1,
                })
                .sum();
            let last = match segments.last().unwrap() {
                Segment::Rows { changes, .. } => changes.len() - seam.in_last,
                Segment::Truncate { .. } => 0,
            };
            assert_eq!(all - last, seam.changes);
            ends.push((before + seam.changes, seam.commit));
        }
        ends
    }

    fn batch(transactions: &[Vec<Deed>]) -> Option<Batch> {
        let limits = Limits { bytes: usize::MAX, changes: usize::MAX };
        let mut batcher = Batcher::new(&[], limits, Taken::everything());
        let mut key = 0;
        for (n, deeds) in transactions.iter().enumerate() {
            let lsn = Lsn(100 + n as u64 * 10);
            batcher.push(Message::Begin(Begin { final_lsn: lsn, time: 0, xid: 1 })).unwrap();
            for deed in deeds {
                let (Deed::Row(oid) | Deed::Truncate(oid)) = *deed;
                let relation = table(oid);
                batcher.push(Message::Relation(Arc::clone(&relation))).unwrap();
                key += 1;
                let text = key.to_string();
                let new = Tuple::of([Datum::Text(text.as_bytes()), Datum::Null]);
                let message = match deed {
                    Deed::Truncate(_) => Message::Truncate(Truncate {
                        relations: vec![relation],
                        cascade: false,
                        restart_identity: false,
                    }),
                    _ => Message::Change(Change { relation, kind: ChangeKind::Insert { new }, lsn }),
                };
                batcher.push(message).unwrap();
            }
            batcher
                .push(Message::Commit(Commit { commit_lsn: lsn, end_lsn: Lsn(lsn.0 + 5), time: 0 }))
                .unwrap();
        }
        batcher.take_ready()
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            8 => (0..3u32).prop_map(Deed::Row),
            1 => (0..3u32).prop_map(Deed::Truncate),
        ]
    }

    proptest! {
        #[test]
        fn the_halves_are_the_whole(transactions in prop::collection::vec(prop::collection::vec(deed(), 0..5), 1..12)) {
            let Some(whole) = batch(&transactions) else { return Ok(()) };
            let (all, seams) = (contents(&whole), ends(&whole, 0));
            let (bytes, count, last) = (whole.bytes, whole.transactions, whole.ends);
            prop_assert_eq!(seams.len() as u64, count);
            // Down to single transactions.
            let (mut left, mut parts) = (vec![whole], Vec::new());
            while let Some(part) = left.pop() {
                match part.halves() {
                    Ok((first, second)) => left.extend([second, first]),
                    Err(one) => parts.push(*one),
                }
            }
            prop_assert_eq!(parts.len() as u64, count.max(1));
            prop_assert_eq!(parts.last().unwrap().ends, last);
            prop_assert_eq!(parts.iter().map(|part| part.bytes).sum::<usize>(), bytes);
            let (mut found, mut found_seams) = (Vec::new(), Vec::new());
            for part in &parts {
                prop_assert!(part.seams.len() <= 1 && part.transactions == part.seams.len() as u64);
                found_seams.extend(ends(part, found.len()));
                found.extend(contents(part));
            }
            prop_assert_eq!(found, all);
            prop_assert_eq!(found_seams, seams);
        }
    }

    #[test]
    fn the_cut_is_near_the_middle_and_a_piece_of_a_transaction_stays_whole() {
        let row = |n| vec![Deed::Row(0); n];
        let (first, second) = batch(&[row(3), row(10), row(2), row(4)]).unwrap().halves().unwrap();
        assert_eq!((first.rows(), second.rows()), (13, 6));
        let mut piece = second;
        piece.ends = None;
        assert_eq!(piece.halves().unwrap_err().rows(), 6);
    }
}
