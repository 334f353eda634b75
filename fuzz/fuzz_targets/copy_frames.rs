//! However a stream is cut into chunks, the scanner forwards the same bytes, counts the same frames and stops at the
//! same place as when it sees the stream whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_migrator::pg::frames::{FrameError, FrameScanner};

/// Bytes forwarded, frames, and how it ended: another message, an error, or more bytes needed.
fn run(chunks: &[&[u8]]) -> (Vec<u8>, u64, Option<Result<(), FrameError>>) {
    let mut scanner = FrameScanner::new();
    let (mut buffer, mut sent, mut frames) = (Vec::new(), Vec::new(), 0);
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        match scanner.scan(&buffer) {
            Ok(scanned) => {
                assert!(scanned.forward <= buffer.len());
                sent.extend(buffer.drain(..scanned.forward));
                frames += scanned.frames;
                if scanned.other {
                    return (sent, frames, Some(Ok(())));
                }
            }
            Err(e) => return (sent, frames, Some(Err(e))),
        }
    }
    (sent, frames, None)
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (stream, cuts) = input;
    let mut chunks = Vec::new();
    let mut rest = &stream[..];
    for cut in cuts {
        let (chunk, later) = rest.split_at(usize::from(cut).min(rest.len()));
        chunks.push(chunk);
        rest = later;
    }
    chunks.push(rest);
    let (whole, cut) = (run(&[&stream]), run(&chunks));
    assert_eq!(whole.2, cut.2);
    // An error in the same chunk as good frames hides these; cut, they were forwarded before it.
    if !matches!(whole.2, Some(Err(_))) {
        assert_eq!((whole.0, whole.1), (cut.0, cut.1));
    }
});
