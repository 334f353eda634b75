//! The planner's statistics: carried over to servers that take them, gathered on others.

use crate::harness::Database;
use crate::moves::pair_with;

const TABLES: &str = "
    CREATE SCHEMA \"S s\"; CREATE TYPE mood AS ENUM ('sad', 'it''s \\ ok', 'happy');
    CREATE TABLE \"S s\".\"T\" (id int PRIMARY KEY, t text, m mood, a int[], r int4range, at timestamptz, n float8, \"it's\" text)
      WITH (autovacuum_enabled = off); -- what it was analysed as must not change while it is read
    INSERT INTO \"S s\".\"T\" SELECT g, 'x\\y''z,{\"' || g % 7, (enum_range(NULL::mood))[1 + g % 3], ARRAY[g % 5, g % 3], int4range(g, g + 10),
      '2020-01-01'::timestamptz + g * interval '1 hour', g / 3.0, CASE WHEN g % 4 = 0 THEN repeat('é', g % 9) END FROM generate_series(1, 3000) g;
    CREATE INDEX \"by expression\" ON \"S s\".\"T\" (lower(t), (id % 10), n);
    CREATE TABLE p (id int, k text) PARTITION BY RANGE (id);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (500); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (500) TO (5000);
    INSERT INTO p SELECT g, 'k' || g % 3 FROM generate_series(1, 999) g;
    CREATE TABLE above (id int); CREATE TABLE below (x int) INHERITS (above); INSERT INTO above SELECT generate_series(1, 50);
    INSERT INTO below SELECT g, g % 2 FROM generate_series(1, 70) g;
    CREATE MATERIALIZED VIEW m AS SELECT k, count(*) AS n FROM p GROUP BY k; CREATE INDEX ON m ((n * 2));
    ANALYZE;
    UPDATE \"S s\".\"T\" SET t = 'all the same';
    CREATE TABLE never (id int); INSERT INTO never SELECT generate_series(1, 100);
    CREATE TABLE \"with extended\" (a int, b int); INSERT INTO \"with extended\" SELECT g % 10, g % 20 FROM generate_series(1, 1000) g;
    CREATE STATISTICS ext_stats ON a, b FROM \"with extended\"; ANALYZE \"with extended\"";

/// What the planner knows of columns, in the words of all versions.
fn known(database: &Database) -> String {
    // Servers before 12 print as many digits as the others then do.
    database.psql(
        "SET extra_float_digits = 0; SELECT schemaname, tablename, a.attnum, inherited, null_frac, avg_width, n_distinct, most_common_vals, most_common_freqs, \
           histogram_bounds, correlation, most_common_elems, most_common_elem_freqs, elem_count_histogram \
         FROM pg_stats s JOIN pg_namespace n ON nspname = schemaname JOIN pg_class c ON relnamespace = n.oid AND relname = tablename \
         JOIN pg_attribute a ON attrelid = c.oid AND a.attname = s.attname \
         WHERE schemaname IN ('S s', 'public') AND tablename NOT IN ('never', 'with extended') ORDER BY 1, 2, 3, 4",
    )
}

#[test]
fn statistics_are_carried_to_18_from_every_version() {
    for from in [10, 11, 12, 13, 15, 17, 18] {
        let pair = pair_with(from, 18, TABLES);
        let run = pair.offline().arg("-v").ok();
        let (source, target) = (known(&pair.source), known(&pair.target));
        assert!(source == target, "{from}: {}", crate::harness::diff(&source, &target));
        assert!(source.contains("by expression") && source.contains("S s|T|2|f|"), "{source}");
        assert!(source.contains("|t|"), "of parents with their children: {source}");
        assert!(!run.stderr.contains("could not be carried"), "{}", run.stderr);
        // As it was when it was analysed, not as it is.
        let t = "SELECT n_distinct FROM pg_stats WHERE tablename = 'T' AND attname = 't'";
        assert_eq!(pair.target.psql(t), "7");
        let tuples = "SELECT relname, reltuples FROM pg_class WHERE relname IN ('T', 'p1', 'm', 'above', 'below') \
                      AND reltuples >= 0 ORDER BY 1";
        let (counted, carried) = (pair.source.psql(tuples), pair.target.psql(tuples));
        for line in counted.lines() {
            assert!(carried.contains(line), "{from}: {line} in {carried}");
        }
        // What nobody analysed, and what extended statistics are on, is analysed.
        assert_eq!(pair.target.psql("SELECT count(*) FROM pg_stats WHERE tablename = 'never'"), "1");
        assert_eq!(pair.target.psql("SELECT count(*) FROM pg_stats_ext WHERE statistics_name = 'ext_stats' AND dependencies IS NOT NULL"), "1");
    }
}

#[test]
fn statistics_are_gathered_where_asked_for_or_not_taken() {
    let gathered = "SELECT n_distinct FROM pg_stats WHERE tablename = 'T' AND attname = 't'";
    let pair = pair_with(15, 18, TABLES);
    pair.offline().arg("--analyze").ok();
    assert_eq!(pair.target.psql(gathered), "1");
    let pair = pair_with(15, 16, TABLES);
    pair.offline().ok();
    assert_eq!(pair.target.psql(gathered), "1");
}
