//! The marks of `CYCLE … SET … TO … DEFAULT …`, which servers write in words that they do not read.
//!
//! Both are constants of which the grammar takes only the form that begins with the type (`AexprConst` in
//! `src/backend/parser/gram.y`), while `get_with_clause` in `src/backend/utils/adt/ruleutils.c` writes `'y'::text`, from 14 on; so
//! pg_dump's script fails on such a view. Invariant: only these marks are put in other words, of the same meaning; the rest of the text stays as it is.

use std::borrow::Cow;

use super::{Definition, Schema};

/// Puts the marks in words that servers read, in everything that holds a query.
pub fn mend(schema: &mut Schema) {
    for object in &mut schema.objects {
        let text = match &mut object.definition {
            Definition::View(view) => &mut view.query,
            Definition::MaterializedView(view) => &mut view.query,
            Definition::Rule(rule) => &mut rule.statement,
            Definition::Function(function) if function.parsed_body => &mut function.definition,
            _ => continue,
        };
        if let Cow::Owned(mended) = readable(text) {
            *text = mended;
        }
    }
}

/// The text with the marks of every `CYCLE` in it as the grammar has them.
fn readable(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    while let Some((from, to, marks)) = next_marks(text, done) {
        out.push_str(&text[done..from]);
        out.push_str(&marks);
        done = to;
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// Where the marks of the next `CYCLE` that has any stand, and what is to stand there.
fn next_marks(text: &str, mut from: usize) -> Option<(usize, usize, String)> {
    loop {
        let set = unquoted(text, unquoted(text, from, " CYCLE ")?, " SET ")?;
        let using = unquoted(text, set, " USING ")?;
        if let Some(value) = unquoted(&text[..using], set, " TO ") {
            let default = unquoted(&text[..using], value, " DEFAULT ")?;
            let (begin, middle, end) = (value, default - " DEFAULT ".len(), using - " USING ".len());
            let marks =
                format!("{} DEFAULT {}", constant(&text[begin..middle]), constant(&text[default..end]));
            return Some((begin, end, marks));
        }
        from = using;
    }
}

/// The place behind the first `word` from a place on that stands in no string and no quoted name.
fn unquoted(text: &str, from: usize, word: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.get(from..)?.char_indices() {
        match quote {
            Some(q) if q == c => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if text[from + at..].starts_with(word) => return Some(from + at + word.len()),
            None => {}
        }
    }
    None
}

/// `'y'::text` as `text 'y'`.
fn constant(written: &str) -> String {
    let Some(of_type) = unquoted(written, 0, "::") else { return written.to_owned() };
    let (literal, of_type) = (&written[..of_type - 2], &written[of_type..]);
    match of_type.strip_prefix("interval ") {
        _ if literal == "NULL" => literal.to_owned(),
        Some(fields) => format!("interval {literal} {fields}"),
        None => format!("{of_type} {literal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_begin_with_their_type() {
        let cases = [
            ("'y'::text DEFAULT 'n'::text", "text 'y' DEFAULT text 'n'"),
            ("3 DEFAULT 0", "3 DEFAULT 0"),
            (
                "' DEFAULT ::'''::s.\"e USING \" DEFAULT 'n'::s.\"e USING \"",
                "s.\"e USING \" ' DEFAULT ::''' DEFAULT s.\"e USING \" 'n'",
            ),
            (
                "'x'::character varying(3) DEFAULT NULL::character varying",
                "character varying(3) 'x' DEFAULT NULL",
            ),
            (
                "'01:00:00'::interval hour DEFAULT '2 days'::interval",
                "interval '01:00:00' hour DEFAULT interval '2 days'",
            ),
            ("'-1'::integer DEFAULT 1.5", "integer '-1' DEFAULT 1.5"),
        ];
        for (marks, mended) in cases {
            let text = |marks: &str| {
                format!(
                    "WITH r AS (SELECT ' CYCLE a SET b TO ''1''::x') CYCLE a SET d USING p, s AS (…) CYCLE a, \"b SET \" SET \"c\"\" TO \" TO {marks} USING p SELECT ' USING '"
                )
            };
            assert_eq!(readable(&text(marks)), text(mended));
        }
        for plain in ["", "SELECT 1 AS \" CYCLE \"", ") CYCLE a SET c USING p", "x CYCLE a SET c TO 1"] {
            assert_eq!(readable(plain), plain);
        }
    }
}
