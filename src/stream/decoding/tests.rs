//! What is handed over, and when, to an applier that is played by the test.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use super::{AHEAD, Decoding, Handed, PIECE};
use crate::stream::batcher::{Batcher, Limits};
use crate::stream::in_progress::InProgress;
use crate::stream::intake::Intake;
use crate::stream::intake::tests::{Wal, begin, commit, description, insert};
use crate::stream::pressure::Pressure;
use crate::stream::receive::{Chunks, channel};
use crate::stream::status::Order;
use crate::stream::taken::Taken;

/// A decoder at work, between a source and an applier.
struct Rig {
    chunks: Chunks,
    handed: UnboundedReceiver<Handed>,
    done: Sender<()>,
    _orders: watch::Sender<Order>,
    at: u64,
}

impl Rig {
    fn start() -> Rig {
        let limits = Limits { bytes: 1 << 30, changes: 4 * PIECE };
        let (chunks, source) = channel(usize::MAX / 2);
        let (batches, handed) = unbounded_channel();
        let (done, credits) = crossbeam_channel::bounded(AHEAD);
        let (orders, order) = watch::channel(Order::Go);
        let batcher = Batcher::new(&[], limits, Taken::everything());
        let in_progress = InProgress::new(usize::MAX, std::env::temp_dir());
        let intake = Intake::new(batcher, in_progress, Arc::default());
        let pressure = Pressure::new(limits.changes);
        let decoding = Decoding { chunks: source, batches, done: credits, orders: order, limits, pressure };
        std::thread::spawn(move || decoding.run(intake));
        let mut rig = Rig { chunks, handed, done, _orders: orders, at: 0 };
        rig.send(&[description(1, 1)]);
        rig
    }

    fn send(&mut self, messages: &[Bytes]) {
        let mut wal = Wal::default();
        for message in messages {
            wal.send(self.at, message);
        }
        assert_eq!(self.chunks.pass(wal.0.into()), Ok(None));
    }

    /// A whole transaction of so many rows.
    fn transaction(&mut self, rows: usize) {
        self.at += 10;
        let rows = (0..rows).map(|key| insert(1, key, 1));
        let all: Vec<Bytes> = [begin(self.at)].into_iter().chain(rows).chain([commit(self.at)]).collect();
        self.send(&all);
    }

    /// Rows, transactions and whether they are whole, of the next batch.
    fn next(&mut self) -> (usize, u64, bool) {
        let batch = self.handed.blocking_recv().and_then(|handed| handed.batch).unwrap();
        (batch.rows(), batch.transactions, batch.ends.is_some())
    }

    fn nothing_more(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
        assert!(self.handed.try_recv().is_err());
    }
}

#[test]
fn behind_a_batch_goes_one_that_is_as_large() {
    let mut rig = Rig::start();
    rig.transaction(10);
    assert_eq!(rig.next(), (10, 1, true), "to an applier that is idle, at once");
    rig.transaction(4);
    rig.nothing_more();
    rig.transaction(6);
    assert_eq!(rig.next(), (10, 2, true));
    rig.transaction(3);
    rig.nothing_more();
    rig.done.send(()).unwrap();
    rig.nothing_more();
    rig.done.send(()).unwrap();
    assert_eq!(rig.next(), (3, 1, true), "the applier is idle again");
}

#[test]
fn a_long_transaction_is_begun_while_the_rest_of_it_comes() {
    let mut rig = Rig::start();
    rig.at = 10;
    let rows = |n: usize| (0..n).map(|key| insert(1, key, 1));
    rig.send(&[begin(10)].into_iter().chain(rows(PIECE - 1)).collect::<Vec<_>>());
    rig.nothing_more();
    rig.send(&[insert(1, 0, 1)]);
    assert_eq!(rig.next(), (PIECE, 0, false));
    rig.send(&rows(PIECE).collect::<Vec<_>>());
    rig.nothing_more();
    rig.done.send(()).unwrap();
    assert_eq!(rig.next(), (PIECE, 0, false));
    rig.send(&[insert(1, 0, 1), commit(10)]);
    rig.done.send(()).unwrap();
    assert_eq!(rig.next(), (1, 1, true), "its end");
}
