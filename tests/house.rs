//! The house rules, checked from the sources alone: who may import whom, how long a file may grow, what must be at
//! its top, and what may be linked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file may have this many lines.
const LINES: usize = 500;

/// The floor that a module of the crate stands on; it may import only from lower ones. Rooms share a floor.
fn floor(module: &str) -> u32 {
    match module {
        "error" | "lsn" => 0,
        "config" | "progress" => 1,
        "schema" => 2,
        "pg" => 3,
        "journal" => 4,
        "validate" | "snapshot" | "dump" | "restore" | "stream" | "cutover" | "verify" => 5,
        "migration" => 6,
        "bench" => 7,
        "cli" => 8,
        "lib" | "main" => 9,
        other => panic!("src/{other} is new: give it a floor in tests/house.rs"),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for path in entries.map(|e| e.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The module path of a file of `src`: `src/pg/tls.rs` → `["pg", "tls"]`, `src/pg/mod.rs` → `["pg"]`.
fn module_of(path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut parts: Vec<String> = relative.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|p| p == "mod") {
        parts.pop();
    }
    parts
}

/// The lines of a file that are code and not its tests, with line numbers; comments cut off.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(n, line)| {
            // A `//` inside a string cuts too much, which can only hide the rest of that line.
            (n, line.split("//").next().unwrap_or_default())
        })
        .collect()
}

/// The first names after `crate::` in a text, groups opened: `crate::{a::b, c}` → a, c.
fn crate_paths(text: &str) -> Vec<String> {
    let name = |s: &str| -> String {
        s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(name(&std::mem::take(&mut item))),
                _ if depth == 0 => item.push(c),
                _ => {}
            }
        }
        found.push(name(&item));
    }
    found.retain(|n| !n.is_empty());
    found
}

/// Names of the crate's root that `super::super::…` chains of a module of this depth reach.
fn super_paths(text: &str, depth: usize) -> Vec<String> {
    let climb = "super::".repeat(depth);
    let mut found = Vec::new();
    for (at, _) in text.match_indices(&climb) {
        if !text[..at].ends_with("super::") {
            found.extend(crate_paths(&format!("crate::{}", &text[at + climb.len()..])).into_iter().take(1));
        }
    }
    found
}

#[test]
fn modules_import_downwards_only() {
    let mut wrong = Vec::new();
    for path in sources("src") {
        let module = module_of(&path);
        if module == ["main"] || module == ["lib"] {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let body: String = code(&text).iter().flat_map(|(_, line)| [line, "\n"]).collect();
        let ours = &module[0];
        let mut used = crate_paths(&body);
        used.extend(super_paths(&body, module.len()));
        for other in used.into_iter().filter(|o| o != ours && o != "super" && o != "self") {
            // A name at the root that is no module is an item re-exported by lib.rs: only the top may use those.
            let is_module = ["", ".rs"].iter().any(|e| root().join(format!("src/{other}{e}")).exists());
            if !is_module || floor(&other) >= floor(ours) {
                wrong.push(format!("{}: {ours} must not import {other}", shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies point down only:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_outgrows_its_limit() {
    let files = ["src", "tests", "benches", "examples"].into_iter().flat_map(sources);
    let wrong: Vec<String> = files
        .map(|path| (std::fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, path)| format!("{}: {lines} lines", shown(&path)))
        .collect();
    assert!(wrong.is_empty(), "more than {LINES} lines:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = ["src", "tests", "benches", "examples"].into_iter().flat_map(sources);
    let wrong: Vec<String> = files
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//! "))
        .map(|path| shown(&path))
        .collect();
    assert!(wrong.is_empty(), "no header comment (//!):\n{}", wrong.join("\n"));
}

#[test]
fn nothing_unwraps_outside_tests() {
    let mut wrong = Vec::new();
    for path in sources("src") {
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (n, line) in code(&text) {
            if [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!("]
                .iter()
                .any(|w| line.contains(w))
            {
                wrong.push(format!("{}:{n}: {}", shown(&path), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "may panic:\n{}", wrong.join("\n"));
}

/// The strings of one list of deny.toml.
fn deny_list(key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let start = text.find(&format!("\n{key} = [")).unwrap_or_else(|| panic!("deny.toml has no {key}"));
    let list = text[start..].split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be satisfied from this list.
fn licence_fits(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim();
    // Split at the operators that stand outside parentheses, the weakest first.
    for (operator, all) in [(" OR ", false), ("/", false), (" AND ", true)] {
        let mut depth = 0;
        let mut parts = vec![String::new()];
        let mut rest = expression;
        while let Some(c) = rest.chars().next() {
            if depth == 0 && rest.starts_with(operator) {
                parts.push(String::new());
                rest = &rest[operator.len()..];
                continue;
            }
            depth += i32::from(c == '(') - i32::from(c == ')');
            parts.last_mut().unwrap().push(c);
            rest = &rest[c.len_utf8()..];
        }
        if parts.len() > 1 {
            let mut fits = parts.iter().map(|p| licence_fits(p, allowed));
            return if all { fits.all(|f| f) } else { fits.any(|f| f) };
        }
    }
    match expression.strip_prefix('(').and_then(|e| e.strip_suffix(')')) {
        Some(inner) => licence_fits(inner, allowed),
        None => allowed.iter().any(|a| a == expression),
    }
}

#[test]
fn dependencies_are_from_the_registry_and_under_allowed_licences() {
    let out = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let allowed = deny_list("allow");
    let single = deny_list("deny");
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = text("name");
        let source = text("source");
        if name != env!("CARGO_PKG_NAME") && source != "registry+https://github.com/rust-lang/crates.io-index"
        {
            wrong.push(format!("{name}: comes from {source:?}, not from crates.io"));
        }
        if !licence_fits(text("license"), &allowed) {
            wrong.push(format!("{name}: licence {:?} is not in deny.toml", text("license")));
        }
        versions.entry(name).or_default().push(text("version"));
    }
    for name in single {
        let versions = versions.get(name.as_str()).cloned().unwrap_or_default();
        if versions.len() > 1 {
            wrong.push(format!("{name}: several versions: {}", versions.join(", ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn licences_are_read_as_spdx() {
    let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned(), "ISC".to_owned()];
    for good in ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(GPL-2.0 OR MIT) AND ISC", "Apache-2.0 AND ISC"]
    {
        assert!(licence_fits(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-2.0"] {
        assert!(!licence_fits(bad, &allowed), "{bad}");
    }
}

/// What scripts rely on is documented: every code that `check` reports, every event of `--log-format json`.
#[test]
fn the_readme_names_every_code_and_every_event() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut missing = Vec::new();
    for path in sources("src/validate").into_iter().chain(sources("src/migration")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for severity in ["Finding::error(", "Finding::warning(", "Finding::notice("] {
            for after in text.split(severity).skip(1) {
                let Some(code) = after.trim_start().strip_prefix('"').and_then(|c| c.split('"').next())
                else {
                    continue;
                };
                if !readme.contains(&format!("`[{code}]")) {
                    missing.push(code.to_owned());
                }
            }
        }
    }
    let events = std::fs::read_to_string(root().join("src/progress/event.rs")).unwrap();
    let events = events.split("pub enum Event {").nth(1).unwrap().split("\n}").next().unwrap();
    for line in events.lines().filter_map(|l| l.strip_prefix("    ")) {
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        let snake: String = name
            .char_indices()
            .flat_map(|(i, c)| {
                (i > 0 && c.is_ascii_uppercase()).then_some('_').into_iter().chain([c.to_ascii_lowercase()])
            })
            .collect();
        // Bytes on their way are not written one by one: `progress` sums them up.
        if !name.is_empty() && snake != "copied" && !readme.contains(&format!("`{snake}`")) {
            missing.push(snake);
        }
    }
    assert!(missing.is_empty(), "not in README.md: {missing:?}");
}

/// The list of pairs that this binary of tests moves every kind between.
fn kind_pairs(main: &str) -> Vec<(u32, u32)> {
    let text = std::fs::read_to_string(root().join(main)).unwrap();
    let list = text.split("const KIND_PAIRS").nth(1).unwrap().split(';').next().unwrap();
    pairs_in(list)
}

/// The kinds of the model, as its variants are named.
fn kinds_of_the_model() -> Vec<String> {
    let model = std::fs::read_to_string(root().join("src/schema/object.rs")).unwrap();
    let variants = model.split("pub enum Definition {").nth(1).unwrap().split("\n}").next().unwrap();
    variants.lines().filter_map(|l| l.trim().split_once('(').map(|(name, _)| name.to_owned())).collect()
}

/// `BaseType` → `base type`.
fn in_words(variant: &str) -> String {
    let word = |(i, c): (usize, char)| {
        (i > 0 && c.is_ascii_uppercase()).then_some(' ').into_iter().chain([c.to_ascii_lowercase()])
    };
    variant.char_indices().flat_map(word).collect()
}

/// Kind, test, pairs.
type Shown = (String, String, Vec<(u32, u32)>);

/// The kinds that tests say they show, each with the test's name and the pairs it runs: a row each of the page.
fn rows_of_kinds() -> Vec<Shown> {
    let all = kind_pairs("tests/long/main.rs");
    let mut rows = Vec::new();
    for path in sources("tests/integration") {
        let inside = path.parent().unwrap().ends_with("kinds");
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !inside && !stem.starts_with("kinds_") || stem == "mod" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let parts: Vec<&str> = text.split("#[test]\n").collect();
        for (before, test) in parts.iter().zip(&parts[1..]) {
            let name: String =
                test.trim_start().trim_start_matches("fn ").chars().take_while(|c| *c != '(').collect();
            // The comment right above the test.
            let comment: Vec<&str> = before.lines().rev().take_while(|l| l.starts_with("///")).collect();
            let said = comment.iter().find_map(|l| l.strip_prefix("/// Kinds: "));
            let Some(said) = said else {
                assert!(!inside, "{}: {name} does not say which kinds it shows", shown(&path));
                continue;
            };
            let body = test.split("\n}\n").next().unwrap();
            let since = body.split("each(").nth(1).and_then(|c| c.split(',').nth(1)?.trim().parse().ok());
            let pairs = match (inside, since) {
                (true, since) => all.iter().filter(|p| p.0 >= since.unwrap_or(10)).copied().collect(),
                (false, _) => pairs_in(body),
            };
            let place = if inside { format!("kinds::{stem}::{name}") } else { format!("{stem}::{name}") };
            for kind in said.split('.').next().unwrap().split(", ") {
                rows.push((kind.to_owned(), place.clone(), pairs.clone()));
            }
        }
    }
    rows.sort();
    rows
}

/// The kinds and the pairs of versions between which a whole migration of them is tested, from the tests themselves:
/// `PG_MIGRATOR_WRITE_DOCS=1` writes the page again.
#[test]
fn the_page_of_kinds_and_versions_is_the_tests_own() {
    let (all, usual) = (kind_pairs("tests/long/main.rs"), kind_pairs("tests/integration/main.rs"));
    assert!(usual.iter().all(|p| all.contains(p)), "make test runs a part of what make test-long runs");
    let mut page = String::from(
        "# Kinds and versions\n\nGenerated from the tests (`tests/house.rs` checks that it is current). Each test makes objects of its kinds in every \
         variation that the source's version has, migrates them, and again over what is then there, and compares what `pg_dump --schema-only` says: of source \
         and target byte for byte where they are of one major, else of the target and of what `pg_dump | psql` makes there.\n\n\
         `make test` runs the pairs marked ●, `make test-long LONG=kinds::` those marked ○ as well; CI runs both. A pair without a mark has no such kind: \
         its source is older.\n\n",
    );
    let heads: Vec<String> = all.iter().map(|(a, b)| format!("{a} → {b}")).collect();
    page.push_str(&format!(
        "| kind | test | {} |\n| --- | --- |{}\n",
        heads.join(" | "),
        " --- |".repeat(all.len())
    ));
    let rows = rows_of_kinds();
    let model = kinds_of_the_model();
    for kind in &model {
        assert!(rows.iter().any(|r| r.0 == *kind), "no test of tests/integration/kinds shows {kind}");
    }
    for (kind, test, pairs) in &rows {
        assert!(model.contains(kind), "{test}: the model has no kind {kind}");
        let mark = |pair: &(u32, u32)| match (pairs.contains(pair), usual.contains(pair)) {
            (true, true) => " ● |",
            (true, false) => " ○ |",
            _ => "  |",
        };
        page.push_str(&format!(
            "| {} | `{test}` |{}\n",
            in_words(kind),
            all.iter().map(mark).collect::<String>()
        ));
    }
    page.push_str("\nFurther tests of whole migrations:\n\n| test | from → to |\n| --- | --- |\n");
    for (row, mut pairs) in further() {
        pairs.sort_unstable();
        pairs.dedup();
        let pairs: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} → {b}")).collect();
        page.push_str(&format!("| {row} | {} |\n", pairs.join(", ")));
    }
    let place = root().join("docs/KINDS.md");
    if std::env::var_os("PG_MIGRATOR_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(root().join("docs")).unwrap();
        std::fs::write(&place, &page).unwrap();
    }
    let there = std::fs::read_to_string(&place).unwrap_or_default();
    assert!(there == page, "docs/KINDS.md is not current: PG_MIGRATOR_WRITE_DOCS=1 cargo test --test house");
}

/// Tests of kinds that are not run for every pair, with their pairs; a name's `_13_to_18` is one.
fn further() -> BTreeMap<String, Vec<(u32, u32)>> {
    let mut rows: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
    for path in sources("tests/integration") {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !file.starts_with("kinds_") && file != "offline" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for test in text.split("#[test]\n").skip(1) {
            let name: String =
                test.trim_start().trim_start_matches("fn ").chars().take_while(|c| *c != '(').collect();
            let mut pairs = pairs_in(test.split("\n}\n").next().unwrap());
            let words: Vec<&str> = name.rsplitn(4, '_').collect();
            let subject = match (&words[..], words.first().and_then(|w| w.parse().ok())) {
                ([_, "to", from, subject], Some(to)) if from.parse::<u32>().is_ok() => {
                    pairs.push((from.parse().unwrap(), to));
                    (*subject).to_owned()
                }
                _ => name.clone(),
            };
            if !pairs.is_empty() {
                rows.entry(format!("{file}: {}", subject.replace('_', " "))).or_default().extend(pairs);
            }
        }
    }
    rows
}

/// Pairs of majors as the tests write them: `(13, 18)`, `(13, 18, …`.
fn pairs_in(text: &str) -> Vec<(u32, u32)> {
    let major = |t: &str| t.trim().parse::<u32>().ok().filter(|m| (10..=18).contains(m));
    let mut found = Vec::new();
    for after in text.split('(').skip(1) {
        let mut words = after.split([',', ')']);
        if let (Some(a), Some(b)) = (words.next().and_then(major), words.next().and_then(major)) {
            found.push((a, b));
        }
    }
    found
}
