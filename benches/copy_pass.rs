//! What it costs to pass a COPY on from one server's socket to another's, as copying a table does: rows of several sizes.
//!
//! Both ends are as little of a server as a client can log in to: one says the same rows as often as it is asked, the other throws away what
//! it gets. So what is measured is our loop and the kernel's sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pg_migrator::error::Side;
use pg_migrator::pg::{PumpError, Server, Sink, SqlError, Wire, pump};

/// Bytes of CopyData in one COPY.
const SIZE: usize = 16 << 20;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn read_message(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).ok()?;
    Some((head[0], body))
}

/// A server that lets everybody in and answers `COPY … TO` with these rows, `COPY … FROM` with room for any.
fn serve(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || session(&mut stream.unwrap(), &answer));
        }
    });
    port
}

fn session(stream: &mut TcpStream, answer: &[u8]) -> Option<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut startup).ok()?;
    let ready = message(b'Z', b"I");
    let mut hello = message(b'R', &0u32.to_be_bytes());
    for (name, value) in [
        ("server_version", "18.0"),
        ("client_encoding", "UTF8"),
        ("in_hot_standby", "off"),
        ("default_transaction_read_only", "off"),
    ] {
        hello.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    hello.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 1]));
    hello.extend(&ready);
    stream.write_all(&hello).ok()?;
    loop {
        let (kind, body) = read_message(stream)?;
        match kind {
            b'Q' if body.starts_with(b"COPY") && body.ends_with(b"STDOUT\0") => {
                stream.write_all(answer).ok()?
            }
            b'Q' if body.starts_with(b"COPY") => {
                stream.write_all(&message(b'G', &[0, 0, 0])).ok()?;
                swallow(stream)?;
                let mut end = message(b'C', b"COPY 0\0");
                end.extend(&ready);
                stream.write_all(&end).ok()?;
            }
            b'Q' => {
                let mut end = message(b'C', b"SET\0");
                end.extend(&ready);
                stream.write_all(&end).ok()?;
            }
            _ => return None,
        }
    }
}

/// Throws away as many bytes as every COPY has, and its end.
fn swallow(stream: &mut TcpStream) -> Option<()> {
    let mut buffer = vec![0; 256 << 10];
    let done = message(b'c', b"");
    let mut last = Vec::new();
    loop {
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        last.extend_from_slice(&buffer[n.saturating_sub(done.len())..n]);
        last.drain(..last.len().saturating_sub(done.len()));
        if last == done {
            return Some(());
        }
    }
}

/// A COPY of rows of this size, and how many they are.
fn rows(size: usize) -> (Vec<u8>, u64) {
    let row = message(b'd', &vec![b'x'; size]);
    let count = SIZE / row.len();
    let mut out = message(b'H', &[0, 0, 0]);
    (0..count).for_each(|_| out.extend_from_slice(&row));
    out.extend(message(b'c', b""));
    out.extend(message(b'C', format!("COPY {count}\0").as_bytes()));
    out.extend(message(b'Z', b"I"));
    (out, count as u64)
}

struct Into<'a>(&'a mut Wire);

impl Sink for Into<'_> {
    async fn take(&mut self, chunk: BytesMut, _rows: u64) -> Result<(), PumpError> {
        let sent = self.0.send(&chunk).await;
        Ok(sent.map_err(|e| SqlError::broken(Side::Target, "copying", &e))?)
    }
}

async fn copy(from: &mut Wire, into: &mut Wire) -> u64 {
    into.start_copy_in("copying", "COPY t FROM STDIN").await.unwrap();
    from.send_query("copying", "COPY t TO STDOUT").await.unwrap();
    let moved = pump("copying", from, &mut Into(into)).await;
    into.send(&Wire::copy_done_message()).await.unwrap();
    into.finish_copy("copying").await.unwrap();
    match moved {
        Ok(moved) => moved.rows,
        Err(_) => panic!("the copy failed"),
    }
}

fn passing(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connect = |side, port: u16| {
        let conninfo = format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=disable");
        runtime
            .block_on(async { Server::parse(side, &conninfo).unwrap().connect_wire("UTF8").await.unwrap() })
    };
    let mut group = c.benchmark_group("copy_pass");
    group.sample_size(20);
    for size in [20, 100, 1000, 100_000] {
        let (answer, count) = rows(size);
        let mut from = connect(Side::Source, serve(answer));
        let mut into = connect(Side::Target, serve(Vec::new()));
        group.throughput(Throughput::ElementsAndBytes { elements: count, bytes: SIZE as u64 });
        group.bench_function(format!("rows of {size} bytes"), |b| {
            b.iter(|| assert_eq!(runtime.block_on(copy(&mut from, &mut into)), count));
        });
    }
    group.finish();
}

criterion_group!(benches, passing);
criterion_main!(benches);
