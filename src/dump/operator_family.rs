//! Reads operator families, and the operators and functions that are bound to classes or loose in families
//! (`getOpfamilies`, `dumpOpfamily`).

use std::collections::HashMap;

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::schema::{Definition, Object, OperatorFamily, class};

/// All operator families.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT f.oid, n.nspname, f.opfname AS name, pg_get_userbyid(f.opfowner) AS owner, a.amname \
         FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am a ON a.oid = f.opfmethod \
         WHERE {USER_NAMESPACE} ORDER BY f.oid"
    );
    let (rows, mut members) =
        tokio::try_join!(c.query("reading operator families", &sql), members(c, "pg_opfamily"))?;
    rows.iter()
        .map(|row| {
            let family = OperatorFamily {
                method: row.get("amname")?,
                members: members.remove(&row.get("oid")?).unwrap_or_default(),
            };
            object(row, class::OPFAMILY, Definition::OperatorFamily(family))
        })
        .collect()
}

/// The members of each class (`pg_opclass`) or the loose ones of each family (`pg_opfamily`): `pg_depend` tells to which a member
/// is bound. The dependency on a family that an ordering operator sorts by is another one.
pub(super) async fn members(c: &Catalogs<'_>, catalog: &str) -> Result<HashMap<u32, Vec<String>>, DumpError> {
    let sql = format!(
        "SELECT d.refobjid AS owner, 'OPERATOR ' || o.amopstrategy || ' ' || o.amopopr::regoperator::text \
           || COALESCE(' FOR ORDER BY ' || quote_ident(n.nspname) || '.' || quote_ident(f.opfname), '') AS member, \
           0 AS kind, o.amopstrategy AS number, o.oid \
         FROM pg_amop o JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = o.oid \
           AND d.refclassid = '{catalog}'::regclass AND d.deptype IN ('a', 'i') \
           AND ('{catalog}' = 'pg_opclass' OR d.refobjid = o.amopfamily) \
         LEFT JOIN pg_opfamily f ON f.oid = o.amopsortfamily LEFT JOIN pg_namespace n ON n.oid = f.opfnamespace \
         WHERE o.oid >= 16384 \
         UNION ALL SELECT d.refobjid, 'FUNCTION ' || p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', ' \
           || format_type(p.amprocrighttype, NULL) || ') ' || p.amproc::oid::regprocedure::text, 1, p.amprocnum, p.oid \
         FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid \
           AND d.refclassid = '{catalog}'::regclass AND d.deptype IN ('a', 'i') \
         WHERE p.oid >= 16384 ORDER BY owner, kind, number, oid"
    );
    let mut members: HashMap<u32, Vec<String>> = HashMap::new();
    for row in &c.query("reading members of operator classes and families", &sql).await? {
        members.entry(row.get("owner")?).or_default().push(row.get("member")?);
    }
    Ok(members)
}
