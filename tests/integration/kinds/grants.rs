//! Privileges: by default, given and taken, by other grantors, on what others made; and ties to extensions.

use super::{carried, each};
use crate::harness::{Database, diff};
use crate::moves::Move;

/// Kinds: ChangedPrivileges, ExtensionTies, DefaultAcl.
#[test]
fn privileges_and_ties_to_extensions() {
    each("grants", 10, assert_same_grants);
}

/// Kinds: DefaultAcl.
#[test]
fn privileges_on_types_and_functions() {
    carried("privileges");
}

/// What the catalogs say, grantors included: pg_dump's text has them only by order.
fn assert_same_grants(pair: &Move) {
    if pair.source.cluster.major != pair.target.cluster.major {
        // The kinds of privileges are not the same.
        return;
    }
    let sql = "SELECT * FROM (SELECT c.relname::text AS name, c.relacl::text AS acl FROM pg_class c \
             WHERE c.relnamespace::regnamespace::text IN ('g', 'ext') AND relkind IN ('r', 'v', 'm', 'S', 'p') \
           UNION ALL SELECT c.relname || '.' || attname, attacl::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid \
             WHERE attacl IS NOT NULL AND relnamespace::regnamespace::text IN ('g', 'ext') \
           UNION ALL SELECT p.oid::regprocedure::text, proacl::text FROM pg_proc p WHERE pronamespace::regnamespace::text = 'g' \
           UNION ALL SELECT t.typname, typacl::text FROM pg_type t WHERE typnamespace::regnamespace::text = 'g' \
           UNION ALL SELECT n.nspname, nspacl::text FROM pg_namespace n WHERE nspname IN ('g', 'ext') \
           UNION ALL SELECT e.extname || ' ' || d.classid::regclass || d.objid::text::int * 0, count(*)::text FROM pg_depend d \
             JOIN pg_extension e ON e.oid = refobjid WHERE deptype = 'x' AND refclassid = 'pg_extension'::regclass GROUP BY 1 \
           UNION ALL SELECT defaclrole::regrole || ' ' || coalesce(nspname, '') || defaclobjtype::text, defaclacl::text \
             FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace) AS all_of_it ORDER BY 1, 2";
    // The owner's own list grows with versions, and an empty entry is none.
    let of = |database: &Database<'_>| {
        let text = database.psql(sql);
        let letters =
            |line: &str| line.replace("arwdDxtm", "arwdDxt").replace("a*r*w*d*D*x*t*m*", "a*r*w*d*D*x*t*");
        text.lines().map(|l| letters(l) + "\n").collect::<String>()
    };
    let diff = diff(&of(&pair.source), &of(&pair.target));
    assert!(diff.is_empty(), "privileges differ:\n{diff}");
}
