//! What folding changes to their net effect costs, and what the whole way from bytes to a batch does.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pg_migrator::lsn::Lsn;
use pg_migrator::stream::net::fold;
use pg_migrator::stream::{Batcher, Change, Decoder, Limits, Message, Taken};

/// Changes in one measurement: about what one batch holds.
const CHANGES: usize = 50_000;

/// pgbench's tables: accounts, branches, tellers with a key, history without; columns of each.
const TABLES: [usize; 4] = [4, 3, 4, 6];

fn text(out: &mut BytesMut, value: &[u8]) {
    out.put_u8(b't');
    out.put_u32(value.len() as u32);
    out.put_slice(value);
}

fn frame(fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    fill(&mut out);
    out.freeze()
}

fn description(table: usize) -> Bytes {
    frame(|out| {
        out.put_u8(b'R');
        out.put_u32(table as u32);
        out.put_slice(format!("public\0table_{table}\0d").as_bytes());
        out.put_u16(TABLES[table] as u16);
        for i in 0..TABLES[table] {
            out.put_u8(u8::from(i == 0 && table < 3));
            out.put_slice(format!("column_{i}\0").as_bytes());
            out.put_u32(23);
            out.put_i32(-1);
        }
    })
}

fn row(out: &mut BytesMut, columns: usize, key: usize) {
    out.put_u8(b'N');
    out.put_u16(columns as u16);
    text(out, key.to_string().as_bytes());
    for _ in 1..columns {
        text(out, b"twelve bytes");
    }
}

fn insert(table: usize, key: usize) -> Bytes {
    frame(|out| {
        out.put_u8(b'I');
        out.put_u32(table as u32);
        row(out, TABLES[table], key);
    })
}

fn update(table: usize, key: usize) -> Bytes {
    frame(|out| {
        out.put_u8(b'U');
        out.put_u32(table as u32);
        row(out, TABLES[table], key);
    })
}

fn delete(table: usize, key: usize) -> Bytes {
    frame(|out| {
        out.put_u8(b'D');
        out.put_u32(table as u32);
        out.put_u8(b'K');
        out.put_u16(TABLES[table] as u16);
        text(out, key.to_string().as_bytes());
        out.put_bytes(b'n', TABLES[table] - 1);
    })
}

/// The same transaction as pgbench's: three updates and an insert.
fn pgbench(i: usize) -> Bytes {
    let scattered = (i / 4).wrapping_mul(2_654_435_761);
    match i % 4 {
        0 => update(0, scattered % 1_000_000),
        1 => update(2, scattered % 100),
        2 => update(1, scattered % 10),
        _ => insert(3, i),
    }
}

/// A chunk cut into frames, as they come from the socket.
fn chunk(message: impl Fn(usize) -> Bytes) -> (Vec<Bytes>, u64) {
    let frames: Vec<Bytes> = (0..CHANGES).map(message).collect();
    let mut whole = Bytes::from(frames.concat());
    let bytes = whole.len() as u64;
    (frames.iter().map(|frame| whole.split_to(frame.len())).collect(), bytes)
}

fn described() -> Decoder {
    let mut decoder = Decoder::new();
    for table in 0..TABLES.len() {
        decoder.decode(description(table), Lsn(1)).unwrap();
    }
    decoder
}

fn changes(frames: &[Bytes]) -> Vec<Change> {
    let mut decoder = described();
    let change = |frame: &Bytes| match decoder.decode(frame.clone(), Lsn(1)) {
        Ok(Message::Change(change)) => change,
        other => unreachable!("{other:?}"),
    };
    frames.iter().map(change).collect()
}

fn folding(c: &mut Criterion) {
    let loads: [(&str, (Vec<Bytes>, u64)); 5] = [
        ("inserts only", chunk(|i| insert(0, i))),
        ("updates of different rows", chunk(|i| update(0, i))),
        ("updates of 1,000 rows", chunk(|i| update(0, i % 1000))),
        (
            "rows inserted, updated and deleted",
            chunk(|i| match i % 3 {
                0 => insert(0, i / 3),
                1 => update(0, i / 3),
                _ => delete(0, i / 3),
            }),
        ),
        ("pgbench", chunk(pgbench)),
    ];
    let mut group = c.benchmark_group("fold");
    for (load, (frames, bytes)) in &loads {
        let changes = changes(frames);
        group.throughput(Throughput::ElementsAndBytes { elements: CHANGES as u64, bytes: *bytes });
        group.bench_function(*load, |b| b.iter(|| drop(black_box(fold(&changes)))));
    }
    group.finish();
}

/// Frames of transactions of four changes to a batch with its net effect.
fn batching(c: &mut Criterion) {
    let (frames, bytes) = chunk(pgbench);
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::ElementsAndBytes { elements: CHANGES as u64, bytes });
    let begin = |lsn: u64| {
        frame(|out| {
            out.put_u8(b'B');
            out.put_u64(lsn);
            out.put_i64(0);
            out.put_u32(1);
        })
    };
    let commit = |lsn: u64| {
        frame(|out| {
            out.put_slice(b"C\0");
            out.put_u64(lsn);
            out.put_u64(lsn + 1);
            out.put_i64(0);
        })
    };
    let transactions: Vec<(Bytes, &[Bytes], Bytes)> = frames
        .chunks(4)
        .enumerate()
        .map(|(i, changes)| (begin(2 * i as u64 + 1), changes, commit(2 * i as u64 + 1)))
        .collect();
    group.bench_function("pgbench: decode, batch, fold", |b| {
        let new = || (described(), Batcher::new(&[], Limits::default(), Taken::everything()));
        b.iter_batched(
            new,
            |(mut decoder, mut batcher)| {
                for (begin, changes, commit) in &transactions {
                    let frames = [begin].into_iter().chain(*changes).chain([commit]);
                    for frame in frames {
                        batcher.push(decoder.decode(frame.clone(), Lsn(1)).unwrap()).unwrap();
                    }
                }
                black_box(batcher.take_ready())
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, folding, batching);
criterion_main!(benches);
