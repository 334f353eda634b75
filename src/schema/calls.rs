//! What calls functions that are not the server's own when it is computed: index expressions, checks, generated columns.
//!
//! Such a function may read any table, and for most no catalog says which (a body that is text is not looked into), so what calls
//! one has to wait until all rows are there. A function in C that an operator or operator class rests on is held to be what
//! it seems, a computation on its arguments: `citext`, `hstore` and the types of PostGIS index like the server's own. One in C that is
//! called by name is not (`ST_Transform` reads `spatial_ref_sys`). Invariant: whatever else is in doubt counts as called.

use std::collections::{HashMap, HashSet};

use super::{Address, Schema, class};

/// The answers about one schema.
#[derive(Debug)]
pub struct Calls<'s> {
    schema: &'s Schema,
    /// Entries of operator classes and families.
    entries: HashMap<Address, Vec<Address>>,
    /// Checks of domains.
    checks: HashMap<Address, Vec<Address>>,
    /// Relations of composite types, which hold their columns' dependencies.
    rows: HashMap<Address, Address>,
}

impl<'s> Calls<'s> {
    /// Reads `pg_depend` the other way where the answer is at that end.
    pub fn new(schema: &'s Schema) -> Self {
        let (mut entries, mut checks) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (&dependent, needs) in &schema.depends {
            let (wanted, into): (&[u32], _) = match dependent.class {
                class::AMOP | class::AMPROC => (&[class::OPCLASS, class::OPFAMILY], &mut entries),
                // A table's always needs its table, a domain's never a relation.
                class::CONSTRAINT if needs.iter().all(|n| n.class != class::RELATION) => {
                    (&[class::TYPE], &mut checks)
                }
                _ => continue,
            };
            for need in needs.iter().filter(|n| wanted.contains(&n.class)) {
                into.entry(*need).or_default().push(dependent);
            }
        }
        let is_row = |(part, whole): &(&Address, &Address)| {
            part.class == class::RELATION && whole.class == class::TYPE
        };
        let rows = schema.aliases.iter().filter(is_row).map(|(part, whole)| (*whole, *part)).collect();
        Calls { schema, entries, checks, rows }
    }

    /// Whether one is called to compute what has this address: an index, a check, a generation expression; of a table, a value of
    /// its columns' types, its partition key and (before 15) its generated columns.
    pub fn made_by(&self, address: Address) -> bool {
        let mut todo: Vec<Address> = self.needs(address).collect();
        let mut seen = HashSet::new();
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            match at.class {
                class::PROC => return true,
                class::OPERATOR | class::OPCLASS | class::OPFAMILY | class::AMOP | class::AMPROC => {
                    if self.needs(at).any(|n| n.class == class::PROC && self.schema.not_in_c.contains(&n)) {
                        return true;
                    }
                    todo.extend(self.needs(at).filter(|n| n.class != class::PROC && n.class != class::TYPE));
                    todo.extend(self.entries.get(&at).into_iter().flatten());
                }
                class::TYPE => {
                    // Its own functions are in C, and its default is not asked for.
                    todo.extend(self.types(at));
                    todo.extend(self.rows.get(&at).into_iter().flat_map(|row| self.types(*row)));
                    let rows = self.needs(at).filter(|n| n.class == class::RELATION);
                    todo.extend(rows.flat_map(|row| self.types(row)));
                    let checks = self.checks.get(&at).into_iter().flatten();
                    todo.extend(checks.flat_map(|check| self.needs(*check)));
                }
                _ => {}
            }
        }
        false
    }

    fn needs(&self, address: Address) -> impl Iterator<Item = Address> {
        self.schema.depends.get(&address).into_iter().flatten().copied()
    }

    /// The types that values of this one consist of, and what orders them.
    fn types(&self, address: Address) -> impl Iterator<Item = Address> {
        self.needs(address).filter(|n| n.class == class::TYPE || n.class == class::OPCLASS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: Address = Address::new(class::PROC, 20_000);
    const IN_C: Address = Address::new(class::PROC, 20_001);
    const INDEX: Address = Address::relation(30_000);

    fn of(class: u32, oid: u32) -> Address {
        Address::new(class, oid)
    }

    fn made(depends: &[(Address, &[Address])], aliases: &[(Address, Address)]) -> bool {
        let schema = Schema {
            depends: depends.iter().map(|(dependent, needs)| (*dependent, needs.to_vec())).collect(),
            aliases: aliases.iter().copied().collect(),
            not_in_c: HashSet::from([FUNCTION]),
            ..Schema::default()
        };
        Calls::new(&schema).made_by(INDEX)
    }

    #[test]
    fn what_is_called_by_name_counts_in_any_language() {
        assert!(made(&[(INDEX, &[Address::relation(1), FUNCTION])], &[]));
        assert!(made(&[(INDEX, &[IN_C])], &[]));
        assert!(!made(&[(INDEX, &[Address::relation(1)]), (Address::relation(1), &[FUNCTION])], &[]));
    }

    #[test]
    fn operators_and_operator_classes_count_by_their_functions() {
        for (function, expected) in [(FUNCTION, true), (IN_C, false)] {
            let operator = of(class::OPERATOR, 1);
            assert_eq!(made(&[(INDEX, &[operator]), (operator, &[function])], &[]), expected);
            let (opclass, family) = (of(class::OPCLASS, 2), of(class::OPFAMILY, 3));
            let (entry, member) = (of(class::AMPROC, 4), of(class::AMOP, 5));
            let of_class: &[(Address, &[Address])] = &[(INDEX, &[opclass]), (entry, &[opclass, function])];
            assert_eq!(made(of_class, &[]), expected);
            let of_family: &[(Address, &[Address])] = &[
                (INDEX, &[opclass]),
                (opclass, &[family]),
                (member, &[family, operator]),
                (operator, &[function]),
            ];
            assert_eq!(made(of_family, &[]), expected);
        }
    }

    #[test]
    fn domains_count_by_their_checks_however_deep() {
        let (domain, array, row) = (of(class::TYPE, 1), of(class::TYPE, 2), of(class::TYPE, 3));
        let (check, relation) = (of(class::CONSTRAINT, 4), Address::relation(5));
        let below: &[(Address, &[Address])] =
            &[(INDEX, &[row]), (relation, &[array]), (array, &[domain]), (check, &[domain, FUNCTION])];
        assert!(made(below, &[(relation, row)]));
        // A default is not computed, and an input function computes nothing but its value.
        assert!(!made(&[(INDEX, &[domain]), (domain, &[FUNCTION])], &[]));
        // The check of a table that casts to the domain is not the domain's.
        let of_table: &[(Address, &[Address])] =
            &[(INDEX, &[domain]), (check, &[domain, relation, FUNCTION])];
        assert!(!made(of_table, &[]));
    }
}
