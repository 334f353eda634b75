//! The two written forms of a connection string: `keyword=value …` and `postgresql://…`.
//!
//! Invariant: what libpq accepts is read as libpq reads it (`conninfo_parse`, `conninfo_uri_parse_options` in
//! `fe-connect.c`); pure.

use super::{
    ConnInfoError,
    keywords::{Settings, keyword},
};

/// Reads either form; a bare word is a database's name, as it is for psql and pg_dump (`expand_dbname`).
pub(super) fn parse(text: &str) -> Result<Settings, ConnInfoError> {
    let uri = ["postgresql://", "postgres://"].iter().find_map(|p| text.strip_prefix(p));
    match uri {
        Some(rest) => parse_uri(rest),
        // Another program's URI is no database's name, and would be shown as one, its password included.
        None if text.contains("://")
            && !text.trim_start().contains(|c: char| c == '=' || c.is_whitespace()) =>
        {
            Err(ConnInfoError::Uri("it must begin with postgresql://"))
        }
        None if !text.contains('=') => {
            let name = text.trim();
            Ok(Settings::from_iter((!name.is_empty()).then(|| ("dbname", name.to_owned()))))
        }
        None => parse_pairs(text),
    }
}

/// `host=… port=… password='a b\'c'`.
fn parse_pairs(text: &str) -> Result<Settings, ConnInfoError> {
    let space = |c: &char| c.is_ascii_whitespace() || *c == '\x0b';
    let mut settings = Settings::new();
    let mut chars = text.chars().peekable();
    let mut position = 0;
    // Every character passes through here, so that an error can say where it is without saying what it is.
    let mut next = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        position += 1;
        (chars.next(), position)
    };
    loop {
        while chars.peek().is_some_and(space) {
            next(&mut chars);
        }
        if chars.peek().is_none() {
            return Ok(settings);
        }
        let mut name = String::new();
        let mut start = None;
        while let Some(c) = chars.peek().copied().filter(|c| *c != '=' && !space(c)) {
            let (_, at) = next(&mut chars);
            start.get_or_insert(at);
            name.push(c);
        }
        while chars.peek().is_some_and(space) {
            next(&mut chars);
        }
        if chars.peek() != Some(&'=') {
            return Err(ConnInfoError::MissingEquals { position: start.unwrap_or(1) });
        }
        next(&mut chars);
        while chars.peek().is_some_and(space) {
            next(&mut chars);
        }
        let mut value = String::new();
        if chars.peek() == Some(&'\'') {
            next(&mut chars);
            loop {
                match next(&mut chars).0 {
                    None => return Err(ConnInfoError::UnterminatedQuote),
                    Some('\'') => break,
                    Some('\\') => value.extend(next(&mut chars).0),
                    Some(c) => value.push(c),
                }
            }
        } else {
            while let Some(c) = chars.peek().copied().filter(|c| !space(c)) {
                next(&mut chars);
                if c == '\\' {
                    value.extend(next(&mut chars).0);
                } else {
                    value.push(c);
                }
            }
        }
        let known = keyword(&name).ok_or(ConnInfoError::UnknownKeyword(name))?;
        settings.insert(known, value);
    }
}

/// What follows `postgresql://`: `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`.
fn parse_uri(rest: &str) -> Result<Settings, ConnInfoError> {
    let mut settings = Settings::new();
    let mut rest = rest;
    // Credentials end at the first @ before any slash, so that a password's own @ and / must be encoded.
    if let Some(at) = rest.find(['@', '/']).filter(|&i| rest[i..].starts_with('@')) {
        let (user, password) = match rest[..at].split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (&rest[..at], None),
        };
        if !user.is_empty() {
            settings.insert("user", decode(user)?);
        }
        if let Some(password) = password.filter(|p| !p.is_empty()) {
            settings.insert("password", decode(password)?);
        }
        rest = &rest[at + 1..];
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    loop {
        let host;
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').ok_or(ConnInfoError::Uri("an IPv6 address lacks its closing \"]\""))?;
            if end == 0 {
                return Err(ConnInfoError::Uri("an IPv6 address in brackets is empty"));
            }
            host = &inner[..end];
            rest = &inner[end + 1..];
            if !(rest.is_empty() || rest.starts_with([':', '/', '?', ','])) {
                return Err(ConnInfoError::Uri("unexpected character after the \"]\" of an IPv6 address"));
            }
        } else {
            let end = rest.find([':', '/', '?', ',']).unwrap_or(rest.len());
            host = &rest[..end];
            rest = &rest[end..];
        }
        hosts.push(host);
        if let Some(after) = rest.strip_prefix(':') {
            let end = after.find(['/', '?', ',']).unwrap_or(after.len());
            ports.push(&after[..end]);
            rest = &after[end..];
        } else {
            ports.push("");
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => break,
        }
    }
    if hosts.len() > 1 || !hosts[0].is_empty() {
        settings.insert("host", decode(&hosts.join(","))?);
    }
    if ports.len() > 1 || !ports[0].is_empty() {
        settings.insert("port", decode(&ports.join(","))?);
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if let Some(dbname) = path.strip_prefix('/').filter(|d| !d.is_empty()) {
        settings.insert("dbname", decode(dbname)?);
    }
    for pair in query.into_iter().filter(|q| !q.is_empty()).flat_map(|q| q.split('&')) {
        let (name, value) =
            pair.split_once('=').ok_or(ConnInfoError::Uri("a query parameter lacks its \"=\""))?;
        if value.contains('=') {
            return Err(ConnInfoError::Uri("a query parameter has more than one \"=\""));
        }
        let (mut name, mut value) = (decode(name)?, decode(value)?);
        // The JDBC driver's spelling, which libpq takes too.
        if name == "ssl" && value == "true" {
            (name, value) = ("sslmode".to_owned(), "require".to_owned());
        }
        let known = keyword(&name).ok_or(ConnInfoError::UnknownParameter(name))?;
        settings.insert(known, value);
    }
    Ok(settings)
}

/// Percent-decoding, strict: two hexadecimal digits after each `%`, no NUL.
fn decode(text: &str) -> Result<String, ConnInfoError> {
    let digit = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            let (Some(high), Some(low)) = (digit(bytes.get(i + 1)), digit(bytes.get(i + 2))) else {
                return Err(ConnInfoError::Uri("a \"%\" is not followed by two hexadecimal digits"));
            };
            if (high, low) == (0, 0) {
                return Err(ConnInfoError::Uri("%00 is not allowed"));
            }
            out.push((high * 16 + low) as u8);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8(out).map_err(|_| ConnInfoError::Uri("a percent-encoded value is not UTF-8"))
}

#[cfg(test)]
mod tests;
