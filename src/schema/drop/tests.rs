//! Hand-made targets.

use super::*;
use crate::schema::order::tests::{Model, of, rel, relative, with_default};
use crate::schema::{
    Comment, CommentOn, Extension, OwnedBy, PartitionOf, RangeType, Sequence, Table, TableKind,
};

fn plan(model: &Model) -> Vec<String> {
    drop_plan(&model.0, true)
}

fn namespace(model: Model, oid: u32, name: &str) -> Model {
    let mut model = model.add(of(class::NAMESPACE, oid), name, Definition::Namespace(Namespace::default()));
    if let Some(object) = model.0.objects.last_mut() {
        object.namespace = None;
        object.comments.push(Comment { on: CommentOn::Itself, text: "standard public schema".to_owned() });
    }
    model
}

#[test]
fn kinds_go_together_and_the_schema_goes_last() {
    let model = namespace(Model::default(), 1, "s")
        .table(10, Table::default())
        .table(11, Table::default())
        .key(12, 10, None)
        .foreign_key(13, 11, 10, 12)
        .index(14, 10)
        .view(15)
        .needs(of(class::REWRITE, 15), &[rel(10)])
        .function(16)
        .function(17);
    assert_eq!(
        plan(&model),
        [
            "DROP VIEW IF EXISTS s.v15",
            "DROP TABLE IF EXISTS s.t11, s.t10",
            "DROP FUNCTION IF EXISTS s.f16(), s.f17()",
            "DROP SCHEMA IF EXISTS s"
        ]
    );
}

#[test]
fn tables_that_refer_to_each_other_go_in_one_statement_without_their_keys() {
    let model = Model::default()
        .table(10, Table::default())
        .table(11, Table::default())
        .key(12, 10, None)
        .key(13, 11, None)
        .foreign_key(14, 11, 10, 12)
        .foreign_key(15, 10, 11, 13);
    assert_eq!(
        plan(&model),
        [
            "ALTER TABLE IF EXISTS s.t10 DROP CONSTRAINT IF EXISTS fk15",
            "ALTER TABLE IF EXISTS s.t11 DROP CONSTRAINT IF EXISTS fk14",
            "DROP TABLE IF EXISTS s.t10, s.t11"
        ]
    );
}

#[test]
fn a_view_and_a_function_on_its_row_type_are_parted_by_a_placeholder() {
    let model = Model::default()
        .view(1)
        .function(2)
        .needs(of(class::REWRITE, 1), &[of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)]);
    assert_eq!(
        plan(&model),
        [
            "CREATE OR REPLACE VIEW s.v1 AS\n SELECT\n    NULL::integer AS c",
            "DROP FUNCTION IF EXISTS s.f2()",
            "DROP VIEW IF EXISTS s.v1"
        ]
    );
}

#[test]
fn a_default_is_taken_off_where_its_function_needs_the_table() {
    let model = Model::default()
        .table(1, with_default(10))
        .function(2)
        .needs(of(class::ATTRDEF, 10), &[rel(1), of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)]);
    assert_eq!(
        plan(&model),
        [
            "ALTER TABLE IF EXISTS s.t1 ALTER COLUMN c DROP DEFAULT",
            "DROP FUNCTION IF EXISTS s.f2()",
            "DROP TABLE IF EXISTS s.t1"
        ]
    );
}

#[test]
fn an_owned_sequence_goes_with_its_table_and_a_view_of_it_before() {
    let owned = OwnedBy {
        table: relative(1),
        table_unlogged: false,
        column: "c".to_owned(),
        column_type: "bigint".to_owned(),
        of_partition: false,
    };
    let sequence = Sequence { owned_by: Some(owned), ..Sequence::default() };
    let mut model =
        Model::default().table(1, Table::default()).add(rel(2), "q", Definition::Sequence(sequence));
    model.0.objects[1].parent = Some(rel(1));
    let model = model.view(3).needs(of(class::REWRITE, 3), &[rel(2)]);
    assert_eq!(plan(&model), ["DROP VIEW IF EXISTS s.v3", "DROP TABLE IF EXISTS s.t1"]);
}

#[test]
fn ten_thousand_tables_take_few_statements() {
    let model = (1..=10_000).fold(Model::default(), |model, oid| model.table(oid, Table::default()));
    assert_eq!(plan(&model).len(), 10_000 / BATCH);
}

#[test]
fn public_stays() {
    assert_eq!(plan(&namespace(Model::default(), 1, "public")), Vec::<String>::new());
}

#[test]
fn an_extension_goes_only_if_nothing_outside_uses_it() {
    let extension = of(class::EXTENSION, 1);
    let member = of(class::PROC, 2);
    let model = Model::default()
        .add(extension, "x", Definition::Extension(Extension::default()))
        .alias(member, extension);
    assert_eq!(plan(&model).len(), 1);
    assert_eq!(drop_plan(&model.0, false), Vec::<String>::new(), "under a filter it is not ours");
    // Catalog 1417 is pg_foreign_server, which the model does not carry.
    let model = model.needs(of(1417, 3), &[member]);
    assert_eq!(plan(&model), Vec::<String>::new());
}

#[test]
fn a_partition_outside_is_not_dropped_with_its_parent() {
    let parted = Table { kind: TableKind::Partitioned, ..Table::default() };
    let inside = Table {
        partition_of: Some(PartitionOf { parent: relative(1), bound: "DEFAULT".to_owned() }),
        ..Table::default()
    };
    let model = Model::default().table(1, parted).table(2, inside).needs(rel(2), &[rel(1)]);
    assert_eq!(plan(&model), ["DROP TABLE IF EXISTS s.t2, s.t1"]);
    let statements = plan(&model.needs(rel(99), &[rel(1)]));
    assert_eq!(statements[0], "DROP TABLE IF EXISTS s.t2");
    assert!(statements[1].starts_with("DO ") && statements[1].contains("WHERE oid IN (99)"));
    assert!(statements[1].ends_with(";\nDROP TABLE IF EXISTS s.t1"), "guard and drop are one transaction");
}

#[test]
fn a_range_takes_its_canonical_function_along_behind_a_guard() {
    let range = RangeType { canonical: Some("s.f2".to_owned()), ..RangeType::default() };
    let model = Model::default()
        .add(of(class::TYPE, 1), "r", Definition::Range(range))
        .function(2)
        .needs(of(class::TYPE, 1), &[of(class::PROC, 2)])
        .needs(of(class::PROC, 2), &[of(class::TYPE, 1)]);
    let statements = plan(&model);
    assert!(
        statements[0].starts_with("DO ") && statements[0].ends_with(";\nDROP TYPE IF EXISTS s.r CASCADE")
    );
    assert_eq!(statements[1..], ["DROP FUNCTION IF EXISTS s.f2()"]);
}
