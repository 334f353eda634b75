//! Comments of all objects in one query.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::{Address, class};

/// A row of `pg_description`.
#[derive(Clone, Debug)]
pub(super) struct RawComment {
    /// What it is on.
    pub(super) address: Address,
    /// Where it is on a column of a relation: the column's name.
    pub(super) column: Option<String>,
    /// Where it is on a constraint: its name, and its table or domain.
    pub(super) constraint: Option<(String, Address)>,
    /// The text.
    pub(super) text: String,
}

/// Every comment on an object that initdb did not make, and the one on schema `public`.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<RawComment>, DumpError> {
    let rows = c
        .query(
            "reading comments",
            "SELECT d.classoid, d.objoid, a.attname, k.conname, k.conrelid, k.contypid, d.description \
             FROM pg_description d \
             LEFT JOIN pg_attribute a ON d.classoid = 'pg_class'::regclass AND d.objsubid <> 0 \
               AND a.attrelid = d.objoid AND a.attnum = d.objsubid \
             LEFT JOIN pg_constraint k ON d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid \
             WHERE d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass \
             ORDER BY d.classoid, d.objoid, d.objsubid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let constraint = match row.get::<Option<String>>("conname")? {
                Some(name) => Some((name, owner_of(row.get("conrelid")?, row.get("contypid")?))),
                None => None,
            };
            Ok(RawComment {
                constraint,
                address: Address::new(row.get("classoid")?, row.get("objoid")?),
                column: row.get("attname")?,
                text: row.get("description")?,
            })
        })
        .collect()
}

/// What a constraint is on.
fn owner_of(relation: u32, domain: u32) -> Address {
    if relation != 0 { Address::relation(relation) } else { Address::new(class::TYPE, domain) }
}
