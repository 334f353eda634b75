//! Where CopyData frames begin and end in a stream of bytes, so that they can be forwarded unread.
//!
//! COPY data travels as messages `'d' length payload` in both directions alike (PostgreSQL protocol, "COPY
//! Operations"), so what the source sends can be passed to the target verbatim; only the boundaries must be known, to
//! stop before the first message of another kind. Pure. Invariant: what is forwarded is a concatenation of
//! CopyData frames in which only the last may be incomplete, and then its rest comes next.

use thiserror::Error;

/// Follows CopyData frames through chunks of any size; its state is how much of the current frame is still to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameScanner {
    left: usize,
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Length of the prefix that can be forwarded as it is.
    pub forward: usize,
    /// CopyData frames that begin in this prefix: rows in text format; in binary format the trailer is one more.
    pub frames: u64,
    /// Whether another message begins right after the prefix; otherwise more bytes are needed.
    pub other: bool,
}

/// A frame whose length field is impossible: the stream is out of step, or not PostgreSQL's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("malformed COPY stream: a message of length {0}")]
pub struct FrameError(pub i32);

/// Kind byte and length.
const HEADER: usize = 5;

impl FrameScanner {
    /// A scanner at a message boundary.
    pub fn new() -> Self {
        FrameScanner::default()
    }

    /// Bytes of the current frame that are still to come; 0 at a message boundary.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Scans `bytes`, the stream from where the last call's prefix ended. A header cut at the end of `bytes` is not
    /// part of the prefix: the caller keeps it and comes back with more.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, FrameError> {
        let mut at = self.left.min(bytes.len());
        self.left -= at;
        let mut frames = 0;
        while let Some([kind, a, b, c, d]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER>()) {
            if *kind != b'd' {
                return Ok(Scanned { forward: at, frames, other: true });
            }
            let length = i32::from_be_bytes([*a, *b, *c, *d]);
            // The length counts itself.
            let whole = match usize::try_from(length) {
                Ok(length) if length >= 4 => length + 1,
                _ => return Err(FrameError(length)),
            };
            frames += 1;
            let here = bytes.len() - at;
            if whole > here {
                self.left = whole - here;
                return Ok(Scanned { forward: bytes.len(), frames, other: false });
            }
            at += whole;
        }
        // A cut header of another kind of message is known by its first byte.
        let other = bytes.get(at).is_some_and(|kind| *kind != b'd');
        Ok(Scanned { forward: at, frames, other })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut f = vec![b'd'];
        f.extend_from_slice(&(payload.len() as u32 + 4).to_be_bytes());
        f.extend_from_slice(payload);
        f
    }

    #[test]
    fn stops_before_another_message() {
        let mut stream = [frame(b"one"), frame(b""), b"c\0\0\0\x04".to_vec()].concat();
        let scanned = FrameScanner::new().scan(&stream);
        assert_eq!(scanned, Ok(Scanned { forward: 13, frames: 2, other: true }));
        stream.truncate(14);
        assert!(FrameScanner::new().scan(&stream).unwrap().other, "known by its kind alone");
        assert_eq!(FrameScanner::new().scan(b""), Ok(Scanned { forward: 0, frames: 0, other: false }));
    }

    #[test]
    fn a_cut_header_waits() {
        let stream = [frame(b"one"), vec![b'd', 0, 0]].concat();
        let mut scanner = FrameScanner::new();
        assert_eq!(scanner.scan(&stream), Ok(Scanned { forward: 8, frames: 1, other: false }));
        assert_eq!(scanner.left(), 0);
    }

    #[test]
    fn a_huge_frame_streams_through() {
        let mut scanner = FrameScanner::new();
        let size: usize = 200 << 20;
        let mut first = vec![b'd'];
        first.extend_from_slice(&(size as u32 + 4).to_be_bytes());
        assert_eq!(scanner.scan(&first), Ok(Scanned { forward: 5, frames: 1, other: false }));
        let chunk = vec![b'c'; 1 << 20];
        for _ in 0..200 {
            assert_eq!(scanner.scan(&chunk), Ok(Scanned { forward: 1 << 20, frames: 0, other: false }));
        }
        assert_eq!(scanner.left(), 0);
        assert_eq!(scanner.scan(&chunk), Ok(Scanned { forward: 0, frames: 0, other: true }));
    }

    #[test]
    fn impossible_lengths() {
        for length in [3, 0, -1, i32::MIN] {
            let mut stream = vec![b'd'];
            stream.extend_from_slice(&length.to_be_bytes());
            assert_eq!(FrameScanner::new().scan(&stream), Err(FrameError(length)));
        }
    }

    proptest! {
        /// However the stream is cut, the same bytes are forwarded and the same frames counted.
        #[test]
        fn cuts_do_not_matter(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1usize..30, 1..40),
        ) {
            let frames: Vec<u8> = payloads.iter().flat_map(|p| frame(p)).collect();
            let stream = [&frames[..], b"C\0\0\0\x0aCOPY\0"].concat();
            let (mut scanner, mut buffer, mut sent, mut count) = (FrameScanner::new(), vec![], vec![], 0);
            let mut ended = false;
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                buffer.extend_from_slice(now);
                let s = scanner.scan(&buffer).unwrap();
                sent.extend(buffer.drain(..s.forward));
                count += s.frames;
                if s.other {
                    ended = true;
                    break;
                }
            }
            prop_assert!(ended);
            prop_assert_eq!(count as usize, payloads.len());
            prop_assert_eq!(sent, frames);
        }

        /// No input makes it panic or forward what it has not seen.
        #[test]
        fn any_bytes(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
            let mut scanner = FrameScanner::new();
            for chunk in chunks {
                match scanner.scan(&chunk) {
                    Ok(s) => prop_assert!(s.forward <= chunk.len()),
                    Err(FrameError(n)) => { prop_assert!(n < 4); break }
                }
            }
        }
    }
}
