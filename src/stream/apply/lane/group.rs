//! Changes sent one by one in a lane, and answered together.
//!
//! Invariant: each change has its own reply, so the first that fails is known by its number in the segment.

use std::sync::Arc;

use super::super::ApplyError;
use super::super::statement::{Statement, Value};
use super::super::target_relation::TargetRelation;
use super::{About, Expect, Kind, Lane, Reply, Shape, bytes_of};
use crate::pg::extended::{self, Format};
use crate::stream::tuple::Datum;

/// Changes sent one by one, answered together.
pub(in crate::stream::apply) struct Group<'a> {
    lane: &'a mut Lane,
    replies: Vec<Reply>,
}

impl<'a> Group<'a> {
    pub(super) fn new(lane: &'a mut Lane) -> Group<'a> {
        Group { lane, replies: Vec::new() }
    }

    /// Adds a change: `old` and `new` are its rows, by the source's numbers.
    pub fn add(
        &mut self,
        number: usize,
        target: &Arc<TargetRelation>,
        shape: &Shape,
        render: impl FnOnce() -> Statement,
        old: &[Datum<'_>],
        new: &[Datum<'_>],
    ) -> Result<(), ApplyError> {
        let prepared = self.lane.prepare(shape, render)?;
        let values = &prepared.statement.values;
        let datum = |value: &Value| match value {
            Value::Old(i) => old.get(*i),
            Value::New(i) => new.get(*i),
        };
        let format = |value| match datum(value) {
            Some(Datum::Binary(_)) => Format::Binary,
            _ => Format::Text,
        };
        let formats: Vec<Format> = values.iter().map(format).collect();
        extended::bind(&mut self.lane.out, &prepared.name, &formats, |out| {
            for value in values {
                match datum(value).and_then(bytes_of) {
                    Some(bytes) => out.bytes(bytes)?,
                    None => out.null(),
                }
            }
            Ok(())
        })
        .map_err(|e| self.lane.too_long(e))?;
        extended::execute(&mut self.lane.out);
        let expect = if shape.kind == Kind::Insert { Expect::Rows(1) } else { Expect::UpTo(1) };
        self.replies.push(Reply { about: About::Change(number, shape.kind, Arc::clone(target)), expect });
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub fn pending(&self) -> usize {
        self.lane.out.len()
    }

    /// Changes in it.
    pub fn len(&self) -> usize {
        self.replies.len()
    }

    /// Ends the group.
    pub fn end(self) {
        extended::sync(&mut self.lane.out);
        self.lane.awaiting(self.replies);
    }
}
