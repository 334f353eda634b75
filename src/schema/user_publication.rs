//! The user's own publications, and what is in them. (The one that an online migration makes for itself is
//! [`super::publication`]'s.)
//!
//! As in `pg_dump.c` (`dumpPublication`, `dumpPublicationTable`, `dumpPublicationNamespace`) a publication is made
//! empty, or `FOR ALL TABLES`, and each of its members is added by a statement of its own.

use super::quote::{quote_ident, quote_literal};
use super::{Address, Object, RenderOptions};

/// A publication.
#[derive(Clone, Debug, Default)]
pub struct UserPublication {
    /// `FOR ALL TABLES`
    pub all_tables: bool,
    /// `insert`, `update`, `delete`, `truncate`: those that are published.
    pub operations: Vec<&'static str>,
    /// `publish_via_partition_root` (13 and later)
    pub via_root: bool,
    /// `publish_generated_columns = stored` (18 and later)
    pub generated: bool,
}

/// A table, or the tables of a schema, in a publication.
#[derive(Clone, Debug)]
pub struct PublicationMember {
    /// The publication.
    pub publication: Address,
    /// Its name, unquoted.
    pub publication_name: String,
    /// What is in it.
    pub what: Published,
}

/// What can be in a publication.
#[derive(Clone, Debug)]
pub enum Published {
    /// One table.
    Table {
        /// The table.
        table: Address,
        /// Its name, quoted and qualified.
        name: String,
        /// The columns, unquoted, in their order; empty: all (15 and later).
        columns: Vec<String>,
        /// The row filter, as an expression (15 and later).
        filter: Option<String>,
    },
    /// The tables of a schema, unquoted (15 and later).
    Schema(String),
}

impl UserPublication {
    /// `CREATE PUBLICATION`.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        let mut sql = format!("CREATE PUBLICATION {}", quote_ident(&object.name));
        if self.all_tables {
            sql += " FOR ALL TABLES";
        }
        sql += &format!(" WITH (publish = {}", quote_literal(&self.operations.join(", ")));
        if self.via_root {
            sql += ", publish_via_partition_root = true";
        }
        if self.generated {
            sql += ", publish_generated_columns = stored";
        }
        vec![sql + ")"]
    }

    /// `DROP PUBLICATION`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP PUBLICATION IF EXISTS {}", quote_ident(&object.name))]
    }

    /// `PUBLICATION p`.
    pub fn reference(&self, object: &Object) -> String {
        format!("PUBLICATION {}", quote_ident(&object.name))
    }
}

impl PublicationMember {
    /// `ALTER PUBLICATION … ADD …`.
    pub fn create(&self, _object: &Object, _options: &RenderOptions) -> Vec<String> {
        let publication = quote_ident(&self.publication_name);
        vec![match &self.what {
            Published::Schema(schema) => {
                format!("ALTER PUBLICATION {publication} ADD TABLES IN SCHEMA {}", quote_ident(schema))
            }
            Published::Table { name, columns, filter, .. } => {
                let mut sql = format!("ALTER PUBLICATION {publication} ADD TABLE ONLY {name}");
                if !columns.is_empty() {
                    let columns: Vec<String> = columns.iter().map(|c| quote_ident(c)).collect();
                    sql += &format!(" ({})", columns.join(", "));
                }
                if let Some(filter) = filter {
                    sql += &format!(" WHERE ({filter})");
                }
                sql
            }
        }]
    }

    /// Nothing: it goes with the publication.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// `PUBLICATION TABLE p s.t`, `PUBLICATION TABLES IN SCHEMA p s`; it can have no comment.
    pub fn reference(&self, _object: &Object) -> String {
        let publication = quote_ident(&self.publication_name);
        match &self.what {
            Published::Table { name, .. } => format!("PUBLICATION TABLE {publication} {name}"),
            Published::Schema(schema) => {
                format!("PUBLICATION TABLES IN SCHEMA {publication} {}", quote_ident(schema))
            }
        }
    }

    /// The table it is, if it is one.
    pub fn table(&self) -> Option<Address> {
        match &self.what {
            Published::Table { table, .. } => Some(*table),
            Published::Schema(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_with_columns_and_a_filter() {
        let what = Published::Table {
            table: Address::relation(1),
            name: "s.\"T\"".into(),
            columns: vec!["a".into(), "B b".into()],
            filter: Some("(a > 1)".into()),
        };
        let member = PublicationMember {
            publication: Address::new(super::super::class::PUBLICATION, 9),
            publication_name: "P".into(),
            what,
        };
        let object = Object {
            address: Address::new(super::super::class::PUBLICATION_TABLE, 3),
            namespace: None,
            name: "P".into(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: super::super::Definition::PublicationMember(member.clone()),
        };
        assert_eq!(
            member.create(&object, &RenderOptions::default()),
            ["ALTER PUBLICATION \"P\" ADD TABLE ONLY s.\"T\" (a, \"B b\") WHERE ((a > 1))"]
        );
        assert_eq!(object.reference(), "PUBLICATION TABLE \"P\" s.\"T\"");
    }
}
