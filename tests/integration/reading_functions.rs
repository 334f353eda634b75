//! Indexes, keys, checks and generated columns whose functions read another table than their own: no catalog says which.

use crate::harness::{assert_same, assert_same_rows, reference_target};
use crate::moves::{offline_with, pair_with};

/// Everything that may call `look`; the large table's indexes are built beside the copying of others.
const CALLERS: &str = "CREATE TABLE a_lookup (k int PRIMARY KEY, v text); INSERT INTO a_lookup SELECT g, 'v' || g FROM generate_series(1, 20) g;
    CREATE FUNCTION look(i int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT v FROM public.a_lookup WHERE k = i';
    CREATE FUNCTION strictly(i int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
      'DECLARE found text; BEGIN SELECT v INTO STRICT found FROM public.a_lookup WHERE k = i; RETURN found; END';
    CREATE FUNCTION keyed(i int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
      'BEGIN PERFORM FROM pg_constraint WHERE conrelid = ''public.a_lookup''::regclass AND contype = ''p'';
         IF NOT found THEN RAISE ''a_lookup has no key''; END IF; RETURN public.strictly(i); END';
    CREATE FUNCTION in_order(a int, b int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
      'BEGIN PERFORM public.strictly(a); RETURN pg_catalog.btint4cmp(a, b); END';
    CREATE FUNCTION same(a text, b int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT public.strictly(b) = a';
    CREATE OPERATOR === (LEFTARG = text, RIGHTARG = int, FUNCTION = same);
    CREATE OPERATOR CLASS by_look FOR TYPE int USING btree AS
      OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 in_order(int, int);
    CREATE DOMAIN known AS int CHECK (strictly(VALUE) <> '');
    CREATE TABLE orders (a int, n text); INSERT INTO orders SELECT g % 20 + 1, 'x' || g FROM generate_series(1, 600) g;
    CREATE INDEX orders_look ON orders (look(a)); CREATE INDEX orders_strictly ON orders (strictly(a));
    CREATE INDEX orders_part ON orders (n) WHERE look(a) = 'v17'; CREATE INDEX orders_keyed ON orders (keyed(a));
    CREATE INDEX orders_class ON orders (a by_look); CREATE INDEX orders_operator ON orders ((n === a));
    CREATE INDEX orders_domain ON orders ((a::known)); CREATE INDEX orders_plain ON orders (a);
    CREATE TABLE large (a int, n text); INSERT INTO large SELECT g % 20 + 1, repeat('x', 1000) FROM generate_series(1, 5000) g;
    CREATE INDEX large_look ON large (look(a)); CREATE INDEX large_keyed ON large (keyed(a));
    CREATE TABLE apart (a int PRIMARY KEY, EXCLUDE (keyed(a) WITH =)); INSERT INTO apart SELECT g FROM generate_series(1, 20) g;
    CREATE TABLE checked (a int CHECK (strictly(a) <> ''), pad text); INSERT INTO checked SELECT 1 + g % 20, repeat('x', 90) FROM generate_series(1, 900) g;
    CREATE TABLE of_domain (a known[], pad text); INSERT INTO of_domain SELECT ARRAY[1 + g % 20], repeat('x', 90) FROM generate_series(1, 900) g;
    CREATE TABLE parts (a int, pad text) PARTITION BY LIST (strictly(a)); CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN ('v1');
    CREATE TABLE part_2 PARTITION OF parts DEFAULT; INSERT INTO parts SELECT 1 + g % 20, repeat('x', 90) FROM generate_series(1, 900) g;
    SELECT format('CREATE TABLE filler_%s AS SELECT g, %L::text AS x FROM generate_series(1, 100) g', i, 'abc') FROM generate_series(1, 12) i \\gexec\n";

/// Values that are computed when the rows are copied (12 and later).
const GENERATED: &str = "CREATE TABLE zgen (a int, g text GENERATED ALWAYS AS (look(a)) STORED, s text GENERATED ALWAYS AS (strictly(a)) STORED);
    INSERT INTO zgen SELECT g % 20 + 1 FROM generate_series(1, 3000) g;\n";

fn reading(from: u32, to: u32) {
    let pair = pair_with(from, to, &format!("{CALLERS}{GENERATED}"));
    for jobs in ["1", "4"] {
        offline_with(jobs, &pair.source, &pair.target);
        assert_same(&pair.source, &pair.target);
        let by_index = "SET enable_seqscan = off; SELECT count(*) FROM orders WHERE look(a) = 'v17'; SELECT count(*) FROM large WHERE look(a) = 'v17';
            SELECT count(n) FROM orders WHERE look(a) = 'v17'; SELECT count(g), count(s) FROM zgen";
        let found = pair.target.psql(by_index);
        assert_eq!(
            found.trim().lines().collect::<Vec<_>>(),
            ["30", "250", "30", "3000|3000"],
            "--jobs {jobs}"
        );
        // What the expressions give is sampled once the indexes are there.
        let sampled = "SELECT tablename, most_common_vals IS NOT NULL FROM pg_stats WHERE tablename IN ('orders_look', 'large_look') ORDER BY 1";
        assert_eq!(pair.target.psql(sampled).trim(), "large_look|t\norders_look|t", "--jobs {jobs}");
    }
    // As with pg_dump, which reads tables in the order of their names.
    assert_same_rows(&pair.source, &reference_target(&pair.source, pair.target.cluster, true));
}

#[test]
fn functions_that_read_other_tables_13_to_18() {
    reading(13, 18);
}

#[test]
fn functions_that_read_other_tables_15_to_15() {
    reading(15, 15);
}

#[test]
fn functions_that_read_other_tables_18_to_18() {
    reading(18, 18);
}
