//! Any frames are messages or errors; what is read, pg_walstream reads alike; what is batched, however little sense the
//! changes make, has a net effect that accounts for every change.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pg_migrator::lsn::Lsn;
use pg_migrator::stream::{
    Batch, Batcher, ChangeKind, Datum, DecodeError, Decoder, Limits, Message, Net, Relation, ReplicaIdentity,
    Segment, Taken, Tuple,
};

#[path = "../../src/stream/decode/oracle.rs"]
mod oracle;

/// Two tables, so that changes are reached soon: OID 0 with a key and two columns, OID 1 with FULL and one.
const DESCRIPTIONS: [&[u8]; 2] = [
    b"R\0\0\0\0s\0t\0d\0\x02\x01a\0\0\0\0\x19\xff\xff\xff\xff\0b\0\0\0\0\x19\xff\xff\xff\xff",
    b"R\0\0\0\x01s\0u\0f\0\x01\x01a\0\0\0\0\x19\xff\xff\xff\xff",
];

fn look(batch: Option<Batch>) {
    let Some(batch) = batch else { return };
    for segment in &batch.segments {
        let Segment::Rows { changes, net } = segment else { continue };
        let mut rows = 0;
        for net in net {
            rows += match &net.net {
                Net::Serial(indexes) => indexes.len(),
                Net::Rows { deletes, updates, inserts } => {
                    assert!(!inserts.iter().any(Tuple::has_unchanged));
                    deletes.len() + updates.len() + inserts.len()
                }
            };
        }
        // A key change is two.
        assert!(rows <= 2 * changes.len());
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new();
    let limits = Limits { bytes: 1 << 20, changes: 20 };
    let mut batcher = Batcher::new(&[], limits, Taken::everything());
    for bytes in DESCRIPTIONS {
        let message = oracle::check(&mut decoder, &Bytes::from_static(bytes)).expect("a description");
        batcher.push(message).expect("nothing is wrong with it");
    }
    // Each frame: its length in a byte, then its bytes; the length's high bit takes what is ready.
    let mut rest = Bytes::copy_from_slice(data);
    while !rest.is_empty() {
        let length = rest.split_to(1)[0];
        let frame = rest.split_to(usize::from(length & 127).min(rest.len()));
        if let Ok(message) = oracle::check(&mut decoder, &frame) {
            if let Err(error) = batcher.push(message) {
                drop(error.to_string());
                return;
            }
        }
        if batcher.is_full() {
            look(batcher.take());
        } else if length > 127 {
            look(batcher.take_ready());
        }
    }
    look(batcher.take());
});
