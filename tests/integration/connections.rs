//! Connections to real servers: TLS in all its modes, every login method, host lists, and what is said when it fails.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pg_migrator::error::Side;
use pg_migrator::pg::{ConnInfo, ConnectError, Environment, Server, Session, Wire};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::harness::{Cluster, Options, cluster};

const PASSWORD: &str = "pÄss wörd'\\";

fn server_in(text: &str, env: &Environment) -> Server {
    Server::new(Side::Source, ConnInfo::parse(text, env).unwrap())
}

/// Connects without any surroundings; whatever fails, the password is in no error.
async fn connect(text: &str) -> Result<Session, ConnectError> {
    let server = server_in(text, &Environment::new(&[], None, Some("nobody")));
    let result = server.connect().await;
    if let Err(e) = &result {
        for shown in [e.to_string(), format!("{e:?} {server:?}")] {
            assert!(!shown.contains(PASSWORD) && !shown.contains("pÄss"), "{shown}");
        }
    }
    result
}

#[track_caller]
fn said(result: Result<Session, ConnectError>, sqlstate: Option<&str>, texts: &[&str]) {
    let e = result.map(|_| ()).expect_err("a refusal");
    assert_eq!(e.sqlstate.as_deref(), sqlstate, "{e}");
    for text in texts {
        assert!(e.to_string().contains(text), "never said {text:?}: {e}");
    }
}

/// Role, whether TLS is on, and its version.
async fn whoami(session: &Session) -> (String, bool, String) {
    let sql = "SELECT current_user::text AS u, ssl, coalesce(version, '') AS v FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
    let rows = session.query("asking who we are", sql).await.unwrap();
    (rows[0].get("u").unwrap(), rows[0].get("ssl").unwrap(), rows[0].get("v").unwrap())
}

/// A server with TLS on and one role per way to log in, and the files of its clients.
struct Tls {
    server: Cluster,
    files: PathBuf,
}

impl Tls {
    fn get() -> &'static Tls {
        static SHARED: OnceLock<Tls> = OnceLock::new();
        SHARED.get_or_init(Tls::start)
    }

    fn start() -> Tls {
        // A P-384 authority: its signatures use SHA-384, and so does the channel binding.
        let authority = Authority::new("authority");
        let (server_cert, server_key) = authority.issue("ignored", &["localhost", "db.example"]);
        let options = Options::new()
            .set("ssl", "on")
            .set("ssl_ca_file", "ca.crt")
            .file("ca.crt", &authority.pem)
            .file("server.crt", &server_cert)
            .file("server.key", &server_key)
            .hba("hostssl all scram all scram-sha-256")
            .hba("hostnossl all scram all reject")
            .hba("host all md5 all md5")
            .hba("host all clear all password")
            .hba("hostssl all certified all cert")
            .hba("hostssl all tls_only all trust")
            .hba("hostnossl all tls_only all reject")
            .hba("hostnossl all plain_only all trust")
            .hba("hostssl all plain_only all reject")
            .hba("host all outsider all reject");
        let server = Cluster::start(18, &options);
        let quoted = PASSWORD.replace('\'', "''");
        server.maintenance().psql(&format!(
            "CREATE ROLE scram LOGIN PASSWORD '{quoted}'; CREATE ROLE clear LOGIN PASSWORD '{quoted}';
             SET password_encryption = 'md5'; SET md5_password_warnings = off;
             CREATE ROLE md5 LOGIN PASSWORD '{quoted}';
             CREATE ROLE certified LOGIN; CREATE ROLE tls_only LOGIN; CREATE ROLE plain_only LOGIN;
             CREATE ROLE outsider LOGIN; CREATE ROLE full LOGIN CONNECTION LIMIT 0;
             CREATE DATABASE closed; REVOKE CONNECT ON DATABASE closed FROM public;"
        ));
        let files = server.new_folder("client");
        let write = |name: &str, text: &str| {
            std::fs::write(files.join(name), text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(files.join(name), mode).unwrap();
        };
        let (cert, key) = authority.issue("certified", &[]);
        write("ca.crt", &authority.pem);
        write("client.crt", &cert);
        write("client.key", &key);
        write("other.crt", &Authority::new("somebody else").pem);
        write("server.crt", &server_cert);
        write("garbage.crt", "no certificate");
        write("version_one.crt", include_str!("../fixtures/version_one.crt"));
        write("version_one.key", include_str!("../fixtures/version_one.key"));
        Tls { server, files }
    }

    /// A connection string to `127.0.0.1` under the name `host`.
    fn at(&self, host: &str, user: &str, more: &str) -> String {
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
        let password = if ["scram", "md5", "clear"].contains(&user) {
            format!("password='{password}'")
        } else {
            String::new()
        };
        format!(
            "host={host} hostaddr=127.0.0.1 port={} dbname=postgres user={user} {password} {more}",
            self.server.port
        )
    }

    fn file(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }
}

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key, in PEM.
    fn issue(&self, common_name: &str, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn tls_is_used_as_sslmode_says() {
    let tls = Tls::get();
    for (mode, encrypted) in [
        ("disable", false),
        ("allow", false),
        ("prefer", true),
        ("require", true),
        ("require sslnegotiation=direct", true),
    ] {
        let session = connect(&tls.at("localhost", "postgres", &format!("sslmode={mode}"))).await.unwrap();
        assert_eq!(whoami(&session).await.1, encrypted, "{mode}");
    }
    for (user, mode, encrypted) in
        [("tls_only", "allow", true), ("plain_only", "prefer", false), ("tls_only", "prefer", true)]
    {
        let session = connect(&tls.at("localhost", user, &format!("sslmode={mode}"))).await.unwrap();
        assert_eq!(whoami(&session).await.1, encrypted, "{user} {mode}: falls back");
    }
    for (user, mode) in [("tls_only", "disable"), ("plain_only", "require")] {
        said(
            connect(&tls.at("localhost", user, &format!("sslmode={mode}"))).await,
            Some("28000"),
            &["pg_hba.conf"],
        );
    }
    for (limits, version) in
        [("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"), ("ssl_min_protocol_version=TLSv1.3", "TLSv1.3")]
    {
        let session =
            connect(&tls.at("localhost", "postgres", &format!("sslmode=require {limits}"))).await.unwrap();
        assert_eq!(whoami(&session).await.2, version);
    }
    let no_tls = cluster(18).maintenance().conninfo();
    said(connect(&format!("{no_tls} sslmode=require")).await, None, &["does not support TLS", "sslmode"]);
    assert!(connect(&format!("{no_tls} sslmode=prefer")).await.is_ok(), "falls back on the same socket");
}

#[tokio::test]
async fn certificates_are_verified() {
    let tls = Tls::get();
    let (ca, other) = (tls.file("ca.crt"), tls.file("other.crt"));
    let try_it = |host: &str, more: String| {
        let text = tls.at(host, "postgres", &more);
        async move { connect(&text).await }
    };
    for host in ["localhost", "db.example", "DB.example"] {
        assert!(try_it(host, format!("sslmode=verify-full sslrootcert={ca}")).await.is_ok(), "{host}");
    }
    let result = try_it("wrong.example", format!("sslmode=verify-full sslrootcert={ca}")).await;
    said(result, None, &["not for host \"wrong.example\"", "verify-ca"]);
    assert!(try_it("wrong.example", format!("sslmode=verify-ca sslrootcert={ca}")).await.is_ok());
    assert!(try_it("wrong.example", format!("sslmode=require sslrootcert={ca}")).await.is_ok());
    for mode in ["verify-ca", "verify-full", "require"] {
        let result = try_it("localhost", format!("sslmode={mode} sslrootcert={other}")).await;
        said(result, None, &["not signed by a trusted authority", "sslrootcert"]);
    }
    assert!(try_it("localhost", "sslmode=require sslrootcert=/nowhere".to_owned()).await.is_ok());
    let result = try_it("localhost", "sslmode=verify-ca sslrootcert=/nowhere".to_owned()).await;
    said(result, None, &["/nowhere does not exist"]);
    said(try_it("localhost", "sslmode=verify-full".to_owned()).await, None, &["sslrootcert"]);
    let garbage = tls.file("garbage.crt");
    let result = try_it("localhost", format!("sslmode=verify-ca sslrootcert={garbage}")).await;
    said(result, None, &["no certificate in file"]);
    // The server's own certificate, listed as trusted.
    let own = tls.file("server.crt");
    assert!(try_it("localhost", format!("sslmode=verify-full sslrootcert={own}")).await.is_ok());
    let result = try_it("localhost", "sslrootcert=system".to_owned()).await;
    said(result, None, &["trusted"]);
    let nameless = format!(
        "hostaddr=127.0.0.1 port={} user=postgres sslmode=verify-full sslrootcert={ca}",
        tls.server.port
    );
    said(connect(&nameless).await, None, &["host name must be specified"]);
    // The home directory's root.crt turns require into verify-ca.
    let home = tls.server.new_folder("home");
    std::fs::create_dir_all(home.join(".postgresql")).unwrap();
    std::fs::copy(other, home.join(".postgresql/root.crt")).unwrap();
    let env = Environment::new(&[("PGSSLMODE", "require")], Some(&home), None);
    let result = server_in(&tls.at("localhost", "postgres", ""), &env).connect().await;
    said(result, None, &["not signed by a trusted authority"]);
}

#[tokio::test]
async fn client_certificates_log_in() {
    let tls = Tls::get();
    let (cert, key) = (tls.file("client.crt"), tls.file("client.key"));
    let both = format!("sslmode=require sslcert={cert} sslkey={key}");
    let session = connect(&tls.at("localhost", "certified", &both)).await;
    assert_eq!(whoami(&session.unwrap()).await.0, "certified");
    let result = connect(&tls.at("localhost", "certified", "sslmode=require")).await;
    said(result, Some("28000"), &["certificate"]);
    let result = connect(&tls.at("localhost", "certified", &format!("{both} sslcertmode=disable"))).await;
    said(result, Some("28000"), &["certificate"]);
    let result = connect(&tls.at("localhost", "certified", &format!("sslmode=require sslcert={cert}"))).await;
    said(result, None, &["private key file"]);
    let old = ["crt", "key"].map(|end| tls.file(&format!("version_one.{end}")));
    let old = format!("sslmode=require sslcert={} sslkey={}", old[0], old[1]);
    let result = connect(&tls.at("localhost", "certified", &old)).await;
    said(result, None, &["version 1 of X.509", "issue it anew"]);
    let open = tls.server.socket_dir().join("open.key");
    std::fs::copy(&key, &open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let open = format!("sslmode=require sslcert={cert} sslkey={}", open.display());
    said(connect(&tls.at("localhost", "certified", &open)).await, None, &["group or world access"]);
    let result = connect(&tls.at("localhost", "postgres", "sslmode=require sslcertmode=require")).await;
    said(result, None, &["sslcertmode=require"]);
}

#[tokio::test]
async fn passwords_log_in_by_every_method() {
    let tls = Tls::get();
    for user in ["scram", "md5", "clear"] {
        let session = connect(&tls.at("localhost", user, "")).await.unwrap();
        assert_eq!(whoami(&session).await.0, user);
    }
    // Bound to the TLS channel, with TLS 1.3 and 1.2.
    for more in ["", "ssl_max_protocol_version=TLSv1.2"] {
        let text = tls.at("localhost", "scram", &format!("sslmode=require channel_binding=require {more}"));
        assert!(connect(&text).await.is_ok(), "{more}");
    }
    assert!(connect(&tls.at("localhost", "scram", "channel_binding=disable")).await.is_ok());
    for user in ["md5", "clear", "tls_only"] {
        let result = connect(&tls.at("localhost", user, "sslmode=require channel_binding=require")).await;
        said(result, None, &["channel_binding=require"]);
    }
    for (user, methods, fine) in [
        ("scram", "scram-sha-256", true),
        ("scram", "md5,password", false),
        ("md5", "!md5", false),
        ("clear", "!password", false),
        ("clear", "password", true),
        ("tls_only", "none", true),
        ("tls_only", "!none", false),
    ] {
        let result =
            connect(&tls.at("localhost", user, &format!("sslmode=require require_auth={methods}"))).await;
        match fine {
            true => assert!(result.is_ok(), "{user} {methods}: {:?}", result.err()),
            false => said(result, None, &["require_auth forbids"]),
        }
    }
    let wrong = |user: &str| {
        format!("host=127.0.0.1 port={} dbname=postgres user={user} password=wrong", tls.server.port)
    };
    for user in ["scram", "md5", "clear"] {
        said(
            connect(&wrong(user)).await,
            Some("28P01"),
            &["password authentication failed", "check the password"],
        );
    }
    let none = format!("host=127.0.0.1 port={} dbname=postgres user=scram", tls.server.port);
    said(connect(&none).await, None, &["asks for a password", "PGPASSWORD"]);
}

#[tokio::test]
async fn passwords_and_services_come_from_files() {
    let tls = Tls::get();
    let home = tls.server.new_folder("files");
    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    std::fs::write(home.join(".pgpass"), format!("127.0.0.1:{}:*:md5:{escaped}\n", tls.server.port)).unwrap();
    std::fs::set_permissions(home.join(".pgpass"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let service = format!("[here]\nhost=127.0.0.1\nport={}\nuser=md5\ndbname=postgres\n", tls.server.port);
    std::fs::write(home.join(".pg_service.conf"), service).unwrap();
    let env = |variables: &[(&str, &str)], home: Option<&Path>| Environment::new(variables, home, None);
    let session = server_in("service=here", &env(&[], Some(&home))).connect().await.unwrap();
    assert_eq!(whoami(&session).await.0, "md5");
    let file = home.join(".pg_service.conf").display().to_string();
    let variables = [("PGSERVICEFILE", file.as_str()), ("PGSERVICE", "here"), ("PGPASSWORD", PASSWORD)];
    assert!(server_in("application_name=x", &env(&variables, None)).connect().await.is_ok());
}

#[tokio::test]
async fn sockets_options_and_settings() {
    let server = cluster(18);
    let text =
        format!("host={} port={} user=postgres dbname=postgres", server.socket_dir().display(), server.port);
    // A unix socket does no TLS, whatever sslmode says.
    let session = connect(&format!("{text} sslmode=require options='-c work_mem=7MB'")).await.unwrap();
    let setting = async |session: &Session, name: &str| -> String {
        let sql = format!("SELECT pg_catalog.current_setting('{name}') AS v");
        session.query("reading a setting", &sql).await.unwrap()[0].get("v").unwrap()
    };
    assert_eq!(setting(&session, "work_mem").await, "7MB");
    assert_eq!(setting(&session, "application_name").await, "pg_migrator");
    assert_eq!(setting(&session, "search_path").await, "\"\"");
    assert_eq!(setting(&session, "transaction_timeout").await, "0");
    let named = connect(&format!("{text} application_name=mine")).await.unwrap();
    assert_eq!(setting(&named, "application_name").await, "mine");
    let uri = format!(
        "postgresql://postgres@{}:{}/postgres",
        server.socket_dir().display().to_string().replace('/', "%2F"),
        server.port
    );
    assert!(connect(&uri).await.is_ok());
    for major in [10, 13] {
        let session = connect(&cluster(major).maintenance().conninfo()).await.unwrap();
        assert_eq!(session.version() / 10_000, major);
    }
}

#[tokio::test]
async fn the_first_server_of_the_wanted_kind_is_taken() {
    let standby = Cluster::start(18, &Options::new().file("standby.signal", ""));
    // 13 does not report its kind at login; it has to be asked.
    let read_only = Cluster::start(13, &Options::new().set("default_transaction_read_only", "on"));
    let primary = cluster(13);
    let ports = format!("1,{},{},{}", standby.port, read_only.port, primary.port);
    let text =
        format!("host=127.0.0.1,127.0.0.1,127.0.0.1,127.0.0.1 port={ports} user=postgres dbname=postgres");
    for (attrs, expected) in [
        ("any", standby.port),
        ("read-write", primary.port),
        ("read-only", standby.port),
        ("primary", read_only.port),
        ("standby", standby.port),
        ("prefer-standby", standby.port),
    ] {
        let session = connect(&format!("{text} target_session_attrs={attrs}")).await.unwrap();
        let sql = "SELECT pg_catalog.current_setting('port')::int4 AS p";
        let port: i32 = session.query("asking", sql).await.unwrap()[0].get("p").unwrap();
        assert_eq!(port, i32::from(expected), "{attrs}");
    }
    let alone = primary.maintenance().conninfo();
    said(connect(&format!("{alone} target_session_attrs=standby")).await, None, &["not in hot standby"]);
    assert!(connect(&format!("{alone} target_session_attrs=prefer-standby")).await.is_ok());
    let standby = standby.maintenance().conninfo();
    said(connect(&format!("{standby} target_session_attrs=primary")).await, None, &["hot standby mode"]);
    said(connect(&format!("{standby} target_session_attrs=read-write")).await, None, &["read-only"]);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let tls = Tls::get();
    let at = |user: &str, more: &str| tls.at("localhost", user, more);
    said(
        connect(&at("postgres", "dbname=nowhere")).await,
        Some("3D000"),
        &["nowhere", "create the database"],
    );
    said(connect(&at("missing", "")).await, Some("28000"), &["missing", "create the role"]);
    said(connect(&at("outsider", "")).await, Some("28000"), &["pg_hba.conf", "reload"]);
    said(connect(&at("full", "")).await, Some("53300"), &["--jobs"]);
    said(connect(&at("tls_only", "dbname=closed")).await, Some("42501"), &["GRANT CONNECT"]);
    said(connect("host=127.0.0.1 port=1").await, None, &["127.0.0.1:1", "refused"]);
    said(connect("host=no-such-host.invalid").await, None, &["cannot be resolved"]);
    said(connect("host=/nowhere").await, None, &["no such socket"]);
    // Every host tried is told of.
    said(connect("host=127.0.0.1,/nowhere port=1,2").await, None, &["127.0.0.1:1: ", "/nowhere:2: "]);
    // A server that says no ends the search, as in libpq.
    let text = format!(
        "host=localhost,127.0.0.1 hostaddr=127.0.0.1,127.0.0.1 port={0},{0} user=missing",
        tls.server.port
    );
    let refused = connect(&text).await.map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused.matches("does not exist").count(), 1, "{refused}");
}

/// A listener that answers every connection with these bytes and then says nothing more.
fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(bytes);
            open.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn strange_servers() {
    for mode in ["disable", "prefer", "require", "require sslnegotiation=direct"] {
        let port = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let result = connect(&format!("host=127.0.0.1 port={port} sslmode={mode}")).await;
        said(
            result,
            None,
            &[if mode.contains("direct") {
                "does not speak TLS"
            } else {
                "does not speak the PostgreSQL protocol"
            }],
        );
    }
    let silent = answering(b"");
    let started = Instant::now();
    let result = connect(&format!("host=127.0.0.1 port={silent} connect_timeout=1")).await;
    said(result, None, &["no answer within 1 s", "connect_timeout"]);
    assert!(started.elapsed() < Duration::from_secs(4));
    // A server that is starting up is passed over for the next one.
    let starting = answering(b"E\0\0\0\x30SFATAL\0C57P03\0Mthe database is starting up\0\0");
    let next = cluster(18);
    let text = format!(
        "host=127.0.0.1,127.0.0.1 port={starting},{} user=postgres dbname=postgres sslmode=disable",
        next.port
    );
    assert!(connect(&text).await.is_ok());
    let result = connect(&format!("host=127.0.0.1 port={starting} sslmode=disable")).await;
    said(result, Some("57P03"), &["starting up", "wait"]);
    // A length that lies, and a hang-up.
    let liar = answering(b"R\x7f\xff\xff\xff\0\0\0\0");
    said(connect(&format!("host=127.0.0.1 port={liar} sslmode=disable")).await, None, &["does not speak"]);
}

/// A TLS stream gives its bytes by records of 16 kB at most; who sleeps between reads ([`pg_migrator`]'s receiver) must get more than one.
#[tokio::test]
async fn what_waits_is_read_at_once_over_tls() {
    const RECORD: usize = 16 * 1024;
    let text = Tls::get().at("localhost", "postgres", "sslmode=require");
    let server = server_in(&text, &Environment::new(&[], None, Some("nobody")));
    let mut wire = server.connect_wire("UTF8").await.unwrap();
    let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 8000)";
    wire.send(&Wire::query_message(sql)).await.unwrap();
    let (mut all, mut most) = (0, 0);
    while all < 8_000_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let came = wire.fill_available(64 * 1024, 256 * 1024).await.unwrap();
        wire.buffer_mut().clear();
        (all, most) = (all + came, most.max(came));
    }
    assert!(most > 4 * RECORD, "at most {most} bytes at once");
}

#[test]
fn rows_move_over_tls_on_both_sides() {
    let tls = Tls::get();
    let (source, target) = (tls.server.database("source"), tls.server.database("target"));
    source.psql(
        "CREATE TABLE many (id int PRIMARY KEY, t text); INSERT INTO many SELECT n, md5(n::text) FROM generate_series(1, 200000) n;
         CREATE TABLE wide (id int PRIMARY KEY, b bytea);
         INSERT INTO wide SELECT n, decode(repeat(md5(n::text), 300000), 'hex') FROM generate_series(1, 3) n;
         SELECT lo_from_bytea(4711, decode(repeat('ab', 500000), 'hex'));",
    );
    let at = |database: &crate::harness::Database| {
        let more = format!("dbname={} sslmode=verify-full sslrootcert={}", database.name, tls.file("ca.crt"));
        tls.at("localhost", "postgres", &more)
    };
    crate::moves::offline(&at(&source), &at(&target)).ok();
    crate::harness::assert_same(&source, &target);
}
