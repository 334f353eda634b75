//! The messages of one transaction in progress, as they came: in memory at first, in a temporary file once that is too much.
//!
//! Records (position, length, message) lie one after the other in blocks; an offset counts from the first record, wherever
//! it lies, so that what came last can be cut off again. Invariants: blocks in the file precede those in memory and lie there at their offsets;
//! no record lies in two blocks. The file has no name from the moment it exists, so it is gone with the process, whatever ends that.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, Bytes};

use crate::lsn::Lsn;

/// Bytes of records in one block; a larger record has one to itself. What is replayed comes in such pieces.
const BLOCK: usize = 256 * 1024;
/// A block grows from here: a transaction of which little has come takes little.
const FIRST: usize = 8 * 1024;
/// Position and length.
const HEADER: usize = 12;

/// The temporary file failed.
#[derive(Debug, thiserror::Error)]
#[error(
    "a transaction that is still in progress on the source cannot be {doing} a temporary file in {}: {source}\n  \
     Make room there, or set TMPDIR to a directory on a disk that has room for the largest transaction, then run the same command: it goes on \
     after the last transaction that was applied.",
    dir.display()
)]
pub struct SpillError {
    /// `kept in` or `read back from`.
    doing: &'static str,
    /// Where.
    dir: PathBuf,
    /// What the system said.
    source: io::Error,
}

/// What has come of one transaction.
#[derive(Debug)]
pub(super) struct Held {
    blocks: Vec<Block>,
    file: Option<File>,
    memory: usize,
}

#[derive(Debug)]
struct Block {
    start: u64,
    length: usize,
    /// `None`: it is in the file.
    bytes: Option<Vec<u8>>,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.length as u64
    }
}

impl Held {
    pub(super) fn new() -> Held {
        Held { blocks: Vec::new(), file: None, memory: 0 }
    }

    /// The offset of the next record.
    pub(super) fn end(&self) -> u64 {
        self.blocks.last().map_or(0, Block::end)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Adds a message: its kind, and what follows.
    pub(super) fn add(&mut self, at: Lsn, kind: u8, rest: &[u8]) {
        let length = HEADER + 1 + rest.len();
        let fits = |block: &Block| block.bytes.is_some() && block.length + length <= BLOCK;
        if !self.blocks.last().is_some_and(fits) {
            self.blocks.push(Block { start: self.end(), length: 0, bytes: Some(Vec::new()) });
        }
        let Some(block) = self.blocks.last_mut() else { return };
        let Some(bytes) = &mut block.bytes else { return };
        let (before, needed) = (bytes.capacity(), bytes.len() + length);
        if needed > before {
            let grown = (2 * before).clamp(FIRST, BLOCK).max(needed);
            bytes.reserve_exact(grown - bytes.len());
        }
        bytes.extend_from_slice(&at.0.to_be_bytes());
        bytes.extend_from_slice(&(rest.len() as u32 + 1).to_be_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(rest);
        block.length = bytes.len();
        self.memory += bytes.capacity() - before;
    }

    /// Drops what came at this offset and later; it is a record's.
    pub(super) fn cut(&mut self, to: u64) {
        while let Some(block) = self.blocks.last_mut() {
            if block.end() <= to {
                return;
            }
            if block.start < to {
                block.length = (to - block.start) as usize;
                if let Some(bytes) = &mut block.bytes {
                    bytes.truncate(block.length);
                }
                return;
            }
            self.memory -= block.bytes.as_ref().map_or(0, Vec::capacity);
            self.blocks.pop();
        }
    }

    /// Moves what is in memory to the file, which is made in `dir` where there is none.
    pub(super) fn spill(&mut self, dir: &Path) -> Result<(), SpillError> {
        let failed = |source| SpillError { doing: "kept in", dir: dir.to_owned(), source };
        let from = self.blocks.iter().position(|block| block.bytes.is_some());
        let Some(fresh) = from.and_then(|from| self.blocks.get_mut(from..)) else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(dir).map_err(failed)?),
        };
        let start = fresh.first().map_or(0, |block| block.start);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        for block in fresh {
            if let Some(bytes) = &block.bytes {
                file.write_all(bytes).map_err(failed)?;
            }
            self.memory -= block.bytes.take().map_or(0, |bytes| bytes.capacity());
        }
        Ok(())
    }

    /// For reading from the beginning; `dir` is where the file was made.
    pub(super) fn read(self, dir: &Path) -> Reading {
        Reading { blocks: self.blocks.into_iter(), file: self.file, dir: dir.to_owned(), begun: false }
    }
}

/// What had come, block by block.
#[derive(Debug)]
pub(super) struct Reading {
    blocks: std::vec::IntoIter<Block>,
    file: Option<File>,
    dir: PathBuf,
    begun: bool,
}

impl Reading {
    /// The records of the next block; `None`: that was all.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, SpillError> {
        let Some(block) = self.blocks.next() else { return Ok(None) };
        if let Some(bytes) = block.bytes {
            return Ok(Some(bytes.into()));
        }
        let mut bytes = vec![0; block.length];
        let read = match &mut self.file {
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
            // The blocks in it are read in the order in which they lie.
            Some(file) if self.begun => file.read_exact(&mut bytes),
            Some(file) => file.rewind().and_then(|()| file.read_exact(&mut bytes)),
        };
        self.begun = true;
        match read {
            Ok(()) => Ok(Some(bytes.into())),
            Err(source) => Err(SpillError { doing: "read back from", dir: self.dir.clone(), source }),
        }
    }

    /// That a block is no records: something else wrote to the file.
    pub(super) fn damaged(&self) -> SpillError {
        let source = io::Error::from(io::ErrorKind::InvalidData);
        SpillError { doing: "read back from", dir: self.dir.clone(), source }
    }
}

/// Splits the first record off; `None`: there is none, and bytes that are left are damaged.
pub(super) fn record(block: &mut Bytes) -> Option<(Lsn, Bytes)> {
    let at = u64::from_be_bytes(*block.first_chunk::<8>()?);
    let length = u32::from_be_bytes(*block.get(8..HEADER)?.first_chunk::<4>()?) as usize;
    if block.len() < HEADER + length {
        return None;
    }
    block.advance(HEADER);
    Some((Lsn(at), block.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of this length that tells which it is.
    fn message(n: u64, length: usize) -> Vec<u8> {
        n.to_be_bytes().iter().copied().cycle().take(length).collect()
    }

    fn all(held: Held, dir: &Path) -> Vec<(u64, Vec<u8>)> {
        let mut reading = held.read(dir);
        let mut all = Vec::new();
        while let Some(mut block) = reading.next().unwrap() {
            while let Some((at, payload)) = record(&mut block) {
                assert_eq!(payload[0], b'x');
                all.push((at.0, payload[1..].to_vec()));
            }
            assert!(block.is_empty());
        }
        all
    }

    #[test]
    fn what_is_cut_is_gone_wherever_it_lay() {
        let dir = tempfile::tempdir().unwrap();
        // Where things are spilled, and where they are cut, in all orders around blocks' ends.
        for spill_every in [1, 3, 7, 1000] {
            for cut_every in [2, 5, 11, 1000] {
                let (mut held, mut expected, mut offsets) = (Held::new(), Vec::new(), Vec::new());
                for n in 1..60_u64 {
                    let length = [10, BLOCK / 3, 100, BLOCK + 5, 0][n as usize % 5];
                    offsets.push(held.end());
                    held.add(Lsn(n), b'x', &message(n, length));
                    expected.push((n, message(n, length)));
                    if n % spill_every == 0 {
                        held.spill(dir.path()).unwrap();
                        assert_eq!(held.memory(), 0);
                    }
                    if n % cut_every == 0 {
                        let to = expected.len().saturating_sub(cut_every as usize - 1);
                        held.cut(offsets[to]);
                        assert_eq!(held.end(), offsets[to]);
                        expected.truncate(to);
                        offsets.truncate(to);
                    }
                }
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a file with a name");
                assert!(all(held, dir.path()) == expected, "{spill_every} {cut_every}");
            }
        }
    }

    #[test]
    fn memory_is_what_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = Held::new();
        held.add(Lsn(1), b'x', b"");
        assert_eq!(held.memory(), FIRST);
        for n in 0..100 {
            held.add(Lsn(n), b'x', &message(n, BLOCK / 10));
        }
        let memory = held.memory() as u64;
        assert!((held.end()..held.end() + held.end() / 5).contains(&memory), "{memory} for {}", held.end());
        held.spill(dir.path()).unwrap();
        held.add(Lsn(1), b'x', b"");
        assert_eq!(held.memory(), FIRST);
        held.cut(0);
        assert_eq!((held.memory(), held.end()), (0, 0));
    }

    #[test]
    fn a_folder_that_takes_no_file_is_named_with_what_to_do() {
        let mut held = Held::new();
        held.add(Lsn(1), b'x', b"");
        let error = held.spill(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("in /no/such/folder: No such file"), "{error}");
        assert!(error.contains("TMPDIR") && error.contains("the same command"), "{error}");
        assert_eq!(all(held, Path::new("/")), [(1, Vec::new())], "nothing is lost");
    }

    #[test]
    fn damaged_records_are_none() {
        let mut short = Bytes::from_static(b"\0\0\0\0\0\0\0\x01\0\0\0\x05abcd");
        assert_eq!(record(&mut short), None);
        assert_eq!(record(&mut short.slice(..11)), None);
    }
}
