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
    match &object.definition {
        Definition::Table(table) if table.with_oids => vec![name("WITH OIDS of table".to_owned())],
        Definition::Sequence(sequence) if sequence.value.is_none() => {
            vec![name("value (the role may not SELECT it) of sequence".to_owned())]
        }
        _ => Vec::new(),
    }
}
