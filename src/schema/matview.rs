//! Materialized views.
//!
//! Invariant: made empty (`WITH NO DATA`); what was populated is refreshed after the data by a step of its
//! own, what was not stays unpopulated.

use super::quote::quote_ident;
use super::view::with_options;
use super::{Object, RenderOptions};

/// A materialized view.
#[derive(Clone, Debug, Default)]
pub struct MaterializedView {
    /// The query as `pg_get_viewdef` writes it, without the semicolon.
    pub query: String,
    /// Storage options as they stand between the parentheses of `WITH (…)`, those of its TOAST table with their prefix.
    pub options: Vec<String>,
    /// Table access method, unquoted; `None`: heap.
    pub access_method: Option<String>,
    /// Tablespace where it is not the database's, unquoted.
    pub tablespace: Option<String>,
    /// Whether it holds the result of its query.
    pub populated: bool,
    /// Columns with properties of their own.
    pub columns: Vec<MatviewColumn>,
    /// `REPLICA IDENTITY` where it is not the default: `FULL` or `NOTHING`.
    pub replica_identity: Option<&'static str>,
}

/// What was set on a column of a materialized view.
#[derive(Clone, Debug, Default)]
pub struct MatviewColumn {
    /// Its name, unquoted.
    pub name: String,
    /// `SET STATISTICS`.
    pub statistics: Option<i32>,
    /// `SET STORAGE`, where it is not its type's own.
    pub storage: Option<&'static str>,
    /// `SET COMPRESSION`.
    pub compression: Option<&'static str>,
    /// `SET (n_distinct = …)`: as they stand between the parentheses.
    pub options: Vec<String>,
}

impl MaterializedView {
    /// The materialized view without data, and its columns' properties.
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        let name = object.qualified_name();
        let using = self.access_method.as_ref().map(|m| format!(" USING {}", quote_ident(m)));
        let tablespace = self.tablespace.as_ref().filter(|_| !options.no_tablespaces);
        let tablespace = tablespace.map(|t| format!(" TABLESPACE {}", quote_ident(t)));
        let mut out = vec![format!(
            "CREATE MATERIALIZED VIEW {name}{}{}{} AS\n{}\n  WITH NO DATA",
            using.unwrap_or_default(),
            with_options(&self.options),
            tablespace.unwrap_or_default(),
            self.query
        )];
        for column in &self.columns {
            let mut alter = |what: String| {
                out.push(format!(
                    "ALTER TABLE ONLY {name} ALTER COLUMN {} {what}",
                    quote_ident(&column.name)
                ));
            };
            if let Some(target) = column.statistics {
                alter(format!("SET STATISTICS {target}"));
            }
            if let Some(storage) = column.storage {
                alter(format!("SET STORAGE {storage}"));
            }
            if let Some(compression) = column.compression {
                alter(format!("SET COMPRESSION {compression}"));
            }
            if !column.options.is_empty() {
                alter(format!("SET ({})", column.options.join(", ")));
            }
        }
        if let Some(identity) = self.replica_identity {
            out.push(format!("ALTER TABLE ONLY {name} REPLICA IDENTITY {identity}"));
        }
        out
    }

    /// The statement that fills it.
    pub fn refresh(&self, object: &Object) -> String {
        format!("REFRESH MATERIALIZED VIEW {}", object.qualified_name())
    }

    /// `DROP MATERIALIZED VIEW`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP MATERIALIZED VIEW IF EXISTS {}", object.qualified_name())]
    }

    /// `MATERIALIZED VIEW s.m`.
    pub fn reference(&self, object: &Object) -> String {
        format!("MATERIALIZED VIEW {}", object.qualified_name())
    }
}
