//! Reads the source's roles and who is a member of whom (`dumpRoles`, `dumpRoleMembership` in `pg_dumpall.c`).
//!
//! Invariant: the server's own roles (`pg_…`) are not read as roles to make; that others are their members is. Passwords
//! are read only where the role may read `pg_authid`.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::Catalogs;
use crate::pg::Session;
use crate::schema::{Membership, Role, Setting};

/// All roles, by name, all memberships, and whether passwords could be read.
pub async fn read_roles(session: &Session) -> Result<(Vec<Role>, Vec<Membership>, bool), DumpError> {
    let c = Catalogs { session, version: session.version() };
    // Asked first: the right is checked when the query starts.
    let may = "SELECT has_table_privilege('pg_authid', 'SELECT') AS may";
    let may = c.session.value("reading the right to read passwords", may).await?.unwrap_or(false);
    let (catalog, password) = if may { ("pg_authid", "r.rolpassword") } else { ("pg_roles", "NULL::text") };
    let roles = format!(
        "SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, \
           r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil::text AS valid_until, {password} AS password, \
           shobj_description(r.oid, 'pg_authid') AS comment \
         FROM {catalog} r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname"
    );
    let settings = "SELECT r.rolname, t.item FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, \
           LATERAL unnest(s.setconfig) WITH ORDINALITY AS t (item, n) WHERE s.setdatabase = 0 ORDER BY r.rolname, t.n";
    // The first superuser's grants are the ones that need no grantor.
    let memberships = format!(
        "SELECT r.rolname AS role, m.rolname AS member, CASE WHEN a.grantor <> 10 THEN g.rolname END AS grantor, \
           a.admin_option, {inherit} AS inherit_option, {set} AS set_option \
         FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member \
         LEFT JOIN pg_roles g ON g.oid = a.grantor ORDER BY r.rolname, m.rolname, g.rolname",
        inherit = c.since(16, "a.inherit_option", "NULL::boolean"),
        set = c.since(16, "a.set_option", "true"),
    );
    let (roles, settings, memberships) = tokio::try_join!(
        c.query("reading roles", &roles),
        c.query("reading the settings of roles", settings),
        c.query("reading memberships of roles", &memberships),
    )?;
    let mut by_role: HashMap<String, Vec<Setting>> = HashMap::new();
    for row in &settings {
        let setting = Setting::parse(&row.get::<String>("item")?);
        by_role.entry(row.get("rolname")?).or_default().extend(setting);
    }
    let mut out = Vec::with_capacity(roles.len());
    for row in &roles {
        let name: String = row.get("rolname")?;
        out.push(Role {
            settings: by_role.remove(&name).unwrap_or_default(),
            name,
            superuser: row.get("rolsuper")?,
            inherit: row.get("rolinherit")?,
            create_role: row.get("rolcreaterole")?,
            create_database: row.get("rolcreatedb")?,
            login: row.get("rolcanlogin")?,
            replication: row.get("rolreplication")?,
            bypass_row_security: row.get("rolbypassrls")?,
            connection_limit: row.get("rolconnlimit")?,
            valid_until: row.get("valid_until")?,
            password: row.get("password")?,
            comment: row.get("comment")?,
        });
    }
    let mut members = Vec::with_capacity(memberships.len());
    for row in &memberships {
        members.push(Membership {
            role: row.get("role")?,
            member: row.get("member")?,
            grantor: row.get("grantor")?,
            admin: row.get("admin_option")?,
            inherit: row.get("inherit_option")?,
            set: row.get("set_option")?,
        });
    }
    Ok((out, members, may))
}
