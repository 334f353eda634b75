//! The journal and the subscription are made and dropped without the users' event triggers: the last thing that Restore makes may be
//! some.
//!
//! Invariant: what is switched off for it is switched on again in the same transaction, so that nobody sees it off. What the role may
//! not switch off fires.

use crate::pg::{Session, SqlError};
use crate::schema::Enabled;
use crate::schema::quote::quote_ident;

/// Statements around what no event trigger shall fire for, each with its semicolon; for one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    /// They are switched off.
    pub before: String,
    /// They are as they were.
    pub after: String,
}

/// Those that a superuser's `session_replication_role` keeps from firing; for others, and for those that fire all the same, there is
/// only their owner's right to switch them off. (`event_triggers` has been there since 17, for superusers.)
const SILENCED: &str = "SELECT pg_catalog.set_config('session_replication_role', 'replica', true) FROM pg_catalog.pg_roles \
     WHERE rolname = current_user AND rolsuper; ";

const FIRING: &str = "SELECT e.evtname AS name, e.evtenabled::text AS enabled \
     FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_roles us ON us.rolname = current_user \
     WHERE (e.evtenabled IN ('A', 'R') OR e.evtenabled = 'O' AND NOT us.rolsuper) \
       AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop') \
       AND pg_catalog.pg_has_role(e.evtowner, 'USAGE') ORDER BY e.evtname";

/// Reads which event triggers would fire.
///
/// # Errors
/// [`SqlError`] as the server says it.
pub async fn quiet(target: &Session) -> Result<Quiet, SqlError> {
    let rows = target.query("reading event triggers", FIRING).await?;
    let firing = rows
        .iter()
        .map(|row| Ok((row.get::<String>("name")?, Enabled::from_letter(&row.get::<String>("enabled")?))));
    Ok(around(&firing.collect::<Result<Vec<_>, SqlError>>()?))
}

fn around(firing: &[(String, Enabled)]) -> Quiet {
    let mut quiet = Quiet { before: SILENCED.to_owned(), after: String::new() };
    for (name, enabled) in firing {
        let alter = |state: Enabled| format!("ALTER EVENT TRIGGER {} {}; ", quote_ident(name), state.words());
        quiet.before.push_str(&alter(Enabled::Disabled));
        quiet.after.push_str(&alter(*enabled));
    }
    quiet
}

/// Drops the journal with everything in it.
///
/// # Errors
/// [`SqlError`] as the server says it.
pub async fn drop_journal(target: &Session) -> Result<(), SqlError> {
    let Quiet { before, after } = quiet(target).await?;
    let sql = format!("{before}{}; {after}", super::statements::DROP);
    target.batch("dropping the journal", &sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_as_it_was() {
        let quiet = around(&[("a".into(), Enabled::Always), ("b \"".into(), Enabled::Replica)]);
        let before = quiet.before.strip_prefix(SILENCED);
        assert_eq!(before, Some("ALTER EVENT TRIGGER a DISABLE; ALTER EVENT TRIGGER \"b \"\"\" DISABLE; "));
        assert_eq!(
            quiet.after,
            "ALTER EVENT TRIGGER a ENABLE ALWAYS; ALTER EVENT TRIGGER \"b \"\"\" ENABLE REPLICA; "
        );
    }
}
