//! What a walsender sends and is sent inside `COPY BOTH`: XLogData, keepalives, standby status updates
//! (PostgreSQL protocol, "Streaming Replication Protocol").
//!
//! Pure. Invariant: bytes are only ever cut at the ends of whole frames, and a payload is a slice of what came.

use bytes::{Buf as _, Bytes};

use crate::lsn::Lsn;

/// Kind byte and length of a message.
const HEADER: usize = 5;
/// Kind byte, start, end and clock of XLogData.
const WAL_HEADER: usize = 25;

/// One CopyData message of a walsender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of the output plugin.
    Wal {
        /// Its position: of the change, or the end of the commit.
        at: Lsn,
        /// The message.
        payload: Bytes,
    },
    /// All that committed before `at` has been sent.
    Keepalive {
        /// Up to where the walsender has read.
        at: Lsn,
        /// Whether it wants an answer at once.
        reply: bool,
    },
}

/// Bytes that are no stream of a walsender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An impossible length.
    #[error("the source's replication stream is malformed: a message of length {0}")]
    Length(i32),
    /// A frame of unknown kind, or one that is too short for its kind.
    #[error("the source's replication stream is malformed: a frame of kind {kind:?} with {length} bytes")]
    Content {
        /// Its first byte; `None`: it is empty.
        kind: Option<char>,
        /// Its length.
        length: usize,
    },
}

/// What the front of a buffer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Bytes of whole frames.
    pub frames: usize,
    /// The highest position in them.
    pub reached: Lsn,
    /// Whether a reply is asked for in one of them.
    pub reply: bool,
    /// Whether the last of them is a keepalive: the source has sent all that it has, or nothing of what it reads is for us.
    pub sent_all: bool,
    /// What comes after them.
    pub then: Then,
}

/// What comes after whole frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Nothing yet, or the beginning of something of unknown length.
    #[default]
    Unknown,
    /// A frame of which this many bytes are still to come.
    Part(usize),
    /// A message that is no frame; it may not be there whole.
    Other,
}

/// Looks at the front of what was received; at most about `most` bytes of it.
pub fn front(buffer: &[u8], most: usize) -> Result<Front, FrameError> {
    let mut front = Front::default();
    while front.frames < most {
        let rest = &buffer[front.frames..];
        let Some((&kind, after)) = rest.split_first() else { break };
        if kind != b'd' {
            front.then = Then::Other;
            break;
        }
        let Some(length) = after.first_chunk::<4>() else { break };
        let length = i32::from_be_bytes(*length);
        let whole = match usize::try_from(length) {
            Ok(n) if n >= 4 => n + 1,
            _ => return Err(FrameError::Length(length)),
        };
        let Some(body) = rest.get(HEADER..whole) else {
            front.then = Then::Part(whole - rest.len());
            break;
        };
        let (at, reply) = look(body)?;
        front.sent_all = body.first() == Some(&b'k');
        front.reached = front.reached.max(at);
        front.reply |= reply;
        front.frames += whole;
    }
    Ok(front)
}

/// Position of a frame, and whether it asks for a reply.
fn look(body: &[u8]) -> Result<(Lsn, bool), FrameError> {
    let malformed = || FrameError::Content { kind: body.first().map(|b| char::from(*b)), length: body.len() };
    match body.first() {
        // For logical decoding its start is the change's own position, or a commit's end.
        Some(b'w') if body.len() >= WAL_HEADER => {
            let at = body[1..].first_chunk::<8>().ok_or_else(malformed)?;
            Ok((Lsn(u64::from_be_bytes(*at)), false))
        }
        Some(b'k') => {
            let keepalive = pg_walstream::parse_keepalive_message(body).map_err(|_| malformed())?;
            Ok((Lsn(keepalive.wal_end), keepalive.reply_requested))
        }
        _ => Err(malformed()),
    }
}

/// The frames of a chunk that holds nothing else ([`front`] has seen it).
#[derive(Clone, Debug)]
pub struct Frames(Bytes);

impl Frames {
    /// Of this chunk.
    pub fn of(chunk: Bytes) -> Self {
        Frames(chunk)
    }

    /// Bytes of frames that were not looked at yet.
    pub fn left(&self) -> usize {
        self.0.len()
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let length = self.0.get(1..HEADER)?.first_chunk::<4>().map(|n| i32::from_be_bytes(*n))?;
        let whole =
            usize::try_from(length).ok().map(|n| n + 1).filter(|n| (HEADER..=self.0.len()).contains(n));
        let Some(whole) = whole else { return Some(Err(FrameError::Length(length))) };
        let mut body = self.0.split_to(whole);
        body.advance(HEADER);
        Some(look(&body).map(|(at, reply)| match body.first() {
            Some(b'w') => {
                body.advance(WAL_HEADER);
                Frame::Wal { at, payload: body }
            }
            _ => Frame::Keepalive { at, reply },
        }))
    }
}

/// A standby status update, as a whole CopyData message: what has arrived, and what is flushed on the target. Only the latter lets the
/// source forget. `time` in microseconds since 2000-01-01 UTC.
pub fn status_update(received: Lsn, durable: Lsn, time: i64, reply: bool) -> [u8; 39] {
    let mut out = [0; 39];
    out[0] = b'd';
    out[1..5].copy_from_slice(&38u32.to_be_bytes());
    out[5] = b'r';
    out[6..14].copy_from_slice(&received.0.to_be_bytes());
    out[14..22].copy_from_slice(&durable.0.to_be_bytes());
    out[22..30].copy_from_slice(&durable.0.to_be_bytes());
    out[30..38].copy_from_slice(&time.to_be_bytes());
    out[38] = u8::from(reply);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut out = vec![b'd'];
        out.extend((body.len() as u32 + 4).to_be_bytes());
        out.extend(body);
        out
    }

    fn wal(at: u64, payload: &[u8]) -> Vec<u8> {
        let mut body = vec![b'w'];
        body.extend(at.to_be_bytes());
        body.extend([0; 16]);
        body.extend(payload);
        framed(&body)
    }

    fn keepalive(at: u64, reply: bool) -> Vec<u8> {
        let mut body = vec![b'k'];
        body.extend(at.to_be_bytes());
        body.extend([0; 8]);
        body.push(reply.into());
        framed(&body)
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let whole = [wal(7, b"abc"), keepalive(9, true), wal(3, b"")].concat();
        let buffer = [&whole[..], &wal(20, b"cut")[..10]].concat();
        let seen = front(&buffer, usize::MAX).unwrap();
        let then = Then::Part(5 + WAL_HEADER + 3 - 10);
        let frames = whole.len();
        assert_eq!(seen, Front { frames, reached: Lsn(9), reply: true, sent_all: false, then });
        assert!(front(&buffer, wal(7, b"abc").len() + 1).unwrap().sent_all);
        let frames: Vec<Frame> = Frames::of(whole.into()).map(Result::unwrap).collect();
        assert_eq!(
            frames,
            [
                Frame::Wal { at: Lsn(7), payload: Bytes::from_static(b"abc") },
                Frame::Keepalive { at: Lsn(9), reply: true },
                Frame::Wal { at: Lsn(3), payload: Bytes::new() },
            ]
        );
    }

    #[test]
    fn another_message_ends_the_frames() {
        let buffer = [wal(7, b"abc"), b"E\0\0".to_vec()].concat();
        let seen = front(&buffer, usize::MAX).unwrap();
        assert_eq!((seen.frames, seen.then), (buffer.len() - 3, Then::Other));
        assert_eq!(front(b"d\0\0", usize::MAX).unwrap(), Front::default());
    }

    #[test]
    fn a_chunk_is_bounded() {
        let one = wal(1, &[0; 100]);
        let buffer = one.repeat(10);
        assert_eq!(front(&buffer, 150).unwrap().frames, 2 * one.len());
    }

    #[test]
    fn malformed_frames() {
        assert_eq!(front(b"d\0\0\0\x03", usize::MAX), Err(FrameError::Length(3)));
        assert_eq!(front(b"d\xff\xff\xff\xff", usize::MAX), Err(FrameError::Length(-1)));
        for body in [&b""[..], b"x", b"w\0\0", b"k\0"] {
            assert!(matches!(front(&framed(body), usize::MAX), Err(FrameError::Content { .. })), "{body:?}");
            assert!(Frames::of(framed(body).into()).any(|f| f.is_err()));
        }
    }

    #[test]
    fn the_status_update() {
        let update = status_update(Lsn(0x0102), Lsn(0x01), -1, true);
        let expected: &[u8] = b"d\0\0\0\x26r\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\
            \xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(update, expected);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(front) = front(&bytes, usize::MAX) {
                prop_assert!(front.frames <= bytes.len());
                for frame in Frames::of(Bytes::copy_from_slice(&bytes[..front.frames])) {
                    prop_assert!(frame.is_ok());
                }
            }
            let _ = Frames::of(bytes.into()).take(100).count();
        }
    }
}
