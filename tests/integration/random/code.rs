//! Functions, procedures, aggregates, sequences, triggers, rules, policies.

use super::{Generator, Kind};

impl Generator {
    pub fn function(&mut self) {
        let (name, _) = self.new_name();
        let properties = self.function_properties();
        let relation = self.relation(&[Kind::Table, Kind::View, Kind::Matview, Kind::Partitioned]);
        let of = self.column_type().sql;
        match (self.chance.between(0, 8), relation) {
            (0, Some(r)) => {
                self.say(format!("CREATE FUNCTION {name}(r {}, n integer DEFAULT 7) RETURNS SETOF {0} LANGUAGE sql STABLE {properties} AS $q$SELECT * FROM {0} LIMIT 1$q$", r.name));
                self.function_made(format!("{name}({}, integer)", r.name));
            }
            (1, Some(r)) if self.major >= 14 => {
                let column = r.cols.first().map_or("1".to_owned(), |c| format!("count({})", c.name));
                self.say(format!("CREATE FUNCTION {name}(a integer) RETURNS bigint LANGUAGE sql STABLE {properties} BEGIN ATOMIC SELECT {column} FROM {}; END", r.name));
                self.function_made(format!("{name}(integer)"));
            }
            (2, _) => {
                self.say(format!("CREATE FUNCTION {name}(IN \"A\" {of}, OUT \"select\" integer, OUT \"o ut\" {of}, VARIADIC v text[] DEFAULT '{{x,''}}') LANGUAGE plpgsql {properties} AS $b$ BEGIN \"o ut\" := \"A\"; END $b$"));
                self.function_made(format!("{name}({of}, text[])"));
            }
            (3, _) => {
                self.say(format!("CREATE FUNCTION {name}(a {of} DEFAULT NULL, b date DEFAULT now()::date) RETURNS TABLE (x {of}, \"y z\" text) LANGUAGE plpgsql ROWS 17 {properties} AS $_$ BEGIN RETURN; END $_$"));
                self.function_made(format!("{name}({of}, date)"));
            }
            (4, _) => {
                self.say(format!("CREATE FUNCTION {name}(anyelement, anyarray) RETURNS anyelement LANGUAGE sql IMMUTABLE {properties} AS 'SELECT $1'"));
                self.function_made(format!("{name}(anyelement, anyarray)"));
            }
            (5, _) => {
                self.say(format!("CREATE FUNCTION {name}(a integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT a > 0'"));
                self.predicates.push(name.clone());
                self.function_made(format!("{name}(integer)"));
            }
            _ => {
                // A caller is not in SQL: what an SQL function's text names may be looked at before it is there.
                let (language, body) = match self.of_int.last() {
                    Some(f) => ("plpgsql", format!("BEGIN RETURN {f}($1); END")),
                    None => ("sql", "SELECT $1 + 1".to_owned()),
                };
                self.say(format!(
                    "CREATE FUNCTION {name}(integer) RETURNS integer LANGUAGE {language} IMMUTABLE PARALLEL SAFE AS '{}'",
                    body.replace('\'', "''")
                ));
                self.of_int.push(name.clone());
                self.function_made(format!("{name}(integer)"));
            }
        }
    }

    fn function_made(&mut self, signature: String) {
        self.objects.push(format!("FUNCTION {signature}"));
        self.functions.push(signature);
    }

    fn function_properties(&mut self) -> String {
        let all = [
            "STRICT",
            "SECURITY DEFINER",
            "COST 12.5",
            "PARALLEL RESTRICTED",
            "LEAKPROOF",
            "SET search_path = public, \"we ird\", pg_temp",
            "SET search_path = ''",
            "SET work_mem = '7MB'",
            "SET \"my.Setting\" = 'it''s, \"x\"'",
            "SET DateStyle = 'ISO, DMY'",
            "SET TimeZone = 'Europe/Berlin'",
        ];
        let mut chosen: Vec<&str> = Vec::new();
        for property in all {
            if self.once_in(7)
                && !(property.starts_with("SET search") && chosen.iter().any(|c| c.starts_with("SET search")))
            {
                chosen.push(property);
            }
        }
        chosen.join(" ")
    }

    pub fn procedure(&mut self) {
        if self.major < 11 {
            return;
        }
        let (name, _) = self.new_name();
        let of = self.column_type().sql;
        let properties = self.chance.one_of(&["", "SECURITY DEFINER", "SET work_mem = '9MB'"]);
        self.say(format!("CREATE PROCEDURE {name}(a {of}, INOUT b text DEFAULT 'x') LANGUAGE plpgsql {properties} AS $p$ BEGIN COMMIT; END $p$"));
        self.objects.push(format!("PROCEDURE {name}({of}, text)"));
    }

    pub fn aggregate(&mut self) {
        let (name, _) = self.new_name();
        let (signature, body) = match self.chance.between(0, 3) {
            0 => (
                "integer",
                "SFUNC = int4pl, STYPE = integer, INITCOND = '0', PARALLEL = SAFE, COMBINEFUNC = int4pl",
            ),
            1 => ("text", "SFUNC = textcat, STYPE = text, SORTOP = OPERATOR(pg_catalog.<)"),
            2 => (
                "double precision ORDER BY anyelement",
                "SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA",
            ),
            _ => (
                "integer",
                "SFUNC = int4pl, STYPE = integer, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = integer, SSPACE = 64",
            ),
        };
        self.say(format!("CREATE AGGREGATE {name}({signature}) ({body})"));
        if !signature.contains("ORDER") {
            self.objects.push(format!("AGGREGATE {name}({signature})"));
        }
    }

    pub fn trigger_function(&mut self) {
        let (name, _) = self.new_name();
        self.say(format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
        ));
        self.objects.push(format!("FUNCTION {name}()"));
        self.trigger_functions.push(name);
    }

    pub fn sequence(&mut self) {
        let (name, _) = self.new_name();
        let unlogged = if self.major >= 15 && self.once_in(5) { "UNLOGGED " } else { "" };
        let of = self.chance.one_of(&["", " AS integer", " AS smallint"]);
        let options = self.chance.one_of(&[
            "",
            " START 5 INCREMENT 3",
            " INCREMENT -1 MINVALUE -50 CYCLE",
            " MAXVALUE 100 CACHE 9",
            " MINVALUE 3 MAXVALUE 30000 START 17",
        ]);
        self.say(format!("CREATE {unlogged}SEQUENCE {name}{of}{options}"));
        if self.once_in(3) {
            let text = name.replace('\'', "''");
            self.say(format!("SELECT nextval('{text}')"));
        }
        if self.once_in(3)
            && let Some(r) = self.relation(&[Kind::Table])
            && let Some(c) = self.pick(&r.cols)
        {
            self.say(format!("ALTER SEQUENCE {name} OWNED BY {}.{}", r.name, c.name));
        }
        self.objects.push(format!("SEQUENCE {name}"));
        self.sequences.push(name);
    }

    pub fn trigger(&mut self) {
        let functions = self.trigger_functions.clone();
        let (Some(f), Some(r)) = (
            self.pick(&functions),
            self.relation(&[Kind::Table, Kind::Partitioned, Kind::Partition, Kind::View]),
        ) else {
            return;
        };
        let name = self.part_name();
        let word = if self.major >= 11 { "FUNCTION" } else { "PROCEDURE" };
        let of = self.pick(&r.cols).map_or(String::new(), |c| format!(" OF {}", c.name));
        let event = match self.chance.between(0, 4) {
            0 => "INSERT OR DELETE".to_owned(),
            1 => format!("UPDATE{of}"),
            2 => "INSERT OR UPDATE OR TRUNCATE".to_owned(),
            _ => "INSERT".to_owned(),
        };
        let arguments = self.chance.one_of(&["", "'a', 'it''s', ''", "1, E'back\\\\slash'"]);
        let (time, level) = match (r.kind, self.chance.between(0, 4)) {
            (Kind::View, _) => ("INSTEAD OF", "ROW"),
            (_, 0 | 1) if !event.contains("TRUNCATE") => ("AFTER", "ROW"),
            (_, 2) if !event.contains("TRUNCATE") => ("BEFORE", "ROW"),
            _ => ("AFTER", "STATEMENT"),
        };
        let transition = if level == "STATEMENT" && event == "INSERT" && self.once_in(2) {
            " REFERENCING NEW TABLE AS \"nEw\""
        } else {
            ""
        };
        let when = if level == "ROW" && time != "INSTEAD OF" && !event.contains("DELETE") && self.once_in(3) {
            " WHEN (NEW.* IS DISTINCT FROM NULL)"
        } else {
            ""
        };
        let (constraint, deferred) = match (time, level) {
            ("AFTER", "ROW") if self.once_in(4) => ("CONSTRAINT ", " DEFERRABLE INITIALLY DEFERRED"),
            _ => ("", ""),
        };
        self.say(format!("CREATE {constraint}TRIGGER {name} {time} {event} ON {}{deferred}{transition} FOR EACH {level}{when} EXECUTE {word} {f}({arguments})", r.name));
        if self.once_in(3) && r.kind != Kind::View {
            let state =
                self.chance.one_of(&["DISABLE TRIGGER", "ENABLE ALWAYS TRIGGER", "ENABLE REPLICA TRIGGER"]);
            // On one of its partitions, sometimes.
            let on = if r.kind == Kind::Partitioned && self.once_in(2) {
                self.relation(&[Kind::Partition]).unwrap_or(r.clone())
            } else {
                r.clone()
            };
            let only = if self.once_in(3) { "ONLY " } else { "" };
            self.say(format!("ALTER TABLE {only}{} {state} {name}", on.name));
        }
        self.objects.push(format!("TRIGGER {name} ON {}", r.name));
    }

    pub fn rule(&mut self) {
        let Some(r) = self.relation(&[Kind::Table, Kind::View, Kind::Partitioned]) else { return };
        let name = self.part_name();
        let (event, action) = match self.chance.between(0, 3) {
            0 => ("INSERT", "DO INSTEAD NOTHING".to_owned()),
            1 => ("UPDATE", "DO ALSO NOTIFY \"it's\"".to_owned()),
            2 => ("DELETE", format!("WHERE 1 = 2 DO ALSO SELECT count(*) FROM {}", r.name)),
            _ => ("DELETE", "DO INSTEAD (NOTIFY a; NOTIFY b)".to_owned()),
        };
        self.say(format!("CREATE RULE {name} AS ON {event} TO {} {action}", r.name));
        if self.once_in(3) && r.kind != Kind::View {
            let state = self.chance.one_of(&["DISABLE RULE", "ENABLE ALWAYS RULE", "ENABLE REPLICA RULE"]);
            self.say(format!("ALTER TABLE {} {state} {name}", r.name));
        }
        self.objects.push(format!("RULE {name} ON {}", r.name));
    }

    pub fn policy(&mut self) {
        let Some(r) = self.relation(&[Kind::Table, Kind::Partitioned, Kind::Partition]) else { return };
        let (name, role) = (self.part_name(), self.role());
        let to = if self.once_in(2) { format!(" TO {role}") } else { String::new() };
        let command = self.chance.one_of(&["", " FOR SELECT", " AS RESTRICTIVE FOR ALL", " FOR DELETE"]);
        let other = self.relation(&[Kind::Table, Kind::View]);
        let condition = match other {
            Some(o) if self.once_in(2) => format!("EXISTS (SELECT FROM {})", o.name),
            _ => self.pick(&r.cols).map_or("true".to_owned(), |c| format!("{} IS NOT NULL", c.name)),
        };
        self.say(format!("CREATE POLICY {name} ON {}{command}{to} USING ({condition})", r.name));
        if self.once_in(2) {
            self.say(format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", r.name));
        }
        self.objects.push(format!("POLICY {name} ON {}", r.name));
    }
}
