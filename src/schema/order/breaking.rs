//! Breaks loops of dependencies by splitting objects on them, one rule per sort of loop.
//!
//! The rules are `repairDependencyLoop`'s in `pg_dump_sort.c`, applied to whole strongly connected components: each
//! round splits what the first rule that fits can split, and looks for what is still a loop. Invariant: every round
//! removes a dependency from a component or takes a node out of it, so it ends; what no rule can break is broken
//! at a fixed place and reported.

use std::collections::HashSet;

use super::node::{Graph, Need, Part, Piece};
use super::{boundary, graph};
use crate::schema::{Definition, Section};

/// A rule: splits nodes of a component, says whether it did.
type Rule = fn(&mut Graph<'_>, &[usize], &HashSet<usize>) -> bool;

/// The rules, in the order in which they are tried.
const RULES: [Rule; 5] = [shell_types, defaults, queries, domain_checks, table_checks];

/// Breaks every loop.
pub(super) fn break_loops(graph: &mut Graph<'_>) {
    let all: Vec<usize> = (0..graph.nodes.len()).collect();
    let mut todo = graph::loops(&graph.edges(), &all);
    let mut split = false;
    while !todo.is_empty() {
        let mut members = Vec::new();
        for mut component in std::mem::take(&mut todo) {
            component.sort_unstable();
            let before = graph.nodes.len();
            let inside: HashSet<usize> = component.iter().copied().collect();
            if RULES.iter().any(|rule| rule(graph, &component, &inside)) {
                split = true;
            } else {
                give_up(graph, &component, &inside);
            }
            members.extend(component);
            members.extend(before..graph.nodes.len());
        }
        todo = graph::loops(&graph.edges(), &members);
    }
    if split {
        // What was split off behind the data may be needed by what stands before it.
        boundary::settle(graph);
    }
}

/// Splits off every piece that `wanted` selects and that needs something in its own component.
fn split_pieces(
    graph: &mut Graph<'_>,
    component: &[usize],
    inside: &HashSet<usize>,
    wanted: fn(Piece) -> bool,
) -> bool {
    let mut found = Vec::new();
    for &node in component {
        let mut pieces: Vec<Piece> = graph.nodes[node]
            .needs
            .iter()
            .filter(|n| inside.contains(&n.node))
            .filter_map(|n| n.via)
            .filter(|&p| wanted(p) && graph.can_split(node, p))
            .collect();
        pieces.dedup();
        found.extend(pieces.into_iter().map(|p| (node, p)));
    }
    for &(node, piece) in &found {
        if !graph.split.contains_key(&(graph.nodes[node].object, piece)) {
            graph.split_off(node, piece, Graph::section_of(piece));
        }
    }
    !found.is_empty()
}

/// A base or range type and the functions it names that take or return it: they are made on its shell
/// (`repairTypeFuncLoop`).
fn shell_types(graph: &mut Graph<'_>, component: &[usize], inside: &HashSet<usize>) -> bool {
    let ranges: Vec<usize> = component
        .iter()
        .copied()
        .filter(|&n| {
            graph.nodes[n].part == Part::Whole
                && matches!(graph.object(n).definition, Definition::Range(_) | Definition::BaseType(_))
        })
        .collect();
    let mut done = false;
    for range in ranges {
        let object = graph.nodes[range].object;
        let own: Vec<usize> =
            graph.nodes[range].needs.iter().map(|n| n.node).filter(|&n| inside.contains(&n)).collect();
        let functions: Vec<usize> =
            own.into_iter().filter(|&f| graph.nodes[f].needs.iter().any(|n| n.node == range)).collect();
        if functions.is_empty() {
            continue;
        }
        done = true;
        let before: Vec<usize> = graph.nodes[range]
            .needs
            .iter()
            .map(|n| n.node)
            .filter(|&n| matches!(graph.object(n).definition, Definition::Namespace(_)))
            .collect();
        let shell = graph.push(object, Part::Shell, Section::PreData, before);
        for function in functions {
            for need in graph.nodes[function].needs.iter_mut().filter(|n| n.node == range) {
                need.node = shell;
            }
        }
        graph.nodes[range].needs.push(Need { node: shell, via: None });
    }
    done
}

fn defaults(graph: &mut Graph<'_>, component: &[usize], inside: &HashSet<usize>) -> bool {
    split_pieces(graph, component, inside, |p| matches!(p, Piece::Default(_)))
}

fn queries(graph: &mut Graph<'_>, component: &[usize], inside: &HashSet<usize>) -> bool {
    split_pieces(graph, component, inside, |p| p == Piece::Query)
}

fn domain_checks(graph: &mut Graph<'_>, component: &[usize], inside: &HashSet<usize>) -> bool {
    split_pieces(graph, component, inside, |p| matches!(p, Piece::DomainCheck(_)))
}

fn table_checks(graph: &mut Graph<'_>, component: &[usize], inside: &HashSet<usize>) -> bool {
    split_pieces(graph, component, inside, |p| matches!(p, Piece::Check(_)))
}

/// No rule fits: the lowest object of the component is made without waiting for the others.
fn give_up(graph: &mut Graph<'_>, component: &[usize], inside: &HashSet<usize>) {
    let key = |n: &usize| {
        let object = graph.object(*n);
        (graph.nodes[*n].section, object.namespace.clone(), object.name.clone(), object.address, *n)
    };
    let Some(&first) = component.iter().min_by_key(|n| key(n)) else { return };
    let others: Vec<String> = component.iter().filter(|&&n| n != first).map(|&n| graph.describe(n)).collect();
    let message = format!("stands in a loop of dependencies with {}: making it may fail", others.join(", "));
    graph.ignore(first, message);
    graph.nodes[first].needs.retain(|n| !inside.contains(&n.node));
}
