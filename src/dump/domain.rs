//! Reads domains and their constraints.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, type_object};
use crate::pg::Row;
use crate::schema::{Definition, Domain, DomainCheck, Object};

/// All domains. Constraints are catalog rows: checks always, NOT NULL from 17 on. A domain takes the default of a type
/// that has one, as it is, unless it is told not to.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let domains = format!(
        "SELECT t.oid, n.nspname, t.typname, pg_get_userbyid(t.typowner) AS owner, \
           format_type(t.typbasetype, t.typtypmod) AS base_type, t.typnotnull, \
           pg_get_expr(t.typdefaultbin, 'pg_type'::regclass) AS default, \
           t.typdefaultbin IS NULL AND t.typdefault IS NULL AND b.typdefault IS NOT NULL AS no_default, \
           CASE WHEN t.typcollation <> b.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(l.collname) \
             END AS collation \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         JOIN pg_type b ON b.oid = t.typbasetype \
         LEFT JOIN pg_collation l ON l.oid = t.typcollation LEFT JOIN pg_namespace cn ON cn.oid = l.collnamespace \
         WHERE t.typtype = 'd' AND {USER_NAMESPACE} ORDER BY t.oid"
    );
    let constraints = "SELECT k.oid, k.contypid, k.conname, k.contype = 'n' AS is_not_null, k.convalidated, \
           CASE WHEN k.contype = 'c' THEN pg_get_constraintdef(k.oid) END AS definition, \
           obj_description(k.oid, 'pg_constraint') AS comment \
         FROM pg_constraint k WHERE k.contypid <> 0 AND k.contype IN ('c', 'n') ORDER BY k.contypid, k.conname";
    let (domains, constraints) = tokio::try_join!(
        c.query("reading domains", &domains),
        c.query("reading constraints of domains", constraints),
    )?;
    let mut by_domain: HashMap<u32, Vec<&Row>> = HashMap::new();
    for row in &constraints {
        by_domain.entry(row.get("contypid")?).or_default().push(row);
    }
    domains
        .iter()
        .map(|row| {
            let none = Vec::new();
            let constraints = by_domain.get(&row.get::<u32>("oid")?).unwrap_or(&none);
            let domain = domain(row, constraints)?;
            type_object(row, Definition::Domain(domain))
        })
        .collect()
}

fn domain(row: &Row, constraints: &[&Row]) -> Result<Domain, DumpError> {
    let mut domain = Domain {
        base_type: row.get("base_type")?,
        collation: row.get("collation")?,
        default: row.get("default")?,
        no_default: row.get("no_default")?,
        not_null: row.get("typnotnull")?,
        ..Domain::default()
    };
    // What `ChooseConstraintName` picks when nothing is in the way; pg_dump compares with the same.
    let usual = format!("{}_not_null", row.get::<String>("typname")?);
    for constraint in constraints {
        let (name, comment): (String, Option<String>) =
            (constraint.get("conname")?, constraint.get("comment")?);
        if constraint.get("is_not_null")? {
            domain.not_null_comment = comment.map(|text| (name.clone(), text));
            domain.not_null_name = (name != usual).then_some(name);
        } else {
            domain.checks.push(DomainCheck {
                oid: constraint.get("oid")?,
                name,
                definition: constraint.get::<Option<String>>("definition")?.unwrap_or_default(),
                separate: !constraint.get::<bool>("convalidated")?,
                comment,
            });
        }
    }
    Ok(domain)
}
