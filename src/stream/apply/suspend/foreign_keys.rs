//! Foreign keys where the role may not set `session_replication_role`: dropped when StreamApply begins, made again at Cutover.
//!
//! The source has checked every key, and the rows that its `ON DELETE` and `ON UPDATE` actions touched come as changes of their own; on the target
//! the actions would run a second time, and also for changes during which the source had none (`session_replication_role = replica`,
//! a row that an UPDATE moves to another partition and that comes as a DELETE). Only a superuser may disable the triggers behind a key, but
//! its owner may drop it. Invariant: of what `pg_constraint` says of a key nothing is lost; those of partitions come back with the whole's.

use super::{Suspension, TAKING, split};
use crate::pg::{Param, Session, SqlError};
use crate::schema::quote::quote_literal;
use tokio_postgres::types::Type;

/// The keys of `tables` (schema, name) and their partitions, and those of other tables that refer to them and are the role's.
pub(super) async fn foreign_keys(
    target: &Session,
    tables: &[(String, String)],
) -> Result<Vec<Suspension>, SqlError> {
    // One that is not enforced has no triggers.
    let enforced = if target.version() >= 180_000 { " AND k.conenforced" } else { "" };
    let sql = format!(
        "{TAKING}, fk AS (\
           SELECT k.oid, k.conparentid FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'{enforced} \
             AND (k.conrelid IN (SELECT oid FROM taking) OR k.confrelid IN (SELECT oid FROM taking)) \
           UNION SELECT p.oid, p.conparentid FROM fk JOIN pg_catalog.pg_constraint p ON p.oid = fk.conparentid) \
         SELECT pg_catalog.format('%s%I.%I', CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, n.nspname, c.relname) AS relation, \
           pg_catalog.quote_ident(k.conname) AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition, \
           pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment \
         FROM fk JOIN pg_catalog.pg_constraint k USING (oid) JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE k.conparentid = 0 \
           AND (c.oid IN (SELECT oid FROM taking) OR pg_catalog.pg_has_role(c.relowner, 'USAGE')) ORDER BY 1, 2"
    );
    let (schemas, names) = split(tables);
    let parameters: [Param<'_>; 2] = [(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
    let mut found = Vec::new();
    for row in target.query_with("looking for foreign keys", &sql, &parameters).await? {
        let (relation, name): (String, String) = (row.get("relation")?, row.get("name")?);
        let (definition, comment): (String, Option<String>) = (row.get("definition")?, row.get("comment")?);
        found.push(drop_and_add(&relation, &name, &definition, comment.as_deref()));
    }
    Ok(found)
}

/// `relation`: with ONLY where it has no partitions.
fn drop_and_add(relation: &str, name: &str, definition: &str, comment: Option<&str>) -> Suspension {
    let table = relation.trim_start_matches("ONLY ");
    let mut resume = format!("ALTER TABLE {relation} ADD CONSTRAINT {name} {definition}");
    if let Some(comment) = comment {
        resume += &format!("; COMMENT ON CONSTRAINT {name} ON {table} IS {}", quote_literal(comment));
    }
    Suspension {
        object: format!("foreign key {name} on {table}"),
        suspend: format!("ALTER TABLE {relation} DROP CONSTRAINT {name}"),
        resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_with_its_comment() {
        let key =
            drop_and_add("ONLY s.t", "\"K\"", "FOREIGN KEY (a) REFERENCES s.p(id) NOT VALID", Some("it's"));
        assert_eq!(key.object, "foreign key \"K\" on s.t");
        assert_eq!(key.suspend, "ALTER TABLE ONLY s.t DROP CONSTRAINT \"K\"");
        assert_eq!(
            key.resume,
            "ALTER TABLE ONLY s.t ADD CONSTRAINT \"K\" FOREIGN KEY (a) REFERENCES s.p(id) NOT VALID; \
             COMMENT ON CONSTRAINT \"K\" ON s.t IS 'it''s'"
        );
        let whole = drop_and_add("s.t", "k", "FOREIGN KEY (a) REFERENCES s.p(id)", None);
        assert_eq!(whole.resume, "ALTER TABLE s.t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES s.p(id)");
    }
}
