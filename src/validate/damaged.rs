//! What the source has and no server makes again: it was damaged by the source's own server, or what it rests on has changed.
//!
//! The object is there on the source and half works; only who knows what it was meant to be can mend it.

use std::collections::HashMap;

use super::finding::Finding;
use crate::error::Side;
use crate::schema::quote::quote_ident;
use crate::schema::{Address, Damage, Definition, Object, Schema};

/// Findings about what is to be carried and cannot be.
pub(super) fn judge(schema: &Schema, out: &mut Vec<Finding>) {
    if schema.damaged.is_empty() {
        return;
    }
    let objects: HashMap<Address, &Object> = schema.objects.iter().map(|o| (o.address, o)).collect();
    for damaged in &schema.damaged {
        let Some(object) = objects.get(&damaged.address) else { continue };
        let reference = object.reference();
        let finding = match (&damaged.how, &object.definition) {
            (Damage::SetsOthers, Definition::Constraint(constraint)) => {
                let message = format!(
                    "{reference} sets columns on DELETE that are none of its own, which the server made of it when its table was a \
                     partition: deleting a row that it refers to fails on the source, and no server makes it again: {}",
                    constraint.definition
                );
                let (table, name) = (&constraint.table.name, quote_ident(&object.name));
                Finding::error("foreign-key-damaged", message).mend(format!(
                    "ALTER TABLE {table} DROP CONSTRAINT {name}; -- and add it again with the columns that are meant; \
                     or leave it out by --allow-restore-errors"
                ))
            }
            (Damage::Unsorted(column), _) => {
                let message = format!(
                    "{reference} is on {column}, which has no order any more: no server makes it again"
                );
                Finding::error("statistics-refused", message)
                    .mend(format!("DROP {reference}; -- or leave it out by --allow-restore-errors"))
            }
            _ => continue,
        };
        out.push(finding.on(Side::Source).about(reference));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::shown;
    use super::*;
    use crate::schema::{Constraint, ConstraintKind, Damaged, Relative, class};

    #[test]
    fn what_is_left_out_is_not_said() {
        let constraint = Constraint {
            kind: ConstraintKind::Foreign,
            table: Relative { address: Address::relation(1), name: "s.t".into() },
            table_partitioned: false,
            definition: "FOREIGN KEY (k) REFERENCES s.pk(k) ON DELETE SET NULL (x)".into(),
            index: None,
            referenced: None,
            referenced_index: None,
            valid: true,
        };
        let address = Address::new(class::CONSTRAINT, 2);
        let object = Object {
            address,
            namespace: Some("s".into()),
            name: "To pk".into(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::Constraint(constraint),
        };
        let mut schema = Schema { objects: vec![object], ..Schema::default() };
        let other = Address::new(class::CONSTRAINT, 3);
        let judged = |schema: &Schema| {
            let mut out = Vec::new();
            judge(schema, &mut out);
            shown(&out)
        };
        schema.damaged = vec![Damaged { address: other, how: Damage::SetsOthers }];
        assert_eq!(judged(&schema), "");
        schema.damaged.push(Damaged { address, how: Damage::SetsOthers });
        insta::assert_snapshot!(judged(&schema), @r#"
Error foreign-key-damaged source [CONSTRAINT "To pk" ON s.t]: CONSTRAINT "To pk" ON s.t sets columns on DELETE that are none of its own, which the server made of it when its table was a partition: deleting a row that it refers to fails on the source, and no server makes it again: FOREIGN KEY (k) REFERENCES s.pk(k) ON DELETE SET NULL (x)
    ALTER TABLE s.t DROP CONSTRAINT "To pk"; -- and add it again with the columns that are meant; or leave it out by --allow-restore-errors
"#);
    }
}
