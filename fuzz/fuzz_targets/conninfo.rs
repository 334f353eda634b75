//! Any connection string is read or refused, and what is read can be shown without its password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_migrator::pg::{ConnInfo, Environment};

fuzz_target!(|text: &str| {
    // Files belong to the machine, not to the string.
    if ["service", "passfile"].iter().any(|k| text.contains(k)) {
        return;
    }
    let env = Environment::new(&[], None, Some("somebody"));
    match ConnInfo::parse(text, &env) {
        Ok(info) => {
            assert!(!info.hosts.is_empty());
            let _ = info.display();
            let shown = format!("{info:?}");
            for password in info.hosts.iter().filter_map(|h| h.password.as_ref()) {
                let elsewhere = text.matches(password.expose()).count() > 1;
                // A short password may be part of any word.
                assert!(elsewhere || password.expose().len() < 16 || !shown.contains(password.expose()));
            }
        }
        Err(e) => drop((e.to_string(), format!("{e:?}"))),
    }
});
