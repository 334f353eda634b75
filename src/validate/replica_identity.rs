//! Whether the rows of each table can be told apart in the stream.
//!
//! A published table without a replica identity refuses UPDATE and DELETE on the source (`CheckCmdReplicaIdentity` in
//! `src/backend/executor/execReplication.c`), which stops the application and not the migration: so it is a warning, as such tables
//! are fine where rows are only ever inserted.

use std::collections::BTreeMap;

use super::Online;
use super::facts::Replication;
use super::facts::replication::{Identity, Table};
use super::finding::{Finding, counted, some_of};
use crate::error::Side;
use crate::schema::Schema;
use crate::schema::quote::{qualified, quote_ident};

/// Findings about the tables that take part.
pub(super) fn judge(schema: &Schema, source: &Replication, online: Online<'_>, out: &mut Vec<Finding>) {
    let taken = super::publication::taken(schema, source);
    let publication = quote_ident(&online.options.publication);
    // One that is there may publish neither; then that is an error of its own.
    let sends = source.publication.as_ref().is_none_or(|p| p.update || p.delete);
    let without = named(&taken, |t| t.identity == Identity::None);
    if sends && !without.is_empty() {
        let there = source.publication.is_some();
        out.push(
            Finding::warning(
                "replica-identity-missing",
                format!(
                    "{} without a replica identity: UPDATE and DELETE on {} {} on the source {}: {}",
                    counted(without.len(), "table"),
                    if without.len() == 1 { "it" } else { "them" },
                    if there { "fail" } else { "will fail" },
                    if there {
                        format!("while publication {publication} publishes them")
                    } else {
                        format!("as soon as publication {publication} is there")
                    },
                    some_of(&without)
                ),
            )
            .on(Side::Source)
            .about(without[0].clone())
            .mend(format!(
                "{}\n-- or a primary key, or REPLICA IDENTITY USING INDEX of a unique one over NOT NULL columns; nothing is needed where rows are only inserted",
                full(&without)
            )),
        );
    }
    let generated = named(&taken, |t| t.identity == Identity::Key && t.identity_generated);
    if !generated.is_empty() {
        out.push(
            Finding::error(
                "replica-identity-generated",
                format!(
                    "generated columns are not streamed, and a replica identity has one, so rows could not be told apart: {}",
                    some_of(&generated)
                ),
            )
            .on(Side::Source)
            .about(generated[0].clone())
            .mend(full(&generated)),
        );
    }
    let full = named(&taken, |t| t.identity == Identity::Full);
    if !full.is_empty() {
        out.push(
            Finding::notice(
                "replica-identity-full",
                format!(
                    "{} with REPLICA IDENTITY FULL: each UPDATE and DELETE is found by all its columns, which is slow in large tables: {}",
                    counted(full.len(), "table"),
                    some_of(&full)
                ),
            )
            .on(Side::Source)
            .about(full[0].clone())
            .mend("ALTER TABLE … REPLICA IDENTITY DEFAULT; -- where there is a primary key"),
        );
    }
}

fn named(taken: &BTreeMap<u32, &Table>, which: impl Fn(&Table) -> bool) -> Vec<String> {
    let mut names: Vec<String> =
        taken.values().filter(|t| which(t)).map(|t| qualified(&t.schema, &t.name)).collect();
    names.sort();
    names
}

fn full(tables: &[String]) -> String {
    let lines: Vec<String> =
        tables.iter().map(|t| format!("ALTER TABLE ONLY {t} REPLICA IDENTITY FULL;")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::facts::replication::Publication;
    use super::super::testing::{good_source, online, shown, tables_of};
    use super::*;
    use crate::config::OnlineOptions;

    #[test]
    fn identities() {
        let names = ["keyed", "bare", "Full", "computed", "fast"];
        let (schema, mut tables) = tables_of(&names, &["fast"]);
        tables.get_mut(&2).unwrap().identity = Identity::None;
        tables.get_mut(&3).unwrap().identity = Identity::Full;
        tables.get_mut(&4).unwrap().identity_generated = true;
        tables.get_mut(&5).unwrap().identity = Identity::None;
        let mut source = Replication { tables, publication: None, ..good_source() };
        let options = OnlineOptions::default();
        let mut out = Vec::new();
        judge(&schema, &source, online(&options), &mut out);
        source.publication = Some(Publication { update: true, ..Publication::default() });
        judge(&schema, &source, online(&options), &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Warning replica-identity-missing source [s.bare]: 1 table without a replica identity: UPDATE and DELETE on it will fail on the source as soon as publication pg_migrator is there: s.bare
    ALTER TABLE ONLY s.bare REPLICA IDENTITY FULL;
-- or a primary key, or REPLICA IDENTITY USING INDEX of a unique one over NOT NULL columns; nothing is needed where rows are only inserted
Error replica-identity-generated source [s.computed]: generated columns are not streamed, and a replica identity has one, so rows could not be told apart: s.computed
    ALTER TABLE ONLY s.computed REPLICA IDENTITY FULL;
Notice replica-identity-full source [s."Full"]: 1 table with REPLICA IDENTITY FULL: each UPDATE and DELETE is found by all its columns, which is slow in large tables: s."Full"
    ALTER TABLE … REPLICA IDENTITY DEFAULT; -- where there is a primary key
Warning replica-identity-missing source [s.bare]: 1 table without a replica identity: UPDATE and DELETE on it fail on the source while publication pg_migrator publishes them: s.bare
    ALTER TABLE ONLY s.bare REPLICA IDENTITY FULL;
-- or a primary key, or REPLICA IDENTITY USING INDEX of a unique one over NOT NULL columns; nothing is needed where rows are only inserted
Error replica-identity-generated source [s.computed]: generated columns are not streamed, and a replica identity has one, so rows could not be told apart: s.computed
    ALTER TABLE ONLY s.computed REPLICA IDENTITY FULL;
Notice replica-identity-full source [s."Full"]: 1 table with REPLICA IDENTITY FULL: each UPDATE and DELETE is found by all its columns, which is slow in large tables: s."Full"
    ALTER TABLE … REPLICA IDENTITY DEFAULT; -- where there is a primary key
"#);
        out.clear();
        source.publication = Some(Publication::default());
        judge(&schema, &source, online(&options), &mut out);
        assert!(!shown(&out).contains("missing"), "nothing is published that could fail");
    }
}
