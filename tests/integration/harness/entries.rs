//! What a client of the ledger does in one transaction: drawn by chance, pure.
//!
//! Invariant: clients touch rows of their own, or common rows in the order of their keys, so that they seldom wait for
//! each other and never in a circle.

/// A seeded source of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed);
        chance.next();
        chance
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` to `to`, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % (to - from + 1) as u64) as i64
    }

    /// One of these.
    pub fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.between(0, choices.len() as i64 - 1) as usize]
    }
}

/// A transaction: what is done in it, and how it ends.
#[derive(Clone, Debug)]
pub enum Entry {
    Commit(String),
    Rollback(String),
    /// In two phases, left prepared for so long.
    Prepare {
        body: String,
        commit: bool,
        millis: u64,
    },
}

/// What can be done, and how often.
const WORK: [(Work, u64); 21] = [
    (transfer, 12),
    (touch_wide, 8),
    (change_wide, 2),
    (wide_and_gone, 1),
    (rekey, 4),
    (rekey_in_a_circle, 2),
    (by_index, 3),
    (doomed, 3),
    (side, 4),
    (truncate, 1),
    (big, 1),
    (savepoints, 4),
    (full_row, 6),
    (swap, 3),
    (swap_deferred, 2),
    (booking, 2),
    (identity, 4),
    (generated, 3),
    (partitions, 5),
    (family, 4),
    (quoted, 3),
];

type Work = fn(&mut Chance, i64, i64) -> String;

impl Entry {
    /// Whether it empties a table.
    pub fn truncates(&self) -> bool {
        let (Entry::Commit(body) | Entry::Rollback(body) | Entry::Prepare { body, .. }) = self;
        body.contains("TRUNCATE")
    }

    /// The next transaction of this client, whose number is `n`.
    pub fn draw(chance: &mut Chance, client: u64, n: i64) -> Entry {
        let client = client as i64;
        match chance.between(0, 99) {
            0..=79 => Entry::Commit(work(chance, client, n)),
            80..=89 => {
                let several: Vec<String> = (0..4).map(|_| work(chance, client, n)).collect();
                Entry::Commit(several.join(" "))
            }
            90..=93 => Entry::Rollback(work(chance, client, n)),
            _ => {
                let millis = chance.between(0, 30) as u64;
                let body = format!(
                    "INSERT INTO prepared VALUES ({client} * 1000000000::bigint + {n}, 'two phases');
                     DELETE FROM prepared WHERE id = (SELECT min(id) FROM prepared WHERE id / 1000000000 = {client} AND id % 1000000000 < {n} - 40); {}",
                    transfer(chance, client, n)
                );
                Entry::Prepare { body, commit: chance.between(0, 2) > 0, millis }
            }
        }
    }
}

fn work(chance: &mut Chance, client: i64, n: i64) -> String {
    let mut at = chance.next() % WORK.iter().map(|(_, weight)| weight).sum::<u64>();
    for (work, weight) in WORK {
        if at < weight {
            return work(chance, client, n);
        }
        at -= weight;
    }
    String::new()
}

/// The row of this client in a table that has twenty for each.
fn own(chance: &mut Chance, client: i64) -> i64 {
    (client - 1) * 20 + chance.between(1, 20)
}

fn transfer(c: &mut Chance, _: i64, _: i64) -> String {
    let (a, b, sum) = (c.between(1, 199), c.between(1, 200), c.between(-1000, 1000));
    let b = if a == b { 200 } else { b };
    let (first, second) = (a.min(b), a.max(b));
    format!(
        "UPDATE account SET balance = balance - ({sum}) WHERE id = {first};
         UPDATE account SET balance = balance + ({sum}) WHERE id = {second};"
    )
}

/// The wide columns stay: they are not sent.
fn touch_wide(c: &mut Chance, _: i64, n: i64) -> String {
    let id = c.between(1, 60);
    let set = c.one_of(&[
        "small = small + 1",
        "\"numeric\" = \"numeric\" * 1.000001 + 0.1, f = f / 3 + 1e-7, r = r * 1.1 - r",
        "doc = doc || jsonb_build_object('n', small), j = json_build_object('z', small, 'a', NULL)",
        "mood = 'so so', f = 'NaN', r = '-Infinity', \"numeric\" = 'NaN', at = 'infinity', i = '-1 year 1 day'",
        "mood = NULL, f = 0, r = '-0', \"numeric\" = 0.000, at = at - interval '1 us', a = a[1:2] || small",
    ]);
    format!("UPDATE wide SET {set} WHERE id = {id}; UPDATE wide SET small = {n} WHERE id = {id};")
}

fn change_wide(c: &mut Chance, client: i64, n: i64) -> String {
    let id = c.between(1, 60);
    let set = c.one_of(&["big", "random", "big = NULL, random"]);
    let value = format!(
        "(SELECT string_agg(md5('{client}.{n}.' || i), '') FROM generate_series(1, {}) i)",
        c.between(1, 300)
    );
    let first = if c.between(0, 1) == 0 { touch_wide(c, client, n) } else { String::new() };
    format!(
        "UPDATE wide SET {set} = {value} WHERE id = {id}; {first} UPDATE wide SET small = -{n} WHERE id = {id};"
    )
}

/// A row that lives for one transaction, or until a later one takes it away and puts it back.
fn wide_and_gone(c: &mut Chance, client: i64, n: i64) -> String {
    let id = 1000 + own(c, client);
    let last = c.one_of(&["DELETE FROM wide WHERE id =", "UPDATE wide SET small = 1 WHERE id ="]);
    format!(
        "DELETE FROM wide WHERE id = {id}; INSERT INTO wide (id, big) VALUES ({id}, repeat('w{n}', 1500));
         UPDATE wide SET small = {n}, f = random() WHERE id = {id}; {last} {id};"
    )
}

/// Some rows have a wide value, which is not sent with the new key.
fn rekey(c: &mut Chance, client: i64, n: i64) -> String {
    let some = c.between(0, 7);
    let row = format!(
        "(SELECT id FROM rekeyed WHERE id BETWEEN {client} * 1000000000::bigint - 8 AND {client} * 1000000000::bigint + 900000000 ORDER BY id OFFSET {some} LIMIT 1)"
    );
    let also = c.one_of(&["", ", v = v + 1", ", big = big || 'x'"]);
    let then = c.one_of(&[
        "",
        "UPDATE rekeyed SET v = v + 10 WHERE id = {}",
        "UPDATE rekeyed SET id = -id WHERE id = {}; UPDATE rekeyed SET id = -id WHERE id = -({})",
    ]);
    let new = format!("{client} * 1000000000::bigint + {n}");
    format!(
        "UPDATE rekeyed SET id = {new}{also} WHERE id = {row} AND NOT EXISTS (SELECT FROM rekeyed WHERE id = {new}); {};",
        then.replace("{}", &new)
    )
}

/// Keys that change places: a row gets the key that another one had.
fn rekey_in_a_circle(c: &mut Chance, client: i64, _: i64) -> String {
    let (a, b) = (c.between(0, 3), c.between(4, 7));
    let free = -client;
    let own = format!(
        "SELECT id FROM rekeyed WHERE id BETWEEN {client} * 1000000000::bigint - 8 AND {client} * 1000000000::bigint + 900000000 ORDER BY id OFFSET"
    );
    // Plain SQL cannot keep the two keys: a block does.
    format!(
        "DO $$ DECLARE a bigint := ({own} {a} LIMIT 1); b bigint := ({own} {b} LIMIT 1); BEGIN
           UPDATE rekeyed SET id = {free} WHERE id = a; UPDATE rekeyed SET id = a, v = v + 1 WHERE id = b;
           UPDATE rekeyed SET id = b WHERE id = {free}; END $$;"
    )
}

fn by_index(c: &mut Chance, client: i64, n: i64) -> String {
    let code = format!("c{client}_{}", c.between(1, 4));
    let change = c.one_of(&["v = v + 1", "other = NULL", "big = repeat(code, 900)", "v = NULL, other = 5"]);
    format!(
        "UPDATE by_index SET {change} WHERE code = '{code}'; UPDATE by_index SET code = 'x{client}_{n}', v = {n} WHERE code = '{code}';
         UPDATE by_index SET code = '{code}' WHERE code = 'x{client}_{n}';
         INSERT INTO by_index VALUES ('n{client}_{n}', {n}) ON CONFLICT DO NOTHING; DELETE FROM by_index WHERE code = 'n{client}_{}';",
        n - c.between(1, 30)
    )
}

fn doomed(c: &mut Chance, client: i64, n: i64) -> String {
    let before = c.between(1, 60);
    format!(
        "INSERT INTO doomed VALUES ({client} * 1000000000::bigint + {n}, 'doomed {n}') ON CONFLICT DO NOTHING;
         DELETE FROM doomed WHERE id = {client} * 1000000000::bigint + {n} - {before};"
    )
}

fn side(c: &mut Chance, _: i64, n: i64) -> String {
    let parts = c.between(0, 3);
    format!(
        "WITH new AS (INSERT INTO side (v) VALUES ('side {n}') RETURNING id) INSERT INTO side_part (side) SELECT id FROM new, generate_series(1, {parts});"
    )
}

/// Readers of the table, such as the copy, must not hold up everybody behind the waiting TRUNCATE.
fn truncate(c: &mut Chance, client: i64, n: i64) -> String {
    let tables =
        c.one_of(&["side_part", "side, side_part", "side CASCADE", "side_part, side RESTART IDENTITY"]);
    let (before, after) = (side(c, client, n), side(c, client, n));
    let before = if c.between(0, 1) == 0 { before } else { String::new() };
    // In one statement list an error of a timeout would end the transaction, which is right: it is drawn again.
    format!("SET LOCAL lock_timeout = '50ms'; {before} TRUNCATE {tables}; {after}")
}

/// Thousands of rows: inserted, changed and partly deleted at once.
fn big(c: &mut Chance, client: i64, n: i64) -> String {
    let (rows, from) = (c.between(1000, 4000), format!("{client} * 1000000000::bigint"));
    let sweep =
        c.one_of(&["", "DELETE FROM big WHERE id / 1000000000 = {c};"]).replace("{c}", &client.to_string());
    format!(
        "{sweep} INSERT INTO big SELECT {from} + {n} * 5000 + g, 'big ' || g, g FROM generate_series(1, {rows}) g ON CONFLICT DO NOTHING;
         UPDATE big SET w = w + 1 WHERE id BETWEEN {from} + {n} * 5000 AND {from} + {n} * 5000 + {rows} / 2;
         DELETE FROM big WHERE id BETWEEN {from} + {n} * 5000 AND {from} + {n} * 5000 + 5000 AND w % 3 = 0;"
    )
}

fn savepoints(c: &mut Chance, client: i64, n: i64) -> String {
    let (lost, kept) = (doomed(c, client, -n), family(c, client, n));
    let inner = full_row(c, client, n);
    format!(
        "SAVEPOINT a; {kept} SAVEPOINT b; INSERT INTO numbered (client, n) VALUES ({client}, -1000000 - {n}) ON CONFLICT DO NOTHING; {lost} ROLLBACK TO b; {inner}
         SAVEPOINT c; INSERT INTO log VALUES ({client}, -{n}, 'never'); ROLLBACK TO c; RELEASE a;"
    )
}

/// One of several equal rows changes.
fn full_row(c: &mut Chance, client: i64, n: i64) -> String {
    let some = c.between(0, 15);
    let row = format!("ctid = (SELECT ctid FROM full_row WHERE client = {client} OFFSET {some} LIMIT 1)");
    match c.between(0, 4) {
        0 => format!(
            "INSERT INTO full_row SELECT {client}, NULL, 'same', '{{\"n\":  {}}}', 1 / 3.0, 1.10, NULL FROM generate_series(1, 2);",
            n % 3
        ),
        1 => format!("DELETE FROM full_row WHERE {row};"),
        2 => format!("UPDATE full_row SET t = NULL, f = random(), n = 'NaN' WHERE {row};"),
        3 => format!(
            "UPDATE full_row SET a = {n} % 4, t = 'same', j = NULL, f = 'NaN', n = 2.50, p = '(1e-7,-0)' WHERE {row};"
        ),
        _ => format!(
            "INSERT INTO full_row (client, a) VALUES ({client}, 1), ({client}, 1); UPDATE full_row SET f = '-0', j = '[1, 2]' WHERE {row}; DELETE FROM full_row WHERE {row};"
        ),
    }
}

fn swap(c: &mut Chance, client: i64, n: i64) -> String {
    let first = (client - 1) * 20;
    let (a, b) = (first + c.between(1, 10), first + c.between(11, 20));
    format!(
        "DO $$ DECLARE a int := (SELECT rank FROM swapped WHERE id = {a}); b int := (SELECT rank FROM swapped WHERE id = {b}); BEGIN
           UPDATE swapped SET rank = -{a} WHERE id = {a}; UPDATE swapped SET rank = a WHERE id = {b};
           UPDATE swapped SET rank = b, label = 'swapped in {n}' WHERE id = {a}; END $$;"
    )
}

fn swap_deferred(c: &mut Chance, client: i64, _: i64) -> String {
    let first = (client - 1) * 20;
    let (a, b) = (first + c.between(1, 10), first + c.between(11, 20));
    format!(
        "UPDATE deferred d SET pos = o.pos FROM deferred o WHERE d.id IN ({a}, {b}) AND o.id IN ({a}, {b}) AND o.id <> d.id;"
    )
}

/// A range moves to where another one was.
fn booking(c: &mut Chance, client: i64, n: i64) -> String {
    let first = (client - 1) * 20;
    let (a, b) = (first + c.between(1, 10), first + c.between(11, 20));
    format!(
        "DO $$ DECLARE a int4range := (SELECT during FROM booking WHERE id = {a}); b int4range := (SELECT during FROM booking WHERE id = {b}); BEGIN
           DELETE FROM booking WHERE id = {a}; UPDATE booking SET during = a WHERE id = {b}; INSERT INTO booking VALUES ({a}, b); END $$;
         INSERT INTO booking VALUES ({client} * 1000000000::bigint + {n}, 'empty') ON CONFLICT (id) DO NOTHING;"
    )
}

fn identity(c: &mut Chance, client: i64, n: i64) -> String {
    let table = c.one_of(&["identity_always", "identity_default"]);
    format!(
        "INSERT INTO {table} (client, v) VALUES ({client}, 'i{n}'), ({client}, NULL);
         UPDATE {table} SET v = 'u{n}' WHERE id = (SELECT max(id) FROM {table} WHERE client = {client});
         DELETE FROM {table} WHERE id = (SELECT min(id) FROM {table} WHERE client = {client});"
    )
}

fn generated(c: &mut Chance, client: i64, n: i64) -> String {
    let id = own(c, client);
    match c.between(0, 2) {
        0 => format!("UPDATE generated SET a = {n}, t = 'ä{n}' WHERE id = {id};"),
        1 => format!("UPDATE generated SET b = NULL, t = NULL WHERE id = {id};"),
        _ => format!(
            "DELETE FROM generated WHERE id = {id}; INSERT INTO generated (id, a, b, t) VALUES ({id}, {n}, 1, 'new');"
        ),
    }
}

/// Rows move between partitions, some of which have their columns in another order.
fn partitions(c: &mut Chance, client: i64, n: i64) -> String {
    let id = own(c, client);
    let (region, at) = (c.one_of(&["north", "south", "else"]), c.between(0, 99));
    match c.between(0, 3) {
        0 => format!("UPDATE part SET v = 'v{n}' WHERE id = {id};"),
        1 => format!("UPDATE part SET at = {at} WHERE id = {id};"),
        2 => format!("UPDATE part SET region = '{region}', at = {at}, v = NULL WHERE id = {id};"),
        _ => format!(
            "DELETE FROM part WHERE id = {id}; INSERT INTO part VALUES ({id}, '{region}', {at}, 'again');"
        ),
    }
}

/// Cascades: the children's changes come over the stream too.
fn family(c: &mut Chance, client: i64, n: i64) -> String {
    let row = format!(
        "(SELECT id FROM parent WHERE id BETWEEN {client} * 1000000000::bigint - 5 AND {client} * 1000000000::bigint + 900000000 ORDER BY id OFFSET {} LIMIT 1)",
        c.between(0, 4)
    );
    let new = format!("{client} * 1000000000::bigint + {n} * 10 + {}", c.between(0, 9));
    match c.between(0, 2) {
        0 => format!(
            "UPDATE parent SET id = {new}, v = 'moved' WHERE id = {row} AND NOT EXISTS (SELECT FROM parent WHERE id = {new});"
        ),
        1 => format!(
            "DELETE FROM parent WHERE id = {row}; INSERT INTO parent VALUES ({new}, 'new') ON CONFLICT DO NOTHING; INSERT INTO child (parent, v) VALUES ({new}, 'c{n}');"
        ),
        _ => format!(
            "INSERT INTO child (parent, v) SELECT id, 'c{n}' FROM parent WHERE id = {row}; UPDATE child SET v = v || '.' WHERE parent = {row};"
        ),
    }
}

fn quoted(c: &mut Chance, client: i64, n: i64) -> String {
    let id = own(c, client);
    format!(
        "UPDATE \"Größe \"\"ÄÖ\"\" 表\" SET \"Wert €\" = 'Größe {n} 表', \"select\" = {n} WHERE \"Schlüssel\" = {id};"
    )
}
