//! Tables: plain, inheriting, typed, partitioned, partitions made in place and attached.

use super::{Col, Generator, Kind, Relation, Sort, Type};

impl Generator {
    pub fn table(&mut self) {
        let (name, schema) = self.new_name();
        let mut cols = Vec::new();
        let mut elements = Vec::new();
        for _ in 0..self.chance.between(0, 7) {
            let (col, element) = self.column(&cols);
            elements.push(element);
            cols.push(col);
        }
        self.checks(&cols, &mut elements);
        let unlogged = if self.once_in(8) { "UNLOGGED " } else { "" };
        let with = self.storage();
        if with.contains("toast.") {
            elements.push("\"toasted 1\" text".into());
        }
        self.say(format!("CREATE {unlogged}TABLE {name} ({}){with}", elements.join(", ")));
        self.made(name, schema, Kind::Table, cols);
    }

    fn made(&mut self, name: String, schema: String, kind: Kind, cols: Vec<Col>) {
        self.objects.push(format!("TABLE {name}"));
        for col in cols.iter().take(2) {
            self.objects.push(format!("COLUMN {name}.{}", col.name));
        }
        self.types.push(Type { sql: name.clone(), sort: Sort::Other });
        self.relations.push(Relation { name, schema, kind, cols });
    }

    fn storage(&mut self) -> String {
        let all = [
            "fillfactor = 70",
            "autovacuum_enabled = false",
            "toast.autovacuum_enabled = off",
            "parallel_workers = 3",
            "autovacuum_vacuum_scale_factor = 0.123",
            "user_catalog_table = true",
        ];
        let chosen: Vec<&str> = all.into_iter().filter(|_| self.once_in(9)).collect();
        if chosen.is_empty() { String::new() } else { format!(" WITH ({})", chosen.join(", ")) }
    }

    /// A column, and how `CREATE TABLE` writes it.
    pub fn column(&mut self, before: &[Col]) -> (Col, String) {
        let of = self.column_type();
        let name = self.part_name();
        let mut sql = format!("{name} {}", of.sql);
        if of.sort == Sort::Text && self.once_in(5) {
            sql += " COLLATE \"C\"";
        }
        if self.major >= 14 && of.sort == Sort::Text && self.once_in(6) {
            sql = format!("{name} {} COMPRESSION pglz", of.sql);
        }
        let ints: Vec<Col> = before.iter().filter(|c| c.of.sql == "integer").cloned().collect();
        match (self.chance.between(0, 9), self.pick(&ints)) {
            (0, Some(c)) if self.major >= 12 && of.sql == "integer" => {
                let word = if self.major >= 18 && self.once_in(2) { "VIRTUAL" } else { "STORED" };
                let f = self.of_int.last().cloned().filter(|_| word == "STORED").unwrap_or_default();
                sql += &format!(" GENERATED ALWAYS AS ({f}({} * 2)) {word}", c.name);
            }
            (1, _) if of.sql == "integer" => {
                let kind = self.chance.one_of(&["ALWAYS", "BY DEFAULT"]);
                let options = self.chance.one_of(&["", " (START 7 INCREMENT 2)", " (MAXVALUE 99 CYCLE)"]);
                sql += &format!(" GENERATED {kind} AS IDENTITY{options}");
            }
            (2, _) if of.sql == "integer" => sql = format!("{name} serial"),
            (3, _) if of.sort == Sort::Int => {
                let sequences = self.sequences.clone();
                if let Some(s) = self.pick(&sequences) {
                    sql += &format!(" DEFAULT nextval('{}')", s.replace('\'', "''"));
                }
            }
            (4 | 5, _) => {
                let value = self.value(&of);
                sql += &format!(" DEFAULT {value}");
            }
            _ => {}
        }
        if self.once_in(4) {
            let named = self.name();
            sql += &if self.once_in(2) {
                format!(" CONSTRAINT {named} NOT NULL")
            } else {
                " NOT NULL".to_owned()
            };
            if self.major >= 18 && self.once_in(6) {
                sql += " NO INHERIT";
            }
        }
        (Col { name, of }, sql)
    }

    /// A condition on these columns.
    pub fn condition(&mut self, cols: &[Col]) -> String {
        let Some(c) = self.pick(cols) else { return "1 > 0".into() };
        let predicates = self.predicates.clone();
        match (c.of.sort, self.pick(&predicates)) {
            (Sort::Int, Some(p)) if self.once_in(2) => format!("{p}({}::integer)", c.name),
            (Sort::Int, _) => format!("{} > 0 OR {0} IS NULL", c.name),
            (Sort::Text, _) => format!("{} <> 'it''s'", c.name),
            _ => format!("{} IS NOT NULL", c.name),
        }
    }

    fn checks(&mut self, cols: &[Col], elements: &mut Vec<String>) {
        for _ in 0..self.chance.between(-2, 2) {
            let condition = self.condition(cols);
            let named = if self.once_in(2) { format!("CONSTRAINT {} ", self.name()) } else { String::new() };
            let no_inherit = if self.once_in(4) { " NO INHERIT" } else { "" };
            let enforced = if self.major >= 18 && self.once_in(5) { " NOT ENFORCED" } else { "" };
            elements.push(format!("{named}CHECK ({condition}){no_inherit}{enforced}"));
        }
    }

    pub fn inheriting(&mut self) {
        let Some(parent) = self.relation(&[Kind::Table]) else { return };
        let mut cols = parent.cols.clone();
        let mut parents = parent.name.clone();
        if self.once_in(3)
            && let Some(second) = self.relation(&[Kind::Table]).filter(|s| s.name != parent.name)
        {
            parents += &format!(", {}", second.name);
            cols.extend(
                second.cols.iter().filter(|c| !parent.cols.iter().any(|p| p.name == c.name)).cloned(),
            );
        }
        let (name, schema) = self.new_name();
        let mut elements = Vec::new();
        for _ in 0..self.chance.between(0, 2) {
            let (col, element) = self.column(&cols);
            elements.push(element);
            cols.push(col);
        }
        if let Some(merged) = self.pick(&parent.cols) {
            match self.chance.between(0, 5) {
                // A parent's column again, with a default of its own.
                0 => {
                    let value = self.value(&merged.of);
                    elements.push(format!("{} {} DEFAULT {value}", merged.name, merged.of.sql));
                }
                1 => elements.push(format!("{} {} NOT NULL", merged.name, merged.of.sql)),
                _ => {}
            }
        }
        self.checks(&cols, &mut elements);
        self.say(format!("CREATE TABLE {name} ({}) INHERITS ({parents}){}", elements.join(", "), ""));
        // Seen by what follows as any other table is: parents of three generations arise.
        self.made(name.clone(), schema, Kind::Table, cols.clone());
        if self.once_in(3) {
            // A column that comes after the child's own.
            let (late, element) = self.column(&[]);
            self.say(format!("ALTER TABLE {} ADD COLUMN {element}", parent.name));
            if let Some(r) = self.relations.last_mut() {
                r.cols.push(late);
            }
        }
        if let Some(c) = self.pick(&cols).filter(|_| self.once_in(2)) {
            let value = self.value(&c.of);
            let change = match self.chance.between(0, 3) {
                0 => "DROP DEFAULT".to_owned(),
                1 => "SET NOT NULL".to_owned(),
                2 => "DROP NOT NULL".to_owned(),
                _ => format!("SET DEFAULT {value}"),
            };
            self.say(format!("ALTER TABLE ONLY {name} ALTER COLUMN {} {change}", c.name));
        }
    }

    pub fn typed(&mut self) {
        let composites = self.composites.clone();
        let Some(of) = self.pick(&composites) else { return };
        let (name, schema) = self.new_name();
        let extra =
            self.chance.one_of(&["", " (\"At 0\" WITH OPTIONS NOT NULL)", " (\"At 2\" DEFAULT NULL)"]);
        self.say(format!("CREATE TABLE {name} OF {of}{extra}"));
        self.made(name, schema, Kind::Table, Vec::new());
    }

    pub fn like(&mut self) {
        let Some(model) = self.relation(&[Kind::Table, Kind::Partitioned, Kind::Partition]) else { return };
        let (name, schema) = self.new_name();
        let what = self.chance.one_of(&["", " INCLUDING ALL", " INCLUDING DEFAULTS INCLUDING CONSTRAINTS"]);
        self.say(format!("CREATE TABLE {name} (LIKE {}{what}, \"own 1\" integer)", model.name));
        self.made(name, schema, Kind::Table, model.cols);
    }

    pub fn partitioned(&mut self) {
        let (name, schema) = self.new_name();
        let key = Col { name: self.part_name(), of: Type { sql: "integer".into(), sort: Sort::Int } };
        let mut elements =
            vec![format!("{} integer{}", key.name, self.chance.one_of(&["", " NOT NULL", " DEFAULT 3"]))];
        let mut cols = vec![key.clone()];
        for _ in 0..self.chance.between(0, 4) {
            let (col, element) = self.column(&[]);
            // Identity in partitioned tables came with 17.
            if self.major < 17 && element.contains("IDENTITY") {
                continue;
            }
            elements.push(element);
            cols.push(col);
        }
        self.checks(&cols, &mut elements);
        elements.iter_mut().for_each(|e| *e = e.replace(" NO INHERIT", ""));
        let how = match self.chance.between(0, 3) {
            0 if self.major >= 11 => format!("HASH ({})", key.name),
            1 => format!("LIST (({} % 100))", key.name),
            2 => format!("LIST ({})", key.name),
            _ => format!("RANGE ({})", key.name),
        };
        self.say(format!("CREATE TABLE {name} ({}) PARTITION BY {how}", elements.join(", ")));
        self.made(name, schema, Kind::Partitioned, cols);
        for _ in 0..2 {
            self.partition();
        }
    }

    /// The bound of one more partition, in the words of all three ways: only those of the parent's are right.
    fn bounds(&mut self) -> Vec<String> {
        let n = self.relations.len() as i64 * 10;
        let mut bounds = vec![
            format!("FOR VALUES FROM ({n}) TO ({})", n + self.chance.between(1, 10)),
            format!("FOR VALUES IN ({n}, {})", n + 1),
            format!(
                "FOR VALUES WITH (MODULUS {}, REMAINDER {})",
                self.chance.one_of(&["4", "8", "16"]),
                self.chance.between(0, 3)
            ),
        ];
        if self.major >= 11 && self.once_in(6) {
            bounds.push("DEFAULT".into());
        }
        if self.once_in(8) {
            bounds.push("FOR VALUES FROM (MINVALUE) TO (-100)".into());
            bounds.push("FOR VALUES IN (NULL)".into());
        }
        bounds
    }

    pub fn partition(&mut self) {
        let Some(parent) = self.relation(&[Kind::Partitioned]) else { return };
        let (name, schema) = self.new_name();
        let sub = if self.once_in(5) {
            format!(" PARTITION BY RANGE ({})", parent.cols[0].name)
        } else {
            String::new()
        };
        let override_default =
            if self.once_in(4) { format!(" ({} DEFAULT 77)", parent.cols[0].name) } else { String::new() };
        for bound in self.bounds() {
            let exists =
                if self.out.last().is_some_and(|s| s.contains(&name)) { "IF NOT EXISTS " } else { "" };
            self.say(format!(
                "CREATE TABLE {exists}{name} PARTITION OF {}{override_default} {bound}{sub}",
                parent.name
            ));
        }
        let kind = if sub.is_empty() { Kind::Partition } else { Kind::Partitioned };
        self.made(name, schema, kind, parent.cols);
    }

    /// A table with a history of its own, then attached; one detached.
    pub fn attach(&mut self) {
        let Some(parent) = self.relation(&[Kind::Partitioned]) else { return };
        let (name, schema) = self.new_name();
        self.say(format!(
            "CREATE TABLE {name} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS{})",
            parent.name,
            if self.major >= 12 { " INCLUDING GENERATED" } else { "" }
        ));
        if self.once_in(2) {
            // Its columns in another order, and a hole among them.
            let first = &parent.cols[0];
            self.say(format!("ALTER TABLE {name} DROP COLUMN {} CASCADE", first.name));
            self.say(format!("ALTER TABLE {name} ADD COLUMN {} integer NOT NULL DEFAULT 5", first.name));
        }
        if self.once_in(2) {
            let check = self.condition(&parent.cols);
            let constraint = self.name();
            self.say(format!("ALTER TABLE {name} ADD CONSTRAINT {constraint} CHECK ({check})"));
        }
        for bound in self.bounds() {
            self.say(format!("ALTER TABLE {} ATTACH PARTITION {name} {bound}", parent.name));
        }
        self.made(name, schema, Kind::Partition, parent.cols.clone());
        if self.once_in(4)
            && let Some(p) = self.relation(&[Kind::Partition])
        {
            self.say(format!("ALTER TABLE {} DETACH PARTITION {}", parent.name, p.name));
        }
    }
}
