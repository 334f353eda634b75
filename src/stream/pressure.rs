//! Whether applying is what holds the stream up, so that more lanes than one pay.
//!
//! A second lane costs the target statements of its own, and where source, target and this process share processors it takes from what
//! the others do. It pays where the source sends a good deal faster than one lane applies, and where the source has sent
//! all and is still. Pure, but for the flag that the applier reads. Invariant: judged only by batches large enough to be spread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows of a batch from which on its time says something.
const TELLING: u64 = 2000;

/// What the decoder knows of the applier's pace.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    flag: Arc<AtomicBool>,
    /// Rows of the batches that the applier has.
    handed: VecDeque<u64>,
    /// What had been collected when it began with the first of them, rows.
    began: u64,
    /// Meanwhile nothing was collected, for want of room.
    blocked: bool,
}

impl Pressure {
    /// Set while more lanes than one pay.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
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
        if !waits && self.handed.is_empty() {
            self.flag.store(false, Ordering::Relaxed);
        } else if rows >= TELLING && (blocked || sent * 2 >= rows * 3 || sent * 4 < rows) {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step: rows of a batch, rows that came while it was applied, whether another waits.
    fn flags(steps: &[(u64, u64, bool)]) -> Vec<bool> {
        let mut pressure = Pressure::default();
        let mut collected = 0;
        let flag = pressure.flag();
        let each = steps.iter().map(|&(rows, sent, waits)| {
            pressure.handed(rows, collected);
            collected += sent;
            pressure.done(collected, waits);
            flag.load(Ordering::Relaxed)
        });
        each.collect()
    }

    #[test]
    fn where_the_source_is_much_faster_and_until_the_applier_waits_for_it() {
        let steps = [(5000, 5500, true), (5000, 8000, true), (8000, 8000, true), (8000, 9000, false)];
        assert_eq!(flags(&steps), [false, true, true, false]);
    }

    #[test]
    fn where_the_source_is_still_and_there_is_more_to_do() {
        assert_eq!(flags(&[(5000, 6000, true), (5000, 100, true), (5000, 0, false)]), [false, true, false]);
    }

    #[test]
    fn small_batches_say_nothing() {
        assert_eq!(flags(&[(100, 5000, true)]), [false]);
    }

    #[test]
    fn where_there_is_no_room() {
        let mut pressure = Pressure::default();
        pressure.handed(5000, 20_000);
        pressure.handed(5000, 20_000);
        pressure.blocked();
        pressure.done(25_000, false);
        assert!(pressure.flag().load(Ordering::Relaxed));
    }
}
