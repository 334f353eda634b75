//! A lane: one session on the target into which statements are sent without waiting for each other's results.
//!
//! Invariants: every statement that is sent has a step here, and every step's answer is read and checked; after the first failure
//! nothing that follows is taken for done. The server may answer while we send: what it says is read meanwhile.

mod group;
mod join;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};

use super::rows::{self, Arrays, Unsendable};
use super::session;
use super::statement::{Statement, Value};
use super::target_relation::{Pass, TargetRelation};
use crate::lsn::Lsn;
use crate::pg::extended::{self, Format, TooLong};
use crate::pg::{Message, Server, SqlError, Wire};
use crate::stream::tuple::{Datum, Tuple};

use super::ApplyError;
pub(super) use group::Group;
pub(super) use join::Join;

/// Bytes written at once.
const CHUNK: usize = 128 * 1024;
/// Bytes of rows in one CopyData message.
const COPY_FRAME: usize = 32 * 1024;
/// Prepared statements kept; each holds a plan on the server.
const STATEMENTS: usize = 400;
const WHAT: &str = "applying changes";

/// What a statement is for.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// The transaction's frame.
    Control(&'static str),
    /// Many rows of a relation.
    Rows(Kind, Arc<TargetRelation>),
    /// One change of the segment, by its number there.
    Change(usize, Kind, Arc<TargetRelation>),
}

/// What happens to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Insert,
    Update,
    Delete,
}

impl Kind {
    /// In SQL.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Insert => "INSERT",
            Kind::Update => "UPDATE",
            Kind::Delete => "DELETE",
        }
    }
}

/// What the tag of a statement's end must be.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// Exactly this.
    Tag(&'static str),
    /// This many rows.
    Rows(u64),
    /// This many rows or fewer; the rest is missing.
    UpTo(u64),
    /// Whatever it did.
    Any,
}

#[derive(Debug)]
struct Reply {
    about: About,
    expect: Expect,
}

/// What one ReadyForQuery answers.
#[derive(Debug)]
struct Step {
    replies: Vec<Reply>,
    done: usize,
}

/// The first statement that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub about: About,
    pub error: SqlError,
}

/// The statements that are the same for many changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub relation: u32,
    pub kind: Kind,
    /// One change at a time.
    pub single: bool,
    /// By the old row's identity.
    pub by_old: bool,
    /// The columns that are set.
    pub set: Vec<bool>,
    /// The identity's NULLs.
    pub null: Vec<bool>,
    /// How it finds its rows.
    pub join: Join,
}

#[derive(Debug)]
struct Prepared {
    name: String,
    statement: Statement,
}

/// A session that applies.
#[derive(Debug)]
pub(super) struct Lane {
    wire: Wire,
    /// Written, not yet sent.
    out: BytesMut,
    steps: VecDeque<Step>,
    failed: Option<Failure>,
    prepared: HashMap<Shape, Arc<Prepared>>,
    next: u64,
    arrays: Arrays,
    /// Updates and deletes that found no row since it was last asked.
    missing: Vec<(Arc<TargetRelation>, Kind, u64)>,
    /// The join that statements are planned with now; `None`: not known, for a rollback takes the setting back.
    planned: Option<Join>,
    /// Whether foreign keys and triggers work on what is applied: the role may not set `session_replication_role`. Those that were there
    /// when the stream began are gone until cutover ([`super::suspend`]); others come with tables that do.
    pub enforced: bool,
}

impl Lane {
    /// Opens the session of the lane of this number; values come in `encoding`.
    pub async fn open(target: &Server, number: usize, encoding: &str) -> Result<Lane, ApplyError> {
        let (wire, enforced) = session::open(target, number, encoding).await?;
        Ok(Lane {
            wire,
            out: BytesMut::with_capacity(2 * CHUNK),
            steps: VecDeque::new(),
            failed: None,
            prepared: HashMap::new(),
            next: 0,
            arrays: Arrays::default(),
            missing: Vec::new(),
            planned: Some(Join::Loops),
            enforced,
        })
    }

    /// The wire, while no answer is outstanding.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Whether everything that was sent has been answered.
    pub fn is_settled(&self) -> bool {
        self.steps.is_empty() && self.out.is_empty()
    }

    /// The updates and deletes that found no row since the last call.
    pub fn take_missing(&mut self) -> Vec<(Arc<TargetRelation>, Kind, u64)> {
        std::mem::take(&mut self.missing)
    }

    /// Adds a statement whose tag is known.
    pub fn control(&mut self, sql: &str, tag: &'static str, what: &'static str) {
        self.out.extend_from_slice(&Wire::query_message(sql));
        self.awaiting(vec![Reply { about: About::Control(what), expect: Expect::Tag(tag) }]);
    }

    /// Adds a statement that touches any number of rows.
    pub fn statement(&mut self, sql: &str, what: &'static str) {
        self.out.extend_from_slice(&Wire::query_message(sql));
        self.awaiting(vec![Reply { about: About::Control(what), expect: Expect::Any }]);
    }

    fn awaiting(&mut self, replies: Vec<Reply>) {
        self.steps.push_back(Step { replies, done: 0 });
    }

    /// Sends what has been written once it is a chunk. `false`: something failed, and more is not worth sending.
    pub async fn pass_on(&mut self) -> Result<bool, SqlError> {
        if self.out.len() >= CHUNK {
            self.send().await?;
            loop {
                match self.wire.try_message(WHAT) {
                    Ok(Some(message)) => self.take(Ok(message))?,
                    Ok(None) => break,
                    Err(error) => self.take(Err(error))?,
                }
            }
        }
        Ok(self.failed.is_none())
    }

    async fn send(&mut self) -> Result<(), SqlError> {
        self.wire.send_bytes(WHAT, &self.out).await?;
        self.out.clear();
        if self.out.capacity() > 64 * CHUNK {
            self.out = BytesMut::with_capacity(2 * CHUNK); // after a very large row
        }
        Ok(())
    }

    /// Sends the rest and reads every answer. The outer error: the connection broke.
    pub async fn settle(&mut self) -> Result<Result<(), Failure>, SqlError> {
        self.send().await?;
        while !self.steps.is_empty() {
            let message = self.wire.next_message(WHAT).await;
            self.take(message)?;
        }
        match self.failed.take() {
            None => Ok(Ok(())),
            Some(failure) => {
                // Which statements were prepared before the failure is not worth knowing.
                self.prepared.clear();
                self.planned = None;
                self.wire.simple(WHAT, "ROLLBACK TO SAVEPOINT s").await.or_else(passed_over)?;
                self.wire.simple(WHAT, "DEALLOCATE ALL").await.or_else(passed_over)?;
                self.missing.clear();
                Ok(Err(failure))
            }
        }
    }

    fn take(&mut self, message: Result<Message, SqlError>) -> Result<(), SqlError> {
        let failure = match message {
            Ok(Message::CommandComplete(tag)) => self.ended(&tag),
            Ok(Message::EmptyQuery) => self.ended(""),
            Ok(Message::ReadyForQuery(_)) => match self.steps.pop_front() {
                None => return Err(self.unexpected("an answer to nothing that was asked")),
                Some(step) if self.failed.is_none() && step.done < step.replies.len() => {
                    return Err(self.unexpected("no answer to a statement"));
                }
                Some(_) => None,
            },
            Ok(_) => None,
            Err(error) if error.is_broken() => return Err(error),
            Err(error) => Some(error),
        };
        if let Some(mut error) = failure
            && self.failed.is_none()
        {
            let reply = self
                .steps
                .front()
                .and_then(|step| step.replies.get(step.done.min(step.replies.len().saturating_sub(1))));
            let about = reply.map_or(About::Control("running a statement"), |r| r.about.clone());
            error.what = match &about {
                About::Control(what) => (*what).to_owned(),
                About::Rows(kind, target) | About::Change(_, kind, target) => {
                    format!("{} of {}", kind.name(), target.name)
                }
            };
            self.failed = Some(Failure { about, error });
        }
        Ok(())
    }

    fn unexpected(&self, what: &str) -> SqlError {
        // Without SQLSTATE: a session that is out of step is as good as broken.
        SqlError::local(self.wire.side, WHAT, format!("the server sent {what}"))
    }

    /// A statement ended with this tag: what is wrong with it, if anything.
    fn ended(&mut self, tag: &str) -> Option<SqlError> {
        let step = self.steps.front_mut()?;
        let reply = step.replies.get(step.done)?;
        let rows = || tag.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
        let wrong = match reply.expect {
            Expect::Tag(expected) => tag != expected,
            Expect::Any => false,
            Expect::Rows(expected) => rows() != Some(expected),
            Expect::UpTo(expected) => match rows() {
                Some(n) if n <= expected => {
                    if n < expected
                        && let About::Rows(kind, target) | About::Change(_, kind, target) = &reply.about
                    {
                        self.missing.push((Arc::clone(target), *kind, expected - n));
                    }
                    false
                }
                _ => true,
            },
        };
        if wrong {
            let expected = match reply.expect {
                Expect::Tag(tag) => tag.to_owned(),
                Expect::Rows(n) => format!("{n} rows"),
                Expect::UpTo(n) => format!("at most {n} rows"),
                Expect::Any => String::new(),
            };
            let mut error =
                SqlError::local(self.wire.side, WHAT, format!("expected {expected}, got {tag:?}"));
            error.sqlstate = Some("XX000".to_owned());
            return Some(error);
        }
        step.done += 1;
        None
    }

    /// COPY of these rows. `false`: something failed, as with [`Lane::pass_on`].
    pub async fn copy(
        &mut self,
        target: &Arc<TargetRelation>,
        sql: &str,
        rows: &[Tuple],
    ) -> Result<bool, ApplyError> {
        self.out.extend_from_slice(&Wire::query_message(sql));
        let expect = Expect::Rows(rows.len() as u64);
        self.awaiting(vec![Reply { about: About::Rows(Kind::Insert, Arc::clone(target)), expect }]);
        let mut frame = None;
        let mut good = true;
        if target.binary {
            self.copy_data(rows::COPY_HEADER);
        }
        for row in rows {
            let start = *frame.get_or_insert_with(|| {
                self.out.put_slice(b"d\0\0\0\0");
                self.out.len()
            });
            let written = match target.binary {
                false => rows::copy_line(&mut self.out, &target.columns, row),
                true => rows::copy_tuple(&mut self.out, &target.columns, row),
            };
            written.map_err(|e| self.unsendable(target, e))?;
            if self.out.len() - start >= COPY_FRAME {
                self.end_frame(&mut frame)?;
                good = self.pass_on().await?;
                if !good {
                    break;
                }
            }
        }
        self.end_frame(&mut frame)?;
        if target.binary {
            self.copy_data(rows::COPY_TRAILER);
        }
        // Where the COPY was refused, the server passes over its data and this.
        self.out.extend_from_slice(&Wire::copy_done_message());
        Ok(good)
    }

    /// A CopyData message of its own.
    fn copy_data(&mut self, bytes: &'static [u8]) {
        self.out.put_u8(b'd');
        self.out.put_u32(bytes.len() as u32 + 4);
        self.out.put_slice(bytes);
    }

    fn end_frame(&mut self, frame: &mut Option<usize>) -> Result<(), SqlError> {
        if let Some(start) = frame.take() {
            let length = self.out.len() - start + 4;
            let length = i32::try_from(length).map_err(|_| self.too_long(TooLong))?;
            self.out[start - 4..start].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn too_long(&self, error: TooLong) -> SqlError {
        let mut error = SqlError::local(self.wire.side, WHAT, error.to_string());
        error.sqlstate = Some("54000".to_owned());
        error
    }

    fn unsendable(&self, target: &TargetRelation, why: Unsendable) -> ApplyError {
        match why {
            Unsendable::TooLong => self.too_long(TooLong).into(),
            Unsendable::Malformed(problem) => ApplyError::Malformed {
                relation: target.relation.identity_name(),
                lsn: Lsn::ZERO,
                problem: problem.to_owned(),
            },
        }
    }

    /// The prepared statement of this shape, made by `render` where it is new.
    fn prepare(
        &mut self,
        shape: &Shape,
        render: impl FnOnce() -> Statement,
    ) -> Result<Arc<Prepared>, SqlError> {
        if let Some(prepared) = self.prepared.get(shape) {
            return Ok(Arc::clone(prepared));
        }
        self.next += 1;
        let prepared = Arc::new(Prepared { name: format!("a{}", self.next), statement: render() });
        extended::parse(&mut self.out, &prepared.name, &prepared.statement.sql, &prepared.statement.types)
            .map_err(|e| self.too_long(e))?;
        self.prepared.insert(shape.clone(), Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Before a group: forgets all prepared statements once they are too many.
    pub fn limit_statements(&mut self) {
        if self.prepared.len() >= STATEMENTS {
            self.prepared.clear();
            self.control("DEALLOCATE ALL", "DEALLOCATE ALL", "forgetting prepared statements");
        }
    }

    /// One statement over these rows, each column an array.
    pub fn many(
        &mut self,
        target: &Arc<TargetRelation>,
        shape: &Shape,
        render: impl FnOnce() -> Statement,
        rows: &[&Tuple],
    ) -> Result<(), ApplyError> {
        self.limit_statements();
        self.plan_with(shape.join);
        let prepared = self.prepare(shape, render)?;
        let statement = &prepared.statement;
        let columns: Vec<(usize, &Pass)> = statement
            .values
            .iter()
            .filter_map(|value| {
                let (Value::Old(i) | Value::New(i)) = value;
                Some((*i, &target.columns.get(*i)?.as_ref()?.pass))
            })
            .collect();
        let formats: Vec<Format> = columns
            .iter()
            .map(|(_, pass)| if matches!(pass, Pass::Own { .. }) { Format::Text } else { Format::Binary })
            .collect();
        let filled = self.arrays.fill(&columns, target.columns.len(), rows);
        filled.map_err(|e| self.unsendable(target, e))?;
        extended::bind(&mut self.out, &prepared.name, &formats, |values| {
            self.arrays.each().try_for_each(|array| values.bytes(array))
        })
        .map_err(|e| self.too_long(e))?;
        extended::execute(&mut self.out);
        extended::sync(&mut self.out);
        let about = About::Rows(shape.kind, Arc::clone(target));
        self.awaiting(vec![Reply { about, expect: Expect::UpTo(rows.len() as u64) }]);
        Ok(())
    }

    /// A group of single changes, ended by [`Group::end`].
    pub fn group(&mut self) -> Group<'_> {
        self.limit_statements();
        Group::new(self)
    }

    /// Ends the transaction, if there is one, and forgets what it prepared and what it missed. All answers must have been read.
    pub async fn roll_back(&mut self) -> Result<(), SqlError> {
        self.missing.clear();
        if self.wire.status() != b'I' {
            self.prepared.clear();
            self.planned = None;
            self.wire.simple("rolling back", "ROLLBACK; DEALLOCATE ALL").await?;
        }
        Ok(())
    }

    /// Ends the session politely.
    pub async fn close(self) {
        self.wire.close().await;
    }
}

/// Rolling back to a savepoint that is not there, or outside of a transaction, is no trouble.
fn passed_over(error: SqlError) -> Result<Vec<String>, SqlError> {
    if error.is_broken() { Err(error) } else { Ok(Vec::new()) }
}

/// A value's bytes; `Unchanged` and binary values are refused before rows come here.
fn bytes_of<'a>(datum: &Datum<'a>) -> Option<&'a [u8]> {
    match datum {
        Datum::Text(bytes) | Datum::Binary(bytes) => Some(bytes),
        Datum::Null | Datum::Unchanged => None,
    }
}
