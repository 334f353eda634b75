//! The keywords of a connection string, with their environment variables, as libpq 18 lists them
//! (`PQconninfoOptions` in `src/interfaces/libpq/fe-connect.c`).
//!
//! Invariant: a setting is stored under a keyword of this table or not at all.

use std::collections::BTreeMap;

use super::{ConnInfoError, Environment};

/// Settings by keyword, before they are interpreted.
pub(super) type Settings = BTreeMap<&'static str, String>;

/// Keyword and the environment variable that stands in for it.
const KEYWORDS: &[(&str, Option<&str>)] = &[
    ("service", Some("PGSERVICE")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("passfile", Some("PGPASSFILE")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("port", Some("PGPORT")),
    ("client_encoding", Some("PGCLIENTENCODING")),
    ("options", Some("PGOPTIONS")),
    ("application_name", Some("PGAPPNAME")),
    ("fallback_application_name", None),
    ("keepalives", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("keepalives_count", None),
    ("tcp_user_timeout", None),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslcompression", Some("PGSSLCOMPRESSION")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslcertmode", Some("PGSSLCERTMODE")),
    ("sslpassword", None),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcrl", Some("PGSSLCRL")),
    ("sslcrldir", Some("PGSSLCRLDIR")),
    ("sslsni", Some("PGSSLSNI")),
    ("sslkeylogfile", None),
    ("requirepeer", Some("PGREQUIREPEER")),
    ("require_auth", Some("PGREQUIREAUTH")),
    ("min_protocol_version", Some("PGMINPROTOCOLVERSION")),
    ("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    ("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("krbsrvname", Some("PGKRBSRVNAME")),
    ("gsslib", Some("PGGSSLIB")),
    ("gssdelegation", Some("PGGSSDELEGATION")),
    ("replication", None),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("scram_client_key", None),
    ("scram_server_key", None),
    ("oauth_issuer", None),
    ("oauth_client_id", None),
    ("oauth_client_secret", None),
    ("oauth_scope", None),
];

/// The table's own spelling of `name`, if it is a keyword.
pub(super) fn keyword(name: &str) -> Option<&'static str> {
    KEYWORDS.iter().find(|(k, _)| *k == name).map(|(k, _)| *k)
}

/// Keywords whose settings came from the environment, and the variables.
pub(super) type Filled = BTreeMap<&'static str, &'static str>;

/// Fills what is not set from the environment; an empty variable counts as set, as in libpq.
pub(super) fn fill_from_environment(settings: &mut Settings, env: &Environment) -> Filled {
    let mut filled = Filled::new();
    for (keyword, variable) in KEYWORDS {
        if settings.contains_key(keyword) {
            continue;
        }
        if let Some((variable, value)) = variable.and_then(|v| Some((v, env.var(v)?))) {
            settings.insert(keyword, value.to_owned());
            filled.insert(keyword, variable);
        }
    }
    // The spelling of PostgreSQL 7 still stands for sslmode=require.
    if env.var("PGREQUIRESSL").is_some_and(|v| v.starts_with('1')) {
        settings.entry("sslmode").or_insert_with(|| "require".to_owned());
    }
    filled
}

/// Names the variable where the setting that cannot be used came from one.
pub(super) fn blame(error: ConnInfoError, settings: &Settings, filled: &Filled) -> ConnInfoError {
    let keyword = match &error {
        ConnInfoError::Value { keyword, .. } | ConnInfoError::Unsupported { keyword, .. } => keyword,
        ConnInfoError::Port => "port",
        _ => return error,
    };
    let Some(variable) = filled.get(keyword).copied() else { return error };
    let error = match error {
        // Of a string that is torn apart wrongly this might be a piece of a password; a variable holds nothing else.
        ConnInfoError::Port => ConnInfoError::Value {
            keyword: "port",
            value: settings.get("port").cloned().unwrap_or_default(),
            expected: Some("ports from 1 to 65535"),
        },
        error => error,
    };
    ConnInfoError::Variable { variable, error: Box::new(error) }
}

/// Refuses what was asked for and cannot be done; what is harmless without effect is left alone: `sslcompression`,
/// which libpq does not heed either, and `krbsrvname`, `gsslib` and `gssdelegation`, because a server that wants a GSSAPI
/// login is refused anyway. `requirepeer` is refused where the hosts are known, for it concerns sockets only.
pub(super) fn refuse_unsupported(settings: &Settings) -> Result<(), ConnInfoError> {
    let set = |k: &str| settings.get(k).is_some_and(|v| !v.is_empty());
    let refuse = |keyword, reason| Err(ConnInfoError::Unsupported { keyword, reason });
    if settings.get("gssencmode").is_some_and(|v| v == "require") {
        return refuse("gssencmode", Some("GSSAPI encryption is not available; use TLS"));
    }
    if settings
        .get("replication")
        .is_some_and(|v| !matches!(v.as_str(), "" | "0" | "false" | "off" | "no" | "f" | "n"))
    {
        return refuse(
            "replication",
            Some("give an ordinary connection; replication is set up by the program"),
        );
    }
    if set("sslpassword") {
        return refuse("sslpassword", Some("store the client key unencrypted, readable by its owner only"));
    }
    for keyword in ["sslcrl", "sslcrldir"] {
        if set(keyword) {
            return refuse(keyword, Some("revocation lists are not checked"));
        }
    }
    for keyword in ["sslkeylogfile", "scram_client_key", "scram_server_key"] {
        if set(keyword) {
            return refuse(keyword, None);
        }
    }
    for keyword in ["oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"] {
        if set(keyword) {
            return refuse(keyword, Some("OAuth logins are not available; use a password or a certificate"));
        }
    }
    match settings.get("min_protocol_version").map(String::as_str) {
        None | Some("" | "3.0") => Ok(()),
        Some(_) => refuse("min_protocol_version", Some("protocol 3.0 is spoken")),
    }
}
