//! Reads the database's subscriptions (`getSubscriptions` in `pg_dump.c`).
//!
//! Invariant: nothing is read where the role may not read the connection string: a subscription cannot be made without
//! it, and [`super::unsupported`] names those that are left out.

use super::DumpError;
use super::catalogs::{Catalogs, unnamespaced};
use crate::pg::Row;
use crate::schema::{Definition, Object, Subscription, class};

/// All subscriptions of this database, where the role may.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    // Asked first: the right to a column is checked when the query starts, whatever it then reads.
    let may = "SELECT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT') AS may";
    if !c.session.value("reading the right to read subscriptions", may).await?.unwrap_or(false) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT s.oid, s.subname AS name, pg_get_userbyid(s.subowner)::text AS owner, s.subconninfo, s.subslotname, \
           s.subsynccommit, s.subpublications, {binary} AS binary, {streaming} AS streaming, \
           {two_phase} AS two_phase, {disable} AS disable_on_error, {password} AS password_required, \
           {run_as_owner} AS run_as_owner, {origin} AS origin, {failover} AS failover \
         FROM pg_subscription s JOIN pg_database b ON b.oid = s.subdbid \
         WHERE b.datname = current_database() ORDER BY s.oid",
        binary = c.since(14, "s.subbinary", "false"),
        streaming = if c.at_least(16) {
            "s.substream::text"
        } else {
            c.since(14, "CASE WHEN s.substream THEN 't' ELSE 'f' END", "'f'")
        },
        two_phase = c.since(15, "s.subtwophasestate <> 'd'", "false"),
        disable = c.since(15, "s.subdisableonerr", "false"),
        password = c.since(16, "s.subpasswordrequired", "true"),
        // What had no such choice applied changes as the subscription's owner.
        run_as_owner = c.since(16, "s.subrunasowner", "true"),
        origin = c.since(16, "coalesce(s.suborigin, 'any')", "'any'"),
        failover = c.since(17, "s.subfailover", "false"),
    );
    c.query("reading subscriptions", &sql).await?.iter().map(to_object).collect()
}

fn to_object(row: &Row) -> Result<Object, DumpError> {
    let subscription = Subscription {
        conninfo: row.get("subconninfo")?,
        slot: row.get("subslotname")?,
        publications: row.get("subpublications")?,
        synchronous_commit: row.get("subsynccommit")?,
        binary: row.get("binary")?,
        streaming: match row.get::<String>("streaming")?.as_str() {
            "t" => "on",
            "p" => "parallel",
            _ => "off",
        },
        two_phase: row.get("two_phase")?,
        disable_on_error: row.get("disable_on_error")?,
        password_required: row.get("password_required")?,
        run_as_owner: row.get("run_as_owner")?,
        origin: row.get("origin")?,
        failover: row.get("failover")?,
    };
    unnamespaced(row, class::SUBSCRIPTION, Definition::Subscription(subscription))
}
