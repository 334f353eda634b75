//! One table of orders, into which rows are inserted, updated and deleted: many per transaction, or ten.

use super::{Plan, runs};

/// Transactions of the workloads with many rows in each.
const BULKS: u64 = 10;
const SMALL: u64 = 10;
const CLIENTS: u64 = 4;

const TABLE: &str = "CREATE TABLE bench.items (id bigint PRIMARY KEY, customer int NOT NULL, at timestamptz NOT NULL, \
    amount numeric(12,2) NOT NULL, note text NOT NULL)";
const INDEX: &str = "CREATE INDEX ON bench.items (customer)";

/// Inserts rows with the numbers from `first` to `last`, which are SQL.
fn insert(first: &str, last: &str) -> String {
    format!(
        "INSERT INTO bench.items SELECT i, (i * 7919) % 100000, '2024-01-01 00:00:00+00'::timestamptz + i * interval '1 s', \
         (i % 100000) / 100.0, 'note ' || md5(i::text) FROM generate_series({first}::bigint, {last}::bigint) i"
    )
}

fn plan(start: Vec<String>, source_only: Vec<String>, load: Vec<Vec<String>>) -> Plan {
    let tables = [TABLE.to_owned(), INDEX.to_owned()];
    Plan {
        tables: vec!["items".to_owned()],
        start: tables.into_iter().chain(start).collect(),
        source_only,
        load,
    }
}

pub(super) fn insert_bulk(rows: u64) -> Plan {
    let load = runs(rows, BULKS).iter().map(|(a, b)| insert(&a.to_string(), &b.to_string())).collect();
    plan(Vec::new(), Vec::new(), vec![load])
}

pub(super) fn insert_small(rows: u64) -> Plan {
    let function = format!(
        "CREATE FUNCTION bench.add(n bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN {}; END $$",
        insert(&format!("(n * {SMALL} + 1)"), &format!("(n * {SMALL} + {SMALL})"))
    );
    let mut load: Vec<Vec<String>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for n in 0..(rows / SMALL).max(CLIENTS) {
        load[(n % CLIENTS) as usize].push(format!("SELECT bench.add({n})"));
    }
    plan(Vec::new(), vec![function], load)
}

pub(super) fn update_bulk(rows: u64) -> Plan {
    let update = |(a, b): &(u64, u64)| {
        format!(
            "UPDATE bench.items SET amount = amount + 1, note = 'changed ' || id WHERE id BETWEEN {a} AND {b}"
        )
    };
    let load = runs(rows, BULKS).iter().map(update).collect();
    plan(vec![insert("1", &rows.to_string())], Vec::new(), vec![load])
}

pub(super) fn delete_bulk(rows: u64) -> Plan {
    let delete = |(a, b): &(u64, u64)| format!("DELETE FROM bench.items WHERE id BETWEEN {a} AND {b}");
    let load = runs(rows, BULKS).iter().map(delete).collect();
    plan(vec![insert("1", &rows.to_string())], Vec::new(), vec![load])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_rows_at_a_time() {
        let plan = insert_small(400);
        assert_eq!(plan.load.len(), 4);
        assert_eq!(plan.load[3].last().map(String::as_str), Some("SELECT bench.add(39)"));
        assert!(plan.source_only[0].contains("generate_series((n * 10 + 1)::bigint, (n * 10 + 10)::bigint)"));
    }

    #[test]
    fn ten_transactions() {
        let plan = delete_bulk(500_000);
        assert_eq!(plan.load[0][9], "DELETE FROM bench.items WHERE id BETWEEN 450001 AND 500000");
    }
}
