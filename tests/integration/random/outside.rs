//! Text search; what reaches outside the database: foreign data, publications, subscriptions; event triggers.

use super::{Col, Generator, Kind, Relation, Sort, Type};

impl Generator {
    pub fn parser(&mut self) {
        let (name, _) = self.new_name();
        if self.once_in(2) {
            self.say(format!(
                "CREATE TEXT SEARCH PARSER {name} (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)"
            ));
            self.objects.push(format!("TEXT SEARCH PARSER {name}"));
            self.rare.parsers.push(name);
        } else {
            self.say(format!(
                "CREATE TEXT SEARCH TEMPLATE {name} (INIT = dsimple_init, LEXIZE = dsimple_lexize)"
            ));
            self.objects.push(format!("TEXT SEARCH TEMPLATE {name}"));
            self.rare.templates.push(name);
        }
    }

    pub fn dictionary(&mut self) {
        let (name, _) = self.new_name();
        let how = match self.pick(&self.rare.templates.clone()) {
            Some(t) if self.once_in(2) => format!("TEMPLATE = {t}, ACCEPT = false"),
            _ => self
                .chance
                .one_of(&[
                    "TEMPLATE = simple",
                    "TEMPLATE = pg_catalog.simple, STOPWORDS = english",
                    "TEMPLATE = snowball, LANGUAGE = german, STOPWORDS = german",
                ])
                .to_owned(),
        };
        self.say(format!("CREATE TEXT SEARCH DICTIONARY {name} ({how})"));
        self.objects.push(format!("TEXT SEARCH DICTIONARY {name}"));
        self.rare.dictionaries.push(name);
    }

    pub fn configuration(&mut self) {
        let (name, _) = self.new_name();
        let how = match self.pick(&self.rare.parsers.clone()) {
            Some(p) if self.once_in(2) => format!("PARSER = {p}"),
            _ => self.chance.one_of(&["COPY = pg_catalog.english", "PARSER = \"default\""]).to_owned(),
        };
        self.say(format!("CREATE TEXT SEARCH CONFIGURATION {name} ({how})"));
        if let Some(d) = self.pick(&self.rare.dictionaries.clone()) {
            self.say(format!(
                "ALTER TEXT SEARCH CONFIGURATION {name} DROP MAPPING IF EXISTS FOR word, url_path"
            ));
            self.say(format!(
                "ALTER TEXT SEARCH CONFIGURATION {name} ADD MAPPING FOR word, url_path WITH {d}, simple"
            ));
        }
        self.objects.push(format!("TEXT SEARCH CONFIGURATION {name}"));
        self.rare.configurations.push(name);
    }

    /// Where a configuration is used.
    pub fn searching(&mut self) {
        let Some(c) = self.pick(&self.rare.configurations.clone()) else { return };
        let text = c.replace('\'', "''");
        if self.once_in(2) {
            let view = self.new_name().0;
            self.say(format!(
                "CREATE VIEW {view} AS SELECT to_tsvector('{text}'::regconfig, 'x'::text) AS \"v 1\""
            ));
        } else if let Some((r, column)) = self.column_of(Sort::Text, &[Kind::Table, Kind::Matview]) {
            let index = self.name();
            self.say(format!(
                "CREATE INDEX {index} ON {r} USING gin (to_tsvector('{text}'::regconfig, {column}::text))"
            ));
        }
    }

    pub fn wrapper(&mut self) {
        let name = self.name();
        let options = self.chance.one_of(&["", " OPTIONS (a 'it''s', \"B b\" 'back\\slash', \"user\" 'x')"]);
        self.say(format!("CREATE FOREIGN DATA WRAPPER {name}{options}"));
        self.objects.push(format!("FOREIGN DATA WRAPPER {name}"));
        self.rare.granted.push((format!("FOREIGN DATA WRAPPER {name}"), "USAGE".into()));
        self.rare.wrappers.push(name);
    }

    pub fn server(&mut self) {
        let Some(wrapper) = self.pick(&self.rare.wrappers.clone()) else { return self.wrapper() };
        let name = self.name();
        let kind = self.chance.one_of(&["", " TYPE 'my''type'", " TYPE 't' VERSION '1.0'"]);
        let options = self.chance.one_of(&["", " OPTIONS (host 'h', \"Api Key\" 'x''y')"]);
        self.say(format!("CREATE SERVER {name}{kind} FOREIGN DATA WRAPPER {wrapper}{options}"));
        self.objects.push(format!("SERVER {name}"));
        self.rare.granted.push((format!("FOREIGN SERVER {name}"), "USAGE".into()));
        self.rare.servers.push(name);
    }

    pub fn user_mapping(&mut self) {
        let Some(server) = self.pick(&self.rare.servers.clone()) else { return };
        let role = if self.once_in(3) { "PUBLIC".to_owned() } else { self.role() };
        let options = self.chance.one_of(&["", " OPTIONS (\"user\" 'bob', password 'ge''heim\\')"]);
        self.say(format!("CREATE USER MAPPING FOR {role} SERVER {server}{options}"));
    }

    pub fn foreign_table(&mut self) {
        let Some(server) = self.pick(&self.rare.servers.clone()) else { return };
        let (name, schema) = self.new_name();
        let options = self.chance.one_of(&["", " OPTIONS (schema_name 'far', \"table\" 'a''way')"]);
        match (self.chance.between(0, 4), self.relation(&[Kind::Table]), self.relation(&[Kind::Partitioned]))
        {
            (0, Some(parent), _) => {
                self.say(format!(
                    "CREATE FOREIGN TABLE {name} (\"own 1\" integer) INHERITS ({}) SERVER {server}{options}",
                    parent.name
                ));
            }
            (1, _, Some(parent)) => {
                let n = self.relations.len() as i64 * 10 + 5;
                for bound in [format!("FROM ({n}) TO ({})", n + 2), format!("IN ({n}, {})", n + 1)] {
                    let exists = if self.out.last().is_some_and(|s| s.contains(&name)) {
                        "IF NOT EXISTS "
                    } else {
                        ""
                    };
                    self.say(format!(
                        "CREATE FOREIGN TABLE {exists}{name} PARTITION OF {} FOR VALUES {bound} SERVER {server}{options}",
                        parent.name
                    ));
                }
            }
            _ => {
                let mut cols: Vec<Col> = Vec::new();
                let mut elements = Vec::new();
                for _ in 0..self.chance.between(0, 5) {
                    let of = self.column_type();
                    let column = self.part_name();
                    let with = self.chance.one_of(&["", "", " OPTIONS (column_name 'id', \"O\" 'x''y')"]);
                    let default =
                        if self.once_in(3) { format!(" DEFAULT {}", self.value(&of)) } else { String::new() };
                    let not_null = self.chance.one_of(&["", "", " NOT NULL"]);
                    elements.push(format!("{column} {}{with}{default}{not_null}", of.sql));
                    cols.push(Col { name: column, of });
                }
                if self.once_in(3) {
                    elements.push(format!(
                        "CONSTRAINT {} CHECK ({})",
                        self.part_name(),
                        self.condition(&cols)
                    ));
                }
                self.say(format!(
                    "CREATE FOREIGN TABLE {name} ({}) SERVER {server}{options}",
                    elements.join(", ")
                ));
                if let Some(c) = cols.first() {
                    self.objects.push(format!("COLUMN {name}.{}", c.name));
                    if self.once_in(3) {
                        self.say(format!(
                            "ALTER FOREIGN TABLE {name} ALTER COLUMN {} SET STATISTICS 77",
                            c.name
                        ));
                    }
                    if self.once_in(4) {
                        let role = self.role();
                        self.say(format!("GRANT SELECT, UPDATE ({}) ON {name} TO {role}", c.name));
                    }
                }
                if self.once_in(3) {
                    let view = self.new_name().0;
                    self.say(format!("CREATE VIEW {view} AS SELECT * FROM {name}"));
                    self.relations.push(Relation { name: view, schema, kind: Kind::View, cols });
                }
            }
        }
        self.types.push(Type { sql: name.clone(), sort: Sort::Other });
        self.objects.push(format!("FOREIGN TABLE {name}"));
    }

    pub fn event_trigger(&mut self) {
        let (f, name) = (self.new_name().0, self.name());
        self.say(format!("CREATE FUNCTION {f}() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'"));
        let on = self.chance.one_of(&[
            "ddl_command_end",
            "ddl_command_start WHEN TAG IN ('CREATE TABLE', 'DROP SCHEMA')",
            "sql_drop",
            "table_rewrite",
        ]);
        self.say(format!("CREATE EVENT TRIGGER {name} ON {on} EXECUTE PROCEDURE {f}()"));
        if self.once_in(2) {
            let state = self.chance.one_of(&["DISABLE", "ENABLE REPLICA", "ENABLE ALWAYS"]);
            self.say(format!("ALTER EVENT TRIGGER {name} {state}"));
        }
        // Owned by superusers only, so it is not among what changes owners.
        let text = self.chance.one_of(&["x", "it''s"]);
        self.say(format!("COMMENT ON EVENT TRIGGER {name} IS '{text}'"));
    }

    pub fn publication(&mut self) {
        let name = self.name();
        let mut with = vec!["", " WITH (publish = 'insert, delete')", " WITH (publish = '')"];
        if self.major >= 13 {
            with.push(" WITH (publish_via_partition_root = true)");
        }
        if self.major >= 18 {
            with.push(" WITH (publish_generated_columns = stored)");
        }
        let with = self.chance.one_of(&with);
        let table = self.relation(&[Kind::Table]);
        let what = match (self.chance.between(0, 5), table) {
            (0, _) => " FOR ALL TABLES".to_owned(),
            (1, _) => String::new(),
            (2, _) if self.major >= 15 => format!(" FOR TABLES IN SCHEMA {}", self.schema()),
            (3, Some(r)) if self.major >= 15 && !r.cols.is_empty() => {
                let c = self.pick(&r.cols).map_or_else(String::new, |c| c.name);
                let columns = if self.once_in(2) { format!(" ({c})") } else { String::new() };
                let rows = if self.once_in(2) { format!(" WHERE ({c} IS NOT NULL)") } else { String::new() };
                format!(" FOR TABLE ONLY {}{columns}{rows}", r.name)
            }
            (_, Some(r)) => format!(" FOR TABLE {}", r.name),
            _ => return,
        };
        self.say(format!("CREATE PUBLICATION {name}{what}{with}"));
        if !what.contains("ALL TABLES")
            && !what.contains("SCHEMA")
            && let Some(r) = self.relation(&[Kind::Table])
        {
            self.say(format!("ALTER PUBLICATION {name} ADD TABLE ONLY {}", r.name));
        }
        self.objects.push(format!("PUBLICATION {name}"));
        self.rare.publications.push(name);
    }

    pub fn subscription(&mut self) {
        let name = self.name();
        let with = self.chance.one_of(&[
            ", slot_name = slot_1",
            ", slot_name = NONE",
            ", slot_name = 'a_b', synchronous_commit = 'local'",
        ]);
        self.say(format!(
            "CREATE SUBSCRIPTION {name} CONNECTION 'host=nowhere.invalid dbname=x password=''ge heim''' PUBLICATION a, \"B b\" WITH (connect = false{with})"
        ));
        self.say(format!("COMMENT ON SUBSCRIPTION {name} IS 'it''s'"));
    }
}
