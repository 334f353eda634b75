//! What decoding a change costs, by kind of message, beside pg_walstream's parser on the same bytes.
//!
//! Ours also finds the relation and checks the row against it; theirs makes a vector of values. Both keep a slice of the frame.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pg_migrator::lsn::Lsn;
use pg_migrator::stream::Decoder;
use pg_walstream::{
    ColumnData, ColumnInfo, LogicalReplicationMessage as Message, LogicalReplicationParser, TupleData,
    encode_message,
};

/// Messages decoded in one measurement.
const MESSAGES: usize = 1000;

fn encode(message: &Message) -> Bytes {
    let mut bytes = BytesMut::new();
    encode_message(message, 1, &mut bytes);
    bytes.freeze()
}

fn relation(columns: usize) -> Message {
    let column = |i| ColumnInfo::new(u8::from(i == 0), format!("column_{i}"), 25, -1);
    Message::Relation {
        relation_id: columns as u32,
        namespace: Arc::from("public"),
        relation_name: Arc::from("accounts"),
        replica_identity: b'd',
        columns: (0..columns).map(column).collect(),
    }
}

/// A row of values of this size.
fn row(columns: usize, key: usize, size: usize) -> TupleData {
    let value = |i| match i {
        0 => ColumnData::text(key.to_string().into_bytes()),
        _ => ColumnData::text(vec![b'x'; size]),
    };
    TupleData::new((0..columns).map(value).collect())
}

/// One buffer with all frames in it, as they come from the socket, cut into them.
fn frames(message: impl Fn(usize) -> Message) -> Vec<Bytes> {
    let mut whole = BytesMut::new();
    let mut ends = Vec::new();
    for i in 0..MESSAGES {
        encode_message(&message(i), 1, &mut whole);
        ends.push(whole.len());
    }
    let whole = whole.freeze();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| whole.slice(start..*end)).collect()
}

fn decoding(c: &mut Criterion) {
    let keyed = |columns: usize, key: usize| {
        let keys = (0..columns).map(|i| {
            if i == 0 { ColumnData::text(key.to_string().into_bytes()) } else { ColumnData::null() }
        });
        TupleData::new(keys.collect())
    };
    let update = |columns: usize, old: bool, size: usize| {
        move |i| Message::Update {
            relation_id: columns as u32,
            old_tuple: old.then(|| keyed(columns, i)),
            new_tuple: row(columns, i, size),
            key_type: old.then_some('K'),
        }
    };
    let insert = |columns: usize, size: usize| {
        move |i| Message::Insert { relation_id: columns as u32, tuple: row(columns, i, size) }
    };
    let delete = |i| Message::Delete { relation_id: 4, old_tuple: keyed(4, i), key_type: 'K' };
    let kinds: [(&str, Vec<Bytes>); 8] = [
        ("insert of 4 columns", frames(insert(4, 12))),
        ("insert of 20 columns", frames(insert(20, 12))),
        ("insert of 100 columns", frames(insert(100, 12))),
        ("insert of 4 columns of 4 kB", frames(insert(4, 4096))),
        ("update of 4 columns", frames(update(4, false, 12))),
        ("update of a key", frames(update(4, true, 12))),
        ("delete", frames(delete)),
        ("relation of 20 columns", frames(|_| relation(20))),
    ];
    let mut group = c.benchmark_group("decode");
    for (kind, frames) in &kinds {
        let bytes = frames.iter().map(Bytes::len).sum::<usize>() as u64;
        group.throughput(Throughput::ElementsAndBytes { elements: MESSAGES as u64, bytes });
        group.bench_function(format!("{kind}, ours"), |b| {
            let mut decoder = Decoder::new();
            for columns in [4, 20, 100] {
                decoder.decode(encode(&relation(columns)), Lsn(1)).unwrap();
            }
            b.iter(|| {
                for frame in frames {
                    drop(black_box(decoder.decode(frame.clone(), Lsn(1)).unwrap()));
                }
            });
        });
        group.bench_function(format!("{kind}, pg_walstream"), |b| {
            let mut parser = LogicalReplicationParser::with_protocol_version(1);
            b.iter(|| {
                for frame in frames {
                    drop(black_box(parser.parse_wal_message_bytes(frame.clone()).unwrap()));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
