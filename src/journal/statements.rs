//! The journal's tables, and the statements that ride in a worker's own transaction. Pure.

use crate::schema::quote::quote_literal;

/// The journal's schema on the target.
pub const SCHEMA: &str = "_pg_migrator";

/// Makes the journal. `fillfactor` leaves room for the rows' one or two updates.
pub(super) const CREATE: &str = "\
CREATE SCHEMA _pg_migrator; \
COMMENT ON SCHEMA _pg_migrator IS 'Journal of an unfinished pg_migrator migration; dropped at its end'; \
CREATE TABLE _pg_migrator.migration (\
 name text PRIMARY KEY, mode text NOT NULL, system_identifier text NOT NULL, database text NOT NULL,\
 snapshot text NOT NULL, snapshot_lsn text NOT NULL, phase text NOT NULL, version text NOT NULL,\
 started_at timestamptz NOT NULL DEFAULT now(), phase_at timestamptz NOT NULL DEFAULT now()); \
CREATE TABLE _pg_migrator.relation (\
 migration text NOT NULL, relation text NOT NULL, state text NOT NULL DEFAULT 'pending', sync_lsn text,\
 rows bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0, parts_done integer NOT NULL DEFAULT 0,\
 PRIMARY KEY (migration, relation)) WITH (fillfactor = 60); \
CREATE TABLE _pg_migrator.task (\
 migration text NOT NULL, id integer NOT NULL, kind text NOT NULL, object text NOT NULL,\
 state text NOT NULL DEFAULT 'pending', rows bigint, bytes bigint, error text, finished_at timestamptz,\
 PRIMARY KEY (migration, id)) WITH (fillfactor = 60); \
CREATE TABLE _pg_migrator.object (\
 migration text NOT NULL, kind text NOT NULL, identity text NOT NULL)";

/// Drops the journal with everything in it.
pub fn drop_journal() -> &'static str {
    "DROP SCHEMA IF EXISTS _pg_migrator CASCADE"
}

/// The migration is in `phase` from now on.
pub fn phase_entered(name: &str, phase: &str) -> String {
    format!(
        "UPDATE _pg_migrator.migration SET phase = {}, phase_at = now() WHERE name = {}",
        quote_literal(phase),
        quote_literal(name)
    )
}

/// These objects (kind, identity) are made in the same transaction.
pub fn objects_created(name: &str, objects: &[(&str, &str)]) -> String {
    let name = quote_literal(name);
    let row = |(kind, identity): &(&str, &str)| {
        format!("({name}, {}, {})", quote_literal(kind), quote_literal(identity))
    };
    let rows: Vec<_> = objects.iter().map(row).collect();
    format!("INSERT INTO _pg_migrator.object (migration, kind, identity) VALUES {}", rows.join(", "))
}

/// Parts of relations are in: (relation, rows, bytes, whether it is now complete).
pub fn relation_done(name: &str, relations: &[(String, u64, u64)], parts: u64) -> String {
    let row = |(relation, rows, bytes): &(String, u64, u64)| {
        format!("({}, {rows}::bigint, {bytes}::bigint)", quote_literal(relation))
    };
    let rows: Vec<_> = relations.iter().map(row).collect();
    format!(
        "UPDATE _pg_migrator.relation r SET rows = r.rows + v.rows, bytes = r.bytes + v.bytes, \
         parts_done = r.parts_done + 1, \
         state = CASE WHEN r.parts_done + 1 >= {parts} THEN 'copied' ELSE 'copying' END, \
         sync_lsn = (SELECT snapshot_lsn FROM _pg_migrator.migration m WHERE m.name = {n}) \
         FROM (VALUES {}) AS v (relation, rows, bytes) WHERE r.migration = {n} AND r.relation = v.relation",
        rows.join(", "),
        n = quote_literal(name)
    )
}

/// A task ended well.
pub fn task_done(name: &str, id: usize, rows: u64, bytes: u64) -> String {
    format!(
        "UPDATE _pg_migrator.task SET state = 'done', rows = {rows}, bytes = {bytes}, finished_at = now() \
         WHERE migration = {} AND id = {id}",
        quote_literal(name)
    )
}

/// A task, or one of its objects, failed and the operator allowed that.
pub fn task_failed(name: &str, id: usize, error: &str) -> String {
    format!(
        "UPDATE _pg_migrator.task SET state = 'failed', finished_at = now(), \
         error = concat_ws(E'\\n', error, {}) WHERE migration = {} AND id = {id}",
        quote_literal(error),
        quote_literal(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_messages_are_quoted() {
        let sql = task_failed("a'b", 3, "it's \\ bad");
        assert!(sql.contains("'a''b'") && sql.contains(r"E'it''s \\ bad'"), "{sql}");
        let sql = objects_created("m", &[("TABLE", "s.\"T'x\"")]);
        assert!(sql.ends_with("VALUES ('m', 'TABLE', 's.\"T''x\"')"), "{sql}");
    }
}
