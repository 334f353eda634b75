//! Comments of all objects in one query. Those on checks and NOT NULL constraints of domains are the domains' reader's.

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Address;

/// A row of `pg_description`.
#[derive(Clone, Debug)]
pub(super) struct RawComment {
    /// What it is on.
    pub(super) address: Address,
    /// Where it is on a column of a relation: the column's name.
    pub(super) column: Option<String>,
    /// Where it is on a table's constraint: the table and the constraint's name.
    pub(super) constraint: Option<(Address, String)>,
    /// The text.
    pub(super) text: String,
}

/// Every comment on an object that initdb did not make (large objects choose their OID freely), and the one on schema `public`.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<RawComment>, DumpError> {
    let rows = c
        .query(
            "reading comments",
            "SELECT d.classoid, d.objoid, a.attname, k.conrelid, k.conname, d.description \
             FROM pg_description d \
             LEFT JOIN pg_constraint k ON d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid \
               AND k.conrelid <> 0 \
             LEFT JOIN pg_attribute a ON d.classoid = 'pg_class'::regclass AND d.objsubid <> 0 \
               AND a.attrelid = d.objoid AND a.attnum = d.objsubid \
             WHERE d.objoid >= 16384 OR d.classoid IN ('pg_namespace'::regclass, 'pg_largeobject'::regclass) \
             ORDER BY d.classoid, d.objoid, d.objsubid",
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RawComment {
                address: Address::new(row.get("classoid")?, row.get("objoid")?),
                column: row.get("attname")?,
                constraint: match row.get::<Option<u32>>("conrelid")? {
                    Some(table) => Some((Address::relation(table), row.get("conname")?)),
                    None => None,
                },
                text: row.get("description")?,
            })
        })
        .collect()
}
