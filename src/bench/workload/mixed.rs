//! Ten pairs of tables, customers and their orders: foreign keys, a second unique index on each, and transactions that insert, update and
//! delete in both, now and then a customer with the first order, or a new value of a second unique key.

use super::Plan;

/// Orders in each table at scale 1; a fifth as many customers.
pub(super) const ROWS: u64 = 20_000;

const PAIRS: u64 = 10;
const CLIENTS: u64 = 4;
/// An order is deleted so many transactions after it was made: by the same client, in the same table.
const LIFE: u64 = CLIENTS * PAIRS * 10;

pub(super) fn plan(orders: u64, transactions: u64) -> Plan {
    let customers = (orders / 5).max(1);
    let mut plan = Plan::default();
    for k in 0..PAIRS {
        let (c, o) = (format!("customers_{k}"), format!("orders_{k}"));
        plan.start.extend([
            format!(
                "CREATE TABLE bench.{c} (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL, \
                 balance numeric(12,2) NOT NULL, seen timestamptz)"
            ),
            format!(
                "CREATE TABLE bench.{o} (id bigint PRIMARY KEY, customer bigint NOT NULL REFERENCES bench.{c}, \
                 code text NOT NULL UNIQUE, amount numeric(12,2) NOT NULL, note text)"
            ),
            format!("CREATE INDEX ON bench.{o} (customer)"),
            format!(
                "INSERT INTO bench.{c} SELECT i, 'c' || i || '@example.com', 'customer ' || md5(i::text), 0 \
                 FROM generate_series(1, {customers}) i"
            ),
            format!(
                "INSERT INTO bench.{o} SELECT i, 1 + i % {customers}, 'old' || i, i % 1000, 'note ' || md5(i::text) \
                 FROM generate_series(1, {orders}) i"
            ),
        ]);
        plan.source_only.push(function(k, &c, &o, customers, orders));
        plan.tables.extend([c, o]);
    }
    plan.load = (0..CLIENTS).map(|_| Vec::new()).collect();
    for n in 0..transactions {
        let k = n / CLIENTS % PAIRS;
        plan.load[(n % CLIENTS) as usize].push(format!("SELECT bench.trade_{k}({n})"));
    }
    plan
}

/// Locks go from the customer to the orders, so that clients never wait for each other in a circle.
fn function(k: u64, c: &str, o: &str, customers: u64, orders: u64) -> String {
    format!(
        "CREATE FUNCTION bench.trade_{k}(n bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN \
         UPDATE bench.{c} SET balance = balance + n % 100, seen = now() WHERE id = 1 + n % {customers}; \
         INSERT INTO bench.{o} VALUES (1000000 + n, 1 + n % {customers}, 'new' || n, n % 1000, 'note ' || md5(n::text)); \
         UPDATE bench.{o} SET amount = amount + 1, note = 'changed by ' || n WHERE id = 1 + n % {orders}; \
         IF n >= {LIFE} AND n % 2 = 0 THEN DELETE FROM bench.{o} WHERE id = 1000000 + n - {LIFE}; END IF; \
         IF n % 50 = 3 THEN \
           INSERT INTO bench.{c} VALUES (1000000 + n, 'n' || n || '@example.com', 'new customer', 0); \
           INSERT INTO bench.{o} VALUES (3000000 + n, 1000000 + n, 'first' || n, 1); \
         END IF; \
         IF n % 40 = 5 THEN UPDATE bench.{o} SET code = 'renamed' || n WHERE id = 1 + n % {orders}; END IF; \
         END $$"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_made_an_order_deletes_it() {
        let plan = plan(100, 2000);
        let find = |n: u64| {
            plan.load.iter().position(|client| client.iter().any(|s| s.ends_with(&format!("({n})"))))
        };
        assert_eq!(find(1000), find(1000 - LIFE));
        let table = |n: u64| n / CLIENTS % PAIRS;
        assert_eq!(table(1000), table(1000 - LIFE));
    }
}
