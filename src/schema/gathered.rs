//! Indexes of partitioned tables that have foreign tables among their partitions.
//!
//! Such an index is valid without one of theirs, but only if it is made over all partitions at once (`DefineIndex` in
//! `src/backend/commands/indexcmds.c`): made `ONLY` there, it becomes valid when every partition has an index attached, which a
//! foreign one never has (`validatePartitionedIndex` in `tablecmds.c`); so pg_dump's round trip leaves it invalid for good. Here it
//! is made when those of the other partitions are there, and takes them. Invariant: it finds one on each partition, and its own: the
//! others of those tables are made after it.

use std::collections::{HashMap, HashSet};

use super::quote::quote_ident;
use super::{Address, Definition, Index, Object, Schema, TableKind};

/// An index that takes those of the partitions, by indices in the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gathered {
    /// The index of the partitioned table.
    pub index: usize,
    /// Its parts, as deep as they go; the first ones are its partitions' own.
    pub parts: Vec<usize>,
    /// How many are its partitions' own: these are not attached, it takes them.
    pub direct: usize,
    /// Others of the same tables, which it might take as well: what the server compares is less than a definition says (not the
    /// order, nor the options; `CompareIndexInfo` in `src/backend/catalog/index.c`).
    pub alike: Vec<usize>,
}

/// `CREATE INDEX` without `ONLY`; `None` where the definition has none.
pub(super) fn over_all(index: &Index, object: &Object) -> Option<String> {
    let begin = format!("CREATE INDEX {} ON ", quote_ident(&object.name));
    let rest = index.definition.strip_prefix(&begin)?.strip_prefix("ONLY ")?;
    Some(format!("{begin}{rest}"))
}

/// All such indexes.
pub(super) fn gathered(schema: &Schema) -> Vec<Gathered> {
    let mut partitions: HashMap<Address, Vec<(Address, bool)>> = HashMap::new();
    let mut above = HashMap::new();
    let mut foreign = Vec::new();
    for object in &schema.objects {
        if let Definition::Table(table) = &object.definition
            && let Some(partition) = &table.partition_of
        {
            let is_foreign = table.kind == TableKind::Foreign;
            let whole = partition.parent.address;
            partitions.entry(whole).or_default().push((object.address, is_foreign));
            above.insert(object.address, whole);
            foreign.extend(is_foreign.then_some(object.address));
        }
    }
    let mut over_foreign: HashSet<Address> = HashSet::new();
    for mut at in foreign {
        while let Some(&whole) = above.get(&at).filter(|whole| over_foreign.insert(**whole)) {
            at = whole;
        }
    }
    if over_foreign.is_empty() {
        return Vec::new();
    }
    let indexes = || {
        schema.objects.iter().enumerate().filter_map(|(at, object)| match &object.definition {
            Definition::Index(index) => Some((at, object, index)),
            _ => None,
        })
    };
    let mut parts: HashMap<Address, Vec<usize>> = HashMap::new();
    let mut of_table: HashMap<Address, Vec<usize>> = HashMap::new();
    for (at, _, index) in indexes() {
        of_table.entry(index.table.address).or_default().push(at);
        if let Some(whole) = index.attaches_to() {
            parts.entry(whole).or_default().push(at);
        }
    }
    let index_at = |at: usize| match &schema.objects[at].definition {
        Definition::Index(index) => Some((&schema.objects[at], index)),
        _ => None,
    };
    let mut found: Vec<Gathered> = Vec::new();
    for (at, object, index) in indexes() {
        if !over_foreign.contains(&index.table.address) || over_all(index, object).is_none() {
            continue;
        }
        let own = parts.get(&object.address).cloned().unwrap_or_default();
        let (mut all, mut next, mut whole) = (own.clone(), 0, covers(&partitions, index, &own, &index_at));
        while let Some(&part) = all.get(next) {
            next += 1;
            let Some((object, index)) = index_at(part).filter(|(_, index)| index.partitioned) else {
                continue;
            };
            let below = parts.get(&object.address).cloned().unwrap_or_default();
            whole &= covers(&partitions, index, &below, &index_at);
            all.extend(below);
        }
        if whole {
            found.push(Gathered { index: at, direct: own.len(), parts: all, alike: Vec::new() });
        }
    }
    // A whole with all its parts after the other, so that none of them waits for the other: the top's place, and its parts' behind it.
    let mut of_top: HashMap<usize, usize> = HashMap::new();
    for gathered in found.iter().filter(|g| index_at(g.index).is_some_and(|(_, i)| i.attaches_to().is_none()))
    {
        of_top.extend(gathered.parts.iter().chain([&gathered.index]).map(|&part| (part, gathered.index)));
    }
    found.sort_by_key(|g| {
        (of_top.get(&g.index).copied().unwrap_or(g.index), std::cmp::Reverse(g.parts.len()), g.index)
    });
    let mut taken: HashSet<usize> = HashSet::new();
    for gathered in &mut found {
        let own = &gathered.parts[..gathered.direct];
        taken.extend(own);
        let tables = own.iter().filter_map(|&part| index_at(part)).map(|(_, index)| index.table.address);
        let others = tables.flat_map(|table| of_table.get(&table).into_iter().flatten());
        gathered.alike = others.filter(|other| !taken.contains(other)).copied().collect();
    }
    found
}

/// Whether every partition of the index's table has one of these, unless it is foreign.
fn covers<'s>(
    partitions: &HashMap<Address, Vec<(Address, bool)>>,
    index: &Index,
    parts: &[usize],
    index_at: &impl Fn(usize) -> Option<(&'s Object, &'s Index)>,
) -> bool {
    let tables: HashSet<Address> =
        parts.iter().filter_map(|&part| index_at(part)).map(|(_, part)| part.table.address).collect();
    let all = partitions.get(&index.table.address).into_iter().flatten();
    all.into_iter().all(|(partition, foreign)| *foreign || tables.contains(partition))
}
