//! The options whose values are words: TLS, authentication, choice of server.
//!
//! Invariant: a word that libpq would refuse is refused here, before any connection is tried.

use std::path::PathBuf;

use super::{ConnInfoError, Environment, keywords::Settings};

/// `sslmode`, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Plain first, TLS where the server refuses.
    Allow,
    /// TLS first, plain where that fails (the default).
    Prefer,
    /// TLS; the certificate is verified only where a root certificate file is present.
    Require,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// The same, and the certificate names the host.
    VerifyFull,
}

/// Where the trusted authorities are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCert {
    /// The operating system's (`sslrootcert=system`).
    System,
    /// A file; without it nothing is verified, and `verify-*` fails.
    File(PathBuf),
    /// No home directory to look in.
    Nowhere,
}

/// `sslcertmode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertMode {
    /// Send none.
    Disable,
    /// Send one if there is one (the default).
    Allow,
    /// Fail unless the server takes one.
    Require,
}

/// How TLS is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// `sslrootcert`
    pub root: RootCert,
    /// `sslcert`
    pub cert: Option<PathBuf>,
    /// `sslkey`
    pub key: Option<PathBuf>,
    /// `sslcertmode`
    pub cert_mode: CertMode,
    /// `sslnegotiation=direct`
    pub direct: bool,
    /// `sslsni`
    pub sni: bool,
    /// Whether TLS 1.2 may be used.
    pub allow_1_2: bool,
    /// Whether TLS 1.3 may be used.
    pub allow_1_3: bool,
}

/// `channel_binding`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where server and TLS offer it (the default).
    Prefer,
    /// Or no login.
    Require,
}

/// `target_session_attrs`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionAttrs {
    /// The first that lets us in.
    Any,
    /// Writable by default.
    ReadWrite,
    /// Read-only by default.
    ReadOnly,
    /// Not a standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby if there is one.
    PreferStandby,
}

/// `require_auth`: the methods by which the server may ask who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthMethods {
    /// `password`: in clear text.
    pub password: bool,
    /// `md5`
    pub md5: bool,
    /// `scram-sha-256`
    pub scram: bool,
    /// `none`: the server asks nothing (trust, peer, certificate).
    pub none: bool,
}

fn refused<T>(
    keyword: &'static str,
    value: &str,
    expected: Option<&'static str>,
) -> Result<T, ConnInfoError> {
    Err(ConnInfoError::Value { keyword, value: value.to_owned(), expected })
}

/// An integer option; `None` where it is absent or empty.
pub(super) fn integer(settings: &Settings, keyword: &'static str) -> Result<Option<i64>, ConnInfoError> {
    match settings.get(keyword).map(|v| v.trim()) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse::<i32>() {
            Ok(n) => Ok(Some(i64::from(n))),
            Err(_) => refused(keyword, text, Some("an integer")),
        },
    }
}

fn word<'a>(settings: &'a Settings, keyword: &str) -> Option<&'a str> {
    settings.get(keyword).map(String::as_str).filter(|v| !v.is_empty())
}

/// `sslmode` and everything that starts with `ssl`.
pub(super) fn tls(settings: &Settings, env: &Environment) -> Result<(SslMode, TlsOptions), ConnInfoError> {
    let own = |file: &str| env.home().map(|h| h.join(".postgresql").join(file));
    let root = match word(settings, "sslrootcert") {
        Some("system") => RootCert::System,
        Some(path) => RootCert::File(path.into()),
        None => own("root.crt").map_or(RootCert::Nowhere, RootCert::File),
    };
    let mode = match word(settings, "sslmode") {
        None if root == RootCert::System => SslMode::VerifyFull,
        None => SslMode::Prefer,
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(other) => {
            return refused(
                "sslmode",
                other,
                Some("disable, allow, prefer, require, verify-ca or verify-full"),
            );
        }
    };
    if root == RootCert::System && mode != SslMode::VerifyFull {
        return Err(ConnInfoError::Conflict(
            "this sslmode may not be used with sslrootcert=system (use \"verify-full\")",
        ));
    }
    let direct = match word(settings, "sslnegotiation") {
        None | Some("postgres") => false,
        Some("direct") if mode < SslMode::Require => {
            return Err(ConnInfoError::Conflict(
                "this sslmode may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\" or \"verify-full\")",
            ));
        }
        Some("direct") => true,
        Some(other) => return refused("sslnegotiation", other, Some("postgres or direct")),
    };
    let cert_mode = match word(settings, "sslcertmode") {
        None | Some("allow") => CertMode::Allow,
        Some("disable") => CertMode::Disable,
        Some("require") => CertMode::Require,
        Some(other) => return refused("sslcertmode", other, Some("disable, allow or require")),
    };
    let version = |keyword| match word(settings, keyword).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("tlsv1") => Ok(Some(10)),
        Some("tlsv1.1") => Ok(Some(11)),
        Some("tlsv1.2") => Ok(Some(12)),
        Some("tlsv1.3") => Ok(Some(13)),
        Some(other) => refused(keyword, other, Some("TLSv1.2 or TLSv1.3")),
    };
    let min = version("ssl_min_protocol_version")?.unwrap_or(12);
    let max = version("ssl_max_protocol_version")?.unwrap_or(13);
    if min > max {
        return Err(ConnInfoError::Conflict("invalid TLS protocol version range: minimum above maximum"));
    }
    if max < 12 {
        return Err(ConnInfoError::Unsupported {
            keyword: "ssl_max_protocol_version",
            reason: Some("TLS older than 1.2 is not spoken"),
        });
    }
    let tls = TlsOptions {
        root,
        cert: word(settings, "sslcert").map(PathBuf::from).or_else(|| own("postgresql.crt")),
        key: word(settings, "sslkey").map(PathBuf::from).or_else(|| own("postgresql.key")),
        cert_mode,
        direct,
        sni: word(settings, "sslsni") != Some("0"),
        allow_1_2: min <= 12,
        allow_1_3: max >= 13,
    };
    Ok((mode, tls))
}

/// `channel_binding`
pub(super) fn channel_binding(settings: &Settings) -> Result<ChannelBinding, ConnInfoError> {
    match word(settings, "channel_binding") {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some("require") => Ok(ChannelBinding::Require),
        Some(other) => refused("channel_binding", other, Some("disable, prefer or require")),
    }
}

/// `target_session_attrs`
pub(super) fn session_attrs(settings: &Settings) -> Result<SessionAttrs, ConnInfoError> {
    match word(settings, "target_session_attrs") {
        None | Some("any") => Ok(SessionAttrs::Any),
        Some("read-write") => Ok(SessionAttrs::ReadWrite),
        Some("read-only") => Ok(SessionAttrs::ReadOnly),
        Some("primary") => Ok(SessionAttrs::Primary),
        Some("standby") => Ok(SessionAttrs::Standby),
        Some("prefer-standby") => Ok(SessionAttrs::PreferStandby),
        Some(other) => refused(
            "target_session_attrs",
            other,
            Some("any, read-write, read-only, primary, standby or prefer-standby"),
        ),
    }
}

/// `load_balance_hosts`
pub(super) fn load_balance(settings: &Settings) -> Result<bool, ConnInfoError> {
    match word(settings, "load_balance_hosts") {
        None | Some("disable") => Ok(false),
        Some("random") => Ok(true),
        Some(other) => refused("load_balance_hosts", other, Some("disable or random")),
    }
}

/// `require_auth`: all wanted methods, or all unwanted ones each with a `!`.
pub(super) fn require_auth(settings: &Settings) -> Result<AuthMethods, ConnInfoError> {
    let Some(list) = word(settings, "require_auth") else {
        return Ok(AuthMethods { password: true, md5: true, scram: true, none: true });
    };
    let negated = list.trim_start().starts_with('!');
    let mut methods = AuthMethods { password: negated, md5: negated, scram: negated, none: negated };
    for item in list.split(',').map(str::trim) {
        let (name, not) = match item.strip_prefix('!') {
            Some(name) => (name, true),
            None => (item, false),
        };
        if not != negated {
            return Err(ConnInfoError::Conflict(
                "require_auth cannot mix wanted methods with unwanted (!) ones",
            ));
        }
        let flag = match name {
            "password" => &mut methods.password,
            "md5" => &mut methods.md5,
            "scram-sha-256" => &mut methods.scram,
            "none" => &mut methods.none,
            // Never spoken by this program, so never wanted and always avoided.
            "gss" | "sspi" | "oauth" if negated => continue,
            "gss" | "sspi" | "oauth" => continue,
            other => {
                return refused("require_auth", other, Some("password, md5, scram-sha-256 or none"));
            }
        };
        *flag = !negated;
    }
    let AuthMethods { password, md5, scram, none } = methods;
    if !(password || md5 || scram || none) {
        return Err(ConnInfoError::Unsupported {
            keyword: "require_auth",
            reason: Some("only password, md5, scram-sha-256 and none are available"),
        });
    }
    Ok(methods)
}
