//! Views.
//!
//! A view that stands in a loop (a function takes its row type and it calls that function), or that needs a
//! constraint (`GROUP BY` a primary key), is made twice, as pg_dump does (`createDummyViewAsClause`): first with
//! columns of the right names and types and no rows, and after the data for real.
//! Invariant: both have the same columns in the same order, so `CREATE OR REPLACE VIEW` accepts the second.

use super::quote::quote_ident;
use super::{Address, Object, RenderOptions};

/// A view.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Its columns, in order.
    pub columns: Vec<ViewColumn>,
    /// The query as `pg_get_viewdef` writes it, without the semicolon.
    pub query: String,
    /// Storage options as they stand between the parentheses of `WITH (…)`, the check option left out.
    pub options: Vec<String>,
    /// `WITH … CHECK OPTION`.
    pub check_option: Option<CheckOption>,
    /// The `_RETURN` rule: what the query needs, `pg_depend` records for it.
    pub rule: Option<Address>,
    /// Its query was replaced by one on itself: allowed, and never readable.
    pub reads_itself: bool,
    /// Make only a placeholder; the definition follows as a step of its own. Set by the ordering.
    pub placeholder: bool,
}

/// Which rows an automatically updatable view lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOption {
    /// Rows that this view's own condition accepts.
    Local,
    /// Rows that every underlying view's condition accepts too.
    Cascaded,
}

/// A column of a view.
#[derive(Clone, Debug, Default)]
pub struct ViewColumn {
    /// Its name, unquoted.
    pub name: String,
    /// Its type as SQL, with its modifier.
    pub type_name: String,
    /// Its collation as SQL where it is not its type's own.
    pub collation: Option<String>,
    /// `ALTER VIEW … ALTER COLUMN … SET DEFAULT`: its place in `pg_attrdef`, and the expression.
    pub default: Option<(Address, String)>,
}

impl View {
    /// The view, or its placeholder. Defaults are steps of their own.
    pub fn create(&self, object: &Object, _options: &RenderOptions) -> Vec<String> {
        if self.placeholder {
            return vec![format!("CREATE VIEW {}", self.empty_body(object))];
        }
        vec![format!("CREATE VIEW {}", self.body(object))]
    }

    /// The definition that takes the placeholder's place.
    pub fn replace(&self, object: &Object) -> String {
        format!("CREATE OR REPLACE VIEW {}", self.body(object))
    }

    /// The placeholder in the definition's place: the view needs nothing but its columns' types then.
    pub fn hollow(&self, object: &Object) -> String {
        format!("CREATE OR REPLACE VIEW {}", self.empty_body(object))
    }

    fn empty_body(&self, object: &Object) -> String {
        let columns: Vec<String> = self.columns.iter().map(null_column).collect();
        let gap = if columns.is_empty() { "" } else { "\n    " };
        format!("{} AS\n SELECT{gap}{}", object.qualified_name(), columns.join(",\n    "))
    }

    fn body(&self, object: &Object) -> String {
        let check = match self.check_option {
            None => "",
            Some(CheckOption::Local) => "\n  WITH LOCAL CHECK OPTION",
            Some(CheckOption::Cascaded) => "\n  WITH CASCADED CHECK OPTION",
        };
        format!("{}{} AS\n{}{check}", object.qualified_name(), with_options(&self.options), self.query)
    }

    /// The statement for the default of the column at `column`.
    pub fn set_default(&self, object: &Object, column: usize) -> Option<String> {
        let column = self.columns.get(column)?;
        let (_, expression) = column.default.as_ref()?;
        Some(format!(
            "ALTER TABLE ONLY {} ALTER COLUMN {} SET DEFAULT {expression}",
            object.qualified_name(),
            quote_ident(&column.name)
        ))
    }

    /// `DROP VIEW`.
    pub fn drop(&self, object: &Object) -> Vec<String> {
        vec![format!("DROP VIEW IF EXISTS {}", object.qualified_name())]
    }

    /// `VIEW s.v`.
    pub fn reference(&self, object: &Object) -> String {
        format!("VIEW {}", object.qualified_name())
    }
}

fn null_column(column: &ViewColumn) -> String {
    let collate = column.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
    format!("NULL::{}{collate} AS {}", column.type_name, quote_ident(&column.name))
}

/// ` WITH (…)`, or nothing.
pub(super) fn with_options(options: &[String]) -> String {
    if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::super::{Definition, class};
    use super::*;

    fn view(placeholder: bool, columns: Vec<ViewColumn>) -> Object {
        let view = View {
            columns,
            query: " SELECT 1 AS \"Ä\"".to_owned(),
            options: vec!["security_barrier='true'".to_owned()],
            check_option: Some(CheckOption::Local),
            placeholder,
            ..View::default()
        };
        Object {
            address: Address::new(class::RELATION, 1),
            namespace: Some("s".to_owned()),
            name: "v w".to_owned(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::View(view),
        }
    }

    fn created(object: &Object) -> String {
        let Definition::View(view) = &object.definition else { panic!("not a view") };
        view.create(object, &RenderOptions::default()).join(";")
    }

    #[test]
    fn options_and_check_option() {
        assert_eq!(
            created(&view(false, Vec::new())),
            "CREATE VIEW s.\"v w\" WITH (security_barrier='true') AS\n SELECT 1 AS \"Ä\"\n  WITH LOCAL CHECK OPTION"
        );
    }

    #[test]
    fn a_placeholder_has_the_columns_and_nothing_else() {
        let column = |name: &str, collation: Option<&str>| ViewColumn {
            name: name.to_owned(),
            type_name: "character varying(3)".to_owned(),
            collation: collation.map(str::to_owned),
            default: None,
        };
        let object = view(true, vec![column("Ä", None), column("b", Some("pg_catalog.\"C\""))]);
        assert_eq!(
            created(&object),
            "CREATE VIEW s.\"v w\" AS\n SELECT\n    NULL::character varying(3) AS \"Ä\",\n    \
             NULL::character varying(3) COLLATE pg_catalog.\"C\" AS b"
        );
        assert_eq!(created(&view(true, Vec::new())), "CREATE VIEW s.\"v w\" AS\n SELECT");
    }
}
