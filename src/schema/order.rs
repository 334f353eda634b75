//! The order in which a schema is made again: `pg_depend` sorted topologically, loops broken as pg_dump breaks them.
//!
//! Modelled on `src/bin/pg_dump/pg_dump_sort.c`. The flow: [`build`] makes a graph of nodes (an object, or a piece
//! of one that has statements of its own), [`boundary`] moves what needs a post-data object behind the
//! data, [`breaking`] splits objects until no loop is left, [`graph`] sorts, [`render`] writes the statements.
//!
//! Invariants: every object of the schema is in the plan, whatever its dependencies look like; a step needs only
//! steps before it; the same schema always gives the same plan; time is near-linear in objects and dependencies.

mod boundary;
mod breaking;
mod build;
pub(super) mod graph;
mod node;
mod render;
#[cfg(test)]
pub(super) mod tests;

use node::Graph;
use rayon::prelude::*;

use super::{RenderOptions, Schema, Step};

/// A plan, and what could not be put in an order that satisfies it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// All steps, in an order in which one connection can run them.
    pub steps: Vec<Step>,
    /// What had to be given up. Empty for what PostgreSQL's own pg_dump can order and refresh.
    pub ignored: Vec<Ignored>,
}

/// Something that the source's state asks for and no order of statements gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The object, as `COMMENT ON` names it.
    pub object: String,
    /// What is given up, and what may come of it.
    pub message: String,
}

/// The steps that make `schema`, in order. What no order gives is logged as a warning.
pub fn plan(schema: &Schema, options: &RenderOptions) -> Vec<Step> {
    let plan = plan_with_report(schema, options);
    for ignored in &plan.ignored {
        tracing::warn!(object = %ignored.object, "{}", ignored.message);
    }
    plan.steps
}

/// As [`plan`], with what had to be given up.
pub fn plan_with_report(schema: &Schema, options: &RenderOptions) -> Plan {
    let mut graph = Graph::new(schema);
    build::build(&mut graph);
    boundary::settle(&mut graph);
    breaking::break_loops(&mut graph);
    let (rank, edges) = (graph.ranks(), graph.edges());
    let (order, _) = graph::sort(&edges, &rank);
    let mut place = vec![0; order.len()];
    for (at, &node) in order.iter().enumerate() {
        place[node] = at;
    }
    let context = render::Context::new(&graph, options);
    let steps = order
        .par_iter()
        .with_min_len(64)
        .map(|&node| {
            let mut needs: Vec<usize> = edges[node].iter().map(|&n| place[n]).collect();
            needs.sort_unstable();
            render::step(&context, node, needs)
        })
        .collect();
    Plan { steps, ignored: graph.ignored }
}
