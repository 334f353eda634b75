//! Random tables: a seed in, a table and the statements that make it out. Pure.
//!
//! Every identity that a source can have, with what else may tie rows to each other: further unique indexes, constraints that wait, exclusions, foreign
//! keys, partitions.

use super::values::{ALL, KEYS, Kind, UNIQUE};
use crate::harness::Chance;

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Quoted.
    pub name: String,
    pub kind: Kind,
    pub required: bool,
}

/// How the source names a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the primary key.
    Key,
    /// By a unique index.
    Index,
    /// By all of it.
    Full,
    /// Not at all: rows can only come, and go all together.
    Nothing,
}

/// A table that statements may be drawn for.
#[derive(Clone, Debug)]
pub struct Table {
    /// Quoted.
    pub name: String,
    pub columns: Vec<Column>,
    /// Columns by which rows are told apart; the first column where none do.
    pub key: Vec<usize>,
    pub identity: Identity,
    /// Columns that are unique besides.
    pub uniques: Vec<usize>,
    /// A constraint of it can wait.
    pub waits: bool,
    /// The column that refers to another table's key.
    pub refers: Option<usize>,
    pub partitioned: bool,
    /// Its statements, in order.
    pub script: Vec<String>,
}

const NAMES: [&str; 12] = ["a", "b", "\"C c\"", "d", "\"é\"", "f", "\"select\"", "h", "i", "j", "k", "l"];

impl Table {
    /// The table's name with its schema.
    pub fn place(&self) -> String {
        format!("m.{}", self.name)
    }

    /// The name as it is, unquoted.
    pub fn bare(&self) -> String {
        self.name.trim_matches('"').to_owned()
    }

    /// The table of this seed, beside these; both servers are of this major at least. `plain`: foreign keys are at work on the target.
    pub fn draw(seed: u64, earlier: &[Table], major: u32, plain: bool) -> Table {
        let mut c = Chance::new(seed);
        let number = earlier.len();
        let identity = match c.between(0, 15) {
            0..=7 => Identity::Key,
            8..=10 => Identity::Index,
            11..=14 => Identity::Full,
            _ => Identity::Nothing,
        };
        let name = if c.between(0, 2) == 0 { format!("\"T {number}\"") } else { format!("t{number}") };
        let mut table = Table {
            name,
            columns: Vec::new(),
            key: Vec::new(),
            identity,
            uniques: Vec::new(),
            waits: false,
            refers: None,
            partitioned: false,
            script: Vec::new(),
        };
        let has_key = match identity {
            Identity::Key | Identity::Index => true,
            Identity::Full => c.between(0, 1) == 0,
            Identity::Nothing => false,
        };
        table.partitioned = matches!(identity, Identity::Key | Identity::Full) && c.between(0, 4) == 0;
        table.draw_columns(&mut c, has_key);
        // A row that moves between partitions goes and comes, which no foreign key at work allows while another row refers to it.
        let fits = |t: &&Table| t.may_be_referred_to() && !(plain && t.partitioned);
        let parents: Vec<&Table> = earlier.iter().filter(fits).collect();
        let mut extra = table.constraints(&mut c, &parents, has_key, major);
        let by = if table.partitioned {
            let first = &table.columns[table.key[0]].name;
            let how = c.one_of(&["LIST", "RANGE", "HASH"]);
            extra.extend(table.partitions(how));
            format!(" PARTITION BY {how} ({first})")
        } else {
            String::new()
        };
        let definitions: Vec<String> = table.columns.iter().map(|column| table.definition(column)).collect();
        let mut script = vec![format!("CREATE TABLE {} ({}){by}", table.place(), definitions.join(", "))];
        let wide = table.columns.iter().filter(|column| matches!(column.kind, Kind::Wide | Kind::Long));
        script.extend(
            wide.map(|w| format!("ALTER TABLE {} ALTER {} SET STORAGE EXTERNAL", table.place(), w.name)),
        );
        script.extend(extra);
        table.script = script;
        table
    }

    fn draw_columns(&mut self, c: &mut Chance, has_key: bool) {
        let mut kinds: Vec<(Kind, bool)> = Vec::new();
        if has_key || self.partitioned {
            let parts = [1, 1, 1, 2, 2, 3][c.between(0, 5) as usize];
            for part in 0..parts {
                let kind = match part == 0 && self.partitioned {
                    true => Kind::Int,
                    false => KEYS[c.between(0, KEYS.len() as i64 - 1) as usize],
                };
                kinds.push((kind, true));
            }
        }
        for _ in 0..c.between(if kinds.is_empty() { 1 } else { 0 }, 6) {
            let kind = match c.between(0, 19) {
                0 => Kind::Identity(c.between(0, 1) == 0),
                1 => Kind::Generated,
                _ => ALL[c.between(0, ALL.len() as i64 - 1) as usize],
            };
            let twice = matches!(kind, Kind::Identity(_))
                && kinds.iter().any(|(k, _)| matches!(k, Kind::Identity(_)));
            if !twice {
                kinds.push((kind, false));
            }
        }
        // The key's columns stand anywhere.
        for at in (1..kinds.len()).rev() {
            kinds.swap(at, c.between(0, at as i64) as usize);
        }
        if !kinds.iter().any(|(kind, _)| *kind == Kind::Int) {
            kinds.retain(|(kind, _)| *kind != Kind::Generated);
        }
        if kinds.is_empty() {
            kinds.push((Kind::Text, false));
        }
        for (at, (kind, in_key)) in kinds.into_iter().enumerate() {
            if in_key {
                self.key.push(at);
            }
            let required = in_key || c.between(0, 4) == 0;
            self.columns.push(Column { name: NAMES[at].to_owned(), kind, required });
        }
        if self.key.is_empty() {
            self.key.push(0);
        } else if self.partitioned {
            // Partitions go by the first integer of the key.
            let first = self.key.iter().position(|i| self.columns[*i].kind == Kind::Int).unwrap_or(0);
            self.key.swap(0, first);
        } else if c.between(0, 2) == 0 {
            self.key.reverse();
        }
    }

    fn definition(&self, column: &Column) -> String {
        let generated = match column.kind {
            Kind::Generated => {
                let first = self.columns.iter().find(|c| c.kind == Kind::Int);
                format!(" GENERATED ALWAYS AS ({} * 2) STORED", first.map_or("0", |c| c.name.as_str()))
            }
            _ => String::new(),
        };
        let null = if column.required && column.kind.is_written() { " NOT NULL" } else { "" };
        format!("{} {}{generated}{null}", column.name, column.kind.declared())
    }

    fn names(&self, columns: &[usize]) -> String {
        columns.iter().map(|i| self.columns[*i].name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Key, identity and what else ties rows.
    fn constraints(&mut self, c: &mut Chance, parents: &[&Table], has_key: bool, major: u32) -> Vec<String> {
        let place = self.place();
        let key = self.names(&self.key);
        let mut out = Vec::new();
        match self.identity {
            Identity::Key => out.push(format!("ALTER TABLE {place} ADD PRIMARY KEY ({key})")),
            Identity::Index => {
                out.push(format!(
                    "CREATE UNIQUE INDEX named{} ON {place} ({key})",
                    self.bare().replace(' ', "")
                ));
                out.push(format!(
                    "ALTER TABLE {place} REPLICA IDENTITY USING INDEX named{}",
                    self.bare().replace(' ', "")
                ));
            }
            Identity::Full => {
                if has_key {
                    let wait = self.wait(c);
                    out.push(format!("ALTER TABLE {place} ADD PRIMARY KEY ({key}){wait}"));
                }
                out.push(format!("ALTER TABLE {place} REPLICA IDENTITY FULL"));
            }
            Identity::Nothing => {}
        }
        if self.partitioned {
            return out;
        }
        if self.identity != Identity::Nothing {
            for _ in 0..[0, 1, 1, 1, 2][c.between(0, 4) as usize] {
                out.push(self.unique(c, major));
            }
        }
        if !parents.is_empty() && c.between(0, 1) == 0 {
            let parent = parents[c.between(0, parents.len() as i64 - 1) as usize];
            let at = self.columns.len();
            self.columns.push(Column {
                name: "parent".to_owned(),
                kind: parent.columns[parent.key[0]].kind,
                required: false,
            });
            self.refers = Some(at);
            let act = |c: &mut Chance| c.one_of(&["NO ACTION", "CASCADE", "SET NULL", "RESTRICT"]).to_owned();
            let (on_delete, on_update) = (act(c), act(c));
            let wait = c.one_of(&["", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"]).to_owned();
            out.push(format!(
                "ALTER TABLE {place} ADD FOREIGN KEY (parent) REFERENCES {} ({}) ON DELETE {on_delete} ON UPDATE {on_update}{wait}",
                parent.place(),
                parent.names(&parent.key)
            ));
        }
        out
    }

    fn may_be_referred_to(&self) -> bool {
        let kind = self.columns[self.key[0]].kind;
        self.identity == Identity::Key
            && self.key.len() == 1
            && matches!(kind, Kind::Int | Kind::Text | Kind::Folded)
    }

    fn wait(&mut self, c: &mut Chance) -> String {
        let wait = c.one_of(&["", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"]).to_owned();
        self.waits |= !wait.is_empty();
        wait
    }

    /// One more column, and what makes it unique.
    fn unique(&mut self, c: &mut Chance, major: u32) -> String {
        let at = self.columns.len();
        let place = self.place();
        let name = ["u", "v"][self.uniques.len()].to_owned();
        let range = c.between(0, 5) == 0;
        let kind = if range { Kind::Range } else { UNIQUE[c.between(0, UNIQUE.len() as i64 - 1) as usize] };
        self.columns.push(Column { name: name.clone(), kind, required: false });
        self.uniques.push(at);
        if range {
            let wait = self.wait(c);
            return format!("ALTER TABLE {place} ADD EXCLUDE USING gist ({name} WITH &&){wait}");
        }
        match c.between(0, 7) {
            0 => format!("CREATE UNIQUE INDEX ON {place} ({name}) WHERE {name} IS NOT NULL"),
            1 => format!("CREATE UNIQUE INDEX ON {place} (md5({name}::text))"),
            2 if major >= 15 => format!("CREATE UNIQUE INDEX ON {place} ({name}) NULLS NOT DISTINCT"),
            3 => {
                let wait = self.wait(c);
                format!("ALTER TABLE {place} ADD EXCLUDE USING btree ({name} WITH =){wait}")
            }
            _ => {
                let wait = self.wait(c);
                format!("ALTER TABLE {place} ADD UNIQUE ({name}){wait}")
            }
        }
    }

    fn partitions(&self, how: &str) -> Vec<String> {
        let bare = self.bare();
        let bounds: &[&str] = match how {
            "LIST" => &["IN (1, 3, 5, 7)", "IN (2, 4, 6, 8)", ""],
            "RANGE" => &["FROM (MINVALUE) TO (5)", "FROM (5) TO (100)", ""],
            _ => &["WITH (MODULUS 2, REMAINDER 0)", "WITH (MODULUS 2, REMAINDER 1)"],
        };
        let mut out = Vec::new();
        for (n, bound) in bounds.iter().enumerate() {
            let part = format!("m.\"{bare} p{n}\"");
            let values = if bound.is_empty() { "DEFAULT".to_owned() } else { format!("FOR VALUES {bound}") };
            out.push(format!("CREATE TABLE {part} PARTITION OF {} {values}", self.place()));
            if self.identity == Identity::Full {
                out.push(format!("ALTER TABLE {part} REPLICA IDENTITY FULL"));
            }
        }
        out
    }
}
