//! What the source's server has and the target's no longer does, used by an object: functions and types of the system.
//!
//! The two servers' own catalogs say what is gone, no list of ours does. A call is seen in what the server deparsed (views,
//! defaults, indexes, …), where names of the system stand unqualified; in the text of a function it can only be suspected.

use std::collections::BTreeSet;

use super::facts::{Source, Target};
use super::finding::Finding;
use crate::error::Side;
use crate::schema::{Definition, Object, Schema};

/// Findings about objects that use what is gone, and about what was put in other words.
pub(super) fn judge(schema: &Schema, from: &Source, to: &Target, out: &mut Vec<Finding>) {
    let gone: BTreeSet<&str> =
        from.functions_of_server.difference(&to.functions_of_server).map(String::as_str).collect();
    let types: BTreeSet<&str> =
        from.types_of_server.difference(&to.types_of_server).map(String::as_str).collect();
    for object in &schema.objects {
        let reference = object.reference();
        for type_name in types_of(object) {
            let bare = type_name.trim_end_matches("[]").trim_matches('"');
            if types.contains(bare) {
                let message =
                    format!("{reference} uses type {bare}, which the target's version no longer has");
                let remedy = match bare {
                    "abstime" => "on the source: ALTER TABLE … ALTER COLUMN … TYPE timestamp with time zone",
                    "reltime" => "on the source: ALTER TABLE … ALTER COLUMN … TYPE interval",
                    _ => "use another type on the source",
                };
                out.push(
                    Finding::error("retired-in-target", message)
                        .on(Side::Target)
                        .about(reference.clone())
                        .mend(remedy),
                );
            }
        }
        let mut named = BTreeSet::new();
        for text in deparsed(object) {
            named.extend(calls(text).into_iter().filter(|c| gone.contains(c)));
        }
        for function in named {
            let message = format!("{reference} calls {function}(), which the target's version no longer has");
            out.push(
                Finding::error("retired-in-target", message).on(Side::Target).about(reference.clone()).mend(
                    "call on the source what took its place, or leave it out by --allow-restore-errors",
                ),
            );
        }
        if let Definition::Function(function) = &object.definition {
            let called: BTreeSet<&str> =
                calls(&function.definition).into_iter().filter(|c| gone.contains(c)).collect();
            for name in called {
                let message = format!(
                    "{reference} names {name}(), which the target's version no longer has: calling it will fail"
                );
                let finding = Finding::warning("retired-in-target", message).on(Side::Target);
                out.push(finding.about(reference.clone()).mend("change its body"));
            }
        }
    }
    for bridged in &schema.bridged {
        let message = format!("{}: {}", bridged.object, bridged.message);
        out.push(Finding::warning("bridged", message).on(Side::Target).about(bridged.object.clone()));
    }
}

/// Types that the object is made of, as `format_type` spells them.
fn types_of(object: &Object) -> Vec<&str> {
    match &object.definition {
        Definition::Table(table) => table.columns.iter().map(|c| c.type_name.as_str()).collect(),
        Definition::Composite(composite) => {
            composite.attributes.iter().map(|a| a.type_name.as_str()).collect()
        }
        Definition::Domain(domain) => vec![domain.base_type.as_str()],
        Definition::Range(range) => vec![range.subtype.as_str()],
        Definition::Function(function) => function.arguments.split([' ', ',']).collect(),
        _ => Vec::new(),
    }
}

/// What the server deparsed of the object: parsed when it is made.
fn deparsed(object: &Object) -> Vec<&str> {
    match &object.definition {
        Definition::View(view) => {
            let defaults = view.columns.iter().filter_map(|c| c.default.as_ref());
            defaults.map(|(_, e)| e.as_str()).chain([view.query.as_str()]).collect()
        }
        Definition::MaterializedView(view) => vec![&view.query],
        Definition::Table(table) => {
            let defaults = table.columns.iter().filter_map(|c| c.default.as_ref());
            let checks = table.checks.iter().map(|c| c.definition.as_str());
            defaults.map(|d| d.expression.as_str()).chain(checks).collect()
        }
        Definition::Domain(domain) => {
            let checks = domain.checks.iter().map(|c| c.definition.as_str());
            checks.chain(domain.default.as_deref()).collect()
        }
        Definition::Index(index) => vec![&index.definition],
        Definition::Constraint(constraint) => vec![&constraint.definition],
        Definition::Rule(rule) => vec![&rule.statement],
        Definition::Trigger(trigger) => trigger.statement.as_deref().into_iter().collect(),
        Definition::Policy(policy) => {
            policy.using.as_deref().into_iter().chain(policy.check.as_deref()).collect()
        }
        _ => Vec::new(),
    }
}

/// Unqualified names that a text calls, and those qualified by `pg_catalog`; literals and quoted names are passed over.
fn calls(text: &str) -> Vec<&str> {
    let (mut found, mut at) = (Vec::new(), 0);
    let bytes = text.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += 1;
                }
                at += 1;
            }
            b if word(b) => {
                let start = at;
                while at < bytes.len() && word(bytes[at]) {
                    at += 1;
                }
                let qualified = text[..start].ends_with('.') && !text[..start].ends_with("pg_catalog.");
                if bytes.get(at) == Some(&b'(') && !qualified {
                    found.push(&text[start..at]);
                }
            }
            _ => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_other_words() {
        let text = "SELECT a.b(1), pg_catalog.f(2), g ('x(') , h(i(3), 'j(it''s)', \"k(\") FROM s.l()";
        assert_eq!(calls(text), ["f", "h", "i"]);
    }
}
