//! A quoted name or literal is exactly one token of SQL, which reads back as what went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_migrator::schema::quote::{quote_ident, quote_literal};

/// What lies between the quotes, each doubled quote read as one; `None` if anything follows the closing quote.
fn unquote(token: &str, quote: char) -> Option<String> {
    let mut chars = token.strip_prefix(quote)?.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        if c == quote {
            match chars.next() {
                Some(next) if next == quote => out.push(quote),
                Some(_) => return None,
                None => return Some(out),
            }
        } else {
            out.push(c);
        }
    }
    None
}

/// An `E'…'` string holds backslashes doubled.
fn unescape(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' && chars.next() != Some('\\') {
            return None;
        }
    }
    Some(out)
}

fuzz_target!(|text: &str| {
    let ident = quote_ident(text);
    if ident == text {
        assert!(text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'));
        assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    } else {
        assert_eq!(unquote(&ident, '"').as_deref(), Some(text));
    }
    let literal = quote_literal(text);
    let read = match literal.strip_prefix('E') {
        Some(escaped) => unquote(escaped, '\'').and_then(|t| unescape(&t)),
        None => {
            // Without the prefix a backslash would depend on standard_conforming_strings.
            assert!(!literal.contains('\\'));
            unquote(&literal, '\'')
        }
    };
    assert_eq!(read.as_deref(), Some(text));
});
