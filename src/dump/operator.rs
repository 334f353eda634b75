//! Reads operators (`getOperators`, `dumpOpr`).

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE, object};
use crate::pg::Row;
use crate::schema::{Definition, Object, Operator, class};

/// All operators. A shell, which was named as commutator or negator and never made, has neither items nor an owner.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let rows = c
        .query(
            "reading operators",
            &format!(
                "SELECT o.oid, n.nspname, o.oprname AS name, CASE WHEN o.oprcode::oid <> 0 THEN pg_get_userbyid(o.oprowner) END AS owner, \
                   CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END AS left_type, \
                   CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END AS right_type, \
                   NULLIF(o.oprcode::oid, 0)::regproc::text AS function, \
                   'OPERATOR(' || quote_ident(cn.nspname) || '.' || co.oprname || ')' AS commutator, \
                   'OPERATOR(' || quote_ident(nn.nspname) || '.' || ne.oprname || ')' AS negator, \
                   co.oprcom <> 0 AND co.oprcom <> o.oid AS commutes_with_another, \
                   ne.oprnegate <> 0 AND ne.oprnegate <> o.oid AS negates_another, o.oprcanmerge, o.oprcanhash, NULLIF(o.oprrest::oid, 0)::regproc::text AS restriction, \
                   NULLIF(o.oprjoin::oid, 0)::regproc::text AS joining \
                 FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace \
                 LEFT JOIN pg_operator co ON co.oid = o.oprcom LEFT JOIN pg_namespace cn ON cn.oid = co.oprnamespace \
                 LEFT JOIN pg_operator ne ON ne.oid = o.oprnegate LEFT JOIN pg_namespace nn ON nn.oid = ne.oprnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY o.oid"
            ),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let operator = Operator {
                left: row.get("left_type")?,
                right: row.get("right_type")?,
                items: items(row)?,
                one_sided: one_sided(row)?,
            };
            object(row, class::OPERATOR, Definition::Operator(operator))
        })
        .collect()
}

fn one_sided(row: &Row) -> Result<Vec<&'static str>, DumpError> {
    let mut words = Vec::new();
    for (word, column) in [("COMMUTATOR", "commutes_with_another"), ("NEGATOR", "negates_another")] {
        if row.get::<Option<bool>>(column)? == Some(true) {
            words.push(word);
        }
    }
    Ok(words)
}

fn items(row: &Row) -> Result<Vec<(&'static str, String)>, DumpError> {
    if row.get::<Option<String>>("function")?.is_none() {
        return Ok(Vec::new());
    }
    let mut items: Vec<(&'static str, String)> = Vec::new();
    for (word, column) in [
        ("FUNCTION", "function"),
        ("COMMUTATOR", "commutator"),
        ("NEGATOR", "negator"),
        ("RESTRICT", "restriction"),
        ("JOIN", "joining"),
    ] {
        items.extend(row.get::<Option<String>>(column)?.map(|value| (word, value)));
    }
    for (word, column) in [("MERGES", "oprcanmerge"), ("HASHES", "oprcanhash")] {
        if row.get(column)? {
            items.push((word, String::new()));
        }
    }
    Ok(items)
}
