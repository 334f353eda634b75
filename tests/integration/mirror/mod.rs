//! The model of the stream: whatever transactions a source runs over whatever tables, the target has the same rows after each of
//! them that a batch ends with.
//!
//! The source server itself is the model. A trial draws tables and transactions ([`plan`]), has the source run them and remembers its rows after each
//! commit ([`world`]), and applies the changes over some lanes, broken off at times, by the pieces ([`by_hand`]) or by the whole stream ([`streamed`]).
//! Where the source can, every other trial has it send transactions while they are in progress. Invariant: after every batch the target equals the source as it was after the batch's last transaction, and no change found no row.

mod by_hand;
mod plan;
mod statements;
mod streamed;
mod tables;
mod values;
mod world;

use std::cell::RefCell;
use std::time::Instant;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::moves::eventually;
use plan::{Plan, Way};
use streamed::Streamed;
use world::{Tally, World};

/// The plans of these seeds, or of those in `PG_MIGRATOR_TEST_SEEDS` (`1-50`), all hold.
#[track_caller]
pub fn all_hold(from: u32, to: u32, seeds: impl IntoIterator<Item = u64>) {
    let given = std::env::var("PG_MIGRATOR_TEST_SEEDS").ok();
    let seeds: Vec<u64> = match given.as_deref().and_then(|s| s.split_once('-')) {
        Some((first, last)) => (first.parse().unwrap()..=last.parse().unwrap()).collect(),
        None => seeds.into_iter().collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = RefCell::new(runtime.block_on(World::new(from, to)));
    let started = Instant::now();
    let mut bad = Vec::new();
    for &seed in &seeds {
        runtime.block_on(world.borrow().hurry(seed % 2 == 0));
        if let Err(error) = holds(&runtime, &world, from.min(to), seed) {
            println!("{from} → {to}, seed {seed}: {error}");
            bad.push(seed);
        }
    }
    let tally = world.borrow().tally;
    println!("{from} → {to}: {} seeds in {:?}: {tally:?}", seeds.len(), started.elapsed());
    assert!(bad.is_empty(), "{from} → {to}: the target is not as the source with seeds {bad:?}");
    worth_something(&tally, seeds.len() as u64);
    if seeds.len() >= 40 && world.borrow().can_hurry() {
        eventually(|| world.borrow().has_hurried(), |has| *has, "no transaction was sent while in progress");
    }
    // Sessions and databases end inside the runtime.
    let _guard = runtime.enter();
    drop(world);
}

/// A model that nothing is asked of holds always.
#[track_caller]
fn worth_something(tally: &Tally, seeds: u64) {
    assert!(tally.refused * 2 < tally.statements, "the source refuses too much: {tally:?}");
    assert!(tally.commits >= 4 * seeds && tally.looks >= 3 * seeds, "{tally:?}");
    // In a few seeds these are a matter of luck.
    if seeds >= 40 {
        assert!(tally.changes >= 100 * seeds && tally.serial > 0 && tally.truncates > 0, "{tally:?}");
        assert!(tally.spread > 0 && tally.cuts > 0, "{tally:?}");
    }
    assert!(seeds < 100 || tally.apart > 0, "{tally:?}");
}

/// The plan of this seed; one that does not hold is made smaller first.
fn holds(
    runtime: &tokio::runtime::Runtime,
    world: &RefCell<World>,
    major: u32,
    seed: u64,
) -> Result<(), String> {
    let config = Config {
        cases: 1,
        max_shrink_iters: 200,
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tried = runner.run(&plan::plans(major), |plan| {
        runtime.block_on(trial(&mut world.borrow_mut(), &plan)).map_err(TestCaseError::fail)
    });
    match tried {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, plan)) => Err(format!("{reason}\n{plan:?}")),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}

async fn trial(world: &mut World, plan: &Plan) -> Result<(), String> {
    world.begin(plan).await?;
    let (mut stream, mut applier) = (None, None);
    let live = plan.way == Way::Stream { live: true };
    if live {
        stream = Some(Streamed::start(world, plan).await);
    }
    world.fill(plan).await;
    for round in &plan.rounds {
        world.write(round).await;
        match plan.way {
            Way::ByHand { spread_from } => {
                by_hand::apply(world, plan, spread_from, round, &mut applier).await?;
            }
            Way::Stream { .. } => {
                let running = match stream.take() {
                    Some(running) => running,
                    None => Streamed::start(world, plan).await,
                };
                stream = Some(running.follow(world, plan, round).await?);
            }
        }
        world.compare(world.states.len() - 1, "in the end").await?;
    }
    if let Some(applier) = applier {
        applier.close().await;
    }
    match stream {
        Some(stream) => stream.stop(world).await,
        None => Ok(()),
    }
}
