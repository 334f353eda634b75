//! The two files libpq reads beside the connection string: services and passwords.
//!
//! Invariant: a password is taken only from a file that nobody else can read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{
    ConnInfoError, Environment,
    keywords::{Settings, keyword},
};
use crate::pg::secret::Secret;

/// Fills what is not set from the service `name` (libpq's `parseServiceInfo`): `PGSERVICEFILE` or
/// `~/.pg_service.conf`, then `pg_service.conf` in `PGSYSCONFDIR`.
pub(super) fn fill_from_service(
    settings: &mut Settings,
    name: &str,
    env: &Environment,
) -> Result<(), ConnInfoError> {
    let own = env.var("PGSERVICEFILE").map(PathBuf::from);
    let own = own.or_else(|| env.home().map(|h| h.join(".pg_service.conf")));
    let system =
        PathBuf::from(env.var("PGSYSCONFDIR").unwrap_or("/etc/postgresql-common")).join("pg_service.conf");
    let mut looked = Vec::new();
    for path in own.into_iter().chain([system]) {
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // The one asked for by name must be there.
                if env.var("PGSERVICEFILE") == Some(shown.as_str()) {
                    return Err(ConnInfoError::ServiceFile { path: shown, reason: "not found".to_owned() });
                }
                looked.push(shown);
                continue;
            }
            Err(e) => return Err(ConnInfoError::ServiceFile { path: shown, reason: e.to_string() }),
        };
        match read_service(&text, name) {
            Ok(Some(found)) => {
                for (keyword, value) in found {
                    settings.entry(keyword).or_insert(value);
                }
                return Ok(());
            }
            Ok(None) => looked.push(shown),
            Err(reason) => return Err(ConnInfoError::ServiceFile { path: shown, reason }),
        }
    }
    Err(ConnInfoError::NoService(name.to_owned(), looked.join(" and ")))
}

/// The settings of the group `[name]`; `None` where there is no such group. The first mention of a keyword wins.
fn read_service(text: &str, name: &str) -> Result<Option<Settings>, String> {
    let mut found: Option<Settings> = None;
    for (number, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found.is_some() {
                break;
            }
            if line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) == Some(name) {
                found = Some(Settings::new());
            }
            continue;
        }
        let Some(settings) = &mut found else { continue };
        let (key, value) = line.split_once('=').ok_or(format!("syntax error in line {number}"))?;
        match keyword(key) {
            Some("service") => return Err(format!("nested service specification in line {number}")),
            Some(key) => settings.entry(key).or_insert_with(|| value.to_owned()),
            None => return Err(format!("unknown keyword in line {number}")),
        };
    }
    Ok(found)
}

/// The passwords of a password file, for looking up once per host.
pub(super) struct PasswordFile(String);

impl PasswordFile {
    /// Reads the file; `None`, with a warning where libpq warns, when there is nothing that may be used.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        if !meta.is_file() {
            tracing::warn!("password file {} is not a plain file, ignored", path.display());
            return None;
        }
        if meta.mode() & 0o077 != 0 {
            tracing::warn!(
                "password file {} has group or world access, ignored: permissions should be u=rw (0600) or less",
                path.display()
            );
            return None;
        }
        std::fs::read_to_string(path).ok().map(PasswordFile)
    }

    /// The password for this connection; `host` is `localhost` for the default socket directory.
    pub(super) fn lookup(&self, host: &str, port: u16, dbname: &str, user: &str) -> Option<Secret> {
        let port = port.to_string();
        self.0.lines().filter(|l| !l.starts_with('#')).find_map(|line| {
            let mut rest = line;
            for wanted in [host, &port, dbname, user] {
                let (field, after) = take_field(rest)?;
                if !(field.raw == "*" || field.text == wanted) {
                    return None;
                }
                rest = after;
            }
            let password = unescape(rest);
            (!password.is_empty()).then(|| Secret::new(password))
        })
    }
}

struct Field<'a> {
    raw: &'a str,
    text: String,
}

/// The field before the next unescaped colon, and what follows the colon.
fn take_field(line: &str) -> Option<(Field<'_>, &str)> {
    let mut escaped = false;
    for (i, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((Field { raw: &line[..i], text: unescape(&line[..i]) }, &line[i + 1..])),
            _ => {}
        }
    }
    None
}

/// Drops the backslash before each escaped character.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next().or(Some('\\')) } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_fills_what_is_not_set() {
        let text = "# c\n[a]\nhost=ha\n\n[b]\nhost=hb\nhost=second\nport=7\n[b]\nport=8\n";
        let found = read_service(text, "b").unwrap().unwrap();
        assert_eq!(found["host"], "hb");
        assert_eq!(found["port"], "7");
        assert_eq!(read_service(text, "c"), Ok(None));
        assert!(read_service("[a]\nhots=x", "a").unwrap_err().contains("line 2"));
        assert!(read_service("[a]\nservice=x", "a").unwrap_err().contains("nested"));
        assert!(read_service("[a]\nhost", "a").unwrap_err().contains("syntax"));
    }

    #[test]
    fn password_lines_match_field_by_field() {
        let file = PasswordFile(
            "#h:1:d:u:no\nh\\:1:*:d:u:a\\:b\\\\c\nother:5432:*:*:p2\n*:*:*:u3:p3\n*:*:*:u5:\n".into(),
        );
        let get = |h, p, d, u| file.lookup(h, p, d, u).map(|s| s.expose().to_owned());
        assert_eq!(get("h:1", 9, "d", "u").as_deref(), Some("a:b\\c"));
        assert_eq!(get("other", 5432, "x", "y").as_deref(), Some("p2"));
        assert_eq!(get("other", 5433, "x", "y"), None);
        assert_eq!(get("any", 1, "x", "u3").as_deref(), Some("p3"));
        assert_eq!(get("any", 1, "x", "u5"), None);
    }
}
