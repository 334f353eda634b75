//! Random schemas: a seed and a version in, a script of several hundred statements out. Pure.
//!
//! Statements are drawn one after the other from what was drawn before, so that dependencies of every sort arise;
//! a server refuses some of them (a cast that does not exist, a loop of inheritance), which is as well: what it takes is the
//! schema. Invariant: the same seed and version give the same script, and a server takes it the same way each time.

mod alter;
mod code;
mod extras;
mod indexes;
mod names;
mod operators;
mod outside;
mod properties;
mod tables;
mod types;
mod views;

pub use crate::harness::Chance;

/// A column that statements may name.
#[derive(Clone, Debug)]
pub struct Col {
    /// Quoted.
    pub name: String,
    /// Its type, as statements write it.
    pub of: Type,
}

/// A type that columns may have.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// As statements write it.
    pub sql: String,
    /// What literals, indexes and defaults may do with it.
    pub sort: Sort,
}

/// Sorts of types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sort {
    Int,
    Text,
    Time,
    Bool,
    Enum,
    Range,
    Array,
    Json,
    Other,
}

/// A table, view or materialized view.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Quoted and qualified.
    pub name: String,
    pub schema: String,
    pub kind: Kind,
    pub cols: Vec<Col>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Table,
    /// Partitioned by range or list or hash of its first column.
    Partitioned,
    Partition,
    View,
    Matview,
}

/// What has been drawn so far.
pub struct Generator {
    pub chance: Chance,
    /// Major version of the server that will run the script.
    pub major: u32,
    pub out: Vec<String>,
    count: u32,
    pub schemas: Vec<String>,
    pub types: Vec<Type>,
    pub composites: Vec<String>,
    pub relations: Vec<Relation>,
    /// Quoted and qualified, with argument types, and whether they are immutable and take one integer.
    pub functions: Vec<String>,
    pub of_int: Vec<String>,
    pub predicates: Vec<String>,
    pub trigger_functions: Vec<String>,
    pub sequences: Vec<String>,
    /// Qualified name, its table's, whether it is on a partitioned table.
    pub indexes: Vec<(String, String, bool)>,
    /// Table, constraint name.
    pub constraints: Vec<(String, String)>,
    /// What comments and owners can be given to: `TABLE a.b`.
    pub objects: Vec<String>,
    pub rare: extras::Rare,
}

type Act = fn(&mut Generator);

/// What no server could make again as it is: materialized views that their owners may no longer read are emptied; all may use the
/// schemas of the functions that their indexes call; and foreign keys
/// that the server has damaged and statistics that it would not make again are dropped.
const END: &str = r#"
DO $$ DECLARE s text; v text; BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    FOR s IN SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
      WHERE contype = 'f' AND conparentid = 0 AND NOT confdelsetcols <@ conkey
    LOOP EXECUTE s; END LOOP;
  END IF;
  FOR s, v IN SELECT format('DROP STATISTICS %I.%I', nspname, stxname), pg_get_statisticsobjdef(e.oid)
    FROM pg_statistic_ext e JOIN pg_namespace n ON n.oid = stxnamespace
  LOOP
    BEGIN
      EXECUTE s; EXECUTE v; RAISE EXCEPTION 'can be made again';
    EXCEPTION WHEN feature_not_supported THEN EXECUTE s; WHEN raise_exception THEN NULL;
    END;
  END LOOP;
  FOR s IN SELECT nspname FROM pg_namespace WHERE oid >= 16384 OR nspname = 'public' LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO PUBLIC', s);
  END LOOP;
  FOR v IN SELECT oid::regclass FROM generate_series(1, 3) AS again, pg_class WHERE relkind = 'm' AND relispopulated ORDER BY again, oid LOOP
    CONTINUE WHEN NOT (SELECT relispopulated FROM pg_class WHERE oid = v::regclass);
    BEGIN
      EXECUTE 'REFRESH MATERIALIZED VIEW ' || v;
    EXCEPTION WHEN OTHERS THEN
      EXECUTE 'REFRESH MATERIALIZED VIEW ' || v || ' WITH NO DATA';
    END;
  END LOOP;
END $$;
"#;

/// Seeds below draw no rarer kinds: those that once showed a difference stay the scripts that they were.
pub const RARE_FROM: u64 = 500;

/// Nor do those in between draw exclusion constraints on partitioned tables alone.
pub const ALONE_FROM: u64 = 2000;

/// What can be drawn, and how often.
const ACTS: &[(Act, u64)] = &[
    (Generator::enumeration, 4),
    (Generator::composite, 3),
    (Generator::domain, 5),
    (Generator::range, 2),
    (Generator::change_type, 3),
    (Generator::function, 8),
    (Generator::procedure, 2),
    (Generator::aggregate, 2),
    (Generator::trigger_function, 2),
    (Generator::sequence, 4),
    (Generator::table, 16),
    (Generator::inheriting, 7),
    (Generator::typed, 2),
    (Generator::like, 2),
    (Generator::partitioned, 5),
    (Generator::partition, 10),
    (Generator::attach, 4),
    (Generator::change_table, 30),
    (Generator::constraint, 22),
    (Generator::foreign_key, 8),
    (Generator::index, 16),
    (Generator::index_of_partitioned, 5),
    (Generator::index_property, 8),
    (Generator::view, 12),
    (Generator::matview, 5),
    (Generator::change_view, 4),
    (Generator::rule, 4),
    (Generator::trigger, 9),
    (Generator::policy, 4),
    (Generator::grant, 14),
    (Generator::default_privileges, 2),
    (Generator::comment, 14),
    (Generator::owner, 6),
    (Generator::extra, 12),
];

impl Generator {
    /// A script of about this many statements for a server of this major.
    pub fn script(seed: u64, major: u32, statements: usize) -> String {
        let mut generator = Generator {
            chance: Chance::new(seed),
            major,
            out: Vec::new(),
            count: 0,
            schemas: vec!["public".into()],
            types: types::built_in(),
            composites: Vec::new(),
            relations: Vec::new(),
            functions: Vec::new(),
            of_int: Vec::new(),
            predicates: Vec::new(),
            trigger_functions: Vec::new(),
            sequences: Vec::new(),
            indexes: Vec::new(),
            constraints: Vec::new(),
            objects: Vec::new(),
            rare: extras::Rare {
                on: seed >= RARE_FROM,
                alone: !(RARE_FROM..ALONE_FROM).contains(&seed),
                ..Default::default()
            },
        };
        generator.beginning();
        let total: u64 = ACTS.iter().map(|a| a.1).sum();
        while generator.out.len() < statements {
            if generator.rare.on && generator.once_in(3) {
                generator.extra();
                continue;
            }
            let mut at = generator.chance.between(0, total as i64 - 1) as u64;
            for (act, weight) in ACTS {
                if at < *weight {
                    act(&mut generator);
                    break;
                }
                at -= weight;
            }
        }
        generator.out.iter().flat_map(|s| [s, ";\n"]).chain([END]).collect()
    }

    fn beginning(&mut self) {
        self.say("SET client_min_messages = error");
        self.say("SET check_function_bodies = off");
        for _ in 0..3 {
            let name = self.name();
            self.say(format!("CREATE SCHEMA {name}"));
            self.objects.push(format!("SCHEMA {name}"));
            self.schemas.push(name);
        }
        for _ in 0..4 {
            self.enumeration();
            self.table();
            self.function();
        }
        self.trigger_function();
    }

    /// One more statement.
    pub fn say(&mut self, statement: impl Into<String>) {
        self.out.push(statement.into());
    }

    /// Whether something that happens once in `n` times happens.
    pub fn once_in(&mut self, n: i64) -> bool {
        self.chance.between(1, n) == 1
    }

    /// One of them.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        // Rather the newer ones: chains of dependencies grow longer.
        let last = from.len() as i64 - 1;
        let at = self.chance.between(0, last).max(self.chance.between(0, last));
        from.get(at as usize).cloned()
    }

    /// A relation of one of these kinds.
    pub fn relation(&mut self, kinds: &[Kind]) -> Option<Relation> {
        let of: Vec<Relation> = self.relations.iter().filter(|r| kinds.contains(&r.kind)).cloned().collect();
        self.pick(&of)
    }
}
