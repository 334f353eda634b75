//! A service that embeds an online migration: tells what happens, and cuts over by itself once the target has kept up for a while.
//!
//! ```console
//! $ cargo run --example embed -- "host=old dbname=app" "host=new dbname=app"
//! ```
//!
//! Ctrl+C gives the migration up; run again, it goes on where it stood.

use std::time::{Duration, Instant};

use pg_migrator::Migration;
use pg_migrator::progress::{Event, Summary};

/// How long the target must have kept up before it takes over.
const CALM: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(source), Some(target)) = (args.next(), args.next()) else {
        eprintln!("two connection strings are needed: source and target");
        return 2.into();
    };
    match migrate(&source, &target).await {
        Ok(summary) => {
            println!("moved: {} rows in {} tables", summary.rows, summary.tables);
            if let Some(stream) = summary.stream {
                println!("writes had to stop for {:.2} s", stream.cutover_seconds);
                stream.next_steps.iter().for_each(|step| println!("next: {step}"));
            }
            0.into()
        }
        Err(error) => {
            eprintln!("{error}");
            1.into()
        }
    }
}

/// Moves the database; returns once the target has taken over.
pub async fn migrate(source: &str, target: &str) -> Result<Summary, Box<dyn std::error::Error>> {
    let mut running = Migration::online(source, target)
        .name("embedded")
        .slot("embedded")
        .publication("embedded")
        .create_publication(true)
        .heartbeat(Duration::from_secs(1))
        .start()?;
    let handle = running.handle();
    let mut calm_since: Option<Instant> = None;
    loop {
        let calm = async {
            match calm_since {
                Some(since) => tokio::time::sleep(CALM.saturating_sub(since.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = running.next_event() => match event {
                Some(event) => {
                    match event {
                        Event::CaughtUp { .. } => calm_since = Some(Instant::now()),
                        Event::FellBehind { .. } => calm_since = None,
                        _ => {}
                    }
                    show(&event);
                }
                // The migration has ended, well or not.
                None => break,
            },
            () = calm => {
                calm_since = None;
                println!("calm for {} s: cutting over", CALM.as_secs());
                handle.cut_over();
            }
            _ = tokio::signal::ctrl_c() => handle.abort(),
        }
    }
    Ok(running.finish().await?)
}

/// A real service would feed its metrics here.
fn show(event: &Event) {
    match event {
        Event::PhaseStarted { phase } => println!("{phase}"),
        Event::TableFinished { table, rows, .. } => println!("copied {table}: {rows} rows"),
        Event::Lag(lag) => println!("{} bytes behind", lag.lag_bytes),
        Event::Warning { object, message } => println!("warning: {object}: {message}"),
        _ => {}
    }
}
