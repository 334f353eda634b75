//! Operators, and their classes and families.

use crate::kinds::carried_between;
use crate::moves::pair_with;

#[test]
fn operator_classes_of_every_access_method_of_the_server() {
    // A copy of each class that the server brings, with all its members.
    let script = r#"
CREATE SCHEMA copies;
DO $do$ DECLARE c record; items text; BEGIN
  FOR c IN SELECT o.oid, o.opcname, a.amname, o.opcintype, o.opckeytype, o.opcfamily FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod
      WHERE o.oid < 16384 ORDER BY 3, 2 LOOP
    SELECT string_agg(x, ', ') INTO items FROM (
      SELECT 'STORAGE ' || c.opckeytype::regtype AS x WHERE c.opckeytype <> 0 AND c.amname NOT IN ('btree', 'hash')
      UNION ALL SELECT format('OPERATOR %s %s%s', amopstrategy, amopopr::regoperator, CASE WHEN amopsortfamily <> 0 THEN ' FOR ORDER BY pg_catalog.' || (SELECT quote_ident(opfname) FROM pg_opfamily WHERE oid = amopsortfamily) ELSE '' END)
        FROM pg_amop WHERE amopfamily = c.opcfamily AND amoplefttype = c.opcintype AND amoprighttype = c.opcintype
      UNION ALL SELECT format('FUNCTION %s (%s, %s) %s', amprocnum, amproclefttype::regtype, amprocrighttype::regtype, amproc::oid::regprocedure)
        FROM pg_amproc WHERE amprocfamily = c.opcfamily AND amproclefttype = c.opcintype AND amprocrighttype = c.opcintype) m;
    EXECUTE format('CREATE OPERATOR CLASS copies.%I FOR TYPE %s USING %s AS %s', c.opcname, c.opcintype::regtype, c.amname, items);
  END LOOP; END $do$;"#;
    for (from, to) in [(15, 15), (18, 18)] {
        carried_between(from, to, script);
    }
}

#[test]
fn what_later_versions_no_longer_take_is_named_and_may_be_left_out() {
    let pair = pair_with(
        13,
        18,
        "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1'; CREATE OPERATOR !! (PROCEDURE = twice, LEFTARG = int);
         CREATE VIEW v AS SELECT 3 !! AS x; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
    );
    pair.offline().run().expect_code(1).expect_said(&["public.!! (integer, NONE)", "[retired-in-target]"]);
    pair.offline().arg("--allow-restore-errors").run().expect_code(1).expect_said(&["public.v"]);
    assert_eq!(pair.target.psql("SELECT count(*) FROM t"), "1");
}

#[test]
fn a_commutator_that_has_another_is_left_out_where_it_is_refused() {
    // pg_dump's script fails on such an operator.
    let pair = pair_with(
        15,
        18,
        "CREATE FUNCTION f(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 < $2';
         CREATE OPERATOR <~ (PROCEDURE = f, LEFTARG = int, RIGHTARG = int, COMMUTATOR = ~>);
         CREATE OPERATOR ~> (PROCEDURE = f, LEFTARG = int, RIGHTARG = int, COMMUTATOR = <~, NEGATOR = <=~);
         CREATE OPERATOR <=~ (PROCEDURE = f, LEFTARG = int, RIGHTARG = int, NEGATOR = ~>);
         CREATE OPERATOR <-~ (PROCEDURE = f, LEFTARG = int, RIGHTARG = int, COMMUTATOR = ~>, NEGATOR = <=~)",
    );
    pair.offline().ok().expect_said(&["arrives without COMMUTATOR = OPERATOR(public.~>)", "without NEGATOR"]);
    let operators = "SELECT oprname, oprcom::regoper, oprnegate::regoper FROM pg_operator WHERE oid >= 16384 ORDER BY oprname COLLATE \"C\"";
    assert_eq!(pair.target.psql(operators), "<-~|0|0\n<=~|0|~>\n<~|~>|0\n~>|<~|<=~");
}
