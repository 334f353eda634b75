//! Owners, grants, comments.

use super::{Generator, Kind};

impl Generator {
    pub fn comment(&mut self) {
        let objects = self.objects.clone();
        let Some(object) = self.pick(&objects) else { return };
        let text = self.chance.one_of(&[
            "plain",
            "it''s",
            "",
            "two\nlines",
            "\\backslash",
            "ünïcödé 🐘",
            "--; DROP /*",
            "$$",
        ]);
        self.say(format!("COMMENT ON {object} IS '{text}'"));
    }

    pub fn owner(&mut self) {
        let own = [
            "SCHEMA ",
            "TABLE ",
            "VIEW ",
            "MATERIALIZED VIEW ",
            "TYPE ",
            "DOMAIN ",
            "FUNCTION ",
            "PROCEDURE ",
            "AGGREGATE ",
            "SEQUENCE ",
            "STATISTICS ",
            "COLLATION ",
            "OPERATOR ",
            "TEXT SEARCH CONFIGURATION ",
            "TEXT SEARCH DICTIONARY ",
            "SERVER ",
            "FOREIGN TABLE ",
            "PUBLICATION ",
            "EVENT TRIGGER ",
            "OPERATOR CLASS ",
            "OPERATOR FAMILY ",
            "CONVERSION ",
        ];
        let owned: Vec<String> =
            self.objects.iter().filter(|o| own.iter().any(|w| o.starts_with(w))).cloned().collect();
        if let Some(object) = self.pick(&owned) {
            let role = self.role();
            self.say(format!("ALTER {object} OWNER TO {role}"));
        }
    }

    pub fn grant(&mut self) {
        let (role, other) = (self.role(), self.role());
        let to = self.chance.one_of(&["PUBLIC", "", "", ""]);
        let grantee = if to.is_empty() { role.clone() } else { to.to_owned() };
        let option = if to.is_empty() && self.once_in(4) { " WITH GRANT OPTION" } else { "" };
        let relation = self.relation(&[Kind::Table, Kind::Partitioned, Kind::View, Kind::Matview]);
        let functions = self.functions.clone();
        let sequences = self.sequences.clone();
        let types: Vec<String> = self
            .objects
            .iter()
            .filter_map(|o| o.strip_prefix("TYPE ").or(o.strip_prefix("DOMAIN ")))
            .map(str::to_owned)
            .collect();
        let (what, rights) = match self.chance.between(0, 7) {
            0 => (format!("SCHEMA {}", self.schema()), "USAGE"),
            1 => (self.pick(&functions).map_or("SCHEMA public".into(), |f| format!("FUNCTION {f}")), "ALL"),
            2 => (self.pick(&sequences).map_or("SCHEMA public".into(), |s| format!("SEQUENCE {s}")), "USAGE"),
            3 => (self.pick(&types).map_or("SCHEMA public".into(), |t| format!("TYPE {t}")), "USAGE"),
            4 => {
                match relation.as_ref().and_then(|r| r.cols.first().map(|c| (r.name.clone(), c.name.clone())))
                {
                    Some((table, column)) => {
                        let rights = self.chance.one_of(&["SELECT", "UPDATE", "INSERT"]);
                        self.say(format!("GRANT {rights} ({column}) ON {table} TO {grantee}{option}"));
                        return;
                    }
                    None => return,
                }
            }
            _ => match &relation {
                Some(r) => (
                    format!("TABLE {}", r.name),
                    self.chance.one_of(&[
                        "SELECT",
                        "INSERT, UPDATE",
                        "ALL",
                        "TRIGGER, REFERENCES",
                        "TRUNCATE",
                    ]),
                ),
                None => return,
            },
        };
        match self.chance.between(0, 6) {
            0 => self.say(format!("REVOKE {rights} ON {what} FROM PUBLIC")),
            1 => {
                // Granted on by the grantee.
                self.say(format!("GRANT {rights} ON {what} TO {role} WITH GRANT OPTION"));
                self.say(format!("SET ROLE {role}"));
                self.say(format!("GRANT {rights} ON {what} TO {other}"));
                self.say("RESET ROLE");
            }
            2 => {
                if let Some(r) = &relation {
                    self.say(format!("REVOKE ALL ON {} FROM CURRENT_USER", r.name));
                }
            }
            _ => self.say(format!("GRANT {rights} ON {what} TO {grantee}{option}")),
        }
    }

    pub fn default_privileges(&mut self) {
        let (role, grantee, schema) = (self.role(), self.role(), self.schema());
        let place = if self.once_in(2) { format!(" IN SCHEMA {schema}") } else { String::new() };
        let what = self.chance.one_of(&[
            "GRANT SELECT ON TABLES TO",
            "GRANT ALL ON SEQUENCES TO",
            "GRANT EXECUTE ON FUNCTIONS TO",
            "GRANT USAGE ON TYPES TO",
        ]);
        if place.is_empty() && self.once_in(3) {
            self.say(format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {role} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
            ));
        } else {
            self.say(format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role}{place} {what} {grantee}"));
        }
    }
}
