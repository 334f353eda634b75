//! What a connection string leaves to its surroundings: variables, home directory, operating system user.
//!
//! Invariant: read once, passed down as data, never changed; tests make their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The surroundings a connection string is read in.
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, String>,
    home: Option<PathBuf>,
    user: Option<String>,
}

impl std::fmt::Debug for Environment {
    /// Names only: `PGPASSWORD` is among the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("home", &self.home)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// This process's own.
    pub fn of_process() -> Self {
        let variables: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let account = Account::of_process();
        let home = variables
            .get("HOME")
            .filter(|h| !h.is_empty())
            .map(PathBuf::from)
            .or_else(|| account.as_ref().map(|a| a.home.clone()));
        Environment { variables, home, user: account.map(|a| a.name) }
    }

    /// One made by hand.
    pub fn new(variables: &[(&str, &str)], home: Option<&Path>, user: Option<&str>) -> Self {
        Environment {
            variables: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            home: home.map(Path::to_owned),
            user: user.map(str::to_owned),
        }
    }

    /// A variable's value.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The home directory.
    pub(super) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The operating system's name for the user.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

/// The entry of this process's user in the account database.
struct Account {
    name: String,
    home: PathBuf,
}

impl Account {
    /// Read from `/etc/passwd`: accounts kept elsewhere (LDAP) fall back on `$USER`.
    fn of_process() -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        // The effective user id, without a call into C: the owner of this process's own entry in /proc.
        let uid = std::fs::metadata("/proc/self").ok().map(|m| m.uid());
        let listed = uid.and_then(|uid| {
            let text = std::fs::read_to_string("/etc/passwd").ok()?;
            text.lines().find_map(|line| {
                let mut fields = line.split(':');
                let (name, id) = (fields.next()?, fields.nth(1)?);
                let home = fields.nth(2)?;
                (id.parse() == Ok(uid)).then(|| Account { name: name.to_owned(), home: home.into() })
            })
        });
        listed.or_else(|| {
            let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok()?;
            Some(Account { home: std::env::var_os("HOME").unwrap_or_default().into(), name })
        })
    }
}
