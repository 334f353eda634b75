//! A libpq connection string and its surroundings, read into plain values.
//!
//! Precedence is libpq's (`conninfo_add_defaults`): the string, then the service file, then `PG*` variables, then
//! defaults; the password file last. Invariant: what is read here can be acted on; nothing below looks at the
//! environment again, and no password is shown by `Debug` or `Display` of anything.

mod environment;
mod error;
mod files;
mod keywords;
mod options;
mod text;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use environment::Environment;
pub use error::ConnInfoError;
pub use options::{AuthMethods, CertMode, ChannelBinding, RootCert, SessionAttrs, SslMode, TlsOptions};

use super::secret::Secret;
use keywords::Settings;

/// How to reach one database and as whom.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// The servers to try, in order; never empty.
    pub hosts: Vec<Host>,
    /// Role to log in as.
    pub user: String,
    /// Database.
    pub dbname: String,
    /// Command-line options for the server session.
    pub options: Option<String>,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
    /// Limit on one attempt at one address; `None`: wait as long as the operating system does.
    pub connect_timeout: Option<Duration>,
    /// TCP keepalives; `None`: off.
    pub keepalives: Option<Keepalives>,
    /// `tcp_user_timeout`; `None`: the system's.
    pub tcp_user_timeout: Option<Duration>,
    /// TLS or not.
    pub sslmode: SslMode,
    /// How TLS is done.
    pub tls: TlsOptions,
    /// `channel_binding`
    pub channel_binding: ChannelBinding,
    /// `require_auth`
    pub require_auth: AuthMethods,
    /// `target_session_attrs`
    pub target_session_attrs: SessionAttrs,
    /// `load_balance_hosts=random`
    pub load_balance: bool,
}

/// One server of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Where it listens.
    pub place: Place,
    /// The name to verify a certificate against and to show; empty when only `hostaddr` was given.
    pub name: String,
    /// TCP port, and the number in the socket's file name.
    pub port: u16,
    /// The password for it.
    pub password: Option<Secret>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a directory, or `@…` in the abstract namespace.
    Unix(PathBuf),
    /// At a name to be resolved.
    Name(String),
    /// At an address (`hostaddr`).
    Address(IpAddr),
}

/// TCP keepalive times; `None` is the system's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalives {
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Probes before giving up.
    pub count: Option<u32>,
}

impl ConnInfo {
    /// Reads `text` in `env`; also reads the service and password files where these apply.
    pub fn parse(text: &str, env: &Environment) -> Result<Self, ConnInfoError> {
        let mut settings = text::parse(text)?;
        let service = settings.get("service").cloned().or_else(|| env.var("PGSERVICE").map(str::to_owned));
        if let Some(service) = service.filter(|s| !s.is_empty()) {
            files::fill_from_service(&mut settings, &service, env)?;
        }
        let filled = keywords::fill_from_environment(&mut settings, env);
        keywords::refuse_unsupported(&settings)
            .and_then(|()| Self::interpret(&settings, env))
            .map_err(|e| keywords::blame(e, &settings, &filled))
    }

    fn interpret(settings: &Settings, env: &Environment) -> Result<Self, ConnInfoError> {
        let text = |k: &str| settings.get(k).filter(|v| !v.is_empty());
        let user = text("user").cloned().or_else(|| env.user().map(str::to_owned));
        let user = user.ok_or(ConnInfoError::NoUser)?;
        let dbname = text("dbname").cloned().unwrap_or_else(|| user.clone());
        let mut hosts = hosts(settings)?;
        if text("requirepeer").is_some() && hosts.iter().any(|h| matches!(h.place, Place::Unix(_))) {
            let reason =
                Some("who owns a server's socket is not looked at; use sslmode=verify-full over TCP");
            return Err(ConnInfoError::Unsupported { keyword: "requirepeer", reason });
        }
        match text("password") {
            Some(password) => {
                hosts.iter_mut().for_each(|h| h.password = Some(Secret::new(password.as_str())));
            }
            None => {
                let path = text("passfile").map(PathBuf::from);
                let path = path.or_else(|| env.home().map(|h| h.join(".pgpass")));
                let file = path.and_then(|p| files::PasswordFile::open(&p));
                for host in hosts.iter_mut() {
                    let name = host.passfile_name();
                    host.password = file.as_ref().and_then(|f| f.lookup(&name, host.port, &dbname, &user));
                }
            }
        }
        let (sslmode, tls) = options::tls(settings, env)?;
        let seconds = |k| -> Result<Option<Duration>, ConnInfoError> {
            Ok(options::integer(settings, k)?
                .filter(|n| *n > 0)
                .map(|n| Duration::from_secs(n.unsigned_abs())))
        };
        let keepalives = match options::integer(settings, "keepalives")? {
            Some(0) => None,
            _ => Some(Keepalives {
                idle: seconds("keepalives_idle")?,
                interval: seconds("keepalives_interval")?,
                count: options::integer(settings, "keepalives_count")?
                    .and_then(|n| u32::try_from(n).ok())
                    .filter(|n| *n > 0),
            }),
        };
        Ok(ConnInfo {
            hosts,
            dbname,
            user,
            options: text("options").cloned(),
            application_name: text("application_name")
                .or_else(|| text("fallback_application_name"))
                .cloned()
                .unwrap_or_else(|| "pg_migrator".to_owned()),
            connect_timeout: seconds("connect_timeout")?,
            keepalives,
            tcp_user_timeout: options::integer(settings, "tcp_user_timeout")?
                .filter(|n| *n > 0)
                .map(|n| Duration::from_millis(n.unsigned_abs())),
            sslmode,
            tls,
            channel_binding: options::channel_binding(settings)?,
            require_auth: options::require_auth(settings)?,
            target_session_attrs: options::session_attrs(settings)?,
            load_balance: options::load_balance(settings)?,
        })
    }

    /// `host:port/database`, every host of the list; no user, no secret.
    pub fn display(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::display).collect();
        format!("{}/{}", hosts.join(","), self.dbname)
    }
}

impl Host {
    /// `host:port`; brackets around an IPv6 address.
    pub fn display(&self) -> String {
        let shown = match &self.place {
            Place::Unix(dir) => dir.display().to_string(),
            Place::Name(name) => name.clone(),
            Place::Address(address) if self.name.is_empty() => address.to_string(),
            Place::Address(_) => self.name.clone(),
        };
        if shown.contains(':') {
            format!("[{shown}]:{}", self.port)
        } else {
            format!("{shown}:{}", self.port)
        }
    }

    /// The name a password file lists it under: the default socket directory goes by `localhost`.
    fn passfile_name(&self) -> String {
        match &self.place {
            Place::Unix(dir) if DEFAULT_SOCKET_DIRS.iter().any(|d| Path::new(d) == dir) => {
                "localhost".to_owned()
            }
            Place::Unix(dir) => dir.display().to_string(),
            Place::Name(name) => name.clone(),
            Place::Address(address) if self.name.is_empty() => address.to_string(),
            Place::Address(_) => self.name.clone(),
        }
    }
}

/// Where servers put their socket when nobody says otherwise: Debian's choice, then PostgreSQL's own.
const DEFAULT_SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Pairs up `host`, `hostaddr` and `port` (`pqConnectOptions2`).
fn hosts(settings: &Settings) -> Result<Vec<Host>, ConnInfoError> {
    let list = |k: &str| -> Option<Vec<&str>> {
        settings.get(k).filter(|v| !v.is_empty()).map(|v| v.split(',').map(str::trim).collect())
    };
    let (names, addresses) = (list("host"), list("hostaddr"));
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    if let (Some(names), Some(addresses)) = (&names, &addresses)
        && names.len() != addresses.len()
    {
        return Err(ConnInfoError::Counts {
            items: addresses.len(),
            what: "hostaddr values",
            hosts: names.len(),
        });
    }
    let ports = list("port").unwrap_or_else(|| vec![""]);
    if ports.len() != 1 && ports.len() != count {
        return Err(ConnInfoError::Counts { items: ports.len(), what: "port numbers", hosts: count });
    }
    let mut hosts = Vec::with_capacity(count);
    for i in 0..count {
        let port = match *ports.get(i).unwrap_or(&ports[0]) {
            "" => 5432,
            text => text.parse().ok().filter(|p| *p > 0).ok_or(ConnInfoError::Port)?,
        };
        let name = names.as_ref().map_or("", |n| n[i]);
        let place = match addresses.as_ref().map_or("", |a| a[i]) {
            "" if name.starts_with(['/', '@']) => Place::Unix(name.into()),
            "" if name.is_empty() => Place::Unix(default_socket_dir(port)),
            "" => Place::Name(name.to_owned()),
            address => Place::Address(address.parse().map_err(|_| ConnInfoError::Value {
                keyword: "hostaddr",
                value: address.to_owned(),
                expected: Some("a numeric IP address"),
            })?),
        };
        hosts.push(Host { place, name: name.to_owned(), port, password: None });
    }
    Ok(hosts)
}

/// The first default directory that holds a socket of this port, or the first there is.
fn default_socket_dir(port: u16) -> PathBuf {
    let has = |dir: &&&str| Path::new(dir).join(format!(".s.PGSQL.{port}")).exists();
    let dirs = &DEFAULT_SOCKET_DIRS;
    dirs.iter().find(has).or_else(|| dirs.iter().find(|d| Path::new(d).is_dir())).unwrap_or(&dirs[0]).into()
}

#[cfg(test)]
mod tests;
