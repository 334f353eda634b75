//! Any messages of transactions in progress are kept, handed over or refused, without a panic; and what ended leaves nothing in memory.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pg_migrator::lsn::Lsn;
use pg_migrator::stream::InProgress;
use pg_migrator::stream::in_progress::Came;

/// What the source may say of a transaction; there are eight, so that the same ones come again.
fn frame(deed: u8, rest: &[u8]) -> Vec<u8> {
    let xid = u32::from(deed >> 5).to_be_bytes();
    let own = u32::from(deed >> 3 & 7).to_be_bytes();
    match deed & 7 {
        0 => [b"S", &xid[..], b"\x01"].concat(),
        1 => [b"S", &xid[..], b"\0"].concat(),
        2 | 3 => b"E".to_vec(),
        4 => [b"c", &xid[..], b"\0", &[0; 24]].concat(),
        5 => [b"A", &xid[..], &own].concat(),
        6 => [b"I", &own[..], rest].concat(),
        _ => rest.to_vec(),
    }
}

fuzz_target!(|data: &[u8]| {
    // Hardly anything fits in memory: files are read and written soon.
    let mut in_progress = InProgress::new(1000, std::env::temp_dir());
    let mut rest = data;
    let mut at = 0;
    while let Some((deed, after)) = rest.split_first() {
        let (length, after) = after.split_first().unwrap_or((&0, &[]));
        let (body, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        at += 1;
        match in_progress.take(Lsn(at), Bytes::from(frame(*deed, body))) {
            Ok(Came::Message(_) | Came::Aside) => {}
            Ok(Came::Committed(whole)) => drop(whole),
            Err(error) => {
                drop(error.to_string());
                return;
            }
        }
        assert!(in_progress.transactions() > 0 || in_progress.memory() == 0);
    }
});
