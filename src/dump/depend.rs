//! Reads `pg_depend`: what needs what, and which addresses stand for another.
//!
//! Invariant: an internal dependency (deptype `i`) says that an object is a part of another: an array or row type
//! of its type or relation, an index of its constraint, a `_RETURN` rule of its view, a multirange and constructor functions
//! of their range type, a member of its operator class or family (there deptype `a` says so as well, but what a user added to an
//! extension's family is no part of the extension). (An identity column's sequence is one of its table too, but has statements of its own.) Chains of those are followed here, so an alias names what is no alias itself.

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::Catalogs;
use crate::schema::Address;

/// What needs what, and which addresses stand for another: `Schema.depends` and `Schema.aliases`.
pub(super) type Dependencies = (HashMap<Address, Vec<Address>>, HashMap<Address, Address>);

/// Both maps.
///
/// Entries of initdb's own objects are left out: an OID below 16384 (`FirstNormalObjectId`) is always there. So are those
/// of TOAST tables and their indexes, which come and go with their table.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Dependencies, DumpError> {
    let rows = c
        .query(
            "reading dependencies",
            "SELECT classid, objid, refclassid, refobjid, deptype = 'i' AND NOT (classid = 'pg_class'::regclass \
               AND EXISTS (SELECT FROM pg_class c WHERE c.oid = objid AND c.relkind = 'S')) \
               OR deptype = 'a' AND classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass) \
               AND (refclassid = 'pg_opclass'::regclass OR refclassid = 'pg_opfamily'::regclass \
                 AND (classid = 'pg_amproc'::regclass OR refobjid = (SELECT o.amopfamily FROM pg_amop o WHERE o.oid = objid))) \
               AND NOT EXISTS (SELECT FROM pg_depend e \
                 WHERE e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e') AS internal \
             FROM pg_depend d \
             WHERE objid >= 16384 AND deptype IN ('n', 'a', 'i', 'I', 'P', 'S') \
             AND (refobjid >= 16384 OR refclassid = 'pg_namespace'::regclass OR refclassid = 'pg_extension'::regclass) \
             AND NOT (classid = refclassid AND objid = refobjid) \
             AND NOT (classid = 'pg_class'::regclass \
               AND objid IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'pg_toast'::regnamespace))",
        )
        .await?;
    let mut depends: HashMap<Address, Vec<Address>> = HashMap::with_capacity(rows.len());
    let mut aliases: HashMap<Address, Address> = HashMap::new();
    for row in &rows {
        let dependent = Address::new(row.get("classid")?, row.get("objid")?);
        let needed = Address::new(row.get("refclassid")?, row.get("refobjid")?);
        if row.get("internal")? {
            aliases.insert(dependent, needed);
        }
        depends.entry(dependent).or_default().push(needed);
    }
    for needs in depends.values_mut() {
        needs.sort_unstable();
        needs.dedup();
    }
    Ok((depends, flatten(&aliases)))
}

/// Each alias with what stands at the end of its chain; a chain that comes back to itself is cut.
fn flatten(aliases: &HashMap<Address, Address>) -> HashMap<Address, Address> {
    let end = |from: &Address| {
        let mut at = *from;
        for _ in 0..8 {
            match aliases.get(&at) {
                Some(next) if next != from => at = *next,
                _ => break,
            }
        }
        at
    };
    aliases.keys().map(|from| (*from, end(from))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::class;

    #[test]
    fn chains_end_at_what_is_no_alias() {
        let (array, row_type, table) =
            (Address::new(class::TYPE, 3), Address::new(class::TYPE, 2), Address::relation(1));
        let flat = flatten(&HashMap::from([(array, row_type), (row_type, table)]));
        assert_eq!(flat, HashMap::from([(array, table), (row_type, table)]));
    }

    #[test]
    fn a_chain_in_a_circle_ends() {
        let (a, b) = (Address::relation(1), Address::relation(2));
        assert_eq!(flatten(&HashMap::from([(a, b), (b, a)])).len(), 2);
    }
}
