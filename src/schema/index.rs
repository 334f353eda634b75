//! Indexes that no constraint owns.
//!
//! Invariant: an index is made under its own name, `ON ONLY` its table, and attached to the index it is a partition
//! of afterwards; so nothing is ever made on a partition behind our back.

use super::RenderOptions;
use super::object::{Address, Object};
use super::quote::quote_ident;
use super::table::Relative;

/// An index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The table or materialized view it is on.
    pub table: Relative,
    /// `CREATE INDEX …` as `pg_get_indexdef` has it: with `ON ONLY` for a partitioned one.
    pub definition: String,
    /// Whether it is partitioned: takes no time to make, and is valid once an index of every partition is attached.
    pub partitioned: bool,
    /// The index it is a partition of. Where that one is a constraint's, the constraint is to be made first.
    pub partition_of: Option<Relative>,
    /// What else hangs on it.
    pub marks: IndexMarks,
    /// Size in blocks on the source (`relpages`), for planning.
    pub pages: u32,
    /// Tablespace where it is not the database's, unquoted.
    pub tablespace: Option<String>,
}

/// Properties that are set on an index after it is made, its own or a constraint's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexMarks {
    /// Statistics targets of expression columns: (column number, target); 11 and later.
    pub statistics: Vec<(i16, i32)>,
    /// `CLUSTER ON` it.
    pub clustered: bool,
    /// `REPLICA IDENTITY USING INDEX` it.
    pub replica_identity: bool,
}

impl IndexMarks {
    /// The statements that set them on the index `namespace.name` of `table`.
    pub(super) fn statements(&self, object: &Object, table: &str) -> Vec<String> {
        let (qualified, name) = (object.qualified_name(), quote_ident(&object.name));
        let mut out = Vec::new();
        for (column, target) in &self.statistics {
            out.push(format!("ALTER INDEX {qualified} ALTER COLUMN {column} SET STATISTICS {target}"));
        }
        if self.clustered {
            out.push(format!("ALTER TABLE {table} CLUSTER ON {name}"));
        }
        if self.replica_identity {
            out.push(format!("ALTER TABLE ONLY {table} REPLICA IDENTITY USING INDEX {name}"));
        }
        out
    }

    /// Whether setting them takes an exclusive lock on the table.
    pub fn lock_table(&self) -> bool {
        self.clustered || self.replica_identity
    }
}

/// A definition as the server writes it, which never names a tablespace, with the clause that does: it stands before `WHERE`.
pub(super) fn in_tablespace(
    definition: &str,
    words: &str,
    tablespace: &Option<String>,
    options: &RenderOptions,
) -> String {
    let Some(tablespace) = tablespace.as_ref().filter(|_| !options.no_tablespaces) else {
        return definition.to_owned();
    };
    let (mut depth, mut quote, mut place) = (0, None, definition.len());
    for (at, c) in definition.char_indices() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ' ') if depth == 0 && definition[at..].starts_with(" WHERE ") => {
                place = at;
                break;
            }
            _ => {}
        }
    }
    format!("{} {words} {}{}", &definition[..place], quote_ident(tablespace), &definition[place..])
}

/// `ALTER INDEX … ATTACH PARTITION …`
pub(super) fn attach(parent: &Relative, child: &Object) -> String {
    format!("ALTER INDEX {} ATTACH PARTITION {}", parent.name, child.qualified_name())
}

impl Index {
    /// What must have been made before it is attached: the index it is a partition of.
    pub fn attaches_to(&self) -> Option<Address> {
        self.partition_of.as_ref().map(|p| p.address)
    }

    /// The statements that make it; the first one is the work.
    pub fn create(&self, object: &Object, options: &RenderOptions) -> Vec<String> {
        let mut out = vec![in_tablespace(&self.definition, "TABLESPACE", &self.tablespace, options)];
        out.extend(self.marks.statements(object, &self.table.name));
        out.extend(self.partition_of.as_ref().map(|parent| attach(parent, object)));
        out
    }

    /// Nothing: it goes with its table.
    pub fn drop(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// How `COMMENT ON` names it.
    pub fn reference(&self, object: &Object) -> String {
        format!("INDEX {}", object.qualified_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tablespace_stands_before_the_predicate() {
        let options = RenderOptions::default();
        let space = Some("S p".to_owned());
        let put = |definition: &str| in_tablespace(definition, "TABLESPACE", &space, &options);
        assert_eq!(
            put("CREATE INDEX i ON s.t USING btree (a)"),
            "CREATE INDEX i ON s.t USING btree (a) TABLESPACE \"S p\""
        );
        assert_eq!(
            put(
                "CREATE INDEX \"x WHERE (\" ON t USING btree ((a || ') WHERE '::text)) WITH (fillfactor='70') WHERE (a > 0)"
            ),
            "CREATE INDEX \"x WHERE (\" ON t USING btree ((a || ') WHERE '::text)) WITH (fillfactor='70') TABLESPACE \"S p\" WHERE (a > 0)"
        );
        let none = RenderOptions { no_tablespaces: true, ..options };
        assert_eq!(in_tablespace("CREATE INDEX i", "TABLESPACE", &space, &none), "CREATE INDEX i");
    }
}
