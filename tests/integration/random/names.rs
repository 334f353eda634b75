//! Names that a careless tool would get wrong.

use super::Generator;

const NASTY: &[&str] = &[
    "plain",
    "Mixed Case",
    "select",
    "user",
    "order",
    "quo\"te",
    "apo'strophe",
    "dot.ted",
    "back\\slash",
    "ünïcödé",
    "日本",
    "semi;colon",
    "--dashes",
    "/*star",
    "$dollar$",
    "%percent%",
    "new\nline",
    "tab\tbed",
    " leading",
    "trailing ",
    "(paren)",
    "[bracket]",
    "{brace}",
    "a,b",
    "=",
    "1digit",
    "UPPER",
    "_under",
    "public",
    "pg",
    "null",
    "true",
    "🐘",
    "E'",
    "$1",
    "value",
];

pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Generator {
    /// A name not used before, quoted.
    pub fn name(&mut self) -> String {
        self.count += 1;
        let n = self.count;
        let name = match self.chance.between(0, 9) {
            0..4 => format!("o{n}"),
            4 => format!("o{n}_{}", "long".repeat(20)).chars().take(63).collect(),
            5 => format!("{n} {}", self.chance.one_of(NASTY)),
            _ => format!("{}{n}", self.chance.one_of(NASTY)),
        };
        quote(&name)
    }

    /// A name of something that needs to be unique only among its siblings.
    pub fn part_name(&mut self) -> String {
        if self.once_in(2) { quote(self.chance.one_of(NASTY)) } else { self.name() }
    }

    /// A schema of ours.
    pub fn schema(&mut self) -> String {
        let schemas = self.schemas.clone();
        self.pick(&schemas).unwrap_or_else(|| "public".into())
    }

    /// `schema.name`, new, and the schema.
    pub fn new_name(&mut self) -> (String, String) {
        let schema = self.schema();
        (format!("{schema}.{}", self.name()), schema)
    }

    /// A role of `roles.sql`.
    pub fn role(&mut self) -> String {
        quote(self.chance.one_of(&[
            "app_owner",
            "app_reader",
            "app_writer",
            "Ro le",
            "quo\"ted",
            "Rôle.é",
            "user",
        ]))
    }
}
