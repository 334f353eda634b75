//! Whether applying is what holds the stream up, so that more lanes than one pay.
//!
//! A second lane costs the target statements of its own, and where source, target and this process share processors it takes from what
//! the others do; and a batch that grows because the applier is busy costs less for each change, by what it folds. So it pays where
//! batches cannot grow any more and the source still sends a good deal faster than one lane applies, or the decoder waits for room; and where the
//! source has sent all, which a walsender says at once (`WalSndWaitForWal` in `walsender.c`): its processor is free. Rows that are inserted meet at the end of the table and of its indexes, whatever lane they come from (measured on two processors shared by all:
//! 1.3 to 1.6 times the target's CPU of one lane, at less than its rate): they want a source that is faster by far, or has sent all.
//! Pure, but for the flag that the applier reads. Invariant: judged only by batches large enough to be spread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Rows of a batch from which on its time says something.
const TELLING: u64 = 2000;

/// What more lanes than one pay for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pays {
    /// Nothing.
    #[default]
    Nothing,
    /// Batches that mostly update and delete.
    Changes,
    /// Any batch.
    All,
}

/// What pays just now, told by one thread to another.
#[derive(Clone, Debug, Default)]
pub(super) struct Flag(Arc<AtomicU8>);

impl Flag {
    /// What pays for a batch of this many rows. `sent_all`: the source has, and its processor is free.
    pub fn pays(&self, rows: usize, sent_all: bool) -> Pays {
        if sent_all && rows as u64 >= TELLING { Pays::All } else { self.get() }
    }

    fn get(&self) -> Pays {
        match self.0.load(Ordering::Relaxed) {
            0 => Pays::Nothing,
            1 => Pays::Changes,
            _ => Pays::All,
        }
    }

    fn set(&self, pays: Pays) {
        self.0.store(pays as u8, Ordering::Relaxed);
    }
}

/// What the decoder knows of the applier's pace.
#[derive(Debug)]
pub(super) struct Pressure {
    /// Rows of a batch that can hardly grow.
    large: u64,
    flag: Flag,
    /// Rows of the batches that the applier has.
    handed: VecDeque<u64>,
    /// What had been collected when it began with the first of them, rows.
    began: u64,
    /// Meanwhile nothing was collected, for want of room.
    blocked: bool,
}

impl Pressure {
    /// For batches of at most so many changes.
    pub fn new(changes: usize) -> Pressure {
        Pressure {
            large: changes as u64 / 2,
            flag: Flag::default(),
            handed: VecDeque::new(),
            began: 0,
            blocked: false,
        }
    }

    /// Says what more lanes than one pay for.
    pub fn flag(&self) -> Flag {
        self.flag.clone()
    }

    /// A batch of this many rows goes to the applier; so many were collected since the stream began.
    pub fn handed(&mut self, rows: u64, collected: u64) {
        if self.handed.is_empty() {
            self.began = collected;
            self.blocked = false;
        }
        self.handed.push_back(rows);
    }

    /// The decoder waits for the applier.
    pub fn blocked(&mut self) {
        self.blocked = true;
    }

    /// The applier has done with a batch; `waits`: another is complete already.
    pub fn done(&mut self, collected: u64, waits: bool) {
        let rows = self.handed.pop_front().unwrap_or_default();
        let sent = collected - self.began;
        let blocked = std::mem::take(&mut self.blocked);
        self.began = collected;
        let pays = if !waits && self.handed.is_empty() {
            Pays::Nothing
        } else if rows >= self.large && sent * 2 >= rows * 5 {
            Pays::All
        } else if rows >= TELLING && (blocked || rows >= self.large && sent * 2 >= rows * 3) {
            // How fast a source is that has to wait is known from before.
            self.flag.get().max(Pays::Changes)
        } else {
            return;
        };
        self.flag.set(pays);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Pays::{All, Changes, Nothing};

    /// Each step: rows of a batch, rows that came while it was applied, whether another waits.
    fn flags(steps: &[(u64, u64, bool)]) -> Vec<Pays> {
        let mut pressure = Pressure::new(40_000);
        let mut collected = 0;
        let flag = pressure.flag();
        let each = steps.iter().map(|&(rows, sent, waits)| {
            pressure.handed(rows, collected);
            collected += sent;
            pressure.done(collected, waits);
            flag.get()
        });
        each.collect()
    }

    #[test]
    fn not_while_batches_can_grow() {
        let steps =
            [(5000, 5500, true), (5500, 18_000, true), (18_000, 22_000, true), (22_000, 22_000, true)];
        assert_eq!(flags(&steps), [Nothing; 4]);
        let more = [(30_000, 45_000, true), (40_000, 40_000, true), (40_000, 40_000, false)];
        assert_eq!(flags(&more), [Changes, Changes, Nothing]);
    }

    #[test]
    fn where_the_source_has_sent_all() {
        let flag = Pressure::new(40_000).flag();
        assert_eq!(
            [flag.pays(5000, true), flag.pays(1999, true), flag.pays(5000, false)],
            [All, Nothing, Nothing]
        );
        assert_eq!(flags(&[(5000, 6000, true), (5000, 100, true), (5000, 0, false)]), [Nothing; 3]);
    }

    #[test]
    fn small_batches_say_nothing() {
        assert_eq!(flags(&[(100, 5000, true)]), [Nothing]);
    }

    #[test]
    fn a_source_that_is_faster_by_far_stays_so_while_it_waits() {
        let steps = [(5000, 15_000, true), (30_000, 80_000, true), (40_000, 40_000, true), (40_000, 0, true)];
        assert_eq!(flags(&steps), [Nothing, All, All, All]);
        assert_eq!(flags(&[(30_000, 80_000, true), (40_000, 0, false)]), [All, Nothing]);
    }

    #[test]
    fn where_there_is_no_room() {
        let mut pressure = Pressure::new(40_000);
        pressure.handed(5000, 20_000);
        pressure.handed(5000, 20_000);
        pressure.blocked();
        pressure.done(25_000, false);
        assert_eq!(pressure.flag().get(), Changes);
        pressure.done(25_000, false);
        assert_eq!(pressure.flag().get(), Nothing, "the applier waits for the source");
    }
}
