//! What on the target would answer to changes a second time: switched off when StreamApply begins, restored at Cutover.
//!
//! The source's triggers and rules have done their work before the change came. Under `session_replication_role = replica` ordinary
//! ones stay quiet, those that are ENABLE ALWAYS or ENABLE REPLICA do not; and an identity column that is GENERATED ALWAYS
//! takes no value from an UPDATE. Where the role may not set that, ordinary triggers and rules are switched off too, and foreign keys
//! dropped ([`foreign_keys`]). Invariant: what is switched off and the statement that restores exactly what was there are written in one
//! transaction; what is off already is left alone, so doing it again changes nothing.

mod foreign_keys;

use tokio_postgres::types::Type;

use super::ApplyError;
use crate::journal;
use crate::pg::{Session, SqlError};

const WHAT: &str = "switching off triggers and rules until cutover";

/// What is to be switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Suspension {
    /// For a person.
    object: String,
    suspend: String,
    resume: String,
}

/// Switches off what would fire on applied changes to `tables` (schema, name) and their partitions; returns how many objects that
/// were. Ordinary triggers and rules, and foreign keys, are among them where the role may not set `session_replication_role`.
///
/// # Errors
/// The role does not own a table (42501), mostly.
pub async fn suspend(target: &Session, name: &str, tables: &[(String, String)]) -> Result<u64, ApplyError> {
    let replicates = may_replicate(target).await?;
    let states: &[&str] = if replicates { &["A", "R"] } else { &["A", "R", "O"] };
    let mut found = triggers_and_rules(target, tables, states).await?;
    found.extend(identities(target, tables).await?);
    if !replicates {
        found.extend(foreign_keys::foreign_keys(target, tables).await?);
    }
    if found.is_empty() {
        return Ok(0);
    }
    let mut sql = vec!["BEGIN".to_owned(), "SET LOCAL synchronous_commit = on".to_owned()];
    for suspension in &found {
        sql.push(suspension.suspend.clone());
        sql.push(journal::suspended(name, &suspension.object, &suspension.resume));
    }
    sql.push("COMMIT".to_owned());
    if let Err(error) = target.batch(WHAT, &sql.join("; ")).await {
        if !error.is_broken() {
            let _ = target.batch(WHAT, "ROLLBACK").await;
        }
        return Err(error.into());
    }
    Ok(found.len() as u64)
}

/// Whether the role may set `session_replication_role`.
async fn may_replicate(target: &Session) -> Result<bool, SqlError> {
    const WHAT: &str = "trying session_replication_role";
    let set =
        target.batch(WHAT, "SET session_replication_role = replica; RESET session_replication_role").await;
    match set {
        Ok(()) => Ok(true),
        Err(e) if e.sqlstate.as_deref() == Some("42501") => Ok(false),
        Err(e) => Err(e),
    }
}

/// The tables and all partitions below them, as `taking (oid)`; `$1` schemas, `$2` names.
const TAKING: &str = "WITH RECURSIVE taking AS (\
   SELECT c.oid FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS w (nsp, rel) JOIN pg_catalog.pg_namespace n ON n.nspname = w.nsp \
   JOIN pg_catalog.pg_class c ON c.relname = w.rel AND c.relnamespace = n.oid AND c.relkind IN ('r', 'p') \
   UNION SELECT i.inhrelid FROM taking t JOIN pg_catalog.pg_class p ON p.oid = t.oid AND p.relkind = 'p' \
   JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid)";

async fn triggers_and_rules(
    target: &Session,
    tables: &[(String, String)],
    states: &[&str],
) -> Result<Vec<Suspension>, SqlError> {
    // A partition's copy of a trigger counts as internal before PostgreSQL 15; what belongs to a foreign key or a deferrable unique
    // constraint always does.
    let sql = format!(
        "{TAKING} SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation, o.kind, \
         pg_catalog.quote_ident(o.name) AS name, o.state::text AS state FROM (\
           SELECT t.tgrelid AS oid, 'TRIGGER' AS kind, t.tgname::text AS name, t.tgenabled AS state \
           FROM pg_catalog.pg_trigger t WHERE (NOT t.tgisinternal OR t.tgparentid <> 0) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype <> 't') \
           UNION ALL SELECT r.ev_class, 'RULE', r.rulename::text, r.ev_enabled FROM pg_catalog.pg_rewrite r) o \
         JOIN taking USING (oid) JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE o.state::text = ANY ($3) ORDER BY 2, 1, 3"
    );
    let (schemas, names) = split(tables);
    let states: Vec<String> = states.iter().map(|s| (*s).to_owned()).collect();
    let parameters: [crate::pg::Param<'_>; 3] =
        [(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY), (&states, Type::TEXT_ARRAY)];
    let mut found = Vec::new();
    for row in target.query_with("looking for triggers and rules", &sql, &parameters).await? {
        let (relation, kind, name): (String, String, String) =
            (row.get("relation")?, row.get("kind")?, row.get("name")?);
        found.push(switch(&relation, &kind, &name, &row.get::<String>("state")?));
    }
    Ok(found)
}

fn split(tables: &[(String, String)]) -> (Vec<&str>, Vec<&str>) {
    tables.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).unzip()
}

/// Switching off a trigger or rule that is in this state (`tgenabled`, `ev_enabled`).
fn switch(relation: &str, kind: &str, name: &str, state: &str) -> Suspension {
    let enable = match state {
        "A" => "ENABLE ALWAYS",
        "R" => "ENABLE REPLICA",
        _ => "ENABLE",
    };
    // ONLY: each partition's copy has a state of its own.
    Suspension {
        object: format!("{} {name} on {relation}", kind.to_lowercase()),
        suspend: format!("ALTER TABLE ONLY {relation} DISABLE {kind} {name}"),
        resume: format!("ALTER TABLE ONLY {relation} {enable} {kind} {name}"),
    }
}

async fn identities(target: &Session, tables: &[(String, String)]) -> Result<Vec<Suspension>, SqlError> {
    // From PostgreSQL 17 on partitions have their parent's identity, which is changed at the top.
    let owner = match target.version() >= 170_000 {
        true => "CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid) ELSE c.oid END",
        false => "c.oid",
    };
    let sql = format!(
        "{TAKING} SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, r.relname) AS relation, pg_catalog.quote_ident(a.attname) AS name \
         FROM taking JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_class r ON r.oid = {owner} \
         JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attidentity = 'a' AND NOT a.attisdropped ORDER BY 1, 2"
    );
    let (schemas, names) = split(tables);
    let parameters: [crate::pg::Param<'_>; 2] = [(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
    let mut found = Vec::new();
    for row in target.query_with("looking for identity columns", &sql, &parameters).await? {
        let (relation, name): (String, String) = (row.get("relation")?, row.get("name")?);
        let alter = format!("ALTER TABLE {relation} ALTER COLUMN {name} SET GENERATED");
        found.push(Suspension {
            object: format!("identity column {name} of {relation}"),
            suspend: format!("{alter} BY DEFAULT"),
            resume: format!("{alter} ALWAYS"),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_restored_as_it_was() {
        let resume = |state| switch("s.t", "TRIGGER", "\"T\"", state).resume;
        assert_eq!(resume("A"), "ALTER TABLE ONLY s.t ENABLE ALWAYS TRIGGER \"T\"");
        assert_eq!(resume("R"), "ALTER TABLE ONLY s.t ENABLE REPLICA TRIGGER \"T\"");
        assert_eq!(resume("O"), "ALTER TABLE ONLY s.t ENABLE TRIGGER \"T\"");
        assert_eq!(switch("s.t", "RULE", "r", "R").suspend, "ALTER TABLE ONLY s.t DISABLE RULE r");
    }
}
