//! CPU times from Linux's `/proc` (proc(5)): of this process, of the children of a postmaster by kind, of the machine.
//!
//! Invariant: what cannot be read is `None`; elsewhere than on Linux that is everything.

use std::collections::HashMap;
use std::fs;

use super::ServerCpu;

/// `USER_HZ`: ticks per second in `/proc/PID/stat`, 100 on every architecture that PostgreSQL's packages are built for.
const TICKS: f64 = 100.0;

/// What a server process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Walsender,
    ApplyWorker,
    Backend,
    Other,
}

/// What a process is, by the title it has given itself (`init_ps_display`; the words differ between versions).
pub(super) fn kind(title: &str) -> Kind {
    let has = |word: &str| title.contains(word);
    if has("walsender") || has("wal sender") {
        Kind::Walsender
    } else if has("logical replication") && has("worker for subscription") {
        Kind::ApplyWorker
    } else if [
        "launcher",
        "checkpointer",
        "writer",
        "autovacuum",
        "collector",
        "logger",
        "archiver",
        "io worker",
        "startup",
    ]
    .iter()
    .any(|word| has(word))
    {
        Kind::Other
    } else {
        Kind::Backend
    }
}

/// Parent and CPU ticks of a line of `/proc/PID/stat`.
fn parse_stat(text: &str) -> Option<(u32, u64)> {
    // The name in parentheses may hold anything, parentheses too.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some((fields.get(1)?.parse().ok()?, ticks(11)? + ticks(12)?))
}

/// Nanoseconds on a CPU, of `/proc/PID/schedstat`.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Busy and all ticks of the machine, of `/proc/stat`.
fn parse_machine(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let fields: Vec<u64> = line.split_whitespace().take(8).map_while(|f| f.parse().ok()).collect();
    let all: u64 = fields.iter().sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some((all - idle, all))
}

/// CPU seconds of a process with one thread.
fn seconds_of(pid: &str) -> Option<f64> {
    let precise = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok();
    match precise.as_deref().and_then(parse_schedstat) {
        Some(nanoseconds) => Some(nanoseconds as f64 / 1e9),
        None => ticks_of(pid),
    }
}

fn ticks_of(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat).map(|(_, ticks)| ticks as f64 / TICKS)
}

/// CPU seconds of this process, all its threads together.
pub(super) fn own() -> Option<f64> {
    ticks_of("self")
}

/// CPU seconds of the calling thread.
pub(super) fn own_thread() -> f64 {
    seconds_of("thread-self").unwrap_or(0.0)
}

/// Busy and all time of the machine, seconds of one core.
pub(super) fn machine() -> Option<(f64, f64)> {
    let (busy, all) = parse_machine(&fs::read_to_string("/proc/stat").ok()?)?;
    Some((busy as f64 / TICKS, all as f64 / TICKS))
}

fn title(pid: u32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The postmaster of the session whose process is `backend`, if that process is on this machine: its title names the
/// session's database.
pub fn postmaster_of(backend: u32, database: &str) -> Option<u32> {
    let title = title(backend)?;
    if !title.starts_with("postgres") || !title.contains(database) {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{backend}/stat")).ok()?;
    let (parent, _) = parse_stat(&stat)?;
    (parent > 1).then_some(parent)
}

/// The children of one postmaster, followed: one that has ended keeps what it had when it was last seen.
#[derive(Debug, Default)]
pub(super) struct Children {
    seen: HashMap<u32, Child>,
}

#[derive(Debug)]
struct Child {
    kind: Kind,
    /// What it had when it was first seen, if it was there before the meter.
    before: f64,
    now: f64,
}

impl Children {
    /// Looks at those that live now; `first`: what they have used so far does not count.
    pub(super) fn look(&mut self, pids: impl Iterator<Item = u32>, first: bool) {
        for pid in pids {
            let (Some(now), Some(title)) = (seconds_of(&pid.to_string()), title(pid)) else { continue };
            let before = if first { now } else { 0.0 };
            let child = self.seen.entry(pid).or_insert(Child { kind: Kind::Other, before, now });
            child.now = child.now.max(now);
            // A process that was just forked still has the postmaster's title.
            if !title.is_empty() {
                child.kind = kind(&title);
            }
        }
    }

    pub(super) fn cpu(&self) -> ServerCpu {
        let mut cpu = ServerCpu::default();
        for child in self.seen.values() {
            let used = child.now - child.before;
            *match child.kind {
                Kind::Walsender => &mut cpu.walsender,
                Kind::ApplyWorker => &mut cpu.apply_worker,
                Kind::Backend => &mut cpu.backend,
                Kind::Other => &mut cpu.other,
            } += used;
        }
        cpu
    }
}

/// Every process, with its parent; `known` keeps what was found before, so that only new ones are looked into.
pub(super) fn processes(known: &mut HashMap<u32, u32>) -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let parent = match known.get(&pid) {
            Some(parent) => *parent,
            None => {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                *known.entry(pid).or_insert(parse_stat(&stat)?.0)
            }
        };
        Some((pid, parent))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (title, expected) in [
            ("postgres: walsender me app 127.0.0.1(5) streaming", Kind::Walsender),
            ("postgres: wal sender process me 127.0.0.1(5) streaming 0/1", Kind::Walsender),
            ("postgres: logical replication apply worker for subscription 16393", Kind::ApplyWorker),
            ("postgres: bgworker: logical replication worker for subscription 16393", Kind::ApplyWorker),
            ("postgres: logical replication launcher", Kind::Other),
            ("postgres: main: walwriter", Kind::Other),
            ("postgres: io worker 1", Kind::Other),
            ("postgres: me app 127.0.0.1(5) idle", Kind::Backend),
        ] {
            assert_eq!(kind(title), expected, "{title}");
        }
    }

    #[test]
    fn lines_of_proc() {
        let stat = "7 (a) b)) S 42 7 7 0 -1 4194304 1 0 0 0 150 50 9 9 20 0 1 0 100 0 0";
        assert_eq!(parse_stat(stat), Some((42, 200)));
        assert_eq!(parse_stat("7 (cut"), None);
        assert_eq!(parse_schedstat("235026294 106667190 1095\n"), Some(235_026_294));
        assert_eq!(parse_machine("cpu  10 1 5 70 4 1 2 7 3 0\ncpu0 1 1"), Some((26, 100)));
        assert_eq!(parse_machine("intr 1"), None);
    }

    #[test]
    fn who_is_no_server_has_no_postmaster() {
        assert_eq!(postmaster_of(std::process::id(), "postgres"), None);
    }
}
