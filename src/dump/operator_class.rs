//! Reads operator classes (`getOpclasses`, `dumpOpclass`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use super::operator_family::members;
use crate::schema::{Definition, Object, OperatorClass, class};

/// All operator classes.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.opcname AS name, pg_get_userbyid(c.opcowner) AS owner, a.amname, \
           quote_ident(fn.nspname) || '.' || quote_ident(f.opfname) AS family, \
           format_type(c.opcintype, NULL) AS input_type, c.opcdefault, \
           CASE WHEN c.opckeytype <> 0 THEN format_type(c.opckeytype, NULL) END AS storage \
         FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace JOIN pg_am a ON a.oid = c.opcmethod \
         JOIN pg_opfamily f ON f.oid = c.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace \
         WHERE {USER_NAMESPACE} ORDER BY c.oid"
    );
    let (rows, mut members) =
        tokio::try_join!(c.query("reading operator classes", &sql), members(c, "pg_opclass"))?;
    rows.iter()
        .map(|row| {
            let opclass = OperatorClass {
                method: row.get("amname")?,
                family: row.get("family")?,
                input_type: row.get("input_type")?,
                default: row.get("opcdefault")?,
                storage: row.get("storage")?,
                members: members.remove(&row.get("oid")?).unwrap_or_default(),
            };
            object(row, class::OPCLASS, Definition::OperatorClass(opclass))
        })
        .collect()
}
