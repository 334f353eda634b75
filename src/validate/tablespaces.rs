//! Tablespaces: they belong to the server, so they must be on the target before what is made in them.

use std::collections::BTreeMap;

use super::Asked;
use super::facts::{Server, Target};
use super::finding::{Finding, counted};
use crate::error::Side;
use crate::schema::quote::quote_ident;
use crate::schema::{Definition, Schema};

pub(super) fn judge(schema: &Schema, target: &Server, to: &Target, asked: Asked<'_>, out: &mut Vec<Finding>) {
    if asked.restore.no_tablespaces {
        return;
    }
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for object in &schema.objects {
        let tablespace = match &object.definition {
            Definition::Table(table) => table.tablespace.as_deref(),
            Definition::MaterializedView(matview) => matview.tablespace.as_deref(),
            Definition::Index(index) => index.tablespace.as_deref(),
            Definition::Constraint(c) => c.index.as_ref().and_then(|i| i.tablespace.as_deref()),
            _ => None,
        };
        if let Some(tablespace) = tablespace {
            *used.entry(tablespace).or_default() += 1;
        }
    }
    for (name, objects) in used {
        let name_of = quote_ident(name);
        let (code, message, remedy) = match to.tablespaces.get(name) {
            Some(true) => continue,
            None => (
                "tablespace-missing",
                format!(
                    "tablespace {name_of} holds {} on the source and is not on the target",
                    counted(objects, "object")
                ),
                format!("CREATE TABLESPACE {name_of} LOCATION '…';"),
            ),
            Some(false) => (
                "tablespace-not-permitted",
                format!("role {} may not create anything in tablespace {name_of}", quote_ident(&target.role)),
                format!("GRANT CREATE ON TABLESPACE {name_of} TO {};", quote_ident(&target.role)),
            ),
        };
        out.push(
            Finding::error(code, message)
                .on(Side::Target)
                .about(name_of)
                .mend(format!("{remedy} -- or leave tablespaces off with --no-tablespaces")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asking, good_server, object, shown};
    use super::*;
    use crate::schema::{MaterializedView, Table};

    #[test]
    fn missing_ones_and_forbidden_ones() {
        let table =
            |space: &str| Definition::Table(Table { tablespace: Some(space.into()), ..Table::default() });
        let matview = MaterializedView { tablespace: Some("There".into()), ..MaterializedView::default() };
        let schema = Schema {
            objects: vec![
                object("a", table("Gone")),
                object("b", table("Gone")),
                object("c", Definition::MaterializedView(matview)),
                object("d", table("ok")),
            ],
            ..Schema::default()
        };
        let tablespaces = [("There".to_owned(), false), ("ok".to_owned(), true)].into();
        let to = Target { tablespaces, ..Target::default() };
        let mut out = Vec::new();
        asking(|_, _| (), |asked| judge(&schema, &good_server(), &to, asked, &mut out));
        asking(|_, r| r.no_tablespaces = true, |asked| judge(&schema, &good_server(), &to, asked, &mut out));
        insta::assert_snapshot!(shown(&out), @r#"
Error tablespace-missing target ["Gone"]: tablespace "Gone" holds 2 objects on the source and is not on the target
    CREATE TABLESPACE "Gone" LOCATION '…'; -- or leave tablespaces off with --no-tablespaces
Error tablespace-not-permitted target ["There"]: role mover may not create anything in tablespace "There"
    GRANT CREATE ON TABLESPACE "There" TO mover; -- or leave tablespaces off with --no-tablespaces
"#);
    }
}
