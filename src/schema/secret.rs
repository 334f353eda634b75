//! What of a statement may be shown: statements that hold passwords, with these hidden.
//!
//! Invariant: what is shown holds no value of an option of a user mapping but the user's name, no connection string, no
//! password of a role, and no value of any option whose name sounds like a secret.

use std::borrow::Cow;

/// What stands in place of a value.
const HIDDEN: &str = "'(hidden)'";

/// A statement of a step of this `kind`, fit to be shown.
pub fn shown<'s>(kind: &str, statement: &'s str) -> Cow<'s, str> {
    let secrets = secrets(kind, statement);
    if secrets.is_empty() {
        return Cow::Borrowed(statement);
    }
    let (mut out, mut at) = (String::with_capacity(statement.len()), 0);
    for (start, end) in secrets {
        out.push_str(&statement[at..start]);
        out.push_str(HIDDEN);
        at = end;
    }
    out.push_str(&statement[at..]);
    Cow::Owned(out)
}

/// A server's words about a statement of a step of this `kind`, without the values that the statement hides.
pub fn without_secrets(kind: &str, statement: &str, mut text: String) -> String {
    for (start, end) in secrets(kind, statement) {
        let literal = &statement[start..end];
        let value =
            literal.trim_start_matches('E').trim_matches('\'').replace("''", "'").replace("\\\\", "\\");
        // The parts of a connection string too: an error may quote one of them.
        let parts: Vec<String> =
            value.split([' ', '=', '@', ':', '/', '\'']).filter(|p| p.len() > 3).map(str::to_owned).collect();
        for part in std::iter::once(value).chain(parts).filter(|v| !v.is_empty()) {
            text = text.replace(&part, "(hidden)");
        }
    }
    text
}

/// The places of the literals to hide.
fn secrets(kind: &str, statement: &str) -> Vec<(usize, usize)> {
    let is_secret: fn(&str) -> bool = match kind {
        "USER MAPPING" => |name| !matches!(name, "user" | "username"),
        "SUBSCRIPTION" => |name| name == "connection",
        "FOREIGN DATA WRAPPER" | "SERVER" | "FOREIGN TABLE" | "ROLE" => sounds_secret,
        _ => return Vec::new(),
    };
    literals(statement).into_iter().filter(|(name, ..)| is_secret(name)).map(|(_, s, e)| (s, e)).collect()
}

fn sounds_secret(name: &str) -> bool {
    ["pass", "pwd", "secret", "token", "key", "cred", "private"].iter().any(|word| name.contains(word))
}

/// Every string literal with the word before it, in lower case and without quotes.
fn literals(statement: &str) -> Vec<(String, usize, usize)> {
    let bytes = statement.as_bytes();
    let (mut found, mut word, mut at) = (Vec::new(), String::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let escapes = byte == b'E' && bytes.get(at + 1) == Some(&b'\'');
        if byte == b'\'' || escapes {
            let start = at;
            at += if escapes { 2 } else { 1 };
            while let Some(&inside) = bytes.get(at) {
                let skipped =
                    escapes && inside == b'\\' || inside == b'\'' && bytes.get(at + 1) == Some(&b'\'');
                at += if skipped { 2 } else { 1 };
                if inside == b'\'' && !skipped {
                    break;
                }
            }
            found.push((std::mem::take(&mut word), start, at.min(bytes.len())));
        } else if byte == b'"' {
            let end = statement[at + 1..].find('"').map_or(bytes.len(), |n| at + 1 + n);
            word = statement[at + 1..end].to_lowercase();
            at = end + 1;
        } else if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            let end = statement[at..]
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .map_or(bytes.len(), |n| at + n)
                .max(at + 1);
            word = statement.get(at..end).unwrap_or_default().to_lowercase();
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_shows_only_its_user() {
        let sql = "CREATE USER MAPPING FOR \"E'x\" SERVER s OPTIONS (\n    \"user\" 'bob',\n    \"PassWord\" E'ge\\\\hei''m',\n    other 'x')";
        let shown = shown("USER MAPPING", sql);
        assert_eq!(
            shown,
            "CREATE USER MAPPING FOR \"E'x\" SERVER s OPTIONS (\n    \"user\" 'bob',\n    \"PassWord\" '(hidden)',\n    other '(hidden)')"
        );
        let told = without_secrets("USER MAPPING", sql, "invalid value ge\\hei'm".into());
        assert_eq!(told, "invalid value (hidden)");
    }

    #[test]
    fn servers_and_subscriptions() {
        let sql = "CREATE SERVER s OPTIONS (host 'h', api_key 'geheim')";
        assert_eq!(shown("SERVER", sql), "CREATE SERVER s OPTIONS (host 'h', api_key '(hidden)')");
        let sql =
            "CREATE SUBSCRIPTION s CONNECTION 'host=h password=geheim' PUBLICATION p WITH (slot_name = 's')";
        assert_eq!(
            shown("SUBSCRIPTION", sql),
            "CREATE SUBSCRIPTION s CONNECTION '(hidden)' PUBLICATION p WITH (slot_name = 's')"
        );
        let told = without_secrets("SUBSCRIPTION", sql, "missing \"=\" after \"geheim\"".into());
        assert_eq!(told, "missing \"=\" after \"(hidden)\"");
        assert_eq!(
            shown("TABLE", "CREATE TABLE t (a text DEFAULT 'x')"),
            "CREATE TABLE t (a text DEFAULT 'x')"
        );
    }

    #[test]
    fn odd_statements_end() {
        for odd in ["'", "E'", "E'\\", "\"", "ü'ü", "a'b''"] {
            assert!(!shown("USER MAPPING", odd).is_empty(), "{odd}");
        }
    }
}
