//! Indexes: expressions, partial, partitioned ones whole, in parts and not valid, and what is set on them.

use super::names::quote;
use super::{Generator, Kind, Sort};

impl Generator {
    fn index_on(&mut self, kinds: &[Kind], only: &str) -> Option<(String, String)> {
        let r = self.relation(kinds)?;
        let c = self.pick(&r.cols)?;
        let name = self.name();
        let of_int = self.of_int.last().cloned();
        let key = match (c.of.sort, self.chance.between(0, 5), of_int) {
            (Sort::Int, 0, Some(f)) => format!("{f}({}::integer), (({} + 0) * 2)", c.name, c.name),
            (Sort::Int, 1, _) => format!("({} + 1) DESC NULLS LAST", c.name),
            (Sort::Text, 0, _) => format!("lower({}::text) COLLATE \"C\"", c.name),
            (Sort::Text, 1, _) => format!("({}::text) text_pattern_ops", c.name),
            (_, 2, _) => format!("{} DESC NULLS LAST", c.name),
            _ => c.name.clone(),
        };
        let using = match c.of.sort {
            Sort::Json | Sort::Array => " USING gin",
            Sort::Range => " USING gist",
            Sort::Int if key == c.name && self.once_in(6) => {
                self.chance.one_of(&[" USING hash", " USING brin"])
            }
            _ => "",
        };
        let key = if using.is_empty() { key } else { c.name.clone() };
        let unique =
            if using.is_empty() && r.kind != Kind::Partitioned && self.once_in(5) { "UNIQUE " } else { "" };
        let nulls = if self.major >= 15 && !unique.is_empty() && self.once_in(3) {
            " NULLS NOT DISTINCT"
        } else {
            ""
        };
        let include = match self.pick(&r.cols) {
            Some(i) if self.major >= 11 && using.is_empty() && i.name != c.name && self.once_in(6) => {
                format!(" INCLUDE ({})", i.name)
            }
            _ => String::new(),
        };
        let with =
            if using.is_empty() { self.chance.one_of(&["", "", " WITH (fillfactor = 80)"]) } else { "" };
        let condition =
            if self.once_in(5) { format!(" WHERE {}", self.condition(&r.cols)) } else { String::new() };
        self.say(format!(
            "CREATE {unique}INDEX {name} ON {only}{}{using} ({key}){include}{nulls}{with}{condition}",
            r.name
        ));
        let qualified = format!("{}.{name}", r.schema);
        self.indexes.push((qualified.clone(), r.name.clone(), r.kind == Kind::Partitioned));
        self.objects.push(format!("INDEX {qualified}"));
        Some((qualified, r.name))
    }

    pub fn index(&mut self) {
        self.index_on(&[Kind::Table, Kind::Matview, Kind::Partition], "");
    }

    /// Whole, or only on the root, with some or none of the partitions' attached.
    pub fn index_of_partitioned(&mut self) {
        if self.major < 11 {
            return;
        }
        if self.once_in(2) {
            self.index_on(&[Kind::Partitioned], "");
            return;
        }
        let Some(r) = self.relation(&[Kind::Partitioned]) else { return };
        let (root, key) = (self.name(), r.cols[0].name.clone());
        self.say(format!("CREATE INDEX {root} ON ONLY {} ({key})", r.name));
        self.objects.push(format!("INDEX {}.{root}", r.schema));
        self.indexes.push((format!("{}.{root}", r.schema), r.name, true));
        for _ in 0..self.chance.between(0, 3) {
            let Some(p) = self.relation(&[Kind::Partition]) else { return };
            let leaf = self.name();
            self.say(format!("CREATE INDEX {leaf} ON {} ({key})", p.name));
            self.say(format!("ALTER INDEX {}.{root} ATTACH PARTITION {}.{leaf}", r.schema, p.schema));
            self.indexes.push((format!("{}.{leaf}", p.schema), p.name, false));
        }
    }

    pub fn index_property(&mut self) {
        let indexes = self.indexes.clone();
        let Some((index, table, _)) = self.pick(&indexes) else { return };
        let bare = index.split_once(".\"").map_or(index.clone(), |(_, n)| format!("\"{n}"));
        let target = self.chance.between(0, 900);
        match self.chance.between(0, 5) {
            0 => self.say(format!("ALTER TABLE {table} CLUSTER ON {bare}")),
            1 => self.say(format!("ALTER TABLE {table} REPLICA IDENTITY USING INDEX {bare}")),
            2 if self.major >= 11 => {
                self.say(format!("ALTER INDEX {index} ALTER COLUMN 1 SET STATISTICS {target}"))
            }
            3 => self.say(format!("ALTER INDEX {index} SET (fillfactor = 71)")),
            4 => {
                // Renamed: what is attached to it must find it.
                let name = quote(&format!("renamed {target}_{}", self.out.len()));
                self.say(format!("ALTER INDEX {index} RENAME TO {name}"));
            }
            _ => {
                let other = self.pick(&indexes);
                if let (Some((parent, _, true)), true) = (other, self.major >= 11) {
                    self.say(format!("ALTER INDEX {parent} ATTACH PARTITION {index}"));
                }
            }
        }
    }
}
