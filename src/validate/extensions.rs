//! Extensions: what the source uses must be installed, or be there to install, on the target.

use super::facts::{Server, Target};
use super::finding::Finding;
use super::named;
use crate::error::Side;
use crate::schema::Schema;
use crate::schema::quote::quote_ident;

/// Extensions, from the model.
pub(super) fn judge(schema: &Schema, target: &Server, to: &Target, out: &mut Vec<Finding>) {
    for (extension, version) in named::extensions(schema) {
        let name = quote_ident(extension);
        let create = format!("CREATE EXTENSION {name};");
        let Some(available) = to.extensions.get(extension) else {
            out.push(
                Finding::error(
                    "extension-missing",
                    format!("extension {name} {} is not available on the target", version),
                )
                .on(Side::Target)
                .about(name.clone())
                .mend(successor(extension).unwrap_or(
                    "install its package on the target server (on a managed server: allow it in the provider's settings)",
                )),
            );
            continue;
        };
        if available.installed.is_none() && available.needs_superuser && !target.superuser {
            out.push(
                Finding::error(
                    "extension-needs-superuser",
                    format!(
                        "extension {name} can only be created by a superuser, and role {} is none",
                        quote_ident(&target.role)
                    ),
                )
                .on(Side::Target)
                .about(name.clone())
                .mend(format!("as a superuser, in database {}: {create}", quote_ident(&target.database))),
            );
        }
        let there = available.installed.as_ref().or(available.default_version.as_ref());
        if let Some(there) = there.filter(|v| *v != version) {
            let message =
                format!("extension {name} is version {} on the source and {there} on the target", version);
            let finding = if newer(there, version) {
                // What comes with a newer server, and is made to read what the older one wrote.
                Finding::notice("extension-version", message)
            } else {
                Finding::warning("extension-version", message).mend(format!(
                    "install a newer {name} on the target server, then, where it is created there already: ALTER EXTENSION {name} UPDATE;"
                ))
            };
            out.push(finding.on(Side::Target).about(name.clone()));
        }
    }
}

/// What to do about an extension that no newer server has.
fn successor(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "plpython2u" | "plpythonu" => {
            "Python 2 is gone from PostgreSQL 15 on: on the source, make its functions anew in plpython3u and DROP EXTENSION; or leave them out by --allow-restore-errors"
        }
        name if name.ends_with("_plpythonu") || name.ends_with("_plpython2u") => {
            "Python 2 is gone from PostgreSQL 15 on: use the transform for plpython3u on the source; or leave it out by --allow-restore-errors"
        }
        "adminpack" => {
            "it is gone from PostgreSQL 17 on, and only old versions of pgAdmin used it: DROP EXTENSION adminpack; -- on the source"
        }
        "old_snapshot" => {
            "it is gone from PostgreSQL 17 on, as what it looked at: DROP EXTENSION old_snapshot; -- on the source"
        }
        "chkpass" => "it is gone from PostgreSQL 11 on: use text and pgcrypto's crypt() on the source",
        _ => return None,
    })
}

/// Whether version `a` is known to come after `b`: numbers between dots, compared as numbers.
fn newer(a: &str, b: &str) -> bool {
    let numbers = |v: &str| v.split('.').map(|n| n.parse::<u32>().ok()).collect::<Option<Vec<u32>>>();
    matches!((numbers(a), numbers(b)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::super::facts::target::Available;
    use super::super::testing::{good_server, object, shown};
    use super::*;
    use crate::schema::{Definition, Extension};

    #[test]
    fn extensions() {
        let extension = |name: &str| object(name, Definition::Extension(Extension { version: "1.0".into() }));
        let schema = Schema {
            objects: ["plpgsql", "uuid-ossp", "postgis", "dblink", "old", "plpython2u"]
                .map(extension)
                .to_vec(),
            ..Schema::default()
        };
        let available = |installed: Option<&str>, default: &str, needs_superuser| Available {
            installed: installed.map(str::to_owned),
            default_version: Some(default.into()),
            needs_superuser,
        };
        let to = Target {
            extensions: [
                ("plpgsql".to_owned(), available(Some("1.0"), "1.1", true)),
                ("uuid-ossp".to_owned(), available(None, "1.1", false)),
                ("old".to_owned(), available(None, "0.9", false)),
                ("dblink".to_owned(), available(None, "1.0", true)),
            ]
            .into(),
            ..Target::default()
        };
        let ordinary = Server { superuser: false, ..good_server() };
        let mut out = Vec::new();
        judge(&schema, &ordinary, &to, &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Error extension-needs-superuser target [dblink]: extension dblink can only be created by a superuser, and role mover is none
    as a superuser, in database app: CREATE EXTENSION dblink;
Warning extension-version target [old]: extension old is version 1.0 on the source and 0.9 on the target
    install a newer old on the target server, then, where it is created there already: ALTER EXTENSION old UPDATE;
Error extension-missing target [plpython2u]: extension plpython2u 1.0 is not available on the target
    Python 2 is gone from PostgreSQL 15 on: on the source, make its functions anew in plpython3u and DROP EXTENSION; or leave them out by --allow-restore-errors
Error extension-missing target [postgis]: extension postgis 1.0 is not available on the target
    install its package on the target server (on a managed server: allow it in the provider's settings)
Notice extension-version target ["uuid-ossp"]: extension "uuid-ossp" is version 1.0 on the source and 1.1 on the target
"#);
    }
}
