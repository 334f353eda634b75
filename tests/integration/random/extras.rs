//! Rarer kinds: base types and what is made around types, casts, collations, languages, access
//! methods, conversions, statistics, privileges on all of them. Drawn from [`super::RARE_FROM`] on.

use super::{Generator, Kind, Relation, Sort, Type};

/// What was drawn of the rarer kinds.
#[derive(Default)]
pub struct Rare {
    /// Whether they are drawn at all.
    pub on: bool,
    /// Whether exclusion constraints are drawn on partitioned tables alone.
    pub alone: bool,
    pub base_types: Vec<String>,
    pub collations: Vec<String>,
    /// Operator classes of btree: name, type.
    pub classes: Vec<(String, String)>,
    pub families: Vec<String>,
    pub parsers: Vec<String>,
    pub templates: Vec<String>,
    pub dictionaries: Vec<String>,
    pub configurations: Vec<String>,
    pub wrappers: Vec<String>,
    pub servers: Vec<String>,
    pub publications: Vec<String>,
    pub methods: Vec<String>,
    /// What privileges can be given on, and the word for the privilege: `FOREIGN SERVER x`, `USAGE`.
    pub granted: Vec<(String, String)>,
    pub operators: u32,
}

type Act = fn(&mut Generator);

const ACTS: &[Act] = &[
    Generator::base_type,
    Generator::base_type,
    Generator::cast,
    Generator::operator,
    Generator::operator,
    Generator::class,
    Generator::class,
    Generator::family,
    Generator::collation,
    Generator::collation,
    Generator::collated,
    Generator::classed,
    Generator::statistics,
    Generator::statistics,
    Generator::statistics,
    Generator::language,
    Generator::transform,
    Generator::conversion,
    Generator::access_method,
    Generator::parser,
    Generator::dictionary,
    Generator::configuration,
    Generator::searching,
    Generator::wrapper,
    Generator::server,
    Generator::server,
    Generator::user_mapping,
    Generator::foreign_table,
    Generator::foreign_table,
    Generator::foreign_table,
    Generator::event_trigger,
    Generator::publication,
    Generator::publication,
    Generator::subscription,
    Generator::grant_rare,
    Generator::grant_rare,
    Generator::grant_columns,
    Generator::more_default_privileges,
    Generator::tie,
    Generator::secure,
];

impl Generator {
    pub fn extra(&mut self) {
        if !self.rare.on {
            return self.table();
        }
        let at = self.chance.between(0, ACTS.len() as i64 - 1);
        ACTS[at as usize](self);
    }

    pub fn internal(&mut self, name: &str, arguments: &str, result: &str, of: &str) {
        self.say(format!(
            "CREATE FUNCTION {name}({arguments}) RETURNS {result} LANGUAGE internal IMMUTABLE STRICT AS '{of}'"
        ));
        if self.once_in(5) {
            self.objects.push(format!("FUNCTION {name}({arguments})"));
        }
    }

    fn base_type(&mut self) {
        let (name, _) = self.new_name();
        let (input, output) = (self.new_name().0, self.new_name().0);
        if self.once_in(10) {
            // A shell that stays one.
            self.say(format!("CREATE TYPE {name}"));
            self.objects.push(format!("TYPE {name}"));
            return;
        }
        let (of, properties) = *[
            ("int4", "INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4, STORAGE = plain"),
            ("int4", "LIKE = integer, CATEGORY = 'x', PREFERRED = true, DEFAULT = '7', DELIMITER = ';'"),
            ("point_", "INTERNALLENGTH = 16, ALIGNMENT = double, ELEMENT = float8"),
            ("text", "STORAGE = extended, COLLATABLE = true, DEFAULT = 'it''s \\ here', CATEGORY = 'S'"),
            ("bytea", "STORAGE = external, ALIGNMENT = double"),
        ]
        .get(self.chance.between(0, 4) as usize)
        .unwrap_or(&("int4", "LIKE = integer"));
        self.say(format!("CREATE TYPE {name}"));
        self.internal(&input, "cstring", &name, &format!("{of}in"));
        self.internal(&output, &name, "cstring", &format!("{of}out"));
        self.say(format!("CREATE TYPE {name} (INPUT = {input}, OUTPUT = {output}, {properties})"));
        self.types.push(Type { sql: name.clone(), sort: Sort::Other });
        self.objects.push(format!("TYPE {name}"));
        if of == "int4" {
            self.rare.base_types.push(name);
        }
    }

    /// A type of ours.
    pub fn own_type(&mut self) -> Option<String> {
        let mut own: Vec<String> = self.rare.base_types.iter().chain(&self.composites).cloned().collect();
        own.extend(self.types.iter().filter(|t| t.sort == Sort::Enum).map(|t| t.sql.clone()));
        self.pick(&own)
    }

    fn cast(&mut self) {
        let Some(of) = self.own_type() else { return };
        let other = match self.chance.between(0, 2) {
            0 => self.own_type().unwrap_or_else(|| "text".into()),
            1 => "bigint".into(),
            _ => "date".into(),
        };
        let when = self.chance.one_of(&["", " AS ASSIGNMENT", " AS IMPLICIT"]);
        let (from, to) = if self.once_in(2) { (of, other) } else { (other, of) };
        let how = if self.once_in(2) {
            "WITH INOUT".to_owned()
        } else {
            let f = self.new_name().0;
            let more = self.chance.one_of(&["", ", integer", ", integer, boolean"]);
            self.say(format!(
                "CREATE FUNCTION {f}({from}{more}) RETURNS {to} LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN NULL; END'"
            ));
            format!("WITH FUNCTION {f}({from}{more})")
        };
        self.say(format!("CREATE CAST ({from} AS {to}) {how}{when}"));
        self.objects.push(format!("CAST ({from} AS {to})"));
    }

    fn collation(&mut self) {
        let (name, _) = self.new_name();
        let mut how = vec![
            "FROM \"C\"",
            "(LOCALE = 'POSIX')",
            "(LC_COLLATE = 'C', LC_CTYPE = 'POSIX')",
            "(PROVIDER = icu, LOCALE = 'de-u-co-phonebk')",
        ];
        if self.major >= 12 {
            how.push("(PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false)");
        }
        if self.major >= 17 {
            how.push("(PROVIDER = builtin, LOCALE = 'C.UTF-8')");
        }
        let how = self.chance.one_of(&how);
        self.say(format!("CREATE COLLATION {name} {how}"));
        self.objects.push(format!("COLLATION {name}"));
        self.rare.collations.push(name);
    }

    /// Where a collation is used: a column, a domain, an index, a composite type.
    fn collated(&mut self) {
        let Some(collation) = self.pick(&self.rare.collations.clone()) else { return };
        let (name, schema) = self.new_name();
        match self.chance.between(0, 3) {
            0 => {
                self.say(format!("CREATE DOMAIN {name} AS text COLLATE {collation} DEFAULT 'x'"));
                self.objects.push(format!("DOMAIN {name}"));
                self.types.push(Type { sql: name, sort: Sort::Text });
            }
            1 => {
                self.say(format!(
                    "CREATE TYPE {name} AS (\"At 0\" text COLLATE {collation}, \"At 1\" integer)"
                ));
                self.composites.push(name);
            }
            2 => {
                let Some((r, c)) = self.column_of(Sort::Text, &[Kind::Table, Kind::Matview]) else { return };
                let index = self.name();
                self.say(format!("CREATE INDEX {index} ON {r} (({c}::text) COLLATE {collation})"));
            }
            _ => {
                let of = Type { sql: "text".into(), sort: Sort::Text };
                let cols = vec![super::Col { name: self.part_name(), of }];
                self.say(format!(
                    "CREATE TABLE {name} ({} text COLLATE {collation} DEFAULT 'y' UNIQUE)",
                    cols[0].name
                ));
                self.objects.push(format!("TABLE {name}"));
                self.relations.push(Relation { name, schema, kind: Kind::Table, cols });
            }
        }
    }

    /// Where an operator class is used: an index, a range, the key of partitions.
    fn classed(&mut self) {
        let Some((class, of)) = self.pick(&self.rare.classes.clone()) else { return };
        let (name, _) = self.new_name();
        match self.chance.between(0, 3) {
            0 => {
                self.say(format!("CREATE TYPE {name} AS RANGE (SUBTYPE = {of}, SUBTYPE_OPCLASS = {class})"));
                self.objects.push(format!("TYPE {name}"));
                self.types.push(Type { sql: name, sort: Sort::Other });
            }
            1 => {
                self.say(format!("CREATE TABLE {name} (k {of}) PARTITION BY RANGE (k {class})"));
                self.objects.push(format!("TABLE {name}"));
            }
            _ => {
                self.say(format!("CREATE TABLE {name} (k {of}, n integer)"));
                let index = self.name();
                let unique = self.chance.one_of(&["", "UNIQUE "]);
                self.say(format!("CREATE {unique}INDEX {index} ON {name} (k {class} DESC, n)"));
                self.objects.push(format!("TABLE {name}"));
            }
        }
    }

    /// A relation of these kinds with a column of this sort.
    pub fn column_of(&mut self, sort: Sort, kinds: &[Kind]) -> Option<(String, String)> {
        let r = self.relation(kinds)?;
        let of: Vec<String> = r.cols.iter().filter(|c| c.of.sort == sort).map(|c| c.name.clone()).collect();
        Some((r.name, self.pick(&of)?))
    }

    fn statistics(&mut self) {
        let mut kinds = vec![Kind::Table, Kind::Partition, Kind::Matview];
        if self.major >= 11 {
            kinds.push(Kind::Partitioned);
        }
        let Some(r) = self.relation(&kinds) else { return };
        let (Some(a), Some(b)) = (self.pick(&r.cols), self.pick(&r.cols)) else { return };
        let (name, _) = self.new_name();
        let mut sorts = vec!["", " (ndistinct)", " (dependencies)", " (ndistinct, dependencies)"];
        if self.major >= 12 {
            sorts.push(" (mcv)");
        }
        let sorts = self.chance.one_of(&sorts);
        let on = match self.of_int.last().cloned() {
            Some(f) if self.major >= 14 && a.of.sort == Sort::Int && self.once_in(2) => {
                format!("{}, ({f}({}::integer))", b.name, a.name)
            }
            _ => format!("{}, {}", a.name, b.name),
        };
        self.say(format!("CREATE STATISTICS {name}{sorts} ON {on} FROM {}", r.name));
        self.objects.push(format!("STATISTICS {name}"));
        if self.major >= 13 && self.once_in(3) {
            let target = self.chance.between(0, 900);
            self.say(format!("ALTER STATISTICS {name} SET STATISTICS {target}"));
        }
    }

    fn language(&mut self) {
        let name = self.name();
        let trusted = self.chance.one_of(&["", "TRUSTED "]);
        let (handler, inline) = (self.new_name().0, self.new_name().0);
        let library = "LANGUAGE c AS '$libdir/plpgsql'";
        self.say(format!(
            "CREATE FUNCTION {handler}() RETURNS language_handler {library}, 'plpgsql_call_handler'"
        ));
        self.say(format!(
            "CREATE FUNCTION {inline}(internal) RETURNS void {library}, 'plpgsql_inline_handler'"
        ));
        self.say(format!("CREATE {trusted}LANGUAGE {name} HANDLER {handler} INLINE {inline}"));
        self.objects.push(format!("LANGUAGE {name}"));
        if !trusted.is_empty() {
            self.rare.granted.push((format!("LANGUAGE {name}"), "USAGE".into()));
        }
        let f = self.new_name().0;
        self.say(format!(
            "CREATE FUNCTION {f}(integer) RETURNS integer LANGUAGE {name} AS 'BEGIN RETURN $1; END'"
        ));
    }

    fn transform(&mut self) {
        let Some(of) = self.own_type() else { return };
        let f = self.new_name().0;
        self.internal(&f, "internal", "internal", "int4in");
        self.say(format!(
            "CREATE TRANSFORM FOR {of} LANGUAGE plpgsql (FROM SQL WITH FUNCTION {f}(internal))"
        ));
        self.objects.push(format!("TRANSFORM FOR {of} LANGUAGE plpgsql"));
    }

    fn conversion(&mut self) {
        let (name, _) = self.new_name();
        let default = if self.once_in(3) { "DEFAULT " } else { "" };
        self.say(format!("CREATE {default}CONVERSION {name} FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8"));
        self.objects.push(format!("CONVERSION {name}"));
    }

    fn access_method(&mut self) {
        let name = self.name();
        if self.major >= 12 && self.once_in(2) {
            self.say(format!("CREATE ACCESS METHOD {name} TYPE TABLE HANDLER heap_tableam_handler"));
            let table = self.new_name().0;
            self.say(format!("CREATE TABLE {table} (a integer, b text) USING {name}"));
            self.objects.push(format!("TABLE {table}"));
        } else {
            self.say(format!("CREATE ACCESS METHOD {name} TYPE INDEX HANDLER bthandler"));
            self.rare.methods.push(name.clone());
        }
        self.objects.push(format!("ACCESS METHOD {name}"));
    }

    fn grant_rare(&mut self) {
        let granted = self.rare.granted.clone();
        let Some((on, rights)) = self.pick(&granted) else { return };
        let (role, other) = (self.role(), self.role());
        match self.chance.between(0, 3) {
            0 => self.say(format!("REVOKE {rights} ON {on} FROM PUBLIC")),
            1 => self.say(format!("GRANT {rights} ON {on} TO PUBLIC")),
            2 => {
                self.say(format!("GRANT {rights} ON {on} TO {role} WITH GRANT OPTION"));
                self.say(format!("SET ROLE {role}"));
                self.say(format!("GRANT {rights} ON {on} TO {other}"));
                self.say("RESET ROLE");
            }
            _ => self.say(format!("GRANT {rights} ON {on} TO {role}")),
        }
    }

    fn grant_columns(&mut self) {
        let Some(r) = self.relation(&[Kind::Table, Kind::View, Kind::Matview, Kind::Partitioned]) else {
            return;
        };
        let (Some(a), Some(b)) = (self.pick(&r.cols), self.pick(&r.cols)) else { return };
        let (role, other) = (self.role(), self.role());
        self.say(format!(
            "GRANT SELECT ({0}, {1}), INSERT ({0}), REFERENCES ({1}) ON {2} TO {role} WITH GRANT OPTION",
            a.name, b.name, r.name
        ));
        if self.once_in(2) {
            self.say(format!("SET ROLE {role}"));
            self.say(format!("GRANT SELECT ({}) ON {} TO {other}", a.name, r.name));
            self.say("RESET ROLE");
        }
        if self.once_in(4) {
            self.say(format!("REVOKE UPDATE ON {} FROM CURRENT_USER", r.name));
        }
    }

    fn more_default_privileges(&mut self) {
        let (role, grantee, schema) = (self.role(), self.role(), self.schema());
        let global = [
            "REVOKE ALL ON TYPES FROM PUBLIC".to_owned(),
            format!("REVOKE ALL ON TABLES FROM {role}"),
            format!("GRANT USAGE, CREATE ON SCHEMAS TO {grantee}"),
            format!("GRANT ALL ON TABLES TO {grantee} WITH GRANT OPTION"),
        ];
        let within = [
            format!("GRANT ALL ON TABLES TO {grantee} WITH GRANT OPTION"),
            "GRANT USAGE ON SEQUENCES TO PUBLIC".to_owned(),
            format!("GRANT EXECUTE ON FUNCTIONS TO {grantee}"),
        ];
        if self.once_in(2) {
            let at = self.chance.between(0, 3) as usize;
            self.say(format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role} {}", global[at]));
        } else {
            let at = self.chance.between(0, 2) as usize;
            self.say(format!("ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA {schema} {}", within[at]));
        }
    }

    /// Ties to an extension.
    fn tie(&mut self) {
        let functions = self.functions.clone();
        if let Some(f) = self.pick(&functions) {
            self.say(format!("ALTER FUNCTION {f} DEPENDS ON EXTENSION plpgsql"));
        }
    }

    /// Row security, and policies that lean on functions.
    fn secure(&mut self) {
        let Some(r) = self.relation(&[Kind::Table, Kind::Partitioned]) else { return };
        let (name, role, f) = (self.part_name(), self.role(), self.predicates.last().cloned());
        let check = f.map_or("true".to_owned(), |f| format!("{f}(1)"));
        self.say(format!(
            "CREATE POLICY {name} ON {} AS RESTRICTIVE FOR INSERT TO {role}, PUBLIC WITH CHECK ({check})",
            r.name
        ));
        self.objects.push(format!("POLICY {name} ON {}", r.name));
        let state = self.chance.one_of(&["ENABLE", "FORCE", "NO FORCE", "DISABLE"]);
        self.say(format!("ALTER TABLE {} {state} ROW LEVEL SECURITY", r.name));
    }
}
