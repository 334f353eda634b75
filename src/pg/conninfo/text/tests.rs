//! Both forms against what libpq makes of them (`src/interfaces/libpq/t/001_uri.pl` tells the same story).

use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    match parse(text) {
        Ok(settings) => settings.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join(" "),
        Err(e) => e.to_string(),
    }
}

#[test]
fn keywords_and_values() {
    for (text, expected) in [
        ("", ""),
        ("app", r#"dbname="app""#),
        ("host=a port = 5", r#"host="a" port="5""#),
        (r"password='it''s'", "missing \"=\""),
        (r"password='it\'s \\ x' user=u\ v\\", r#"password="it's \\ x" user="u v\\""#),
        ("password=''", r#"password="""#),
        ("host=a\thost=b\n", r#"host="b""#),
        ("user='a'port=1", r#"port="1" user="a""#),
        ("user=", r#"user="""#),
        ("user=é", r#"user="é""#),
    ] {
        assert!(shown(text).starts_with(expected), "{text}: {}", shown(text));
    }
    assert_eq!(parse("hots=a"), Err(ConnInfoError::UnknownKeyword("hots".into())));
    assert_eq!(parse("user='a"), Err(ConnInfoError::UnterminatedQuote));
    assert_eq!(parse(r"user='a\'"), Err(ConnInfoError::UnterminatedQuote));
    assert_eq!(parse("host=a é b"), Err(ConnInfoError::MissingEquals { position: 8 }));
    assert_eq!(parse("=a"), Err(ConnInfoError::UnknownKeyword(String::new())));
}

#[test]
fn uris() {
    for (text, expected) in [
        ("postgresql://", ""),
        ("postgres://host", r#"host="host""#),
        ("postgresql://host/", r#"host="host""#),
        (
            "postgresql://u:p%40w@host:12345/db?sslmode=require&connect_timeout=3",
            r#"connect_timeout="3" dbname="db" host="host" password="p@w" port="12345" sslmode="require" user="u""#,
        ),
        ("postgresql://u:@host", r#"host="host" user="u""#),
        ("postgresql://:p@host", r#"host="host" password="p""#),
        ("postgresql://u:p?a#b@host", r#"host="host" password="p?a#b" user="u""#),
        ("postgresql://h1:1,h2,h3:3/d", r#"dbname="d" host="h1,h2,h3" port="1,,3""#),
        ("postgresql://[::1]:5/d", r#"dbname="d" host="::1" port="5""#),
        ("postgresql://[2001:db8::1234],[::1]", r#"host="2001:db8::1234,::1" port=",""#),
        ("postgresql://%2Fvar%2Flib/d", r#"dbname="d" host="/var/lib""#),
        ("postgresql:///d?host=/tmp&port=6", r#"dbname="d" host="/tmp" port="6""#),
        ("postgresql://h?ssl=true", r#"host="h" sslmode="require""#),
        ("postgresql://h?", r#"host="h""#),
        ("postgresql://:7", r#"port="7""#),
        ("postgresql://h/a/b", r#"dbname="a/b" host="h""#),
        ("postgresql://h/d?options=-c%20a%3Db", r#"dbname="d" host="h" options="-c a=b""#),
        ("postgresql://@h", r#"host="h""#),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn bad_uris() {
    for (text, expected) in [
        ("postgresql://[::1", "closing"),
        ("postgresql://[]", "empty"),
        ("postgresql://[::1]x", "after the"),
        ("postgresql://h?user", "lacks its"),
        ("postgresql://h?user=a=b", "more than one"),
        ("postgresql://h?zzz=1", "invalid URI query parameter \"zzz\""),
        ("postgresql://h?ssl=1", "invalid URI query parameter \"ssl\""),
        ("postgresql://%", "hexadecimal"),
        ("postgresql://%1", "hexadecimal"),
        ("postgresql://%zz", "hexadecimal"),
        ("postgresql://%00", "%00"),
        ("postgresql://%ff", "UTF-8"),
        ("postgresql://u:s%3@h", "hexadecimal"),
    ] {
        assert!(shown(text).contains(expected), "{text}: {}", shown(text));
    }
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

fn encoded(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

proptest! {
    #[test]
    fn any_value_survives_quoting(user in ".{1,20}", password in ".{1,20}") {
        let text = format!("user={} password = {}", quoted(&user), quoted(&password));
        let settings = parse(&text).unwrap();
        prop_assert_eq!(&settings["user"], &user);
        prop_assert_eq!(&settings["password"], &password);
    }

    #[test]
    fn any_value_survives_encoding(
        user in "[^\0]{1,20}", password in "[^\0]{1,20}", db in "[^\0]{1,20}", app in "[^\0]{1,20}",
    ) {
        let text = format!(
            "postgresql://{}:{}@h:1/{}?application_name={}",
            encoded(&user), encoded(&password), encoded(&db), encoded(&app)
        );
        let settings = parse(&text).unwrap();
        prop_assert_eq!(&settings["user"], &user);
        prop_assert_eq!(&settings["password"], &password);
        prop_assert_eq!(&settings["dbname"], &db);
        prop_assert_eq!(&settings["application_name"], &app);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        let _ = parse(&text);
        let _ = parse(&format!("postgresql://{text}"));
        let _ = parse(&format!("host={text}"));
    }
}
