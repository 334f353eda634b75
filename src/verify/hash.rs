//! A table's rows as a count and a hash that does not depend on their order. Pure.
//!
//! Each row's COPY data is hashed (XXH3, 128 bits) and the hashes are added up: two tables with the same rows in
//! any physical order agree, and a row that is missing, doubled or changed shows. Invariant: how the data was cut
//! into chunks makes no difference.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Length of the binary format's file header, which shares the first row's message: signature 11, flags 4,
/// extension length 4 (COPY documentation, "Binary Format").
const BINARY_HEADER: usize = 19;
/// The binary format's trailer: a tuple with a field count of -1.
const BINARY_TRAILER: [u8; 2] = [0xff, 0xff];
/// Type byte and length of a CopyData message.
const FRAME_HEADER: usize = 5;

/// Rows and their hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the rows' hashes, modulo 2^128.
    pub hash: u128,
}

/// Takes a COPY's CopyData frames in chunks of any size.
#[derive(Clone)]
pub struct RowHasher {
    fingerprint: Fingerprint,
    /// Bytes of the first row's message still to be skipped.
    skip: usize,
    binary: bool,
    /// The frame that is being read: header bytes collected, then payload left.
    header: [u8; FRAME_HEADER],
    header_len: usize,
    left: usize,
    row: Box<Xxh3>,
    row_len: usize,
    tail: [u8; 2],
}

impl RowHasher {
    /// For one COPY in binary or text format.
    pub fn new(binary: bool) -> Self {
        RowHasher {
            fingerprint: Fingerprint::default(),
            skip: if binary { BINARY_HEADER } else { 0 },
            binary,
            header: [0; FRAME_HEADER],
            header_len: 0,
            left: 0,
            row: Box::new(Xxh3::new()),
            row_len: 0,
            tail: [0; 2],
        }
    }

    /// The next bytes of the stream of frames.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.header_len < FRAME_HEADER {
                let take = (FRAME_HEADER - self.header_len).min(bytes.len());
                self.header[self.header_len..self.header_len + take].copy_from_slice(&bytes[..take]);
                self.header_len += take;
                bytes = &bytes[take..];
                if self.header_len < FRAME_HEADER {
                    return;
                }
                let length =
                    u32::from_be_bytes([self.header[1], self.header[2], self.header[3], self.header[4]]);
                self.left = (length as usize).saturating_sub(4);
                if self.whole_frame(&mut bytes) || self.left > 0 {
                    continue;
                }
                self.end_of_frame();
                continue;
            }
            let take = self.left.min(bytes.len());
            self.payload(&bytes[..take]);
            bytes = &bytes[take..];
            self.left -= take;
            if self.left == 0 {
                self.end_of_frame();
            }
        }
    }

    /// The common case: the frame's whole payload is at hand and is one row.
    fn whole_frame(&mut self, bytes: &mut &[u8]) -> bool {
        if self.skip > 0 || bytes.len() < self.left || self.left < 3 {
            return false;
        }
        let (row, rest) = bytes.split_at(self.left);
        self.add(xxh3_128(row));
        *bytes = rest;
        (self.left, self.header_len) = (0, 0);
        true
    }

    fn payload(&mut self, bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let bytes = &bytes[skipped..];
        for (i, &b) in bytes.iter().take(2).enumerate() {
            if self.row_len + i < 2 {
                self.tail[self.row_len + i] = b;
            }
        }
        self.row_len += bytes.len();
        self.row.update(bytes);
    }

    fn end_of_frame(&mut self) {
        let trailer = self.binary && self.row_len == 2 && self.tail == BINARY_TRAILER;
        // A binary COPY of no rows sends its header, alone or with the trailer; neither is a row.
        let header_alone = self.binary && self.row_len == 0;
        if !trailer && !header_alone {
            let hash = self.row.digest128();
            self.add(hash);
        }
        self.row.reset();
        (self.row_len, self.header_len, self.left) = (0, 0, 0);
    }

    fn add(&mut self, hash: u128) {
        self.fingerprint.rows += 1;
        self.fingerprint.hash = self.fingerprint.hash.wrapping_add(hash);
    }

    /// The fingerprint of all that was taken.
    pub fn finish(self) -> Fingerprint {
        self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![b'd'];
        out.extend_from_slice(&(payload.len() as u32 + 4).to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn text(rows: &[Vec<u8>]) -> Vec<u8> {
        rows.iter().flat_map(|r| frame(r)).collect()
    }

    fn binary(rows: &[Vec<u8>]) -> Vec<u8> {
        let mut header = b"PGCOPY\n\xff\r\n\0".to_vec();
        header.extend([0; 8]);
        let mut out = Vec::new();
        for row in rows {
            header.extend(row);
            out.extend(frame(&header));
            header.clear();
        }
        header.extend(BINARY_TRAILER);
        out.extend(frame(&header));
        out
    }

    fn hash(bytes: &[u8], chunk: usize, binary: bool) -> Fingerprint {
        let mut hasher = RowHasher::new(binary);
        bytes.chunks(chunk).for_each(|c| hasher.update(c));
        hasher.finish()
    }

    #[test]
    fn no_rows() {
        assert_eq!(hash(&binary(&[]), 1000, true), Fingerprint::default());
        assert_eq!(hash(&[], 1, false), Fingerprint::default());
    }

    #[test]
    fn an_empty_text_row_is_a_row() {
        assert_eq!(hash(&frame(b"\n"), 100, false).rows, 1);
    }

    #[test]
    fn a_doubled_row_shows() {
        let (a, b) = (vec![b"x\n".to_vec(), b"y\n".to_vec()], vec![b"x\n".to_vec(), b"x\n".to_vec()]);
        assert_ne!(hash(&text(&a), 99, false), hash(&text(&b), 99, false));
    }

    proptest! {
        #[test]
        fn order_and_chunks_make_no_difference(
            mut rows in prop::collection::vec(prop::collection::vec(0u8..200, 3..40), 0..20),
            chunk in 1usize..64,
            is_binary in any::<bool>(),
        ) {
            let encode = |rows: &[Vec<u8>]| if is_binary { binary(rows) } else { text(rows) };
            let one = hash(&encode(&rows), chunk, is_binary);
            rows.reverse();
            let other = hash(&encode(&rows), 1 << 20, is_binary);
            prop_assert_eq!(one, other);
            prop_assert_eq!(one.rows, rows.len() as u64);
        }
    }
}
