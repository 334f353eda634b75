//! Properties of objects that this version does not carry although it carries the object.
//!
//! Invariant: what the statements of an object leave out is named here; nothing is dropped silently.

use super::{Definition, Object, Unsupported};

/// Names every such property among `objects`, in their order.
pub fn unsupported_properties(objects: &[Object]) -> Vec<Unsupported> {
    objects.iter().flat_map(of_object).collect()
}

fn of_object(object: &Object) -> Vec<Unsupported> {
    let name = |kind: String| Unsupported { kind, identity: object.qualified_name(), pg_dump_neither: false };
    let tablespace = |space: &Option<String>, what: &str| {
        space.as_ref().map(|space| name(format!("tablespace \"{space}\" of {what}")))
    };
    match &object.definition {
        Definition::Table(table) => {
            let oids = table.with_oids.then(|| name("WITH OIDS of table".to_owned()));
            tablespace(&table.tablespace, "table").into_iter().chain(oids).collect()
        }
        Definition::Index(index) => tablespace(&index.tablespace, "index").into_iter().collect(),
        Definition::Constraint(constraint) => {
            let index = constraint.index.as_ref();
            index.and_then(|i| tablespace(&i.tablespace, "constraint")).into_iter().collect()
        }
        Definition::Sequence(sequence) if sequence.value.is_none() => {
            vec![name("value (the role may not SELECT it) of sequence".to_owned())]
        }
        _ => Vec::new(),
    }
}
