//! Views on tables, views and functions; materialized views; views changed after others came to need them.

use super::{Col, Generator, Kind, Relation, Sort, Type};

const READABLE: &[Kind] = &[Kind::Table, Kind::Partitioned, Kind::Partition, Kind::View, Kind::Matview];

impl Generator {
    /// A query and its columns.
    fn query(&mut self) -> Option<(String, Vec<Col>)> {
        let r = self.relation(READABLE)?;
        let int = || Type { sql: "integer".into(), sort: Sort::Int };
        let mut cols = Vec::new();
        for c in r.cols.iter().filter(|_| self.chance.between(0, 3) > 0).collect::<Vec<_>>() {
            if !cols.iter().any(|k: &Col| k.name == c.name) {
                cols.push(c.clone());
            }
        }
        let list: Vec<String> = cols.iter().map(|c| format!("a.{}", c.name)).collect();
        let list = if list.is_empty() { "1 AS \"one 1\"".to_owned() } else { list.join(", ") };
        let second = self.relation(READABLE)?;
        Some(match self.chance.between(0, 7) {
            0 => (
                format!("SELECT {list}, b.ctid AS \"late 1\" FROM {} a CROSS JOIN {} b", r.name, second.name),
                cols,
            ),
            1 => {
                // Needs the primary key, where there is one.
                let key = r.cols.first()?.name.clone();
                (format!("SELECT {list}, count(*) AS \"n 1\" FROM {} a GROUP BY a.{key}", r.name), cols)
            }
            2 => (
                format!(
                    "WITH w AS (SELECT * FROM {}) SELECT {list} FROM {} a WHERE EXISTS (SELECT FROM w)",
                    second.name, r.name
                ),
                cols,
            ),
            3 => {
                let f = self.of_int.last().cloned().unwrap_or_else(|| "abs".into());
                cols.push(Col { name: "\"calc 1\"".into(), of: int() });
                (
                    format!(
                        "SELECT {list}, {f}(3) AS \"calc 1\" FROM {} a WHERE {}",
                        r.name,
                        self.condition(&r.cols)
                    ),
                    cols,
                )
            }
            4 => (format!("SELECT a AS \"whole row 1\" FROM {} a", r.name), Vec::new()),
            5 => (format!("SELECT {list} FROM {} a UNION ALL SELECT {list} FROM {0} a", r.name), cols),
            _ => (format!("SELECT {list} FROM {} a", r.name), cols),
        })
    }

    pub fn view(&mut self) {
        let Some((query, cols)) = self.query() else { return };
        let (name, schema) = self.new_name();
        let mut options: Vec<&str> = Vec::new();
        if self.once_in(6) {
            options.push("security_barrier");
        }
        if self.major >= 15 && self.once_in(6) {
            options.push("security_invoker = true");
        }
        let with = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
        let simple = !query.contains("JOIN")
            && !query.contains("GROUP")
            && !query.contains("UNION")
            && !query.starts_with("WITH");
        let check = if simple {
            self.chance.one_of(&["", "", "", " WITH LOCAL CHECK OPTION", " WITH CASCADED CHECK OPTION"])
        } else {
            ""
        };
        self.say(format!("CREATE VIEW {name}{with} AS {query}{check}"));
        if let Some(c) = self.pick(&cols).filter(|_| self.once_in(4)) {
            let value = self.value(&c.of);
            self.say(format!("ALTER VIEW {name} ALTER COLUMN {} SET DEFAULT {value}", c.name));
        }
        self.relation_made(name, schema, Kind::View, cols, "VIEW");
    }

    pub fn matview(&mut self) {
        let Some((query, cols)) = self.query() else { return };
        let (name, schema) = self.new_name();
        let with = self.chance.one_of(&["", "", " WITH (fillfactor = 44)"]);
        let data = self.chance.one_of(&["", " WITH NO DATA"]);
        self.say(format!("CREATE MATERIALIZED VIEW {name}{with} AS {query}{data}"));
        if let Some(c) = self.pick(&cols).filter(|_| self.once_in(3)) {
            let change =
                self.chance.one_of(&["SET STATISTICS 17", "SET (n_distinct = 5)", "SET STORAGE EXTERNAL"]);
            self.say(format!("ALTER MATERIALIZED VIEW {name} ALTER COLUMN {} {change}", c.name));
        }
        self.relation_made(name, schema, Kind::Matview, cols, "MATERIALIZED VIEW");
    }

    fn relation_made(&mut self, name: String, schema: String, kind: Kind, cols: Vec<Col>, word: &str) {
        self.objects.push(format!("{word} {name}"));
        if let Some(c) = cols.first() {
            self.objects.push(format!("COLUMN {name}.{}", c.name));
        }
        self.relations.push(Relation { name, schema, kind, cols });
    }

    /// A view with another query, which may make a loop with what needs it; a column renamed.
    pub fn change_view(&mut self) {
        let Some(view) = self.relation(&[Kind::View]) else { return };
        match (self.chance.between(0, 2), view.cols.first()) {
            (0, Some(c)) => {
                let new = self.name();
                self.say(format!("ALTER VIEW {} RENAME COLUMN {} TO {new}", view.name, c.name));
            }
            (1, _) => {
                let Some((query, _)) = self.query() else { return };
                self.say(format!("CREATE OR REPLACE VIEW {} AS {query}", view.name));
            }
            _ => {
                // Its row type as a function's argument, and the function in the view: a loop.
                let f = self.name();
                let schema = view.schema.clone();
                let columns: Vec<String> = view.cols.iter().map(|c| format!("v.{}", c.name)).collect();
                if columns.is_empty() {
                    return;
                }
                self.say(format!(
                    "CREATE FUNCTION {schema}.{f}({}) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'",
                    view.name
                ));
                self.objects.push(format!("FUNCTION {schema}.{f}({})", view.name));
            }
        }
    }
}
