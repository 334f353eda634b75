//! What inserting costs the target however it is done: the workload's rows by one COPY, from memory, with nothing beside it.
//!
//! Only where a workload does nothing but insert. The clock runs from the COPY's start to its commit; the rows were read from the
//! source before, in the order in which they lie there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;

use super::{Course, Drained};
use crate::bench::BenchError;
use crate::bench::measure::Meter;
use crate::bench::workload::SCHEMA;
use crate::pg::{PumpError, Sink, SqlError, Wire, pump};
use crate::schema::quote::quote_ident;

/// A table's rows as CopyData messages.
#[derive(Default)]
struct Held(Vec<BytesMut>);

impl Sink for Held {
    async fn take(&mut self, chunk: BytesMut, _rows: u64) -> Result<(), PumpError> {
        self.0.push(chunk);
        Ok(())
    }
}

/// Copies the source's rows into the target's tables.
pub(crate) async fn drain(course: &Course) -> Result<Drained, BenchError> {
    let mut tables = Vec::new();
    let mut source = course.source.connect_wire("UTF8").await?;
    for table in &course.tables {
        let table = format!("{SCHEMA}.{}", quote_ident(table));
        let what = format!("reading {table}");
        source.send_query(&what, &format!("COPY {table} TO STDOUT (FORMAT binary)")).await?;
        let mut held = Held::default();
        pump(&what, &mut source, &mut held).await.map_err(|error| BenchError::of_pump(error, &what))?;
        tables.push((table, held.0));
    }
    source.close().await;
    let mut target = course.target.connect_wire("UTF8").await?;
    let moved = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&moved);
    let meter = Meter::start(course.watch, 0, move || seen.load(Ordering::Relaxed));
    let started = Instant::now();
    for (table, chunks) in tables {
        let what = format!("copying {table}");
        target.start_copy_in(&what, &format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
        for chunk in chunks {
            target.send(&chunk).await.map_err(|e| SqlError::broken(target.side, &what, &e))?;
            moved.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        target
            .send(&Wire::copy_done_message())
            .await
            .map_err(|e| SqlError::broken(target.side, &what, &e))?;
        target.finish_copy(&what).await?;
    }
    let time = started.elapsed();
    let trace = meter.stop();
    target.close().await;
    Ok(Drained { time, trace })
}
