//! What the source has and the target's version no longer takes.

use super::facts::Server;
use super::finding::Finding;
use crate::error::Side;
use crate::schema::{Address, Definition, Object, Schema};

pub(super) fn judge(schema: &Schema, target: &Server, out: &mut Vec<Finding>) {
    if target.version < 140_000 {
        return;
    }
    if target.version >= 170_000 {
        schema.objects.iter().for_each(|object| one_sided(object, out));
    }
    for object in &schema.objects {
        let why = match &object.definition {
            Definition::Operator(operator) if operator.right.is_none() => {
                "stands behind its argument, which no operator does from 14 on"
            }
            Definition::Conversion(_) if old_conversion(schema, object.address) => {
                "uses a function of five arguments, which takes a sixth, boolean noError, and returns integer from 14 on"
            }
            _ => continue,
        };
        let reference = object.reference();
        out.push(
            Finding::error("retired-in-target", format!("{reference} {why}"))
                .on(Side::Target)
                .about(reference.clone())
                .mend(format!(
                    "DROP {reference}; -- on the source, once what uses it uses something else; or leave it out by --allow-restore-errors"
                )),
        );
    }
}

/// What an operator says of another that says it of a third is left out, because the server would refuse the operator.
fn one_sided(object: &Object, out: &mut Vec<Finding>) {
    let Definition::Operator(operator) = &object.definition else { return };
    for (word, other) in operator.items.iter().filter(|(word, _)| operator.one_sided.contains(word)) {
        let reference = object.reference();
        let message = format!(
            "{reference} arrives without {word} = {other}: that one names another, which no operator may from 17 on"
        );
        out.push(
            Finding::warning("operator-one-sided", message)
                .on(Side::Target)
                .about(reference)
                .mend("nothing stops; plans that turn conditions around may not be found for it"),
        );
    }
}

/// Whether a conversion's function is the user's and has no argument `noError`.
fn old_conversion(schema: &Schema, conversion: Address) -> bool {
    let needs = schema.depends.get(&conversion).map(Vec::as_slice).unwrap_or_default();
    let old = |object: &&Object| matches!(&object.definition, Definition::Function(f) if f.arguments.split(", ").count() < 6);
    schema.objects.iter().filter(|object| needs.contains(&object.address)).any(|object| old(&object))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::testing::{good_server, object, shown};
    use super::*;
    use crate::schema::{Conversion, Function, Operator, class};

    #[test]
    fn what_is_older_than_14() {
        let factorial = Operator {
            left: Some("integer".into()),
            right: None,
            items: vec![("FUNCTION", "s.factorial".into())],
            one_sided: Vec::new(),
        };
        let minus = Operator {
            left: None,
            right: Some("integer".into()),
            items: vec![("FUNCTION", "s.m".into())],
            one_sided: Vec::new(),
        };
        let at = |oid, object: Object| Object { address: Address::new(class::CONVERSION, oid), ..object };
        let function = |arguments: &str| Function { arguments: arguments.into(), ..Function::default() };
        let conversion = || Definition::Conversion(Conversion::default());
        let schema = Schema {
            objects: vec![
                at(1, object("!!", Definition::Operator(factorial))),
                at(2, object("-", Definition::Operator(minus))),
                at(3, object("old", conversion())),
                at(
                    4,
                    object(
                        "f",
                        Definition::Function(function("integer, integer, cstring, internal, integer")),
                    ),
                ),
                at(5, object("new", conversion())),
                at(
                    6,
                    object(
                        "g",
                        Definition::Function(function(
                            "integer, integer, cstring, internal, integer, boolean",
                        )),
                    ),
                ),
                at(7, object("builtin", conversion())),
            ],
            depends: HashMap::from([3, 5].map(|oid| {
                (Address::new(class::CONVERSION, oid), vec![Address::new(class::CONVERSION, oid + 1)])
            })),
            ..Schema::default()
        };
        let mut out = Vec::new();
        judge(&schema, &Server { version: 130_000, ..good_server() }, &mut out);
        assert!(out.is_empty());
        judge(&schema, &good_server(), &mut out);
        insta::assert_snapshot!(shown(&out), @r#"
Error retired-in-target target [OPERATOR s.!! (integer, NONE)]: OPERATOR s.!! (integer, NONE) stands behind its argument, which no operator does from 14 on
    DROP OPERATOR s.!! (integer, NONE); -- on the source, once what uses it uses something else; or leave it out by --allow-restore-errors
Error retired-in-target target [CONVERSION s.old]: CONVERSION s.old uses a function of five arguments, which takes a sixth, boolean noError, and returns integer from 14 on
    DROP CONVERSION s.old; -- on the source, once what uses it uses something else; or leave it out by --allow-restore-errors
"#);
    }
}
