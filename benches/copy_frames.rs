//! What the scanner of COPY frames costs: per frame with short rows, per chunk with long ones.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pg_migrator::pg::frames::FrameScanner;

/// A megabyte or so of frames with payloads of this size.
fn stream(payload: usize) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    let mut frames = 0;
    while bytes.len() < 1 << 20 {
        bytes.push(b'd');
        bytes.extend_from_slice(&(payload as u32 + 4).to_be_bytes());
        bytes.resize(bytes.len() + payload, b'x');
        frames += 1;
    }
    (bytes, frames)
}

fn scanning(c: &mut Criterion) {
    let mut group = c.benchmark_group("copy_frames");
    for payload in [20, 100, 1000, 100_000] {
        let (bytes, frames) = stream(payload);
        group.throughput(Throughput::ElementsAndBytes { elements: frames, bytes: bytes.len() as u64 });
        group.bench_function(format!("rows of {payload} bytes"), |b| {
            b.iter(|| FrameScanner::new().scan(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, scanning);
criterion_main!(benches);
