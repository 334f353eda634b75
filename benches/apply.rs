//! What applying costs before the socket: rows as lines or tuples of COPY and as arrays of parameters, and a batch's parts for its lanes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pg_migrator::lsn::Lsn;
use pg_migrator::stream::apply::measured::{Encoding, Routing};
use pg_migrator::stream::net::fold;
use pg_migrator::stream::tuple::Datum;
use pg_migrator::stream::{Batch, Change, ChangeKind, Column, Relation, ReplicaIdentity, Segment, Tuple};

/// Rows of one set-based statement.
const ROWS: usize = 2000;
/// Changes of a batch.
const CHANGES: usize = 50_000;
/// What a text mostly is, and what COPY or an array must escape, now and then.
const TEXT: &[u8] = b"some text, with nothing unusual";
const MARKED: &[u8] = b"some text, with \\ and \"quotes\"";

/// Rows of a key and texts.
fn texts(columns: usize) -> Vec<Tuple> {
    let row = |n: usize| {
        let key = n.to_string();
        let text = if n.is_multiple_of(8) { MARKED } else { TEXT };
        Tuple::of((0..columns).map(|i| if i == 0 { Datum::Text(key.as_bytes()) } else { Datum::Text(text) }))
    };
    (0..ROWS).map(row).collect()
}

/// Rows of integers in binary.
fn numbers(columns: usize) -> Vec<Tuple> {
    let row = |n: usize| {
        let key = (n as u32).to_be_bytes();
        Tuple::of((0..columns).map(|_| Datum::Binary(&key)))
    };
    (0..ROWS).map(row).collect()
}

fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for columns in [4, 20] {
        let (texts, numbers) = (texts(columns), numbers(columns));
        let throughput = |rows: &[Tuple]| Throughput::ElementsAndBytes {
            elements: ROWS as u64,
            bytes: rows.iter().map(Tuple::len).sum::<usize>() as u64,
        };
        let mut encoding = Encoding::new(columns);
        for (format, rows, binary) in [("text", &texts, false), ("binary", &numbers, true)] {
            group.throughput(throughput(rows));
            group.bench_function(format!("COPY of {columns} columns, {format}"), |b| {
                b.iter(|| encoding.copy(black_box(rows), binary).unwrap());
            });
        }
        let rows: Vec<&Tuple> = texts.iter().collect();
        group.throughput(throughput(&texts));
        for (kind, quoted) in [("of text", false), ("quoted", true)] {
            group.bench_function(format!("arrays of {columns} columns, {kind}"), |b| {
                b.iter(|| encoding.arrays(black_box(&rows), quoted).unwrap());
            });
        }
    }
    group.finish();
}

fn relation() -> Arc<Relation> {
    let column = |n: usize| Column {
        name: format!("column_{n}"),
        key: n == 0,
        type_oid: 25,
        type_modifier: -1,
        type_name: None,
    };
    Arc::new(Relation {
        oid: 20_000,
        namespace: "public".to_owned(),
        name: "accounts".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: (0..4).map(column).collect(),
    })
}

fn routing(c: &mut Criterion) {
    let relation = relation();
    let change = |n: usize| {
        let key = n.to_string();
        let rest = [Datum::Text(TEXT); 3];
        let new = Tuple::of([Datum::Text(key.as_bytes())].into_iter().chain(rest));
        let kind = match n % 2 {
            0 => ChangeKind::Insert { new },
            _ => ChangeKind::Update { old: None, new },
        };
        Change { relation: Arc::clone(&relation), kind, lsn: Lsn(1) }
    };
    let changes: Vec<Change> = (0..CHANGES).map(change).collect();
    let bytes = changes.iter().map(|change| match &change.kind {
        ChangeKind::Insert { new } | ChangeKind::Update { new, .. } => new.len(),
        ChangeKind::Delete { old } => old.len(),
    });
    let bytes = bytes.sum::<usize>() as u64;
    let net = fold(&changes);
    let batch = Batch { segments: vec![Segment::Rows { changes, net }], ..Batch::default() };
    let mut group = c.benchmark_group("route");
    group.throughput(Throughput::ElementsAndBytes { elements: CHANGES as u64, bytes });
    for (kind, apart) in [("by row", true), ("whole", false)] {
        let mut routing = Routing::default();
        routing.table(&relation, apart);
        for lanes in [2, 16] {
            group.bench_function(format!("{kind}, {lanes} lanes"), |b| {
                b.iter(|| routing.parts(black_box(&batch), lanes).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, encoding, routing);
criterion_main!(benches);
