//! `--roles`: makes the source's roles that the target lacks.
//!
//! Invariants: a role that is there already stays as it is; what cannot be given (an attribute that only a superuser
//! gives, a membership) is said, and the role is made without. Roles belong to the server: nothing takes them back.

use std::collections::HashSet;

use super::Error;
use super::tracker::Tracker;
use crate::dump;
use crate::pg::Session;
use crate::progress::Event;
use crate::schema::quote::quote_ident;
use crate::schema::{Giver, role_memberships_in_order};

/// Makes them, with their memberships and settings.
pub(super) async fn create_missing(
    source: &Session,
    target: &Session,
    tracker: &Tracker,
) -> Result<(), Error> {
    let (roles, memberships, passwords) = dump::read_roles(source).await?;
    let sql = "SELECT r.rolname::text AS name, r.rolname = current_user AS ours, r.rolsuper, \
           r.rolcreatedb, r.rolreplication, r.rolbypassrls FROM pg_catalog.pg_roles r";
    let (mut there, mut giver) = (HashSet::new(), Giver::default());
    // From 16 on one gives what one has; before, `CREATEDB` to anybody, and the others to nobody.
    let since_16 = target.version() >= 160_000;
    for row in target.query("reading the target's roles", sql).await? {
        there.insert(row.get::<String>("name")?);
        if row.get("ours")? {
            giver = Giver {
                superuser: row.get("rolsuper")?,
                create_database: !since_16 || row.get::<bool>("rolcreatedb")?,
                replication: since_16 && row.get::<bool>("rolreplication")?,
                bypass_row_security: since_16 && row.get::<bool>("rolbypassrls")?,
            };
        }
    }
    let superuser = giver.superuser;
    let warn = |role: &str, message: String| {
        tracker.reporter.emit(Event::Warning { object: format!("role {}", quote_ident(role)), message });
    };
    let mut made: HashSet<&str> = HashSet::new();
    for role in roles.iter().filter(|r| !there.contains(&r.name)) {
        let what = format!("creating role {}", quote_ident(&role.name));
        let mut statements = role.create(giver);
        if !superuser {
            // So that it can be given what is its own; from 16 on who makes a role may grant it.
            statements.push(format!("GRANT {} TO CURRENT_USER", quote_ident(&role.name)));
        }
        if let Err(error) = target.batch(&what, &statements.join("; ")).await {
            if error.is_broken() {
                return Err(error.into());
            }
            warn(&role.name, format!("it could not be made: {error}"));
            continue;
        }
        made.insert(&role.name);
        let lost = role.withheld(giver);
        if !lost.is_empty() {
            warn(&role.name, format!("made without {}, which is not ours to give", lost.join(", ")));
        }
    }
    for role in roles.iter().filter(|r| made.contains(r.name.as_str())) {
        let (settings, otherwise) = role.settings(target.version());
        otherwise.into_iter().for_each(|what| warn(&role.name, what));
        for statement in settings {
            let what = format!("setting what role {} has set", quote_ident(&role.name));
            if let Err(error) = target.batch(&what, &statement).await {
                warn(&role.name, format!("{error}; to be run by hand: {statement};"));
            }
        }
    }
    let concerned = |name: &String| made.contains(name.as_str());
    let known = |name: &String| made.contains(name.as_str()) || there.contains(name);
    let memberships: Vec<_> = memberships
        .into_iter()
        .filter(|m| (concerned(&m.role) || concerned(&m.member)) && known(&m.role) && known(&m.member))
        .collect();
    for (membership, granted_by) in role_memberships_in_order(memberships) {
        let grant = membership.grant(target.version(), granted_by && superuser);
        if let Err(error) = target.batch("granting a membership", &grant).await {
            if error.is_broken() {
                return Err(error.into());
            }
            warn(&membership.member, format!("{error}; to be run by hand: {grant};"));
        }
    }
    if !made.is_empty() {
        let words = if passwords { "" } else { ", without passwords, which the source's role may not read" };
        let message = format!("made {} roles on the target{words}", made.len());
        tracker.reporter.emit(Event::Note { message });
    }
    Ok(())
}
