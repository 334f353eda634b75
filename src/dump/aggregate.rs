//! Reads aggregates.

use super::DumpError;
use super::catalogs::{Catalogs, USER_NAMESPACE};
use crate::pg::Row;
use crate::schema::quote::quote_literal;
use crate::schema::{Address, Aggregate, Definition, Object, class};

/// All aggregates.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Vec<Object>, DumpError> {
    let finalmodify = c.since(11, "a.aggfinalmodify", "NULL::\"char\"");
    let mfinalmodify = c.since(11, "a.aggmfinalmodify", "NULL::\"char\"");
    let rows = c
        .query(
            "reading aggregates",
            &format!(
                "SELECT p.oid, n.nspname, p.proname, pg_get_userbyid(p.proowner) AS owner, \
                   pg_get_function_arguments(p.oid) AS arguments, \
                   ARRAY(SELECT format_type(u.t, NULL) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u(t, i) \
                     ORDER BY u.i) AS types, \
                   a.aggkind, NULLIF(a.aggtransfn::oid, 0)::regproc::text AS sfunc, \
                   format_type(a.aggtranstype, NULL) AS stype, a.aggtransspace, \
                   NULLIF(a.aggfinalfn::oid, 0)::regproc::text AS finalfunc, a.aggfinalextra, \
                   {finalmodify} AS finalmodify, \
                   NULLIF(a.aggcombinefn::oid, 0)::regproc::text AS combinefunc, \
                   NULLIF(a.aggserialfn::oid, 0)::regproc::text AS serialfunc, \
                   NULLIF(a.aggdeserialfn::oid, 0)::regproc::text AS deserialfunc, \
                   NULLIF(a.aggmtransfn::oid, 0)::regproc::text AS msfunc, \
                   NULLIF(a.aggminvtransfn::oid, 0)::regproc::text AS minvfunc, \
                   CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END AS mstype, \
                   a.aggmtransspace, NULLIF(a.aggmfinalfn::oid, 0)::regproc::text AS mfinalfunc, \
                   a.aggmfinalextra, {mfinalmodify} AS mfinalmodify, a.agginitval, a.aggminitval, \
                   CASE WHEN a.aggsortop <> 0 THEN 'OPERATOR(' || quote_ident(opn.nspname) || '.' || o.oprname || ')' \
                     END AS sortop, p.proparallel \
                 FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid \
                 JOIN pg_namespace n ON n.oid = p.pronamespace \
                 LEFT JOIN pg_operator o ON o.oid = a.aggsortop \
                 LEFT JOIN pg_namespace opn ON opn.oid = o.oprnamespace \
                 WHERE {USER_NAMESPACE} ORDER BY p.oid"
            ),
        )
        .await?;
    rows.iter().map(object).collect()
}

fn object(row: &Row) -> Result<Object, DumpError> {
    let (arguments, types): (String, Vec<String>) = (row.get("arguments")?, row.get("types")?);
    Ok(Object {
        address: Address::new(class::PROC, row.get("oid")?),
        namespace: row.get("nspname")?,
        name: row.get("proname")?,
        parent: None,
        owner: row.get("owner")?,
        acl: None,
        comments: Vec::new(),
        definition: Definition::Aggregate(Aggregate {
            arguments: if arguments.is_empty() { "*".to_owned() } else { arguments },
            types: types.join(", "),
            items: items(row)?,
        }),
    })
}

/// The items of the definition, in the order in which the manual names them.
fn items(row: &Row) -> Result<Vec<(&'static str, String)>, DumpError> {
    let mut items: Vec<(&'static str, String)> = Vec::new();
    let mut text = |word: &'static str, column: &str| -> Result<(), DumpError> {
        if let Some(value) = row.get::<Option<String>>(column)? {
            items.push((word, value));
        }
        Ok(())
    };
    text("SFUNC", "sfunc")?;
    text("STYPE", "stype")?;
    text("FINALFUNC", "finalfunc")?;
    text("COMBINEFUNC", "combinefunc")?;
    text("SERIALFUNC", "serialfunc")?;
    text("DESERIALFUNC", "deserialfunc")?;
    text("MSFUNC", "msfunc")?;
    text("MINVFUNC", "minvfunc")?;
    text("MSTYPE", "mstype")?;
    text("MFINALFUNC", "mfinalfunc")?;
    text("SORTOP", "sortop")?;
    let kind = letter(row, "aggkind")?;
    // Ordered-set aggregates change their state in the final function unless told otherwise, others do not.
    let usual = if kind == Some('n') { 'r' } else { 'w' };
    for (space, word) in [("aggtransspace", "SSPACE"), ("aggmtransspace", "MSSPACE")] {
        let bytes: i32 = row.get(space)?;
        if bytes != 0 {
            items.push((word, bytes.to_string()));
        }
    }
    for (column, word) in [("aggfinalextra", "FINALFUNC_EXTRA"), ("aggmfinalextra", "MFINALFUNC_EXTRA")] {
        if row.get(column)? {
            items.push((word, String::new()));
        }
    }
    for (column, word) in [("finalmodify", "FINALFUNC_MODIFY"), ("mfinalmodify", "MFINALFUNC_MODIFY")] {
        let modify = letter(row, column)?.filter(|m| *m != usual);
        let words = modify.and_then(|m| match m {
            'r' => Some("READ_ONLY"),
            's' => Some("SHAREABLE"),
            'w' => Some("READ_WRITE"),
            _ => None,
        });
        items.extend(words.map(|w| (word, w.to_owned())));
    }
    for (column, word) in [("agginitval", "INITCOND"), ("aggminitval", "MINITCOND")] {
        if let Some(value) = row.get::<Option<String>>(column)? {
            items.push((word, quote_literal(&value)));
        }
    }
    match letter(row, "proparallel")? {
        Some('s') => items.push(("PARALLEL", "safe".to_owned())),
        Some('r') => items.push(("PARALLEL", "restricted".to_owned())),
        _ => {}
    }
    if kind == Some('h') {
        items.push(("HYPOTHETICAL", String::new()));
    }
    Ok(items)
}

/// A column of type `"char"` as the letter it is.
fn letter(row: &Row, column: &str) -> Result<Option<char>, DumpError> {
    let code: Option<i8> = row.get(column)?;
    Ok(code.and_then(|c| u8::try_from(c).ok()).map(char::from))
}
