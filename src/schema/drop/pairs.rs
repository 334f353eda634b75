//! What would take more along than the statement says, and the statements that fail where it would.

use std::collections::{HashMap, HashSet};

use super::Drops;
use crate::schema::quote::quote_literal;
use crate::schema::{Address, Definition, Schema, TableKind, class};

impl Drops<'_> {
    /// A base type and its input function need each other, as do a range type and its canonical function; the type takes
    /// the functions with it. So whatever else needs one of them goes before the type.
    pub(super) fn pair_types(&mut self) {
        let mut type_of: HashMap<usize, usize> = HashMap::new();
        for node in 0..self.nodes.len() {
            let Some(object) = self.nodes[node].0 else { continue };
            let cascades = match &object.definition {
                Definition::Range(range) => range.canonical.is_some(),
                Definition::BaseType(base) => base.items.is_some(),
                _ => false,
            };
            if !cascades {
                continue;
            }
            let functions: Vec<usize> = self.needs[node].iter().map(|n| n.0).collect();
            for function in functions {
                if self.needs[function].iter().any(|n| n.0 == node) {
                    self.needs[function].retain(|n| n.0 != node);
                    type_of.insert(function, node);
                }
            }
            self.guard(node, &guard_type(&object.qualified_name()));
        }
        for node in 0..self.nodes.len() {
            let types: Vec<_> = self.needs[node]
                .iter()
                .filter_map(|(function, part)| Some((*type_of.get(function)?, *part)))
                .filter(|(of, _)| *of != node && type_of.get(&node) != Some(of))
                .collect();
            self.needs[node].extend(types);
        }
    }
}

/// For each partitioned table that has a partition outside of the model, which would silently go with it: a statement
/// that fails if it still has.
pub(super) fn guard_partitions(schema: &Schema) -> HashMap<Address, String> {
    let inside: HashSet<Address> = schema.objects.iter().map(|o| o.address).collect();
    let partitioned: HashMap<Address, String> = schema
        .objects
        .iter()
        .filter(|o| matches!(&o.definition, Definition::Table(t) if t.kind == TableKind::Partitioned))
        .map(|o| (o.address, o.qualified_name()))
        .collect();
    let mut outside: HashMap<Address, Vec<u32>> = HashMap::new();
    for (dependent, needs) in &schema.depends {
        let unknown = dependent.class == class::RELATION
            && !inside.contains(dependent)
            && !schema.aliases.contains_key(dependent);
        for parent in needs.iter().filter(|n| unknown && partitioned.contains_key(n)) {
            outside.entry(*parent).or_default().push(dependent.oid);
        }
    }
    let guard = |(parent, mut oids): (Address, Vec<u32>)| {
        oids.sort_unstable();
        let list: Vec<String> = oids.iter().map(u32::to_string).collect();
        let name = quote_literal(partitioned.get(&parent).map(String::as_str).unwrap_or_default());
        let body = format!(
            "DECLARE part pg_catalog.regclass; BEGIN SELECT oid INTO part FROM pg_catalog.pg_class \
               WHERE oid IN ({}) AND relispartition LIMIT 1; IF FOUND THEN RAISE EXCEPTION \
               'table % is a partition of % and would be dropped with it, but is not part of the migration', part, {name} \
               USING HINT = 'Detach it, or take its schema into the migration.'; END IF; END",
            list.join(", ")
        );
        (parent, format!("DO {}", quote_literal(&body)))
    };
    outside.into_iter().map(guard).collect()
}

/// Fails where anything but the functions that it goes with uses a type that is about to be dropped with them, or uses
/// one of those.
fn guard_type(name: &str) -> String {
    let literal = quote_literal(name);
    let body = format!(
        "BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_type t CROSS JOIN LATERAL (SELECT ARRAY(SELECT d.refobjid \
           FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend b ON b.classid = d.refclassid AND b.objid = d.refobjid \
             AND b.refclassid = d.classid AND b.refobjid IN (t.oid, t.typarray) \
           WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid \
             AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) AS functions) own \
         JOIN pg_catalog.pg_depend d ON d.deptype = 'n' \
           AND (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (t.oid, t.typarray) \
             OR d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = ANY (own.functions)) \
         WHERE t.oid = pg_catalog.to_regtype({literal}) \
           AND NOT (d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = ANY (own.functions)) \
           AND NOT (d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend part WHERE part.classid = d.classid AND part.objid = d.objid \
             AND part.deptype = 'i')) \
         THEN RAISE EXCEPTION 'cannot drop type % because other objects depend on it', {literal}; END IF; END"
    );
    format!("DO {}", quote_literal(&body))
}
