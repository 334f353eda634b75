//! What an older source's schema says in words that a newer target no longer understands, and how it is said there.
//!
//! Only what means the same is rewritten; what has no such words Validate names (`retired-in-target`). Invariant: each
//! rewriting is recorded in [`Schema::bridged`], so that nothing is changed in silence.

use std::collections::HashMap;

use super::{Definition, Object, Schema, Setting, late_attach, predefined};

/// An object that is made in other words than the source has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Bridged {
    /// As `COMMENT ON` names it.
    pub object: String,
    /// What is different, and why.
    pub message: String,
}

/// What became of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Kept,
    /// It has this name now.
    Renamed(&'static str),
    /// No server has it any more: what it chose is no choice now.
    Gone,
}

/// Settings that went: since which `server_version_num`, and the new name (the release notes of each version).
const SETTINGS: &[(&str, u32, Option<&str>)] = &[
    ("sql_inheritance", 100_000, None),
    ("min_parallel_relation_size", 100_000, Some("min_parallel_table_scan_size")),
    ("replacement_sort_tuples", 110_000, None),
    ("default_with_oids", 120_000, None),
    ("operator_precedence_warning", 140_000, None),
    ("vacuum_cleanup_index_scale_factor", 140_000, None),
    ("stats_temp_directory", 150_000, None),
    ("force_parallel_mode", 160_000, Some("debug_parallel_query")),
    ("lc_collate", 160_000, None),
    ("lc_ctype", 160_000, None),
    ("promote_trigger_file", 160_000, None),
    ("vacuum_defer_cleanup_age", 160_000, None),
    ("logical_replication_mode", 170_000, Some("debug_logical_replication_streaming")),
    ("db_user_namespace", 170_000, None),
    ("old_snapshot_threshold", 170_000, None),
    ("trace_recovery_messages", 170_000, None),
];

/// What became of the setting `name` on a server of this `server_version_num`.
pub fn setting(name: &str, version: u32) -> Fate {
    match SETTINGS.iter().find(|(known, since, _)| *since <= version && name.eq_ignore_ascii_case(known)) {
        Some((_, _, Some(new))) => Fate::Renamed(new),
        Some(_) => Fate::Gone,
        None => Fate::Kept,
    }
}

/// Settings of a database or a role as a server of this version takes them, and what is different.
pub fn settings<'a>(
    settings: impl IntoIterator<Item = &'a Setting>,
    version: u32,
) -> (Vec<Setting>, Vec<String>) {
    let (mut kept, mut said) = (Vec::new(), Vec::new());
    for item in settings {
        match setting(&item.name, version) {
            Fate::Kept => kept.push(item.clone()),
            Fate::Renamed(new) => {
                said.push(format!("sets {new}, which was {}", item.name));
                kept.push(Setting { name: new.to_owned(), value: item.value.clone() });
            }
            Fate::Gone => {
                said.push(format!("does not set {} on the target, which no longer has it", item.name));
            }
        }
    }
    (kept, said)
}

/// Functions of the server that took and returned `anyarray` and `anyelement` before 14, and the `anycompatible` types since.
const COMPATIBLE: [&str; 8] = [
    "array_append",
    "array_cat",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_replace",
    "width_bucket",
];

/// Whether a call of this name in a definition is one of the server's: a user's function is named with its schema.
fn is_compatible(function: &str) -> bool {
    COMPATIBLE.contains(&function.strip_prefix("pg_catalog.").unwrap_or(function))
}

/// Rewrites what a target of this `server_version_num` does not understand.
pub fn cross(schema: &mut Schema, target: u32) {
    let source = schema.server_version;
    let mut bridged = predefined::leave_out(schema, target);
    let crosses = source < 170_000 && target >= 170_000;
    let mut idle = if crosses { late_attach::idle_defaults(schema) } else { HashMap::new() };
    for (at, object) in schema.objects.iter_mut().enumerate() {
        let before = object.reference();
        let mut said: Vec<String> = Vec::new();
        match &mut object.definition {
            Definition::Function(function) => {
                let (text, changes) = settings_of(&function.definition, target);
                function.definition = text;
                said.extend(changes);
            }
            Definition::Aggregate(aggregate) if source < 140_000 && target >= 140_000 => {
                let unchanged = aggregate.clone();
                if aggregate.items.iter().any(|(word, value)| word.ends_with("FUNC") && is_compatible(value))
                {
                    let states = aggregate.items.iter_mut().filter(|(word, _)| word.ends_with("STYPE"));
                    states.for_each(|(_, value)| *value = compatible(value));
                    aggregate.arguments = compatible(&aggregate.arguments);
                    aggregate.types = compatible(&aggregate.types);
                }
                // One over types of its own calls the function with them as before.
                if *aggregate != unchanged {
                    said.push(
                        "takes anycompatible types on the target, as the function it calls does from 14 on"
                            .to_owned(),
                    );
                }
            }
            _ => {}
        }
        said.extend(idle.remove(&at));
        said.extend(rendered_otherwise(object, target));
        bridged.extend(said.into_iter().map(|message| Bridged { object: before.clone(), message }));
    }
    schema.bridged = bridged;
}

/// What the statements themselves say otherwise for such a target.
fn rendered_otherwise(object: &Object, target: u32) -> Vec<String> {
    match &object.definition {
        Definition::Table(table) if target >= 180_000 => table
            .columns
            .iter()
            .filter(|c| c.nullable_child)
            .map(|c| {
                format!(
                    "column {} may be NULL although its parent's may not: from 18 on it is NOT NULL as well, and a row with NULL there fails",
                    super::quote::quote_ident(&c.name)
                )
            })
            .collect(),
        Definition::Sequence(sequence) if target >= 170_000 && sequence.identity.is_some() => {
            let partition = sequence.owned_by.as_ref().is_some_and(|o| o.of_partition);
            let message = "a partition has no identity column of its own from 17 on: the column gets its values by a default";
            partition.then(|| message.to_owned()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn compatible(types: &str) -> String {
    types.replace("anyarray", "anycompatiblearray").replace("anyelement", "anycompatible")
}

/// A function's definition with the `SET` clauses that this version understands, and what was changed.
fn settings_of(definition: &str, version: u32) -> (String, Vec<String>) {
    let (mut out, mut said, mut header) = (String::with_capacity(definition.len()), Vec::new(), true);
    for line in definition.split_inclusive('\n') {
        header &=
            !(line.starts_with("AS ") || line.starts_with("BEGIN ATOMIC") || line.starts_with("RETURN "));
        let clause = line.strip_prefix(" SET ").filter(|_| header).and_then(|c| c.split_once(" TO "));
        match clause.map(|(name, value)| (name, value, setting(name.trim_matches('"'), version))) {
            Some((name, value, Fate::Renamed(new))) => {
                out.push_str(&format!(" SET {new} TO {value}"));
                said.push(format!("sets {new}, which was {name}"));
            }
            Some((name, _, Fate::Gone)) => {
                said.push(format!("does not set {name} on the target, which no longer has it"));
            }
            _ => out.push_str(line),
        }
    }
    (out, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_dropped_or_renamed_in_the_header_only() {
        let text = "CREATE FUNCTION f()\n LANGUAGE sql\n SET default_with_oids TO 'off'\n SET force_parallel_mode TO 'on'\n \
                    SET work_mem TO '1MB'\nAS $function$\n SET default_with_oids TO 'x'\n$function$";
        let (new, said) = settings_of(text, 180_000);
        assert_eq!(
            new,
            "CREATE FUNCTION f()\n LANGUAGE sql\n SET debug_parallel_query TO 'on'\n SET work_mem TO '1MB'\nAS $function$\n \
             SET default_with_oids TO 'x'\n$function$"
        );
        assert_eq!(said.len(), 2);
        assert_eq!(settings_of(text, 110_000), (text.to_owned(), vec![]));
    }

    #[test]
    fn functions_of_the_server_are_told_from_those_of_users() {
        assert!(is_compatible("array_append") && is_compatible("pg_catalog.width_bucket"));
        assert!(!is_compatible("s.array_append") && !is_compatible("\"pg_catalog.\".array_cat"));
    }

    #[test]
    fn what_became_of_settings() {
        assert_eq!(setting("force_parallel_mode", 150_000), Fate::Kept);
        assert_eq!(setting("Force_Parallel_Mode", 160_000), Fate::Renamed("debug_parallel_query"));
        assert_eq!(setting("lc_ctype", 160_001), Fate::Gone);
    }
}
