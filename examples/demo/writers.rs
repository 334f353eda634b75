//! The shop's application: it writes all the time, and notes when each commit was acknowledged and by which server.
//!
//! Invariant: an order whose commit was acknowledged is remembered, so that it can be looked for afterwards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config, NoTls};

use crate::harness::Chance;

/// Writers under way.
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    server: RwLock<Server>,
    /// Only visits are written while this is set: what `verify` compares stays as it is.
    visits_only: AtomicBool,
    commits: AtomicU64,
    refused: AtomicU64,
    said: Mutex<Said>,
}

#[derive(Clone)]
struct Server {
    conninfo: String,
    /// 0: the source, 1: the target.
    number: usize,
}

/// What servers acknowledged.
#[derive(Debug, Default)]
struct Said {
    /// Per server: first and last acknowledged commit.
    times: [Option<(Instant, Instant)>; 2],
    orders: Vec<i64>,
}

impl Writers {
    /// So many clients, each writing about as often as this per second.
    pub fn start(conninfo: String, clients: u64, per_second: u64) -> Writers {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            server: RwLock::new(Server { conninfo, number: 0 }),
            visits_only: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            said: Mutex::default(),
        });
        let start = |client| {
            let shared = Arc::clone(&shared);
            let pause = Duration::from_secs(1) / per_second as u32;
            std::thread::spawn(move || shared.write(client, pause))
        };
        Writers { threads: (1..=clients).map(start).collect(), shared }
    }

    /// Commits acknowledged so far, and writes that were refused.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.commits.load(Ordering::SeqCst), self.shared.refused.load(Ordering::SeqCst))
    }

    /// From now on only visits are written, or everything again.
    pub fn visits_only(&self, on: bool) {
        self.shared.visits_only.store(on, Ordering::SeqCst);
    }

    /// The application is told its new database.
    pub fn redirect(&self, conninfo: String) {
        *self.shared.server.write().unwrap() = Server { conninfo, number: 1 };
    }

    /// How long writes were stopped: from the source's last acknowledged commit to the target's first.
    pub fn gap(&self) -> Option<Duration> {
        let said = self.shared.said.lock().unwrap();
        let (source, target) = (said.times[0]?, said.times[1]?);
        Some(target.0.saturating_duration_since(source.1))
    }

    /// Ends them; the orders whose commits were acknowledged.
    pub fn stop(self) -> Vec<i64> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a writer");
        }
        std::mem::take(&mut self.shared.said.lock().unwrap().orders)
    }
}

impl Shared {
    fn write(&self, client: u64, pause: Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut chance = Chance::new(client);
        let mut session: Option<(Client, usize)> = None;
        while !self.stop.load(Ordering::SeqCst) {
            let server = self.server.read().unwrap().clone();
            if session.as_ref().is_none_or(|(client, of)| client.is_closed() || *of != server.number) {
                session = runtime.block_on(connect(&server.conninfo)).map(|client| (client, server.number));
            }
            let Some((connection, of)) = &session else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let sql = match self.visits_only.load(Ordering::SeqCst) {
                true => visit(&mut chance),
                false => work(&mut chance),
            };
            match runtime.block_on(connection.simple_query(&sql)) {
                Ok(answer) => {
                    self.acknowledged(*of, &answer);
                    std::thread::sleep(pause);
                }
                Err(_) => {
                    // Read-only now, or being shut: connect again, perhaps elsewhere.
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    session = None;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    fn acknowledged(&self, server: usize, answer: &[tokio_postgres::SimpleQueryMessage]) {
        let now = Instant::now();
        let mut said = self.said.lock().unwrap();
        let first = said.times[server].map_or(now, |(first, _)| first);
        said.times[server] = Some((first, now));
        self.commits.fetch_add(1, Ordering::SeqCst);
        for message in answer {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message
                && let Some(order) = row.get("order_id").and_then(|id| id.parse().ok())
            {
                said.orders.push(order);
            }
        }
    }
}

async fn connect(conninfo: &str) -> Option<Client> {
    let mut config: Config = conninfo.parse().ok()?;
    config.connect_timeout(Duration::from_secs(5)).application_name("shop");
    let (client, connection) = config.connect(NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

fn visit(c: &mut Chance) -> String {
    format!("INSERT INTO shop.visits (page) VALUES ('/p/{}')", c.between(1, 2000))
}

/// One transaction of the shop's; each is a single round trip.
fn work(c: &mut Chance) -> String {
    let (order, product, customer) = (c.between(1, 20_000), c.between(1, 2000), c.between(1, 4000));
    match c.between(0, 11) {
        // An order of one to four lines, its invoice, and the stock.
        0..=3 => format!(
            "WITH o AS (INSERT INTO shop.orders (customer_id, placed_at, note) VALUES ({customer}, now(), 'live') RETURNING id),
                  l AS (INSERT INTO shop.order_lines SELECT id, g, 1 + ({product} + g) % 2000, g, g * 9.99 FROM o, generate_series(1, {}) g),
                  s AS (INSERT INTO shop.stock_moves (product_id, delta) VALUES ({product}, -1)),
                  i AS (INSERT INTO billing.invoices (issued, order_id, gross) SELECT date '2024-01-01' + {order} % 730, id, 99.90 FROM o)
             SELECT id AS order_id FROM o",
            c.between(1, 4)
        ),
        4 | 5 => format!("UPDATE shop.orders SET state = 'shipped' WHERE id = {order} AND state <> 'returned'"),
        6 => format!("UPDATE shop.products SET price = {}, \"On Sale?\" = NOT \"On Sale?\" WHERE id = {product}", c.between(1, 500)),
        7 => format!("UPDATE shop.customers SET address = address || '{{\"moved\": {order}}}' WHERE id = {customer}"),
        8 => format!("DELETE FROM crm.notes WHERE id = {order}; INSERT INTO crm.notes (customer_id, body) VALUES ({customer}, 'called')"),
        9 => format!("INSERT INTO crm.events (customer_id, kind, at, data) SELECT {customer}, 'visit', now(), jsonb_build_object('n', g) FROM generate_series(1, 20) g"),
        // An invoice that moves to another month's partition.
        10 => format!("UPDATE billing.invoices SET issued = date '2024-01-01' + {product} % 730 WHERE id = {order}"),
        _ => visit(c),
    }
}
