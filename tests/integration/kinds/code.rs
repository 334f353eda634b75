//! Functions and aggregates, languages, operators and what they are grouped into, access methods, text search.

use super::{carried, each};
use crate::harness::schema_dump;

/// Kinds: Function.
#[test]
fn functions_and_procedures() {
    carried("functions");
}

/// Kinds: Aggregate.
#[test]
fn aggregates() {
    carried("aggregates");
}

/// Kinds: Language, Transform.
#[test]
fn languages_and_transforms() {
    carried("languages");
}

/// Kinds: Operator.
#[test]
fn operators() {
    carried("operators");
}

/// Kinds: OperatorClass, OperatorFamily.
#[test]
fn operator_classes_and_families() {
    carried("classes");
}

/// Kinds: AddedMembers. pg_dump has none of them, so the catalogs are compared.
#[test]
fn members_added_to_families_of_an_extension_and_of_the_server() {
    each("added_members", 10, |pair| {
        let added = "SELECT (SELECT opfname FROM pg_opfamily WHERE oid = amopfamily), amopstrategy, amopopr::regoperator FROM pg_amop \
               WHERE oid >= 16384 AND (amopopr >= 16384 OR amoplefttype <> amoprighttype) AND amopopr::regoperator::text !~ '<->' \
             UNION ALL SELECT (SELECT opfname FROM pg_opfamily WHERE oid = amprocfamily), amprocnum, NULL FROM pg_amproc \
               WHERE amproc::text IN ('cmp') ORDER BY 1, 2, 3";
        let there = pair.source.psql(added);
        assert!(there.contains("integer_ops|1|<<<(integer,text)\ninteger_ops|1|"), "{there}");
        assert!(!schema_dump(&pair.source).contains("ALTER OPERATOR FAMILY"), "pg_dump has learnt it");
        assert_eq!(there, pair.target.psql(added));
    });
}

/// Kinds: AccessMethod.
#[test]
fn access_methods() {
    carried("access_methods");
}

/// Kinds: TextSearchParser, TextSearchTemplate, TextSearchDictionary, TextSearchConfiguration.
#[test]
fn text_search() {
    carried("text_search");
}

/// Kinds: ChangedComments. pg_dump has none of them, so the catalogs are compared.
#[test]
fn comments_on_members_of_extensions() {
    each("changed_comments", 10, |pair| {
        let said = "SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid >= 16384 ORDER BY 1";
        assert_eq!(pair.source.psql(said), pair.target.psql(said));
        assert!(pair.source.psql(said).contains("keys, it's said"));
    });
}
