//! Types, and values of them.

use super::{Generator, Sort, Type};

/// Types that every version has.
pub fn built_in() -> Vec<Type> {
    let of = |sql: &str, sort| Type { sql: sql.into(), sort };
    vec![
        of("integer", Sort::Int),
        of("bigint", Sort::Int),
        of("smallint", Sort::Int),
        of("numeric(12,3)", Sort::Int),
        of("double precision", Sort::Int),
        of("text", Sort::Text),
        of("character varying(40)", Sort::Text),
        of("character(7)", Sort::Text),
        of("name", Sort::Text),
        of("timestamp(3) with time zone", Sort::Time),
        of("date", Sort::Time),
        of("interval day to second(2)", Sort::Other),
        of("boolean", Sort::Bool),
        of("int4range", Sort::Range),
        of("integer[]", Sort::Array),
        of("text[]", Sort::Array),
        of("jsonb", Sort::Json),
        of("json", Sort::Json),
        of("bit varying(5)", Sort::Other),
        of("\"char\"", Sort::Other),
        of("uuid", Sort::Other),
        of("point", Sort::Other),
        of("inet", Sort::Other),
        of("bytea", Sort::Other),
        of("xml", Sort::Other),
        of("regclass", Sort::Other),
        of("tsvector", Sort::Other),
    ]
}

impl Generator {
    /// A type for a column.
    pub fn column_type(&mut self) -> Type {
        if self.once_in(3) {
            let int = Type { sql: "integer".into(), sort: Sort::Int };
            return int;
        }
        let types = self.types.clone();
        self.pick(&types).unwrap_or(Type { sql: "integer".into(), sort: Sort::Int })
    }

    /// An expression of this type that names no column.
    pub fn value(&mut self, of: &Type) -> String {
        let n = self.chance.between(-3, 99);
        match of.sort {
            Sort::Int => match (self.chance.between(0, 3), self.of_int.last().cloned()) {
                (0, Some(f)) => format!("{f}({n})"),
                (1, _) => format!("({n} + 1) * 2"),
                _ => format!("{n}"),
            },
            Sort::Text => {
                let text = self.chance.one_of(&[
                    "''",
                    "'it''s'",
                    "E'back\\\\slash\\n'",
                    "'%' || 'x'",
                    "upper('ä')",
                    "current_user",
                ]);
                text.to_owned()
            }
            Sort::Time => self
                .chance
                .one_of(&[
                    "now()",
                    "'2020-02-29'",
                    "CURRENT_TIMESTAMP",
                    "'infinity'",
                    "'epoch'::timestamptz + interval '1 day'",
                ])
                .to_owned(),
            Sort::Bool => self.chance.one_of(&["true", "NOT true", "1 = 2", "NULL"]).to_owned(),
            Sort::Enum => "NULL".to_owned(),
            Sort::Range => "'(1,2]'".to_owned(),
            Sort::Array => self.chance.one_of(&["'{}'", "'{1,2}'", "NULL"]).to_owned(),
            Sort::Json => self.chance.one_of(&["'{}'", "'[1, {\"a\": null}]'"]).to_owned(),
            Sort::Other => "NULL".to_owned(),
        }
    }

    pub fn enumeration(&mut self) {
        let (name, _) = self.new_name();
        let labels: Vec<&str> = ["red", "it''s", "Grün", "a b", "\"q\"", "back\\slash", "x,y"]
            .into_iter()
            .take(self.chance.between(0, 7) as usize)
            .collect();
        self.say(format!(
            "CREATE TYPE {name} AS ENUM ({})",
            labels.iter().map(|l| format!("'{l}'")).collect::<Vec<_>>().join(", ")
        ));
        self.types.push(Type { sql: name.clone(), sort: Sort::Enum });
        self.types.push(Type { sql: format!("{name}[]"), sort: Sort::Other });
        self.objects.push(format!("TYPE {name}"));
    }

    pub fn composite(&mut self) {
        let (name, _) = self.new_name();
        let mut attributes = Vec::new();
        for i in 0..self.chance.between(0, 5) {
            let of = self.column_type();
            let collate = if of.sort == Sort::Text && self.once_in(3) { " COLLATE \"C\"" } else { "" };
            attributes.push(format!("\"At {i}\" {}{collate}", of.sql));
        }
        self.say(format!("CREATE TYPE {name} AS ({})", attributes.join(", ")));
        self.types.push(Type { sql: name.clone(), sort: Sort::Other });
        self.composites.push(name.clone());
        self.objects.push(format!("TYPE {name}"));
    }

    pub fn domain(&mut self) {
        let (name, _) = self.new_name();
        let base = self.column_type();
        let mut sql = format!("CREATE DOMAIN {name} AS {}", base.sql);
        if base.sort == Sort::Text && self.once_in(3) {
            sql += " COLLATE \"POSIX\"";
        }
        if self.once_in(2) {
            sql += &format!(" DEFAULT {}", self.value(&base));
        }
        if self.once_in(4) {
            sql += " NOT NULL";
        }
        for _ in 0..self.chance.between(0, 2) {
            let check = self.domain_check(&base);
            sql += &format!(" CONSTRAINT {} CHECK ({check})", self.part_name());
        }
        self.say(sql);
        if self.once_in(3) {
            let (check, not_valid) =
                (self.domain_check(&base), if self.once_in(2) { " NOT VALID" } else { "" });
            let constraint = self.name();
            self.say(format!("ALTER DOMAIN {name} ADD CONSTRAINT {constraint} CHECK ({check}){not_valid}"));
            if self.once_in(2) {
                self.objects.push(format!("CONSTRAINT {constraint} ON DOMAIN {name}"));
            }
        }
        self.types.push(Type { sql: name.clone(), sort: base.sort });
        self.objects.push(format!("DOMAIN {name}"));
    }

    fn domain_check(&mut self, base: &Type) -> String {
        match (base.sort, self.of_int.last().cloned()) {
            (Sort::Int, Some(f)) if self.once_in(2) => format!("{f}(VALUE::integer) > 0"),
            (Sort::Int, _) => "VALUE > 0".into(),
            (Sort::Text, _) => "VALUE ~ '^[a-z]\\d*''$' OR VALUE = ''".into(),
            _ => "VALUE IS NOT NULL".into(),
        }
    }

    pub fn range(&mut self) {
        let (name, schema) = self.new_name();
        let mut sql = format!(
            "CREATE TYPE {name} AS RANGE (SUBTYPE = {}",
            self.chance.one_of(&[
                "float8, SUBTYPE_DIFF = float8mi",
                "text, COLLATION = \"C\"",
                "integer",
                "text, SUBTYPE_OPCLASS = text_pattern_ops"
            ])
        );
        if self.major >= 14 && self.once_in(2) {
            sql += &format!(", MULTIRANGE_TYPE_NAME = {schema}.{}", self.name());
        }
        self.say(sql + ")");
        self.types.push(Type { sql: name.clone(), sort: Sort::Other });
        self.objects.push(format!("TYPE {name}"));
    }

    pub fn change_type(&mut self) {
        let enums: Vec<Type> = self.types.iter().filter(|t| t.sort == Sort::Enum).cloned().collect();
        let composites = self.composites.clone();
        match (self.pick(&enums), self.pick(&composites)) {
            (Some(of), _) if self.once_in(2) => {
                let place = self.chance.one_of(&["", " BEFORE 'red'", " AFTER 'red'"]);
                let label = self.chance.between(0, 1000);
                self.say(format!("ALTER TYPE {} ADD VALUE IF NOT EXISTS 'new''{label}'{place}", of.sql));
            }
            (_, Some(of)) => {
                let (add, column) = (self.chance.between(10, 99), self.column_type());
                let change = match self.chance.between(0, 2) {
                    0 => "DROP ATTRIBUTE IF EXISTS \"At 1\" CASCADE".to_owned(),
                    1 => format!("ADD ATTRIBUTE \"Añ {add}\" {} CASCADE", column.sql),
                    _ => format!("RENAME ATTRIBUTE \"At 0\" TO \"re {add}\" CASCADE"),
                };
                self.say(format!("ALTER TYPE {of} {change}"));
            }
            _ => {}
        }
    }
}
