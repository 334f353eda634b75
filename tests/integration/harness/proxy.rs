//! A TCP proxy that behaves like a bad network: delays, cuts, and a hole that swallows everything.
//!
//! The delay is a delay line: each chunk is due a fixed time after it came in, so latency rises and bandwidth does not
//! fall.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// A proxy in front of one server; ends with the value.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    delay: Duration,
    /// Bytes from the server until every connection is cut; negative: no end.
    budget: AtomicI64,
    /// Bytes from the server until everything is held back; negative: no end.
    hold: AtomicI64,
    swallow: AtomicBool,
    closed: AtomicBool,
    moved: AtomicU64,
    /// Both ends of each connection, by its number.
    streams: Mutex<HashMap<u64, [TcpStream; 2]>>,
}

impl Proxy {
    /// A proxy to 127.0.0.1:`server` that delays each direction by `delay` (half a round trip).
    pub fn start(server: u16, delay: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            delay,
            budget: AtomicI64::new(-1),
            hold: AtomicI64::new(-1),
            swallow: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            streams: Mutex::default(),
        });
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if state.closed.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server))) else {
                    continue;
                };
                state.connect(number, client, server);
            }
        });
        Proxy { port, shared }
    }

    /// Cuts all connections once this many more bytes came from the server; later ones are cut at once.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.budget.store(bytes as i64, Ordering::SeqCst);
    }

    /// Cuts the connections there are; new ones work.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Lets nothing through any more, while connections stay open (`true`), or lets it through again.
    pub fn swallow(&self, on: bool) {
        self.shared.swallow.store(on, Ordering::SeqCst);
    }

    /// Holds everything back, as [`Proxy::swallow`] does, once this many more bytes came from the server.
    pub fn hold_after(&self, bytes: u64) {
        self.shared.hold.store(bytes as i64, Ordering::SeqCst);
    }

    /// Waits until [`Proxy::hold_after`] took hold.
    #[track_caller]
    pub fn wait_until_held(&self) {
        let started = Instant::now();
        while !self.shared.swallow.load(Ordering::SeqCst) {
            assert!(started.elapsed() < Duration::from_secs(120), "only {} bytes came through", self.moved());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Bytes forwarded so far, both directions.
    pub fn moved(&self) -> u64 {
        self.shared.moved.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.cut();
        // Wakes the accepting thread, which then sees that we are closed.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, number: u64, client: TcpStream, server: TcpStream) {
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let pair = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
        if let (Some((c1, s1)), Some((c2, s2))) = (pair(), pair()) {
            self.streams.lock().unwrap().insert(number, [client, server]);
            self.pump(number, c1, s1, false);
            self.pump(number, s2, c2, true);
        }
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain().flat_map(|(_, pair)| pair) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends a connection whose one side is gone. Closing matters: a socket that is only shut down still takes what
    /// comes in until its buffer is full, and then the sender waits for ever.
    fn end(&self, number: u64) {
        for stream in self.streams.lock().unwrap().remove(&number).into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// One direction: a thread reads and stamps, another waits for each chunk's time and writes.
    fn pump(self: &Arc<Self>, number: u64, mut from: TcpStream, mut to: TcpStream, counts: bool) {
        // Bounded, so that a slow reader holds back a fast writer as a real link does: 64 MB in flight.
        let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
        let reader = Arc::clone(self);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                if counts && reader.budget.load(Ordering::SeqCst) >= 0 {
                    let before = reader.budget.fetch_sub(n as i64, Ordering::SeqCst);
                    if before < n as i64 {
                        reader.budget.store(0, Ordering::SeqCst);
                        reader.cut();
                        break;
                    }
                }
                if counts && reader.hold.load(Ordering::SeqCst) >= 0 {
                    let before = reader.hold.fetch_sub(n as i64, Ordering::SeqCst);
                    if before < n as i64 {
                        reader.hold.store(-1, Ordering::SeqCst);
                        reader.swallow.store(true, Ordering::SeqCst);
                    }
                }
                if sender.send((Instant::now() + reader.delay, buffer[..n].to_vec())).is_err() {
                    break;
                }
            }
        });
        let writer = Arc::clone(self);
        std::thread::spawn(move || {
            for (due, chunk) in receiver {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                while writer.swallow.load(Ordering::SeqCst) && !writer.closed.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                if to.write_all(&chunk).is_err() {
                    writer.end(number);
                    break;
                }
                writer.moved.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
