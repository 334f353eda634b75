//! The connection string that the target is given to reach the source, and its secrets kept out of every message.
//!
//! Invariant: what the target is told is never weaker than what we were told (`sslmode`, channel binding, `require_auth`);
//! and [`RedactedConnInfo`] cannot be printed.

use std::fmt;

use crate::pg::conninfo::{AuthMethods, CertMode, ChannelBinding, Place, RootCert, SessionAttrs, SslMode};
use crate::pg::{ConnInfo, Environment};

/// A connection string for the target, with what must not be repeated of it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedactedConnInfo {
    text: String,
    /// Passwords in it; `None`: it is written in a way that only the target may understand.
    secrets: Option<Vec<String>>,
}

impl fmt::Debug for RedactedConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<connection string>")
    }
}

impl RedactedConnInfo {
    /// One that the operator wrote (`--subscription-conninfo`).
    pub fn given(text: &str) -> Self {
        // Not in this process's environment: it is the target that reads it.
        let read = ConnInfo::parse(text, &Environment::new(&[], None, Some("postgres")));
        let secrets = read.ok().map(|info| passwords(&info));
        RedactedConnInfo { text: text.to_owned(), secrets }
    }

    /// The text, for the statement that makes the subscription and nothing else.
    pub(super) fn expose(&self) -> &str {
        &self.text
    }

    /// `message` without the secrets; where they are not known, without anything.
    pub(super) fn redact(&self, message: &str) -> String {
        let Some(secrets) = &self.secrets else {
            return "(the server's message is not shown: it may repeat the connection string)".to_owned();
        };
        let mut out = message.replace(&self.text, "(connection string)");
        for secret in secrets.iter().filter(|s| !s.is_empty()) {
            out = out.replace(secret, "(hidden)");
            out = out.replace(&quoted(secret), "'(hidden)'");
        }
        out
    }
}

fn passwords(info: &ConnInfo) -> Vec<String> {
    let mut found: Vec<String> =
        info.hosts.iter().filter_map(|h| h.password.as_ref()).map(|p| p.expose().to_owned()).collect();
    found.sort();
    found.dedup();
    found
}

/// How the target shall reach the source: as we do, as far as that can be said to another machine. Files (certificates, keys, a password file) are
/// not named, they are ours; a password that we read is.
pub fn subscription_conninfo(source: &ConnInfo, target_version: u32) -> RedactedConnInfo {
    let mut out = Pairs::default();
    let hosts = &source.hosts;
    let all = |f: &dyn Fn(usize) -> String| (0..hosts.len()).map(f).collect::<Vec<_>>().join(",");
    let name = |i: usize| match &hosts[i].place {
        Place::Unix(folder) => folder.display().to_string(),
        Place::Name(name) => name.clone(),
        Place::Address(_) => hosts[i].name.clone(),
    };
    let address = |i: usize| match &hosts[i].place {
        Place::Address(address) => address.to_string(),
        _ => String::new(),
    };
    if (0..hosts.len()).any(|i| !name(i).is_empty()) {
        out.push("host", &all(&name));
    }
    if (0..hosts.len()).any(|i| !address(i).is_empty()) {
        out.push("hostaddr", &all(&address));
    }
    out.push("port", &all(&|i| hosts[i].port.to_string()));
    out.push("user", &source.user);
    out.push("dbname", &source.dbname);
    if let Some(password) = hosts.iter().find_map(|h| h.password.as_ref()) {
        out.push("password", password.expose());
    }
    if let Some(options) = &source.options {
        out.push("options", options);
    }
    out.push("connect_timeout", &source.connect_timeout.map_or(10, |t| t.as_secs().max(2)).to_string());
    out.push(
        "sslmode",
        match source.sslmode {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        },
    );
    if source.tls.root == RootCert::System {
        out.push("sslrootcert", "system");
    }
    if source.tls.direct && target_version >= 170_000 {
        out.push("sslnegotiation", "direct");
    }
    if source.tls.cert_mode == CertMode::Disable && target_version >= 160_000 {
        out.push("sslcertmode", "disable");
    }
    match source.channel_binding {
        ChannelBinding::Prefer => {}
        ChannelBinding::Disable => out.push("channel_binding", "disable"),
        ChannelBinding::Require => out.push("channel_binding", "require"),
    }
    if let Some(methods) = methods(source.require_auth) {
        out.push("require_auth", &methods);
    }
    match source.target_session_attrs {
        SessionAttrs::ReadWrite => out.push("target_session_attrs", "read-write"),
        SessionAttrs::Primary if target_version >= 140_000 => out.push("target_session_attrs", "primary"),
        // A standby cannot be what changes are streamed from; and the rest is the default.
        _ => {}
    }
    RedactedConnInfo { text: out.0, secrets: Some(passwords(source)) }
}

/// `require_auth` as it was asked for; `None`: any.
fn methods(wanted: AuthMethods) -> Option<String> {
    let all = [
        ("password", wanted.password),
        ("md5", wanted.md5),
        ("scram-sha-256", wanted.scram),
        ("none", wanted.none),
    ];
    let named: Vec<&str> = all.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    (named.len() < all.len()).then(|| named.join(","))
}

/// `keyword='value' …`
#[derive(Default)]
struct Pairs(String);

impl Pairs {
    fn push(&mut self, keyword: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(keyword);
        self.0.push('=');
        self.0.push_str(&quoted(value));
    }
}

/// A value as `conninfo_parse` in `fe-connect.c` reads it back.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_/,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ConnInfo {
        ConnInfo::parse(text, &Environment::new(&[], None, Some("me"))).unwrap()
    }

    fn rendered(text: &str) -> String {
        subscription_conninfo(&read(text), 180_000).text
    }

    #[test]
    fn the_target_reaches_the_source_as_we_do() {
        let cases = [
            "host=db.example.com dbname=app user=postgres",
            "host=a,b port=5433,5434 dbname='my db' user=o\\'neil password='it\\'s \\\\'",
            "host=db hostaddr=10.0.0.7 dbname=app sslmode=verify-full sslrootcert=system channel_binding=require",
            "postgresql://me:p%20w@[::1]:5555/app?require_auth=scram-sha-256&connect_timeout=3&target_session_attrs=read-write",
            "host=/run/postgresql dbname=app options='-c geqo=off'",
        ];
        let shown: Vec<String> = cases.iter().map(|c| rendered(c)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
host=db.example.com port=5432 user=postgres dbname=app connect_timeout=10 sslmode=prefer
host=a,b port=5433,5434 user='o\'neil' dbname='my db' password='it\'s \\' connect_timeout=10 sslmode=prefer
host=db hostaddr=10.0.0.7 port=5432 user=me dbname=app connect_timeout=10 sslmode=verify-full sslrootcert=system channel_binding=require
host='::1' port=5555 user=me dbname=app password='p w' connect_timeout=3 sslmode=prefer require_auth=scram-sha-256 target_session_attrs=read-write
host=/run/postgresql port=5432 user=me dbname=app options='-c geqo=off' connect_timeout=10 sslmode=prefer
");
        // What is rendered is read back as the same place.
        for case in cases {
            let (first, again) = (read(case), read(&rendered(case)));
            assert_eq!(
                (first.display(), &first.user, first.sslmode),
                (again.display(), &again.user, again.sslmode)
            );
            assert_eq!(first.hosts[0].password, again.hosts[0].password);
        }
    }

    #[test]
    fn options_that_the_target_does_not_know_are_left_out() {
        let info = read("host=db dbname=app sslmode=require sslnegotiation=direct sslcertmode=disable");
        assert!(
            subscription_conninfo(&info, 180_000).text.contains("sslnegotiation=direct sslcertmode=disable")
        );
        assert!(!subscription_conninfo(&info, 150_000).text.contains("sslnegotiation"));
        assert!(!subscription_conninfo(&info, 150_000).text.contains("sslcertmode"));
    }

    #[test]
    fn secrets_do_not_get_into_messages() {
        let info = RedactedConnInfo::given("host=db user=u password='hunter 2' dbname=app");
        let said = "invalid \"2\" in 'hunter 2' near host=db user=u password='hunter 2' dbname=app";
        assert_eq!(info.redact(said), "invalid \"2\" in '(hidden)' near (connection string)");
        assert_eq!(format!("{info:?}"), "<connection string>");
        // Not readable for us: nothing is repeated.
        let info = RedactedConnInfo::given("host=db password=hunter 2 sslcrl=x");
        assert!(!info.redact("missing \"=\" after \"hunter\"").contains("hunter"));
    }
}
