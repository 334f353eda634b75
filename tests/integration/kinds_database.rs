//! The database itself (`--create-database`) and the server's roles (`--roles`), on servers of the tests' own: both reach
//! beyond one database.

use crate::harness::{Cluster, Database, Options, assert_same, cluster, migrator, schema_dump};
use crate::moves::{assert_untouched_source, offline, pair_with};

/// Connection string to a database of this name, whether it is there or not.
fn conninfo(cluster: &Cluster, name: &str) -> String {
    format!("host=127.0.0.1 port={} user=postgres dbname='{name}'", cluster.port)
}

fn pg_dump_create(cluster: &Cluster, name: &str) -> String {
    let mut command = std::process::Command::new(crate::harness::tools("pg_dump"));
    let out = command.args(["--schema-only", "--create", "-d", &conninfo(cluster, name)]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let volatile = ["\\restrict ", "\\unrestrict ", "-- Dumped "];
    text.lines().filter(|l| !volatile.iter().any(|v| l.starts_with(v))).flat_map(|l| [l, "\n"]).collect()
}

const ROLES: &str = "CREATE ROLE db_owner; CREATE ROLE \"Us er\" LOGIN; CREATE ROLE reader;";

/// A database with everything that can be set on one, under the name `Data base`.
fn make_source(cluster: &Cluster, create: &str) {
    let maintenance = cluster.maintenance();
    maintenance.psql(ROLES);
    maintenance.psql(create);
    let inside = cluster.existing("Data base");
    inside.psql(
        "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT g, 'ä' || g FROM generate_series(1, 100) g;
         COMMENT ON DATABASE \"Data base\" IS 'it''s a database';
         ALTER DATABASE \"Data base\" SET search_path TO \"$user\", public, \"A b\";
         ALTER DATABASE \"Data base\" SET work_mem = '12MB'; ALTER DATABASE \"Data base\" SET app.key TO 'a, b=''c';
         ALTER ROLE \"Us er\" IN DATABASE \"Data base\" SET statement_timeout = '5s';
         ALTER ROLE \"Us er\" IN DATABASE \"Data base\" SET search_path = '';
         GRANT CONNECT, TEMPORARY ON DATABASE \"Data base\" TO \"Us er\" WITH GRANT OPTION;
         SET SESSION AUTHORIZATION \"Us er\"; GRANT CONNECT ON DATABASE \"Data base\" TO reader; RESET SESSION AUTHORIZATION;
         REVOKE ALL ON DATABASE \"Data base\" FROM PUBLIC; GRANT CREATE ON DATABASE \"Data base\" TO reader;
         ALTER DATABASE \"Data base\" CONNECTION LIMIT 17; ALTER DATABASE \"Data base\" OWNER TO db_owner",
    );
}

fn created(from: u32, to: u32, create: &str) {
    let (source, target) = (Cluster::start(from, &Options::new()), Cluster::start(to, &Options::new()));
    make_source(&source, create);
    target.maintenance().psql(ROLES);
    let (at, there) = (conninfo(&source, "Data base"), conninfo(&target, "Data base"));
    // Looking makes nothing.
    migrator(["check", "--source", &at, "--target", &there]).run().expect_code(4);
    migrator(["check", "--create-database", "--source", &at, "--target", &there]).ok();
    let databases = "SELECT count(*) FROM pg_database WHERE datname = 'Data base'";
    assert_eq!(target.maintenance().psql(databases), "0");
    offline(&at, &there).arg("--create-database").ok().expect_said(&["database \"Data base\" made"]);
    let (one, other) = (source.existing("Data base"), target.existing("Data base"));
    assert_same(&one, &other);
    if from == to {
        let diff = crate::harness::diff(
            &pg_dump_create(&source, "Data base"),
            &pg_dump_create(&target, "Data base"),
        );
        assert!(diff.is_empty(), "{diff}");
    }
    let properties = "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, \
           datacl, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database(); \
         SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase <> 0 ORDER BY 1";
    assert_eq!(one.psql(properties), other.psql(properties));
    assert_untouched_source(&one);
    // Again over itself, and with a database that is there.
    offline(&at, &there).args(["--create-database", "--drop-target-first"]).ok();
    assert_eq!(one.psql(properties), other.psql(properties));
}

#[test]
fn a_database_is_created_10_to_18() {
    created(
        10,
        18,
        "CREATE DATABASE \"Data base\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
    );
}

#[test]
fn a_database_is_created_15_to_15() {
    created(15, 15, "CREATE DATABASE \"Data base\" TEMPLATE template0 ENCODING 'LATIN9' LOCALE 'C'");
}

#[test]
fn a_database_is_created_18_to_18() {
    created(
        18,
        18,
        "CREATE DATABASE \"Data base\" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    );
}

#[test]
fn without_the_flag_what_is_set_on_the_database_is_only_told() {
    let pair = pair_with(15, 15, "CREATE TABLE t (a int)");
    let name = &pair.source.name;
    pair.source.psql(&format!(
        "ALTER DATABASE \"{name}\" SET work_mem = '7MB'; COMMENT ON DATABASE \"{name}\" IS 'x'"
    ));
    let args = ["check", "--source", &pair.source.conninfo(), "--target", &pair.target.conninfo()];
    migrator(args).ok().expect_said(&["database-properties", "work_mem", "its comment", "--create-database"]);
    pair.offline().ok();
    let settings = "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()";
    assert_eq!(pair.target.psql(settings), "0");
    assert!(!schema_dump(&pair.target).contains("work_mem"));
}

#[test]
fn a_role_that_may_not_create_databases_is_told_before() {
    let target = cluster(15);
    target.maintenance().psql(
        "DO $$ BEGIN CREATE ROLE no_creator LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    );
    let source = cluster(15).database("source");
    let there = format!("host=127.0.0.1 port={} user=no_creator dbname=never_made", target.port);
    let run = offline(&source.conninfo(), &there).arg("--create-database").run().expect_code(1);
    run.expect_said(&["target-no-createdb", "ALTER ROLE no_creator CREATEDB"]);
}

#[test]
fn a_database_is_created_online() {
    let (source, target) =
        (Cluster::start(16, &Options::online(16)), Cluster::start(17, &Options::online(17)));
    make_source(&source, "CREATE DATABASE \"Data base\"");
    let mut run = migrator(["--mode", "online", "--create-publication", "--create-database", "--roles"])
        .args(["--source", &conninfo(&source, "Data base"), "--target", &conninfo(&target, "Data base")])
        .spawn();
    run.wait_for("CaughtUp");
    source.existing("Data base").psql("INSERT INTO t VALUES (1000, 'late')");
    run.signal("INT");
    run.wait().expect_code(0);
    let other = target.existing("Data base");
    assert_eq!(other.psql("SELECT x FROM t WHERE id = 1000; SHOW work_mem"), "late\n12MB");
}

const MANY_ROLES: &str = "CREATE ROLE \"App Owner\" NOINHERIT CREATEROLE CREATEDB CONNECTION LIMIT 5;
    CREATE ROLE app_user LOGIN PASSWORD 'geheim' VALID UNTIL '2031-02-03 04:05:06+00';
    CREATE ROLE super_one SUPERUSER LOGIN; CREATE ROLE replicator REPLICATION LOGIN BYPASSRLS;
    CREATE ROLE member; CREATE ROLE there_already NOLOGIN; CREATE ROLE lone;
    COMMENT ON ROLE app_user IS 'it''s a user';
    ALTER ROLE app_user SET search_path TO \"$user\", \"S 1\"; ALTER ROLE app_user SET work_mem = '3MB'; ALTER ROLE app_user SET my.thing = 'a b';
    GRANT \"App Owner\" TO app_user WITH ADMIN OPTION; GRANT pg_monitor TO member; GRANT there_already TO member;
    GRANT member TO there_already_2; SET SESSION AUTHORIZATION app_user; GRANT \"App Owner\" TO member; RESET SESSION AUTHORIZATION";

/// What `pg_dumpall` says of roles and their memberships.
fn roles(cluster: &Cluster) -> String {
    let since_16 = if cluster.major >= 16 { ", inherit_option, set_option" } else { "" };
    cluster.maintenance().psql(&format!(
        "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, \
           rolconnlimit, rolvaliduntil AT TIME ZONE 'UTC', rolpassword, shobj_description(r.oid, 'pg_authid'), \
           (SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0) \
         FROM pg_authid r WHERE rolname !~ '^pg_' ORDER BY 1; \
         SELECT roleid::regrole::text, member::regrole::text, grantor::regrole::text, admin_option{since_16} FROM pg_auth_members \
         WHERE member::regrole::text !~ '^pg_' ORDER BY 1, 2, 3"
    ))
}

fn all_roles(from: u32, to: u32) {
    let (source, target) = (Cluster::start(from, &Options::new()), Cluster::start(to, &Options::new()));
    source.maintenance().psql(&format!("CREATE ROLE there_already_2; {MANY_ROLES}"));
    if from >= 16 {
        source.maintenance().psql(
            "GRANT \"App Owner\" TO lone WITH ADMIN OPTION, INHERIT FALSE, SET FALSE; GRANT member TO app_user WITH INHERIT TRUE",
        );
    }
    target.maintenance().psql("CREATE ROLE there_already LOGIN CREATEDB; CREATE ROLE there_already_2");
    let (one, other) = (source.database("one"), target.database("other"));
    one.psql("CREATE TABLE t (a int); ALTER TABLE t OWNER TO \"App Owner\"; GRANT SELECT ON t TO member");
    let run = offline(&one.conninfo(), &other.conninfo()).run().expect_code(1);
    run.expect_said(&["role-missing", "\"App Owner\""]);
    let run = migrator(["check", "--roles", "--source", &one.conninfo(), "--target", &other.conninfo()]).ok();
    run.expect_said(&["roles-created", "\"App Owner\""]);
    let run = offline(&one.conninfo(), &other.conninfo()).args(["--roles", "-vv"]).ok();
    assert!(!run.stderr.contains("SCRAM") && !run.stderr.contains("md5"), "{}", run.stderr);
    assert_same(&one, &other);
    // What was there stays as it was.
    let strip = |text: String| {
        text.lines().filter(|l| !l.starts_with("there_already|")).collect::<Vec<_>>().join("\n")
    };
    let (expected, found) = (strip(roles(&source)), strip(roles(&target)));
    if from >= 16 || to < 16 {
        let diff = crate::harness::diff(&expected, &found);
        assert!(diff.is_empty(), "{diff}");
    } else {
        let attributes = |text: &str| {
            text.lines().filter(|l| l.matches('|').count() > 8).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(attributes(&expected), attributes(&found));
        let count = "SELECT count(*) FROM pg_auth_members WHERE member::regrole::text !~ '^pg_'";
        assert_eq!(source.maintenance().psql(count), target.maintenance().psql(count));
    }
    let kept = "SELECT rolcanlogin, rolcreatedb FROM pg_roles WHERE rolname = 'there_already'";
    assert_eq!(target.maintenance().psql(kept), "t|t");
    // Nothing is made twice.
    offline(&one.conninfo(), &other.conninfo()).args(["--roles", "--drop-target-first"]).ok();
}

#[test]
fn roles_are_created_10_to_18() {
    all_roles(10, 18);
}

#[test]
fn roles_are_created_15_to_15() {
    all_roles(15, 15);
}

#[test]
fn roles_are_created_18_to_18() {
    all_roles(18, 18);
}

#[test]
fn roles_without_a_superuser_on_either_side() {
    let (source, target) = (Cluster::start(15, &Options::new()), Cluster::start(17, &Options::new()));
    source.maintenance().psql(&format!("CREATE ROLE there_already_2; {MANY_ROLES}; CREATE ROLE mover LOGIN"));
    target.maintenance().psql("CREATE ROLE mover LOGIN CREATEROLE; CREATE ROLE powerless LOGIN");
    let (one, other) = (source.database("one"), target.database("other"));
    one.psql("CREATE SCHEMA s AUTHORIZATION \"App Owner\"; CREATE TABLE s.t (a int); ALTER TABLE s.t OWNER TO \"App Owner\";
        GRANT USAGE ON SCHEMA s TO mover; GRANT SELECT ON s.t TO mover");
    other.psql(&format!("ALTER DATABASE \"{}\" OWNER TO mover", other.name));
    let by = |database: &Database<'_>, role: &str| database.conninfo_as(role, database.cluster.port);
    let args = ["--roles", "--include-schema", "s"];
    let run = offline(&by(&one, "mover"), &by(&other, "powerless")).args(args).run().expect_code(1);
    run.expect_said(&["target-no-createrole", "ALTER ROLE powerless CREATEROLE"]);
    let run = offline(&by(&one, "mover"), &by(&other, "mover")).args(args).ok();
    run.expect_said(&["without passwords", "role super_one", "SUPERUSER", "role replicator"]);
    let owner = "SELECT relowner::regrole FROM pg_class WHERE oid = 's.t'::regclass";
    assert_eq!(other.psql(owner), "\"App Owner\"");
    assert_eq!(target.maintenance().psql("SELECT rolsuper FROM pg_roles WHERE rolname = 'super_one'"), "f");
}
