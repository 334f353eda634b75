//! Operators, their classes and families.

use super::Generator;

impl Generator {
    /// A name of operators not used before.
    fn operator_name(&mut self) -> String {
        self.rare.operators += 1;
        let mut n = self.rare.operators;
        let mut name = String::from(self.chance.one_of(&["<", "=", "@", "~", "|"]));
        while n > 0 {
            name.push(['#', '&', '%', '~'][(n % 4) as usize]);
            n /= 4;
        }
        name + self.chance.one_of(&["#", "&", "%"])
    }

    pub fn operator(&mut self) {
        let of = if self.once_in(3) { Some("integer".to_owned()) } else { self.own_type() };
        let Some(of) = of else { return };
        let (f, g) = (self.new_name().0, self.new_name().0);
        let schemas = [self.schema(), self.schema()];
        let (name, other) = (self.operator_name(), self.operator_name());
        for f in [&f, &g] {
            self.say(format!(
                "CREATE FUNCTION {f}({of}, {of}) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'"
            ));
        }
        let (at, there) = (format!("{}.{name}", schemas[0]), format!("{}.{other}", schemas[1]));
        let arguments = format!("LEFTARG = {of}, RIGHTARG = {of}");
        match self.chance.between(0, 3) {
            0 => {
                let neg = self.new_name().0;
                self.say(format!(
                    "CREATE FUNCTION {neg}({of}) RETURNS {of} LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'"
                ));
                self.say(format!("CREATE OPERATOR {at} (PROCEDURE = {neg}, RIGHTARG = {of})"));
                self.objects.push(format!("OPERATOR {at} (NONE, {of})"));
                return;
            }
            1 => self.say(format!("CREATE OPERATOR {at} (PROCEDURE = {f}, {arguments})")),
            2 => self.say(format!(
                "CREATE OPERATOR {at} (PROCEDURE = {f}, {arguments}, COMMUTATOR = OPERATOR({at}), RESTRICT = eqsel, JOIN = eqjoinsel)"
            )),
            _ => {
                // Each other's negators, both their own commutators.
                self.say(format!(
                    "CREATE OPERATOR {at} (PROCEDURE = {f}, {arguments}, COMMUTATOR = OPERATOR({at}), NEGATOR = OPERATOR({there}), HASHES, MERGES)"
                ));
                self.say(format!(
                    "CREATE OPERATOR {there} (PROCEDURE = {g}, {arguments}, COMMUTATOR = OPERATOR({there}), NEGATOR = OPERATOR({at}))"
                ));
                self.objects.push(format!("OPERATOR {there} ({of}, {of})"));
            }
        }
        self.objects.push(format!("OPERATOR {at} ({of}, {of})"));
        if self.once_in(2) {
            let view = self.new_name().0;
            self.say(format!(
                "CREATE VIEW {view} AS SELECT NULL::{of} OPERATOR({at}) NULL::{of} AS \"op 1\""
            ));
        }
    }

    pub fn class(&mut self) {
        let own = self.rare.base_types.clone();
        let (name, _) = self.new_name();
        let family = match self.pick(&self.rare.families.clone()) {
            Some(f) if self.once_in(3) => format!(" FAMILY {f}"),
            _ => String::new(),
        };
        match self.pick(&own) {
            Some(of) if self.once_in(2) => {
                let schema = self.schema();
                let mut items = Vec::new();
                for (n, (sign, function)) in
                    [("<", "lt"), ("<=", "le"), ("=", "eq"), (">=", "ge"), (">", "gt")]
                        .into_iter()
                        .enumerate()
                {
                    let f = self.new_name().0;
                    self.internal(&f, &format!("{of}, {of}"), "boolean", &format!("int4{function}"));
                    self.say(format!(
                        "CREATE OPERATOR {schema}.{sign} (PROCEDURE = {f}, LEFTARG = {of}, RIGHTARG = {of})"
                    ));
                    items.push(format!("OPERATOR {} {schema}.{sign}", n + 1));
                }
                let f = self.new_name().0;
                self.internal(&f, &format!("{of}, {of}"), "integer", "btint4cmp");
                let default = if self.once_in(3) { "" } else { "DEFAULT " };
                self.say(format!(
                    "CREATE OPERATOR CLASS {name} {default}FOR TYPE {of} USING btree{family} AS {}, FUNCTION 1 {f}({of}, {of})",
                    items.join(", ")
                ));
                self.rare.classes.push((name.clone(), of));
            }
            _ => {
                self.say(format!(
                    "CREATE OPERATOR CLASS {name} FOR TYPE integer USING btree{family} AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, \
                     OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(integer, integer)"
                ));
                self.rare.classes.push((name.clone(), "integer".into()));
            }
        }
        self.objects.push(format!("OPERATOR CLASS {name} USING btree"));
        if family.is_empty() {
            self.objects.push(format!("OPERATOR FAMILY {name} USING btree"));
        }
    }

    pub fn family(&mut self) {
        let (name, _) = self.new_name();
        self.say(format!("CREATE OPERATOR FAMILY {name} USING btree"));
        if self.once_in(2) {
            self.say(format!(
                "ALTER OPERATOR FAMILY {name} USING btree ADD OPERATOR 1 <(integer, bigint), OPERATOR 3 =(integer, bigint), \
                 FUNCTION 1 (integer, bigint) btint48cmp(integer, bigint)"
            ));
        }
        self.objects.push(format!("OPERATOR FAMILY {name} USING btree"));
        self.rare.families.push(name);
    }
}
