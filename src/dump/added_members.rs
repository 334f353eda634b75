//! Reads what users added to operator families of extensions and of the server: operators and functions that are bound to no
//! class.
//!
//! A member whose operator or function is a user's was added by a user. Where that is the server's own, the catalogs do not tell
//! it from what the extension's script made, but the transaction does, as long as the extension and its family are still of the
//! same one (`ALTER EXTENSION UPDATE` and pg_upgrade end that). Invariant: a member is carried when its operator or function is.

use std::collections::{BTreeMap, HashSet};

use super::DumpError;
use super::catalogs::Catalogs;
use crate::config::Filter;
use crate::pg::Row;
use crate::schema::quote::quote_ident;
use crate::schema::{AddedMember, AddedMembers, Address, Definition, Object, Schema, Unsupported, class};

/// A member with its family.
pub(super) struct Added {
    family: Address,
    namespace: String,
    name: String,
    method: String,
    extension: Option<Address>,
    /// The operator or function, and its types.
    needs: Vec<Address>,
    of: Address,
    member: AddedMember,
}

/// All of them: one query.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Added>, DumpError> {
    let sql = "SELECT m.family, m.class, m.of_class, m.of_oid, m.l, m.r, m.member, m.gone, t.left_type, t.right_type, n.nspname, f.opfname, a.amname, d.refobjid AS extension FROM ( \
           SELECT o.amopfamily AS family, 'pg_amop'::regclass::oid AS class, o.oid, 'pg_operator'::regclass::oid AS of_class, \
             o.amopopr AS of_oid, o.amoplefttype AS l, o.amoprighttype AS r, \
             'OPERATOR ' || o.amopstrategy || ' ' || o.amopopr::regoperator::text \
               || COALESCE(' FOR ORDER BY ' || quote_ident(sn.nspname) || '.' || quote_ident(s.opfname), '') AS member, \
             'OPERATOR ' || o.amopstrategy AS gone, o.xmin AS made \
           FROM pg_amop o LEFT JOIN pg_opfamily s ON s.oid = o.amopsortfamily LEFT JOIN pg_namespace sn ON sn.oid = s.opfnamespace \
           WHERE o.oid >= 16384 \
           UNION ALL SELECT p.amprocfamily, 'pg_amproc'::regclass, p.oid, 'pg_proc'::regclass, p.amproc::oid, p.amproclefttype, \
             p.amprocrighttype, 'FUNCTION ' || p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', ' \
               || format_type(p.amprocrighttype, NULL) || ') ' || p.amproc::oid::regprocedure::text, 'FUNCTION ' || p.amprocnum, p.xmin \
           FROM pg_amproc p WHERE p.oid >= 16384) AS m \
         CROSS JOIN LATERAL (SELECT format_type(m.l, NULL) AS left_type, format_type(m.r, NULL) AS right_type) AS t \
         JOIN pg_opfamily f ON f.oid = m.family JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am a ON a.oid = f.opfmethod \
         LEFT JOIN pg_depend d ON d.classid = 'pg_opfamily'::regclass AND d.objid = f.oid AND d.deptype = 'e' \
         LEFT JOIN pg_extension e ON e.oid = d.refobjid \
         WHERE (f.oid < 16384 OR e.oid IS NOT NULL AND (m.of_oid >= 16384 OR d.xmin = e.xmin AND m.made <> e.xmin)) \
           AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = m.class AND o.objid = m.oid AND o.refclassid = 'pg_opclass'::regclass) \
           AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = m.of_class AND o.objid = m.of_oid AND o.deptype = 'e') \
         ORDER BY m.family, m.class, m.oid";
    let rows = c.query("reading what was added to operator families", sql).await?;
    rows.iter().map(added).collect()
}

fn added(row: &Row) -> Result<Added, DumpError> {
    let of = Address::new(row.get("of_class")?, row.get("of_oid")?);
    let types = format!("({}, {})", row.get::<String>("left_type")?, row.get::<String>("right_type")?);
    let extension: Option<u32> = row.get("extension")?;
    Ok(Added {
        family: Address::new(class::OPFAMILY, row.get("family")?),
        namespace: row.get("nspname")?,
        name: row.get("opfname")?,
        method: row.get("amname")?,
        extension: extension.map(|oid| Address::new(class::EXTENSION, oid)),
        needs: vec![of, Address::new(class::TYPE, row.get("l")?), Address::new(class::TYPE, row.get("r")?)],
        of,
        member: AddedMember {
            add: row.get("member")?,
            drop: format!("{} {types}", row.get::<String>("gone")?),
        },
    })
}

/// Adds what the model can hold to it; of the rest, where no filter leaves it out, it is said that it is not carried.
pub(super) fn attach(schema: &mut Schema, added: Vec<Added>, filter: &Filter) {
    let there: HashSet<Address> = schema.objects.iter().map(|o| o.address).collect();
    let mut families: BTreeMap<Address, Vec<Added>> = BTreeMap::new();
    for member in added {
        let extension = member.extension.is_none_or(|extension| there.contains(&extension));
        // What is the server's own is there.
        if (member.of.oid < 16384 || there.contains(&member.of)) && extension {
            families.entry(member.family).or_default().push(member);
        } else if filter.is_everything() {
            schema.unsupported.push(Unsupported {
                kind: "addition to operator family".to_owned(),
                identity: format!(
                    "{}.{} USING {}: {}",
                    quote_ident(&member.namespace),
                    quote_ident(&member.name),
                    quote_ident(&member.method),
                    member.member.add
                ),
                pg_dump_neither: true,
            });
        }
    }
    for (family, members) in families {
        let Some(first) = members.first() else { continue };
        let address = family.attached(class::AMOP);
        let needs = members.iter().flat_map(|m| m.needs.iter().chain(&m.extension)).copied();
        let mut needs: Vec<Address> = needs.filter(|need| need.oid >= 16384).collect();
        needs.sort_unstable();
        needs.dedup();
        schema.depends.insert(address, needs);
        schema.objects.push(Object {
            address,
            namespace: Some(first.namespace.clone()),
            name: first.name.clone(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition: Definition::AddedMembers(AddedMembers {
                method: first.method.clone(),
                members: members.into_iter().map(|m| m.member).collect(),
            }),
        });
    }
}
