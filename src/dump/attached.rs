//! Reads what is attached to objects of any kind: ties to extensions (`ALTER … DEPENDS ON EXTENSION`) and security
//! labels. They find their object once it is known what takes part.
//!
//! Invariant: what finds none, although no filter leaves it out, is named.

use std::collections::{BTreeMap, HashMap};

use super::DumpError;
use super::catalogs::Catalogs;
use crate::config::Filter;
use crate::schema::quote::quote_ident;
use crate::schema::{
    Address, Definition, ExtensionTies, Object, Schema, SecurityLabel, SecurityLabels, Unsupported, class,
};

/// Ties and labels, with the addresses they are on.
pub(super) struct Attached {
    ties: Vec<Tie>,
    labels: Vec<Label>,
}

struct Tie {
    on: Address,
    extension: String,
    /// Whether initdb made the extension, so that it is on the target although it is not in the model.
    of_initdb: bool,
}

struct Label {
    on: Address,
    column: Option<String>,
    provider: String,
    label: String,
    /// For a person.
    description: String,
}

/// All of them: two queries.
pub(super) async fn read(c: &Catalogs<'_>) -> Result<Attached, DumpError> {
    let ties = "SELECT d.classid, d.objid, e.extname, e.oid < 16384 AS of_initdb FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
         WHERE d.deptype = 'x' AND d.refclassid = 'pg_extension'::regclass ORDER BY d.classid, d.objid, d.ctid";
    // What initdb labelled, if anything, is the target's own.
    let labels = "SELECT l.classoid, l.objoid, a.attname, l.provider, l.label, \
           coalesce(pg_describe_object(l.classoid, l.objoid, l.objsubid), '') AS description \
         FROM pg_seclabel l LEFT JOIN pg_attribute a ON l.classoid = 'pg_class'::regclass AND l.objsubid <> 0 \
           AND a.attrelid = l.objoid AND a.attnum = l.objsubid \
         WHERE NOT (l.objoid < 16384 AND l.classoid <> 'pg_largeobject'::regclass AND EXISTS (SELECT FROM pg_init_privs p \
           WHERE p.classoid = l.classoid AND p.objoid = l.objoid)) \
         ORDER BY l.classoid, l.objoid, l.objsubid, l.provider";
    let (ties, labels) = tokio::try_join!(
        c.query("reading ties to extensions", ties),
        c.query("reading security labels", labels)
    )?;
    let tie = |row: &crate::pg::Row| -> Result<_, DumpError> {
        Ok(Tie {
            on: Address::new(row.get("classid")?, row.get("objid")?),
            extension: row.get("extname")?,
            of_initdb: row.get("of_initdb")?,
        })
    };
    let label = |row: &crate::pg::Row| -> Result<_, DumpError> {
        Ok(Label {
            on: Address::new(row.get("classoid")?, row.get("objoid")?),
            column: row.get("attname")?,
            provider: row.get("provider")?,
            label: row.get("label")?,
            description: row.get("description")?,
        })
    };
    Ok(Attached {
        ties: ties.iter().map(tie).collect::<Result<_, _>>()?,
        labels: labels.iter().map(label).collect::<Result<_, _>>()?,
    })
}

/// Adds ties and labels of what is in the model to it.
pub(super) fn attach(schema: &mut Schema, attached: Attached, filter: &Filter) {
    let index: HashMap<Address, usize> =
        schema.objects.iter().enumerate().map(|(i, o)| (o.address, i)).collect();
    let find = |schema: &Schema, address: &Address| {
        let whole = schema.aliases.get(address).and_then(|whole| index.get(whole));
        index.get(address).or(whole).copied()
    };
    let extensions: HashMap<String, Address> = schema
        .objects
        .iter()
        .filter(|o| matches!(o.definition, Definition::Extension(_)))
        .map(|o| (o.name.clone(), o.address))
        .collect();
    let mut ties: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for tie in attached.ties {
        // A filter may leave out the extension.
        let there = tie.of_initdb || extensions.contains_key(&tie.extension);
        if let Some(at) = find(schema, &tie.on).filter(|_| there) {
            ties.entry(at).or_default().push(tie.extension);
        }
    }
    for (at, names) in ties {
        let object = &schema.objects[at];
        let phrase = match object.definition {
            // The index behind it.
            Definition::Constraint(_) => format!("INDEX {}", object.qualified_name()),
            _ => object.reference(),
        };
        let address = object.address.attached(class::DEPEND);
        let mut needs: Vec<Address> = names.iter().filter_map(|n| extensions.get(n)).copied().collect();
        needs.push(object.address);
        let relation = (object.address.class == class::RELATION).then_some(object.address);
        let ties = ExtensionTies {
            of: object.address,
            phrase,
            locks: object.parent.or(relation),
            extensions: names,
        };
        let tied = beside(object, address, Definition::ExtensionTies(ties));
        schema.depends.insert(address, needs);
        schema.objects.push(tied);
    }
    let mut labels: BTreeMap<usize, Vec<SecurityLabel>> = BTreeMap::new();
    for label in attached.labels {
        match find(schema, &label.on) {
            Some(at) => {
                let name = schema.objects[at].qualified_name();
                let column = label.column.map(|column| format!("{name}.{}", quote_ident(&column)));
                let (provider, label) = (label.provider, label.label);
                labels.entry(at).or_default().push(SecurityLabel { provider, column, label });
            }
            None if filter.is_everything() => schema.unsupported.push(Unsupported {
                kind: "security label".to_owned(),
                identity: format!("{} on {}", quote_ident(&label.provider), label.description),
                pg_dump_neither: false,
            }),
            None => {}
        }
    }
    for (at, labels) in labels {
        let object = &schema.objects[at];
        let address = object.address.attached(class::SECURITY_LABEL);
        let of = SecurityLabels { of: object.address, phrase: object.reference(), labels };
        let labelled = beside(object, address, Definition::SecurityLabels(of));
        schema.depends.insert(address, vec![object.address]);
        schema.objects.push(labelled);
    }
}

/// An object that goes with another.
fn beside(object: &Object, address: Address, definition: Definition) -> Object {
    Object {
        address,
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        parent: Some(object.address),
        owner: None,
        acl: None,
        comments: Vec::new(),
        definition,
    }
}
