//! What random schemas have found, and pg_dump's own round trip changes: the source is the measure.

use crate::harness::{assert_same, assert_same_schema, reference_target, schema_dump};
use crate::moves::pair_with;

#[test]
fn a_child_keeps_the_storage_that_its_parent_no_longer_has() {
    let pair = pair_with(
        18,
        18,
        "CREATE TABLE p (a text, b text, c text); CREATE TABLE child (own int) INHERITS (p); CREATE TABLE grandchild () INHERITS (child);
         ALTER TABLE ONLY p ALTER a SET STORAGE MAIN, ALTER b SET COMPRESSION pglz, ALTER c SET STORAGE EXTERNAL;
         ALTER TABLE ONLY child ALTER c SET STORAGE PLAIN; CREATE TABLE q (a text); CREATE TABLE of_two () INHERITS (p);
         ALTER TABLE of_two INHERIT q; CREATE TABLE late () INHERITS (p)",
    );
    pair.offline().ok();
    assert_same_schema(&pair.source, &pair.target);
    let storage = "SELECT attrelid::regclass::text, attname, attstorage, attcompression FROM pg_attribute \
                   WHERE attrelid >= 16384 AND attnum > 0 AND atttypid = 'text'::regtype AND attrelid::regclass::text !~ '^pg_' ORDER BY 1, 2";
    assert_eq!(pair.source.psql(storage), pair.target.psql(storage));
}

#[test]
fn pg_dump_gives_a_child_its_parents_storage() {
    let pair = pair_with(
        18,
        18,
        "CREATE TABLE p (a text); CREATE TABLE child () INHERITS (p); ALTER TABLE ONLY p ALTER a SET STORAGE MAIN",
    );
    let reference = reference_target(&pair.source, pair.target.cluster, false);
    assert_ne!(schema_dump(&reference), schema_dump(&pair.source));
    pair.offline().ok();
    assert_same_schema(&pair.source, &pair.target);
}

#[test]
fn a_domain_keeps_off_the_default_of_its_type() {
    let pair = pair_with(
        15,
        15,
        "CREATE TYPE b; CREATE FUNCTION b_in(cstring) RETURNS b LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
         CREATE FUNCTION b_out(b) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
         CREATE TYPE b (INPUT = b_in, OUTPUT = b_out, LIKE = int, DEFAULT = '7'); CREATE DOMAIN d AS b DEFAULT NULL; CREATE DOMAIN e AS b;
         CREATE DOMAIN f AS e; ALTER DOMAIN f DROP DEFAULT; CREATE DOMAIN g AS f NOT NULL; CREATE DOMAIN h AS int DEFAULT 1; CREATE DOMAIN i AS h DEFAULT NULL",
    );
    pair.offline().ok();
    assert_same_schema(&pair.source, &pair.target);
}

#[test]
fn a_check_that_comes_to_the_parents_after_the_rows_stays_inherited() {
    // The child of both would have it from the parent that it is made of for the moment.
    let pair = pair_with(
        15,
        15,
        "CREATE TABLE a (x int); CREATE TABLE b () INHERITS (a); ALTER TABLE a ADD CONSTRAINT late CHECK (x > 0) NOT VALID;
         ALTER TABLE a ADD y int; CREATE TABLE c () INHERITS (b); CREATE TABLE d (own int) INHERITS (c, b); ALTER TABLE b ADD z int",
    );
    pair.offline().ok();
    assert_same_schema(&pair.source, &pair.target);
}

#[test]
fn partitioned_tables_that_were_called_unlogged() {
    for (from, to) in [(13, 18), (17, 18), (13, 15), (15, 15)] {
        let pair = pair_with(
            from,
            to,
            "CREATE UNLOGGED TABLE up (a int, b serial) PARTITION BY LIST (a); CREATE UNLOGGED TABLE up1 PARTITION OF up FOR VALUES IN (1);
             CREATE TABLE up2 PARTITION OF up FOR VALUES IN (2); CREATE INDEX ON up (a); INSERT INTO up (a) VALUES (1), (2), (2)",
        );
        pair.offline().ok();
        assert_same(&pair.source, &pair.target);
        let unlogged = "SELECT relname FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'";
        assert_eq!(pair.target.psql(unlogged), "up1");
    }
}
