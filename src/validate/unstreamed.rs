//! What no publication carries: known limits of logical replication, said before they surprise anybody.

use super::facts::{Server, Source};
use super::finding::{Finding, some_of};
use super::{Asked, Online};
use crate::error::Side;
use crate::schema::quote::qualified;
use crate::schema::{Definition, Schema};

/// Findings from the source's catalogs.
pub(super) fn judge_source(server: &Server, source: &Source, asked: Asked<'_>, out: &mut Vec<Finding>) {
    if source.large_objects > 0 && asked.filter.is_everything() {
        out.push(
            Finding::warning(
                "large-objects-not-streamed",
                format!("the source has {} large objects: they are copied, and what changes in them later does not come", source.large_objects),
            )
            .on(Side::Source)
            .mend("keep them as they are from the beginning of the copy to Cutover, or migrate offline"),
        );
    }
    if server.version < 110_000 {
        out.push(
            Finding::warning(
                "truncate-not-streamed",
                "PostgreSQL 10 does not stream TRUNCATE: rows that one removes stay on the target",
            )
            .on(Side::Source)
            .mend("use DELETE instead of TRUNCATE from the beginning of the copy to Cutover"),
        );
    }
    out.push(
        Finding::notice("ddl-not-streamed", "changes of the schema are not streamed: one that changes a published table stops the stream until it is repeated on the target")
            .on(Side::Source)
            .mend("leave the schema as it is until Cutover"),
    );
}

/// Findings from the model.
pub(super) fn judge_schema(schema: &Schema, _online: Online<'_>, out: &mut Vec<Finding>) {
    let mut views: Vec<String> = schema
        .objects
        .iter()
        .filter(|o| matches!(o.definition, Definition::MaterializedView(_)))
        .map(|o| o.qualified_name())
        .collect();
    views.sort();
    if let Some(first) = views.first() {
        out.push(
            Finding::notice(
                "matviews-not-refreshed",
                format!(
                    "materialized views are filled during Restore and are not refreshed by the stream: {}",
                    some_of(&views)
                ),
            )
            .on(Side::Source)
            .about(first.clone())
            .mend(format!(
                "REFRESH MATERIALIZED VIEW {first}; -- and the others, on the target after Cutover"
            )),
        );
    }
    let mut tables: Vec<String> =
        schema.extension_data.iter().map(|e| qualified(&e.namespace, &e.name)).collect();
    tables.sort();
    if let Some(first) = tables.first() {
        out.push(
            Finding::warning(
                "extension-data-not-streamed",
                format!(
                    "rows of extensions' own tables are copied, and later changes to them do not come: {}",
                    some_of(&tables)
                ),
            )
            .on(Side::Source)
            .about(first.clone())
            .mend("leave them as they are until Cutover"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asking, good_server, object, online, shown};
    use super::*;
    use crate::config::OnlineOptions;
    use crate::schema::{ExtensionData, MaterializedView};

    #[test]
    fn what_does_not_come() {
        let source = Source { large_objects: 3, ..Source::default() };
        let server = Server { version: 100_023, ..good_server() };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge_source(&server, &source, asked, &mut out));
        asking(
            |f, _| f.include_schemas = vec!["s".into()],
            |asked| judge_source(&good_server(), &source, asked, &mut out),
        );
        let view = Definition::MaterializedView(MaterializedView::default());
        let data = ExtensionData {
            address: crate::schema::Address::relation(7),
            extension: "postgis".into(),
            namespace: "s".into(),
            name: "spatial_ref_sys".into(),
            columns: Vec::new(),
            condition: String::new(),
            references: Vec::new(),
        };
        let schema = Schema {
            objects: vec![object("b", view.clone()), object("A", view)],
            extension_data: vec![data],
            ..Schema::default()
        };
        let options = OnlineOptions::default();
        judge_schema(&schema, online(&options), &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Warning large-objects-not-streamed source: the source has 3 large objects: they are copied, and what changes in them later does not come
    keep them as they are from the beginning of the copy to Cutover, or migrate offline
Warning truncate-not-streamed source: PostgreSQL 10 does not stream TRUNCATE: rows that one removes stay on the target
    use DELETE instead of TRUNCATE from the beginning of the copy to Cutover
Notice ddl-not-streamed source: changes of the schema are not streamed: one that changes a published table stops the stream until it is repeated on the target
    leave the schema as it is until Cutover
Notice ddl-not-streamed source: changes of the schema are not streamed: one that changes a published table stops the stream until it is repeated on the target
    leave the schema as it is until Cutover
Notice matviews-not-refreshed source [s."A"]: materialized views are filled during Restore and are not refreshed by the stream: s."A", s.b
    REFRESH MATERIALIZED VIEW s."A"; -- and the others, on the target after Cutover
Warning extension-data-not-streamed source [s.spatial_ref_sys]: rows of extensions' own tables are copied, and later changes to them do not come: s.spatial_ref_sys
    leave them as they are until Cutover
"#);
    }
}
