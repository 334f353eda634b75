//! What the benchmarks measure of this room by itself: the pure pieces between a batch and a lane's socket. No migration calls it.
//!
//! Invariant: nothing is done here; each function is one call of the piece that a lane calls.

use std::sync::Arc;

use bytes::BytesMut;

use super::route;
use super::rows::{self, Arrays};
use super::segment::Targets;
use super::target_relation::{Pass, TargetColumn, TargetRelation};
use crate::stream::batch::Batch;
use crate::stream::relation::Relation;
use crate::stream::tuple::Tuple;

/// Rows of a table as the target takes them.
#[derive(Debug)]
pub struct Encoding {
    columns: Vec<Option<TargetColumn>>,
    arrays: Arrays,
    out: BytesMut,
}

impl Encoding {
    /// Of a table with so many columns.
    pub fn new(columns: usize) -> Encoding {
        Encoding {
            columns: vec![Some(TargetColumn::default()); columns],
            arrays: Arrays::default(),
            out: BytesMut::new(),
        }
    }

    /// Rows as COPY takes them, in text or binary as their values are; the bytes they took. `None`: they are no rows of the table.
    pub fn copy(&mut self, rows: &[Tuple], binary: bool) -> Option<usize> {
        self.out.clear();
        for row in rows {
            let done = match binary {
                true => rows::copy_tuple(&mut self.out, &self.columns, row),
                false => rows::copy_line(&mut self.out, &self.columns, row),
            };
            done.ok()?;
        }
        Some(self.out.len())
    }

    /// Rows as the arrays of one statement, a column each: binary ones of text, or quoted ones of the column's own type. The bytes they
    /// took. `None`: they are no rows of the table.
    pub fn arrays(&mut self, rows: &[&Tuple], quoted: bool) -> Option<usize> {
        let pass = if quoted { Pass::Own { array_oid: 0, delimiter: b',' } } else { Pass::Text };
        let columns: Vec<(usize, &Pass)> = (0..self.columns.len()).map(|n| (n, &pass)).collect();
        self.arrays.fill(&columns, columns.len(), rows).ok()?;
        Some(self.arrays.each().map(<[u8]>::len).sum())
    }
}

/// Which lane each of a batch's rows goes to.
#[derive(Debug, Default)]
pub struct Routing(Targets);

impl Routing {
    /// The rows of this table go by their identity; else the table goes whole.
    pub fn table(&mut self, relation: &Arc<Relation>, apart: bool) {
        self.0.add(TargetRelation {
            id: 0,
            relation: Arc::clone(relation),
            oid: relation.oid,
            name: relation.identity_name(),
            binary: false,
            partitioned: false,
            columns: vec![Some(TargetColumn::default()); relation.columns.len()],
            key: (0..relation.columns.len()).filter(|n| relation.columns[*n].key).collect(),
            unique: true,
            apart,
            unsent: Vec::new(),
            parents: Vec::new(),
            cascades: false,
        });
    }

    /// The parts that a batch falls into over so many lanes; `None`: it has to be applied as one.
    pub fn parts(&self, batch: &Batch, lanes: usize) -> Option<usize> {
        let (parts, _) = route::parts(batch, &self.0, lanes)?;
        Some(parts.iter().flatten().map(Vec::len).sum())
    }
}
