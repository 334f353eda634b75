//! What must stand before the data and yet needs something made after it.
//!
//! A view with `GROUP BY` a primary key needs that constraint, which is made after the rows. Its query is split off,
//! or where that is not possible (materialized views, functions with an SQL body) the object itself moves behind the
//! data, and with it what needs it (`repairViewRuleMultiLoop`, `repairMatViewBoundaryMultiLoop`,
//! `repairFunctionBoundaryMultiLoop`). Invariant: afterwards nothing needs a node of a later section.

use super::node::{Graph, Need, Part};
use crate::schema::{Definition, Section};

/// Settles every node in a section that its needs allow.
pub(super) fn settle(graph: &mut Graph<'_>) {
    let mut wanted_by: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        for need in &node.needs {
            wanted_by[need.node].push(at);
        }
    }
    let mut todo: Vec<usize> =
        (0..graph.nodes.len()).filter(|&n| graph.nodes[n].section == Section::PostData).collect();
    while let Some(late) = todo.pop() {
        for &early in &wanted_by[late] {
            if graph.nodes[early].section == Section::PostData {
                continue;
            }
            if move_behind(graph, early, late) {
                todo.push(early);
            }
        }
    }
    refresh_after_definitions(graph);
}

/// Lets `early` need `late` no more, or makes it post-data, which is said by the result.
fn move_behind(graph: &mut Graph<'_>, early: usize, late: usize) -> bool {
    let pieces: Vec<_> =
        graph.nodes[early].needs.iter().filter(|n| n.node == late).filter_map(|n| n.via).collect();
    for piece in pieces {
        if graph.can_split(early, piece) && !graph.split.contains_key(&(graph.nodes[early].object, piece)) {
            graph.split_off(early, piece, Section::PostData);
        }
    }
    if !graph.nodes[early].needs.iter().any(|n| n.node == late) {
        return false;
    }
    let movable = match graph.nodes[early].part {
        Part::Piece(_) | Part::OwnedBy => true,
        Part::Whole => matches!(
            graph.object(early).definition,
            Definition::View(_)
                | Definition::MaterializedView(_)
                | Definition::Statistics(_)
                | Definition::Function(_)
                | Definition::Aggregate(_)
        ),
        _ => false,
    };
    if movable {
        graph.nodes[early].section = Section::PostData;
    } else {
        let message = format!(
            "made before the data although it needs {}, which is made after: making it may fail",
            graph.describe(late)
        );
        graph.ignore(early, message);
        graph.nodes[early].needs.retain(|n| n.node != late);
    }
    movable
}

/// A refresh that reads a placeholder would store no rows: it waits for the definitions of the views it reads.
fn refresh_after_definitions(graph: &mut Graph<'_>) {
    use super::node::Piece;
    if graph.split.keys().all(|(_, piece)| *piece != Piece::Query) {
        return;
    }
    for at in 0..graph.nodes.len() {
        if graph.nodes[at].part != Part::Refresh {
            continue;
        }
        let mut seen = std::collections::HashSet::new();
        let mut todo = vec![graph.nodes[at].object];
        while let Some(node) = todo.pop() {
            let mut next: Vec<usize> = graph.nodes[node].needs.iter().map(|n| n.node).collect();
            if let Some(&definition) = graph.split.get(&(node, Piece::Query)) {
                graph.nodes[at].needs.push(Need { node: definition, via: None });
                next.extend(graph.nodes[definition].needs.iter().map(|n| n.node));
            }
            for n in next {
                let object = graph.schema.objects.get(n);
                let is_view = object.is_some_and(|o| matches!(o.definition, Definition::View(_)));
                if is_view && seen.insert(n) {
                    todo.push(n);
                }
            }
        }
        graph.nodes[at].needs.sort_unstable();
        graph.nodes[at].needs.dedup();
    }
}
