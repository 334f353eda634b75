//! PostgreSQL's own subscription: made disabled, with its list of tables, and enabled when the clock starts.
//!
//! Its progress is that of its replication origin, which the worker's own commits move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Course, Drained, Name, Patience};
use crate::bench::BenchError;
use crate::bench::measure::Meter;
use crate::cutover::subscription::{self, Made, Make};
use crate::cutover::subscription_conninfo;
use crate::lsn::Lsn;
use crate::pg::{Session, SqlError};
use crate::schema::quote::{quote_ident, quote_literal};

/// Between two looks at its progress.
const LOOK: Duration = Duration::from_millis(15);

/// A subscription under way.
#[derive(Debug)]
pub(crate) struct Subscription {
    target: Session,
    name: String,
}

impl Subscription {
    /// Makes it, disabled; `Err` inside: why there can be none.
    pub(crate) async fn make(course: &Course) -> Result<Result<Subscription, String>, BenchError> {
        let (source, target) = tokio::try_join!(course.source.connect(), course.target.connect())?;
        let conninfo = subscription_conninfo(course.source.info(), target.version());
        let make = Make {
            source: &source,
            target: &target,
            name: &course.name,
            conninfo: &conninfo,
            publication: &course.publication,
            slot: &course.slot,
        };
        Ok(match subscription::create(make).await? {
            Made::There(_) => Ok(Subscription { target, name: course.name.clone() }),
            Made::Not(why) => Err(why),
        })
    }

    /// Its worker starts.
    pub(crate) async fn enable(&self) -> Result<(), BenchError> {
        let sql = format!("ALTER SUBSCRIPTION {} ENABLE", quote_ident(&self.name));
        Ok(self.target.batch("enabling the subscription", &sql).await?)
    }

    /// Up to where it has applied.
    pub(crate) async fn applied(&self) -> Result<Lsn, BenchError> {
        const WHAT: &str = "reading the subscription's progress";
        let sql = format!(
            "SELECT pg_catalog.pg_replication_origin_progress('pg_' || s.oid, false)::text AS at \
             FROM pg_catalog.pg_subscription s WHERE s.subname = {}",
            quote_literal(&self.name)
        );
        let at: Option<String> = self.target.value(WHAT, &sql).await?.flatten();
        let parsed = at.map(|text| text.parse::<Lsn>()).transpose();
        Ok(parsed.map_err(|e| SqlError::local(self.target.side, WHAT, e.to_string()))?.unwrap_or_default())
    }

    /// Ends its worker and drops it; the slot stays.
    pub(crate) async fn remove(self) -> Result<(), BenchError> {
        subscription::drop(&self.target, &self.name).await?;
        Ok(())
    }
}

/// Lets it apply everything up to `course.to`; `Err` inside: why it cannot take part.
pub(crate) async fn drain(course: &Course) -> Result<Result<Drained, String>, BenchError> {
    let subscription = match Subscription::make(course).await? {
        Ok(subscription) => subscription,
        Err(why) => return Ok(Err(why)),
    };
    let position = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&position);
    let meter = Meter::start(course.watch, course.from.0, move || seen.load(Ordering::Relaxed));
    let started = Instant::now();
    subscription.enable().await?;
    let mut patience = Patience::new(Name::Subscription, course.to);
    loop {
        let at = subscription.applied().await?;
        position.store(at.0, Ordering::Relaxed);
        if at >= course.to {
            break;
        }
        patience.check(at)?;
        tokio::time::sleep(LOOK).await;
    }
    let time = started.elapsed();
    let trace = meter.stop();
    subscription.remove().await?;
    Ok(Ok(Drained { time, trace }))
}
