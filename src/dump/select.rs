//! Decides what takes part in the migration: pure data in, pure data out.
//!
//! Invariant: what is left out although it belongs to the user is named in [`Schema::left_out`] or was filtered out by
//! the operator; nothing else disappears. Members of extensions come with their extension.

use std::collections::{HashMap, HashSet};

use super::acl::{Changed, Privileges};
use super::comment::{self, RawComment};
use crate::config::Filter;
use crate::schema::{Address, Definition, LeftOut, Object, Schema, class};

/// Drops members of extensions and what `filter` leaves out, then hangs comments and privileges on the rest.
pub(super) fn select(
    mut schema: Schema,
    members: &HashMap<Address, Address>,
    comments: Vec<RawComment>,
    mut privileges: Privileges,
    filter: &Filter,
) -> Schema {
    keep_marked_sequences(&mut schema, members);
    schema.objects.retain(|o| is_marked_sequence(o) || !is_member(o, members));
    for (member, extension) in members {
        schema.aliases.insert(*member, *extension);
    }
    // Before the filter: a comment on a constraint that is left out must not be taken for one on a part of the table.
    let lost = comment::attach(&mut schema, comments);
    if !filter.is_everything() {
        apply_filter(&mut schema, filter);
    }
    let extensions: HashSet<&str> =
        schema.objects.iter().filter(|o| is_extension(o)).map(|o| o.name.as_str()).collect();
    schema.extension_data.retain(|d| extensions.contains(d.extension.as_str()));
    for object in &mut schema.objects {
        object.acl = privileges.of.remove(&object.address);
    }
    let in_scope = |place: Option<&str>| {
        filter.is_everything() || place.is_some_and(|s| filter.takes_schema(s) && s != "pg_catalog")
    };
    let there: HashSet<Address> = schema.objects.iter().map(|o| o.address).collect();
    schema.unsupported.extend(lost.into_iter().filter(|l| there.contains(&l.table)).map(|l| l.comment));
    for Changed { of, object } in privileges.changed {
        let extension = members.get(&of);
        // Those of an extension that a filter leaves out are nobody's. (plpgsql is initdb's, and in no model.)
        let of_none = |e: &Address| !there.contains(e) && !filter.is_everything();
        if in_scope(object.namespace.as_deref()) && !extension.is_some_and(of_none) {
            schema.depends.insert(object.address, extension.copied().into_iter().collect());
            schema.objects.push(object);
        }
    }
    schema
}

/// A sequence that an extension has marked as the user's is no table to copy: it stays in the model, for its value.
fn keep_marked_sequences(schema: &mut Schema, members: &HashMap<Address, Address>) {
    let marked: HashSet<Address> = schema.extension_data.iter().map(|d| d.address).collect();
    let mut kept = HashSet::new();
    for object in &mut schema.objects {
        let Definition::Sequence(sequence) = &mut object.definition else { continue };
        let Some(extension) = members.get(&object.address).filter(|_| marked.contains(&object.address))
        else {
            continue;
        };
        sequence.of_extension = true;
        (sequence.owned_by, object.parent, object.owner) = (None, None, None);
        schema.depends.insert(object.address, vec![*extension]);
        kept.insert(object.address);
    }
    schema.extension_data.retain(|d| !kept.contains(&d.address));
}

fn is_marked_sequence(object: &Object) -> bool {
    matches!(&object.definition, Definition::Sequence(s) if s.of_extension)
}

fn is_extension(object: &Object) -> bool {
    matches!(object.definition, Definition::Extension(_))
}

/// Whether the object, or the relation it belongs to, came with an extension.
fn is_member(object: &Object, members: &HashMap<Address, Address>) -> bool {
    members.contains_key(&object.address) || object.parent.is_some_and(|p| members.contains_key(&p))
}

/// Whether the operator's filter takes the object for itself; objects with a parent follow it.
fn is_taken(object: &Object, filter: &Filter) -> bool {
    let schema = object.namespace.as_deref();
    match &object.definition {
        Definition::Namespace(_) => filter.takes_schema(&object.name),
        Definition::LargeObject(_) => false,
        Definition::Table(_) | Definition::View(_) | Definition::MaterializedView(_) => {
            schema.is_some_and(|s| filter.takes_table(s, &object.name))
        }
        // Global default privileges live in no schema.
        _ => schema.is_some_and(|s| filter.takes_schema(s)),
    }
}

/// Removes what the filter leaves out, and what cannot be without it.
fn apply_filter(schema: &mut Schema, filter: &Filter) {
    let index: HashMap<Address, usize> =
        schema.objects.iter().enumerate().map(|(i, o)| (o.address, i)).collect();
    let resolve =
        |a: Address| index.get(&a).or_else(|| schema.aliases.get(&a).and_then(|b| index.get(b))).copied();
    let parts = parts(&schema.objects);
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); schema.objects.len()];
    for (dependent, needs) in &schema.depends {
        let Some(owner) = resolve(*dependent).or_else(|| parts.get(dependent).copied()) else { continue };
        for need in needs.iter().filter_map(|a| resolve(*a)).filter(|n| *n != owner) {
            needed_by[need].push(owner);
        }
    }

    // Extensions and their schemas come when something needs them, so they never drag anything out.
    let on_demand = |o: &Object| matches!(o.definition, Definition::Extension(_) | Definition::Namespace(_));
    let mut kept: Vec<bool> = schema.objects.iter().map(|o| is_taken(o, filter)).collect();
    for (i, object) in schema.objects.iter().enumerate() {
        if let Some(parent) = object.parent.and_then(resolve) {
            kept[i] = kept[parent];
        }
    }
    take_outside_schemas(schema, resolve, &needed_by, &mut kept);
    let mut gone: Vec<usize> =
        (0..kept.len()).filter(|i| !kept[*i] && !on_demand(&schema.objects[*i])).collect();
    let children = children(&schema.objects, resolve);
    while let Some(cause) = gone.pop() {
        for child in &children[cause] {
            if std::mem::replace(&mut kept[*child], false) {
                gone.push(*child);
            }
        }
        for dependent in &needed_by[cause] {
            if std::mem::replace(&mut kept[*dependent], false) {
                schema.left_out.push(LeftOut {
                    object: schema.objects[*dependent].reference(),
                    because_of: schema.objects[cause].reference(),
                });
                gone.push(*dependent);
            }
        }
    }

    keep_on_demand(&schema.objects, &needed_by, &mut kept);
    let mut flags = kept.iter();
    schema.objects.retain(|_| flags.next().copied().unwrap_or(false));
    schema.left_out.sort_by(|a, b| a.object.cmp(&b.object));
}

/// What lives in no schema comes with what it is for: a cast or transform with its types and functions, a language or access
/// method with what is written in it or stored by it.
fn take_outside_schemas(
    schema: &Schema,
    resolve: impl Fn(Address) -> Option<usize>,
    needed_by: &[Vec<usize>],
    kept: &mut [bool],
) {
    // Languages before transforms, which may be all that is left of one.
    for (i, object) in schema.objects.iter().enumerate() {
        if matches!(object.definition, Definition::Language(_) | Definition::AccessMethod(_)) {
            kept[i] = needed_by[i].iter().any(|d| kept[*d]);
        }
    }
    for (i, object) in schema.objects.iter().enumerate() {
        if matches!(object.definition, Definition::Cast(_) | Definition::Transform(_)) {
            let needs = schema.depends.get(&object.address).into_iter().flatten();
            let needs = needs.filter_map(|a| resolve(*a));
            kept[i] = needs
                .filter(|n| !matches!(schema.objects[*n].definition, Definition::Language(_)))
                .any(|n| kept[n]);
        }
    }
}

/// For each object the ones that belong to it.
fn children(objects: &[Object], resolve: impl Fn(Address) -> Option<usize>) -> Vec<Vec<usize>> {
    let mut children = vec![Vec::new(); objects.len()];
    for (i, object) in objects.iter().enumerate() {
        if let Some(parent) = object.parent.and_then(&resolve) {
            children[parent].push(i);
        }
    }
    children
}

/// Keeps extensions that something kept needs, and the schemas those are made in.
fn keep_on_demand(objects: &[Object], needed_by: &[Vec<usize>], kept: &mut [bool]) {
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for i in (0..objects.len()).filter(|i| is_extension(&objects[*i])) {
            if !kept[i] && needed_by[i].iter().any(|d| kept[*d]) {
                kept[i] = true;
                changed = true;
            }
        }
    }
    let wanted: HashSet<&str> =
        (0..objects.len()).filter(|i| kept[*i]).filter_map(|i| objects[i].namespace.as_deref()).collect();
    for (i, object) in objects.iter().enumerate() {
        if matches!(object.definition, Definition::Namespace(_)) && wanted.contains(object.name.as_str()) {
            kept[i] = true;
        }
    }
}

/// The column defaults and checks that have an address of their own but are written with a table or domain.
fn parts(objects: &[Object]) -> HashMap<Address, usize> {
    let mut parts = HashMap::new();
    for (i, object) in objects.iter().enumerate() {
        let constraint = |oid| Address::new(class::CONSTRAINT, oid);
        match &object.definition {
            Definition::Table(table) => {
                let defaults = table.columns.iter().filter_map(|c| c.default.as_ref());
                parts.extend(defaults.map(|d| (Address::new(class::ATTRDEF, d.oid), i)));
                parts.extend(table.checks.iter().map(|c| (constraint(c.oid), i)));
            }
            Definition::Domain(domain) => parts.extend(domain.checks.iter().map(|c| (constraint(c.oid), i))),
            _ => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{
        Constraint, ConstraintKind, Domain, DomainCheck, EnumType, Extension, ExtensionData, Function,
        LargeObject, Namespace, Relative, Sequence, Table, View,
    };

    const fn rel(oid: u32) -> Address {
        Address::relation(oid)
    }

    const fn namespace(oid: u32) -> Address {
        Address::new(class::NAMESPACE, oid)
    }

    fn foreign_key() -> Constraint {
        Constraint {
            kind: ConstraintKind::Foreign,
            table: Relative { address: rel(1), name: "a.t".to_owned() },
            table_partitioned: false,
            definition: String::new(),
            index: None,
            referenced: None,
            referenced_index: None,
            valid: true,
        }
    }

    const EXTENSION: Address = Address::new(class::EXTENSION, 30);

    fn object(address: Address, place: &str, definition: Definition) -> Object {
        let (schema, name) = place.split_once('.').map_or((None, place), |(s, n)| (Some(s.to_owned()), n));
        Object {
            address,
            namespace: schema,
            name: name.to_owned(),
            parent: None,
            owner: None,
            acl: None,
            comments: Vec::new(),
            definition,
        }
    }

    fn table(oid: u32, place: &str) -> Object {
        object(rel(oid), place, Definition::Table(Table::default()))
    }

    fn schema(objects: Vec<Object>, depends: &[(Address, Address)]) -> Schema {
        let mut schema = Schema { objects, ..Schema::default() };
        for (dependent, needs) in depends {
            schema.depends.entry(*dependent).or_default().push(*needs);
        }
        schema
    }

    fn names(schema: &Schema) -> Vec<String> {
        schema.objects.iter().map(Object::qualified_name).collect()
    }

    fn only(schemas: &[&str]) -> Filter {
        Filter { include_schemas: schemas.iter().map(|s| (*s).to_owned()).collect(), ..Filter::default() }
    }

    fn run(schema: Schema, filter: &Filter) -> Schema {
        select(schema, &HashMap::new(), Vec::new(), Privileges::default(), filter)
    }

    #[test]
    fn members_of_extensions_go_with_what_belongs_to_them() {
        let index = Object {
            parent: Some(rel(1)),
            ..object(rel(2), "s.i", Definition::Sequence(Sequence::default()))
        };
        let objects = vec![table(1, "s.member"), index, table(3, "s.own")];
        let members = HashMap::from([(rel(1), EXTENSION)]);
        let schema =
            select(schema(objects, &[]), &members, Vec::new(), Privileges::default(), &Filter::default());
        assert_eq!(names(&schema), ["s.own"]);
        assert_eq!(schema.aliases.get(&rel(1)), Some(&EXTENSION));
    }

    #[test]
    fn what_needs_something_filtered_out_is_left_out_and_named() {
        let key = Address::new(class::CONSTRAINT, 10);
        let objects = vec![
            table(1, "a.t"),
            table(2, "b.gone"),
            Object { parent: Some(rel(1)), ..object(key, "a.fk", Definition::Constraint(foreign_key())) },
            object(rel(3), "a.v", Definition::View(View::default())),
            object(rel(4), "a.v2", Definition::View(View::default())),
            object(Address::new(class::LARGE_OBJECT, 5), "5", Definition::LargeObject(LargeObject {})),
        ];
        let depends = [(key, rel(1)), (key, rel(2)), (rel(3), rel(2)), (rel(4), rel(3)), (rel(4), rel(1))];
        let schema = run(schema(objects, &depends), &only(&["a"]));
        assert_eq!(names(&schema), ["a.t"]);
        let left_out: Vec<(&str, &str)> =
            schema.left_out.iter().map(|l| (l.object.as_str(), l.because_of.as_str())).collect();
        assert_eq!(left_out.len(), 3);
        assert!(left_out.contains(&("VIEW a.v", "TABLE b.gone")), "{left_out:?}");
        assert!(left_out.contains(&("VIEW a.v2", "VIEW a.v")), "{left_out:?}");
    }

    #[test]
    fn a_table_takes_its_own_with_it_in_silence() {
        let index = Object {
            parent: Some(rel(1)),
            ..object(rel(2), "a.i", Definition::Sequence(Sequence::default()))
        };
        let filter = Filter { exclude_tables: vec!["a.t".into()], ..Filter::default() };
        let schema = run(schema(vec![table(1, "a.t"), index, table(3, "a.u")], &[(rel(2), rel(1))]), &filter);
        assert_eq!(names(&schema), ["a.u"]);
        assert_eq!(schema.left_out, []);
    }

    #[test]
    fn a_check_draws_its_domain() {
        let (domain, function) = (Address::new(class::TYPE, 1), Address::new(class::PROC, 2));
        let check = DomainCheck { oid: 3, ..DomainCheck::default() };
        let objects = vec![
            object(domain, "a.d", Definition::Domain(Domain { checks: vec![check], ..Domain::default() })),
            object(function, "b.f", Definition::Function(Function::default())),
        ];
        let schema = run(schema(objects, &[(Address::new(class::CONSTRAINT, 3), function)]), &only(&["a"]));
        assert_eq!(names(&schema), Vec::<String>::new());
        assert_eq!(schema.left_out[0].because_of, "FUNCTION b.f()");
    }

    #[test]
    fn an_extension_comes_with_what_needs_it_and_brings_its_schema() {
        let member = Address::new(class::TYPE, 7);
        let objects = vec![
            object(namespace(1), "a", Definition::Namespace(Namespace {})),
            object(namespace(2), "ext", Definition::Namespace(Namespace {})),
            object(namespace(3), "other", Definition::Namespace(Namespace {})),
            object(EXTENSION, "ext.citext", Definition::Extension(Extension::default())),
            object(member, "ext.citext", Definition::Enum(EnumType::default())),
            table(5, "a.t"),
        ];
        let depends = [(rel(5), member), (EXTENSION, namespace(2))];
        let members = HashMap::from([(member, EXTENSION)]);
        let filter = only(&["a"]);
        let schema = select(schema(objects, &depends), &members, Vec::new(), Privileges::default(), &filter);
        assert_eq!(names(&schema), ["a", "ext", "ext.citext", "a.t"]);
        assert_eq!(schema.left_out, []);
    }

    #[test]
    fn a_marked_sequence_of_an_extension_stays_for_its_value() {
        let extension = object(EXTENSION, "ext.conf", Definition::Extension(Extension::default()));
        let sequence = object(rel(1), "ext.counter", Definition::Sequence(Sequence::default()));
        let mut schema = schema(vec![extension, sequence, table(2, "ext.settings")], &[]);
        let data = |oid, extension: &str| ExtensionData {
            address: rel(oid),
            extension: extension.to_owned(),
            namespace: "ext".to_owned(),
            name: String::new(),
            columns: Vec::new(),
            condition: String::new(),
            references: Vec::new(),
        };
        schema.extension_data = vec![data(1, "conf"), data(2, "conf"), data(9, "not carried")];
        let members = HashMap::from([(rel(1), EXTENSION), (rel(2), EXTENSION)]);
        let schema = select(schema, &members, Vec::new(), Privileges::default(), &Filter::default());
        assert_eq!(names(&schema), ["ext.conf", "ext.counter"]);
        assert_eq!(schema.extension_data, [data(2, "conf")]);
        assert_eq!(schema.depends[&rel(1)], [EXTENSION]);
        assert_eq!(schema.objects[1].create_statements(&Default::default()), Vec::<String>::new());
    }
}
