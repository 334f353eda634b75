//! The meter: a thread that samples while a contender runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::proc::{self, Children};
use super::{Cpu, Point, ServerCpu};

/// Between two samples.
const PACE: Duration = Duration::from_millis(100);

/// Whose processes are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Process id of the source's postmaster, where it is on this machine.
    pub source: Option<u32>,
    /// Process id of the target's.
    pub target: Option<u32>,
}

/// Samples until it is stopped.
#[derive(Debug)]
pub struct Meter {
    sampler: Arc<Mutex<Sampler>>,
    /// Its end is the thread's.
    _stop: Sender<()>,
}

/// All that was used up to a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: f64,
    done: u64,
    client: Option<f64>,
    source: Option<ServerCpu>,
    target: Option<ServerCpu>,
    machine: Option<(f64, f64)>,
}

struct Sampler {
    watch: Watch,
    position: Box<dyn Fn() -> u64 + Send>,
    started: Instant,
    from: u64,
    source: Children,
    target: Children,
    parents: HashMap<u32, u32>,
    samples: Vec<Sample>,
    /// CPU seconds that sampling took.
    own: f64,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("watch", &self.watch).finish_non_exhaustive()
    }
}

impl Meter {
    /// Starts; `position` says at any moment how many bytes are done, counted from `from`.
    pub fn start(watch: Watch, from: u64, position: impl Fn() -> u64 + Send + 'static) -> Meter {
        let mut sampler = Sampler {
            watch,
            position: Box::new(position),
            started: Instant::now(),
            from,
            source: Children::default(),
            target: Children::default(),
            parents: HashMap::new(),
            samples: Vec::new(),
            own: 0.0,
        };
        sampler.sample();
        let sampler = Arc::new(Mutex::new(sampler));
        let (stop, stopped) = channel();
        let own = Arc::clone(&sampler);
        // Without a thread there are only the samples that are asked for.
        let _ = std::thread::Builder::new().name("meter".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PACE) {
                lock(&own).sample();
            }
        });
        Meter { sampler, _stop: stop }
    }

    /// Takes a sample now; returns the seconds since the start.
    pub fn mark(&self) -> f64 {
        lock(&self.sampler).sample()
    }

    /// Takes the last sample and ends.
    pub fn stop(self) -> Trace {
        self.mark();
        self.trace()
    }

    /// What it has seen so far.
    pub fn trace(&self) -> Trace {
        let sampler = lock(&self.sampler);
        Trace { samples: sampler.samples.clone(), own: sampler.own }
    }
}

fn lock(sampler: &Mutex<Sampler>) -> MutexGuard<'_, Sampler> {
    sampler.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sampler {
    fn sample(&mut self) -> f64 {
        let before = proc::own_thread();
        let at = self.started.elapsed().as_secs_f64();
        let first = self.samples.is_empty();
        let seen = match (self.watch.source, self.watch.target) {
            (None, None) => Vec::new(),
            _ => proc::processes(&mut self.parents),
        };
        let children = |of: Option<u32>| {
            let seen = seen.iter();
            seen.filter(move |(_, parent)| Some(*parent) == of).map(|(pid, _)| *pid)
        };
        self.source.look(children(self.watch.source), first);
        let one_server = self.watch.source == self.watch.target;
        if !one_server {
            self.target.look(children(self.watch.target), first);
        }
        let (mut source, mut target) = (self.source.cpu(), self.target.cpu());
        if one_server {
            // Where one server is both, what sends is the source and everything else the target.
            target = ServerCpu { walsender: 0.0, ..source };
            source = ServerCpu { walsender: source.walsender, ..ServerCpu::default() };
        }
        let sample = Sample {
            at,
            done: (self.position)().saturating_sub(self.from),
            client: proc::own(),
            source: self.watch.source.map(|_| source),
            target: self.watch.target.map(|_| target),
            machine: proc::machine(),
        };
        self.samples.push(sample);
        self.own += (proc::own_thread() - before).max(0.0);
        at
    }
}

/// What a meter saw.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    samples: Vec<Sample>,
    /// CPU seconds of the meter.
    own: f64,
}

impl Trace {
    /// What was used from the sample nearest to `from` up to the one nearest to `to`, seconds since the start.
    pub fn cpu(&self, from: f64, to: f64) -> Cpu {
        let nearest = |at: f64| {
            let distance = |sample: &&Sample| (sample.at - at).abs();
            self.samples
                .iter()
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                .copied()
                .unwrap_or_default()
        };
        let (a, b) = (nearest(from), nearest(to));
        let whole = self.samples.last().map_or(0.0, |last| last.at);
        let elapsed = b.at - a.at;
        let own = if whole > 0.0 { self.own * elapsed / whole } else { 0.0 };
        let server = |b: Option<ServerCpu>, a: Option<ServerCpu>| Some(b?.minus(&a?));
        let client = b.client.zip(a.client).map(|(b, a)| (b - a - own).max(0.0));
        let (source, target) = (server(b.source, a.source), server(b.target, a.target));
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let busy = || Some((client? + source?.total() + target?.total()) / (elapsed * cores));
        let machine = b.machine.zip(a.machine).filter(|(b, a)| b.1 > a.1);
        Cpu {
            client,
            source,
            target,
            busy: busy().filter(|_| elapsed > 0.0),
            machine_busy: machine.map(|(b, a)| (b.0 - a.0) / (b.1 - a.1)),
        }
    }

    /// Progress over time.
    pub fn points(&self) -> Vec<Point> {
        self.samples.iter().map(|sample| Point { at: sample.at, done: sample.done }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_moments() {
        let sample = |at: f64, client: f64, walsender: f64, busy: f64| Sample {
            at,
            done: (at * 10.0) as u64,
            client: Some(client),
            source: Some(ServerCpu { walsender, ..ServerCpu::default() }),
            target: None,
            machine: Some((busy, at * 2.0)),
        };
        let samples =
            vec![sample(0.0, 5.0, 1.0, 0.0), sample(1.0, 5.5, 1.5, 1.0), sample(2.1, 6.5, 2.5, 3.0)];
        let trace = Trace { samples, own: 0.21 };
        let cpu = trace.cpu(0.9, 2.0);
        assert!((cpu.client.unwrap() - 0.89).abs() < 1e-9, "{cpu:?}");
        assert_eq!(cpu.source.map(|s| s.walsender), Some(1.0));
        assert_eq!((cpu.target, cpu.busy), (None, None));
        assert!((cpu.machine_busy.unwrap() - 2.0 / 2.2).abs() < 1e-9);
        assert_eq!(trace.points()[2], Point { at: 2.1, done: 21 });
        assert_eq!(Trace::default().cpu(0.0, 1.0), Cpu::default());
    }

    #[test]
    fn a_meter_sees_its_own_process() {
        let meter = Meter::start(Watch::default(), 3, || 10);
        let at = meter.mark();
        let trace = meter.stop();
        assert!(trace.points().iter().all(|p| p.done == 7) && trace.points().len() >= 3);
        assert_eq!(trace.cpu(0.0, at).client.is_some(), cfg!(target_os = "linux"));
    }
}
