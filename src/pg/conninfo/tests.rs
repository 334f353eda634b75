//! Whole connection strings in made-up surroundings.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn env(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables, None, Some("osuser"))
}

fn read(text: &str) -> Result<ConnInfo, ConnInfoError> {
    ConnInfo::parse(text, &env(&[]))
}

fn refusal(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn defaults() {
    let info = read("host=h").unwrap();
    assert_eq!(info.display(), "h:5432/osuser");
    assert_eq!(info.user, "osuser");
    assert_eq!(info.application_name, "pg_migrator");
    assert_eq!(info.sslmode, SslMode::Prefer);
    assert_eq!(info.connect_timeout, None);
    assert_eq!(info.keepalives, Some(Keepalives::default()));
    assert_eq!(info.tls.root, RootCert::Nowhere);
    let nobody = ConnInfo::parse("host=h", &Environment::default());
    assert_eq!(nobody.unwrap_err(), ConnInfoError::NoUser);
}

#[test]
fn the_string_wins_over_the_environment() {
    let env = env(&[
        ("PGHOST", "eh"),
        ("PGPORT", "7"),
        ("PGUSER", "eu"),
        ("PGDATABASE", "ed"),
        ("PGPASSWORD", "ep"),
        ("PGAPPNAME", "ea"),
        ("PGSSLMODE", "disable"),
        ("PGCONNECT_TIMEOUT", "9"),
        ("PGOPTIONS", "-c x=y"),
    ]);
    let info = ConnInfo::parse("user=u", &env).unwrap();
    assert_eq!(info.display(), "eh:7/ed");
    assert_eq!((info.user.as_str(), info.application_name.as_str()), ("u", "ea"));
    assert_eq!(info.sslmode, SslMode::Disable);
    assert_eq!(info.connect_timeout, Some(Duration::from_secs(9)));
    assert_eq!(info.options.as_deref(), Some("-c x=y"));
    assert_eq!(info.hosts[0].password, Some(Secret::new("ep")));
    let required = Environment::new(&[("PGREQUIRESSL", "1")], None, Some("u"));
    assert_eq!(ConnInfo::parse("", &required).unwrap().sslmode, SslMode::Require);
}

#[test]
fn hosts_addresses_and_ports_pair_up() {
    let hosts = |text: &str| read(text).map(|i| i.display());
    assert_eq!(hosts("host=a,b port=1,2 dbname=d").unwrap(), "a:1,b:2/d");
    assert_eq!(hosts("host=a,b port=9 dbname=d").unwrap(), "a:9,b:9/d");
    assert_eq!(hosts("host=a,b port=,2 dbname=d").unwrap(), "a:5432,b:2/d");
    assert_eq!(hosts("hostaddr=::1 dbname=d").unwrap(), "[::1]:5432/d");
    assert_eq!(hosts("host=/run/x port=3 dbname=d").unwrap(), "/run/x:3/d");
    assert_eq!(hosts("host=n hostaddr=127.0.0.1 dbname=d").unwrap(), "n:5432/d");
    assert_eq!(refusal("host=a,b port=1,2,3"), "could not match 3 port numbers to 2 hosts");
    assert_eq!(refusal("host=a,b hostaddr=127.0.0.1"), "could not match 1 hostaddr values to 2 hosts");
    assert!(refusal("hostaddr=localhost").contains("numeric IP address"));
    for port in ["0", "65536", "x", "-1", "1 "] {
        assert!(refusal(&format!("host=a port='{port},'")).contains("could not match"));
    }
    for port in ["0", "65536", "x", "-1"] {
        assert!(refusal(&format!("host=a port={port}")).contains("invalid port number"));
    }
    let local = read("dbname=d").unwrap();
    assert!(
        matches!(&local.hosts[0].place, Place::Unix(dir) if DEFAULT_SOCKET_DIRS.iter().any(|d| Path::new(d) == dir))
    );
}

#[test]
fn words_are_checked() {
    for text in [
        "sslmode=on",
        "sslnegotiation=x",
        "sslcertmode=x",
        "channel_binding=x",
        "target_session_attrs=x",
        "load_balance_hosts=x",
        "require_auth=x",
        "ssl_min_protocol_version=x",
        "connect_timeout=soon",
        "keepalives=x",
    ] {
        let keyword = text.split('=').next().unwrap();
        assert!(refusal(text).contains(&format!("connection option \"{keyword}\"")), "{}", refusal(text));
    }
    for (text, expected) in [
        ("sslrootcert=system sslmode=require", "sslrootcert=system"),
        ("sslnegotiation=direct", "sslnegotiation=direct"),
        ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "range"),
        ("ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1", "not supported"),
        ("require_auth=md5,!none", "mix"),
        ("require_auth=gss", "not supported"),
        ("gssencmode=require", "not supported"),
        ("replication=database", "not supported"),
        ("sslpassword=x", "not supported"),
        ("sslcrl=/x", "not supported"),
        ("oauth_issuer=x", "not supported"),
        ("host=/tmp requirepeer=postgres", "\"requirepeer\""),
        ("host=h,@x requirepeer=postgres", "\"requirepeer\""),
    ] {
        assert!(refusal(text).contains(expected), "{text}: {}", refusal(text));
    }
    let system = read("sslrootcert=system").unwrap();
    assert_eq!((system.sslmode, system.tls.root), (SslMode::VerifyFull, RootCert::System));
    let some = read("require_auth=scram-sha-256,md5").unwrap().require_auth;
    assert_eq!(some, AuthMethods { password: false, md5: true, scram: true, none: false });
    let not = read("require_auth=!password,!none").unwrap().require_auth;
    assert_eq!(not, AuthMethods { password: false, md5: true, scram: true, none: false });
    for harmless in [
        "gssencmode=prefer",
        "krbsrvname=x",
        "replication=false",
        "client_encoding=auto",
        "host=h requirepeer=postgres", // libpq heeds it on sockets only
    ] {
        assert!(read(harmless).is_ok(), "{harmless}");
    }
}

#[test]
fn keepalives_and_timeouts() {
    let info = read(
        "keepalives_idle=3 keepalives_interval=0 keepalives_count=5 tcp_user_timeout=1500 connect_timeout=0",
    )
    .unwrap();
    let expected = Keepalives { idle: Some(Duration::from_secs(3)), interval: None, count: Some(5) };
    assert_eq!(info.keepalives, Some(expected));
    assert_eq!(info.tcp_user_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(info.connect_timeout, None);
    assert_eq!(read("keepalives=0").unwrap().keepalives, None);
}

#[test]
fn a_service_stands_between_string_and_environment() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join(".pg_service.conf");
    std::fs::write(&own, "[one]\nhost=sh\nport=8\nuser=su\n").unwrap();
    std::fs::write(dir.path().join("pg_service.conf"), "[two]\nhost=system\n").unwrap();
    let system = dir.path().to_str().unwrap();
    let make = |more: &[(&str, &str)]| {
        let all = [&[("PGPORT", "1"), ("PGDATABASE", "ed"), ("PGSYSCONFDIR", system)], more].concat();
        Environment::new(&all, Some(dir.path()), Some("osuser"))
    };
    let info = ConnInfo::parse("service=one user=u", &make(&[])).unwrap();
    assert_eq!((info.display().as_str(), info.user.as_str()), ("sh:8/ed", "u"));
    assert_eq!(ConnInfo::parse("", &make(&[("PGSERVICE", "one")])).unwrap().display(), "sh:8/ed");
    assert_eq!(ConnInfo::parse("postgresql://?service=two", &make(&[])).unwrap().display(), "system:1/ed");
    let missing = ConnInfo::parse("service=three", &make(&[])).unwrap_err();
    assert!(missing.to_string().contains("\"three\" not found"), "{missing}");
    let gone = ConnInfo::parse("service=one", &make(&[("PGSERVICEFILE", "/nowhere/x")])).unwrap_err();
    assert!(matches!(gone, ConnInfoError::ServiceFile { .. }), "{gone}");
}

#[test]
fn passwords_come_from_a_private_file_per_host() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".pgpass");
    std::fs::write(&file, "a:1:*:u:pa\nb:*:*:u:pb\nlocalhost:5:*:*:local\n/sock:*:*:*:sock\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let env = Environment::new(&[], Some(dir.path()), Some("osuser"));
    let passwords = |text: &str| -> Vec<Option<String>> {
        let info = ConnInfo::parse(text, &env).unwrap();
        info.hosts.iter().map(|h| h.password.as_ref().map(|p| p.expose().to_owned())).collect()
    };
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(passwords("host=a,b,c port=1 user=u"), [some("pa"), some("pb"), None]);
    assert_eq!(passwords("host=/sock"), [some("sock")]);
    assert_eq!(passwords("host=/tmp port=5"), [some("local")]);
    assert_eq!(passwords("host=a port=1 user=u password=given"), [some("given")]);
    let moved = dir.path().join("elsewhere");
    std::fs::rename(&file, &moved).unwrap();
    assert_eq!(passwords("host=b user=u"), [None]);
    assert_eq!(passwords(&format!("host=b user=u passfile={}", moved.display())), [some("pb")]);
    std::fs::set_permissions(&moved, PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(
        passwords(&format!("host=b user=u passfile={}", moved.display())),
        [None],
        "readable by others"
    );
}

#[test]
fn no_password_is_ever_shown() {
    let secret = "hunter2secret";
    let env = env(&[("PGPASSWORD", secret)]);
    let good =
        [format!("host=h password={secret}"), format!("postgresql://u:{secret}@h/d"), "host=h".to_owned()];
    for text in good {
        let info = ConnInfo::parse(&text, &env).unwrap();
        assert_eq!(info.hosts[0].password, Some(Secret::new(secret)));
        for shown in [format!("{info:?}"), info.display(), format!("{env:?}")] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    for text in [
        format!("host=h password=a {secret}"),
        format!("host=h password='{secret}"),
        format!("postgresql://u:a/{secret}@h/d"),
        format!("postgresql://u:{secret}/x@h/d"),
        format!("postgresql://u:{secret}%@h/d"),
        format!("postgresql://h?password={secret}=x"),
        format!("postgresql://h?{secret}"),
    ] {
        let error = ConnInfo::parse(&text, &env).unwrap_err();
        for shown in [format!("{error:?}"), error.to_string()] {
            assert!(!shown.contains(secret), "{text}: {shown}");
        }
    }
}
