//! The transactions of pgbench's default script ("TPC-B (sort of)", PostgreSQL documentation, pgbench), over tables of the same shape.

use super::Plan;

/// Accounts at scale 1: pgbench's at its scale 10.
pub(super) const ACCOUNTS: u64 = 1_000_000;

const CLIENTS: u64 = 8;
const BRANCHES: u64 = 10;
const TELLERS: u64 = 100;

const FUNCTION: &str = "CREATE FUNCTION bench.tpcb(h bigint, a int, b int, t int, d int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
    UPDATE bench.accounts SET abalance = abalance + d WHERE aid = a; \
    PERFORM abalance FROM bench.accounts WHERE aid = a; \
    UPDATE bench.tellers SET tbalance = tbalance + d WHERE tid = t; \
    UPDATE bench.branches SET bbalance = bbalance + d WHERE bid = b; \
    INSERT INTO bench.history (id, tid, bid, aid, delta, mtime) VALUES (h, t, b, a, d, now()); END $$";

pub(super) fn plan(accounts: u64, transactions: u64) -> Plan {
    let start = [
        "CREATE TABLE bench.branches (bid int PRIMARY KEY, bbalance int NOT NULL, filler char(88) NOT NULL)".to_owned(),
        "CREATE INDEX ON bench.branches (filler)".to_owned(),
        "CREATE TABLE bench.tellers (tid int PRIMARY KEY, bid int NOT NULL, tbalance int NOT NULL, filler char(84))".to_owned(),
        "CREATE INDEX ON bench.tellers (bid)".to_owned(),
        "CREATE TABLE bench.accounts (aid int PRIMARY KEY, bid int NOT NULL, abalance int NOT NULL, filler char(84))".to_owned(),
        "CREATE INDEX ON bench.accounts (bid)".to_owned(),
        "CREATE TABLE bench.history (id bigint PRIMARY KEY, tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))"
            .to_owned(),
        "CREATE INDEX ON bench.history (aid)".to_owned(),
        format!("INSERT INTO bench.branches SELECT i, 0, 'branch ' || i FROM generate_series(1, {BRANCHES}) i"),
        format!("INSERT INTO bench.tellers SELECT i, 1 + i % {BRANCHES}, 0, '' FROM generate_series(1, {TELLERS}) i"),
        format!("INSERT INTO bench.accounts SELECT i, 1 + i % {BRANCHES}, 0, '' FROM generate_series(1, {accounts}) i"),
    ];
    let mut load: Vec<Vec<String>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for n in 1..=transactions {
        let mut one_of = |count: u64| 1 + random.next() % count;
        let (a, b, t, d) = (one_of(accounts), one_of(BRANCHES), one_of(TELLERS), one_of(9999));
        let client = (n % CLIENTS) as usize;
        load[client].push(format!("SELECT bench.tpcb({n}, {a}, {b}, {t}, {})", d as i64 - 5000));
    }
    Plan {
        tables: ["branches", "tellers", "accounts", "history"].map(str::to_owned).to_vec(),
        start: start.to_vec(),
        source_only: vec![FUNCTION.to_owned()],
        load,
    }
}

/// Numbers that look random and are the same in every run (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }
}
