//! The two `COPY` statements of a part, the one that reads and the one that writes. Pure.
//!
//! Invariant: both name the same columns in the same order and the same format, so that what the source sends can
//! be handed to the target byte for byte.

use super::quote::{qualified, quote_ident};

/// One slice of a table, as the condition that selects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Every row.
    Whole,
    /// Rows in blocks `from..to`; `None`: open end.
    Blocks {
        /// First block.
        from: u64,
        /// Block after the last.
        to: Option<u64>,
    },
    /// Rows with key in `from..to`; `None`: open end.
    Keys {
        /// The key column, unquoted.
        column: String,
        /// Smallest key.
        from: Option<i64>,
        /// Key after the largest.
        to: Option<i64>,
    },
}

/// What is copied: a table (or the user's rows of an extension's configuration table), all or a slice of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    /// Schema, unquoted.
    pub namespace: String,
    /// Table, unquoted.
    pub name: String,
    /// Columns, unquoted, generated ones left out.
    pub columns: Vec<String>,
    /// Binary format; text else.
    pub binary: bool,
    /// A `WHERE …` clause, possibly empty.
    pub condition: String,
    /// The partitioned table, quoted and qualified, that the rows enter through on the target ([`super::routing`]).
    pub through: Option<String>,
    /// It is a partitioned table, read with all its partitions.
    pub partitioned: bool,
}

impl CopySource {
    /// `schema.table`, quoted.
    pub fn identity(&self) -> String {
        qualified(&self.namespace, &self.name)
    }

    fn column_list(&self) -> String {
        if self.columns.is_empty() {
            return String::new(); // `COPY t ()` is not SQL; no list means the same for such a table
        }
        format!(" ({})", self.names())
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|c| quote_ident(c)).collect();
        names.join(", ")
    }

    fn format(&self) -> &'static str {
        if self.binary { "FORMAT binary" } else { "FORMAT text" }
    }

    /// The statement that reads `slice` on the source.
    pub fn copy_to(&self, slice: &Slice) -> String {
        let condition = match slice {
            Slice::Whole => self.condition.clone(),
            Slice::Blocks { from, to } => {
                let mut c = format!("WHERE ctid >= '({from},0)'::pg_catalog.tid");
                if let Some(to) = to {
                    c.push_str(&format!(" AND ctid < '({to},0)'::pg_catalog.tid"));
                }
                c
            }
            Slice::Keys { column, from, to } => {
                let key = quote_ident(column);
                let mut terms = Vec::new();
                if let Some(from) = from {
                    terms.push(format!("{key} >= {from}"));
                }
                if let Some(to) = to {
                    terms.push(format!("{key} < {to}"));
                }
                if terms.is_empty() { String::new() } else { format!("WHERE {}", terms.join(" AND ")) }
            }
        };
        if self.partitioned {
            // COPY itself reads no partitioned table.
            format!(
                "COPY (SELECT {} FROM {} {condition}) TO STDOUT ({})",
                self.names(),
                self.identity(),
                self.format()
            )
        } else if condition.is_empty() {
            // Reads this table alone, not its children, and is the cheaper plan.
            format!("COPY {}{} TO STDOUT ({})", self.identity(), self.column_list(), self.format())
        } else {
            format!(
                "COPY (SELECT {} FROM ONLY {} {condition}) TO STDOUT ({})",
                self.names(),
                self.identity(),
                self.format()
            )
        }
    }

    /// The statement that writes on the target. `freeze`: the table was created or emptied in this transaction.
    pub fn copy_from(&self, freeze: bool) -> String {
        let freeze = if freeze { ", FREEZE" } else { "" };
        let into = self.through.clone().unwrap_or_else(|| self.identity());
        format!("COPY {into}{} FROM STDIN ({}{freeze})", self.column_list(), self.format())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(columns: &[&str]) -> CopySource {
        CopySource {
            namespace: "s".into(),
            name: "T x".into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            binary: true,
            condition: String::new(),
            through: None,
            partitioned: false,
        }
    }

    #[test]
    fn both_statements_name_the_same_columns() {
        let s = source(&["a", "B"]);
        assert_eq!(s.copy_to(&Slice::Whole), r#"COPY s."T x" (a, "B") TO STDOUT (FORMAT binary)"#);
        assert_eq!(s.copy_from(true), r#"COPY s."T x" (a, "B") FROM STDIN (FORMAT binary, FREEZE)"#);
    }

    #[test]
    fn rows_may_enter_through_another_table() {
        let s = CopySource { through: Some("s.root".into()), ..source(&["a"]) };
        assert_eq!(s.copy_to(&Slice::Whole), r#"COPY s."T x" (a) TO STDOUT (FORMAT binary)"#);
        assert_eq!(s.copy_from(false), "COPY s.root (a) FROM STDIN (FORMAT binary)");
        let all = CopySource { partitioned: true, ..source(&["a"]) };
        assert_eq!(all.copy_to(&Slice::Whole), r#"COPY (SELECT a FROM s."T x" ) TO STDOUT (FORMAT binary)"#);
    }

    #[test]
    fn slices_read_only_this_table() {
        let s = source(&["a"]);
        assert_eq!(
            s.copy_to(&Slice::Blocks { from: 3, to: None }),
            r#"COPY (SELECT a FROM ONLY s."T x" WHERE ctid >= '(3,0)'::pg_catalog.tid) TO STDOUT (FORMAT binary)"#
        );
        let keys = Slice::Keys { column: "B".into(), from: Some(-1), to: Some(5) };
        assert!(s.copy_to(&keys).contains(r#"WHERE "B" >= -1 AND "B" < 5)"#));
    }

    #[test]
    fn zero_columns_have_no_list() {
        let s = source(&[]);
        assert_eq!(s.copy_to(&Slice::Whole), r#"COPY s."T x" TO STDOUT (FORMAT binary)"#);
        assert_eq!(s.copy_from(false), r#"COPY s."T x" FROM STDIN (FORMAT binary)"#);
    }
}
