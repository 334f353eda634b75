//! What is to be reached, and whether it was. Pure.
//!
//! Invariant: a figure that could not be measured meets no goal and misses none: its goal is not judged.

use serde::Serialize;

use super::{LatencyReport, Name, Spread, WorkloadReport};

/// The figures to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goals {
    /// Rate, divided by that of PostgreSQL's own subscription.
    pub rate: f64,
    /// CPU per change of target and tool, divided by that of PostgreSQL's apply worker.
    pub cpu: f64,
    /// Rate, divided by that of a receiver which throws the stream away; or else [`Goals::busy`].
    pub share: f64,
    /// Share of the cores' time that is used.
    pub busy: f64,
    /// The tool's own CPU per change, microseconds.
    pub client_us: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, milliseconds.
    pub p99_ms: f64,
}

impl Default for Goals {
    fn default() -> Self {
        Goals { rate: 1.0, cpu: 1.0, share: 0.85, busy: 0.9, client_us: 2.0, p50_ms: 50.0, p99_ms: 250.0 }
    }
}

/// One goal, judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// What is to be reached, for people.
    pub goal: String,
    /// What was reached, for people.
    pub reached: String,
    /// Whether that is enough.
    pub met: bool,
}

/// The middle, and how far apart the rounds were.
fn shown(spread: Spread) -> String {
    let Spread { least, middle, most } = spread;
    match least < most {
        true => format!("{middle:.2} ({least:.2} to {most:.2})"),
        false => format!("{middle:.2}"),
    }
}

fn goal(goal: String, reached: String, met: bool) -> Goal {
    Goal { goal, reached, met }
}

impl Goals {
    /// What pg_migrator reached in a workload, in the middle of its rounds.
    pub fn judge(&self, workload: &WorkloadReport) -> Vec<Goal> {
        let Some(ours) = workload.contender(Name::Migrator) else { return Vec::new() };
        let mut judged = Vec::new();
        if let Some(times) = ours.spread(|run| run.times_subscription) {
            let wanted = format!("at least {} × the rate of PostgreSQL's own subscription", self.rate);
            judged.push(goal(wanted, format!("{} ×", shown(times)), times.middle >= self.rate));
        }
        if let Some(ratio) = ours.spread(|run| run.times_worker) {
            let wanted =
                format!("target and tool: at most {} of its apply worker's CPU per change", self.cpu);
            let copy = workload.contender(Name::CopyAlone).and_then(|c| c.spread(|run| run.times_worker));
            let copy = copy.map(|copy| format!("; COPY of the same rows alone: {}", shown(copy)));
            let reached = format!("{}{}", shown(ratio), copy.unwrap_or_default());
            judged.push(goal(wanted, reached, ratio.middle <= self.cpu));
        }
        if let Some(share) = ours.spread(|run| run.share_of_limit) {
            let wanted = format!(
                "at least {} of the rate of a receiver that throws the stream away, or the cores {} % busy",
                self.share,
                self.busy * 100.0
            );
            let busy = ours.spread(|run| run.cpu.busy).map(|busy| busy.middle);
            let also = busy.map(|busy| format!(", {:.0} % busy", busy * 100.0)).unwrap_or_default();
            let met = share.middle >= self.share || busy.is_some_and(|busy| busy >= self.busy);
            judged.push(goal(wanted, format!("{}{also}", shown(share)), met));
        }
        let items = workload.size.items().max(1) as f64;
        if let Some(us) = ours.spread(|run| run.cpu.client.map(|client| client * 1e6 / items)) {
            let wanted = format!("client: at most {} µs of CPU per change", self.client_us);
            judged.push(goal(wanted, format!("{} µs", shown(us)), us.middle <= self.client_us));
        }
        judged
    }

    /// What pg_migrator reached in latency; nothing for others.
    pub fn judge_latency(&self, latency: &LatencyReport) -> Vec<Goal> {
        let Some(found) = latency.latency_ms.filter(|_| latency.name == Name::Migrator) else {
            return Vec::new();
        };
        let at = |what: &str, limit: f64, found: f64| {
            let wanted = format!("{what} of commit to visible under {limit} ms");
            goal(wanted, format!("{found:.1} ms"), found < limit)
        };
        vec![at("p50", self.p50_ms, found.p50), at("p99", self.p99_ms, found.p99)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::super::{ContenderReport, Name, Run};
    use super::Goals;

    #[test]
    fn met_and_missed() {
        let report = sample();
        let goals = &report.workloads[0].goals;
        let reached: Vec<_> = goals.iter().map(|g| (g.reached.as_str(), g.met)).collect();
        // 7 and 6.25 s against 3.5 and 3.25; 4 and 3.75 s of CPU against 6 and 5.5.
        let expected = [
            ("1.96 (1.92 to 2.00) ×", true),
            ("0.67 (0.67 to 0.68)", true),
            ("0.96 (0.92 to 1.00), 80 % busy", true),
            ("1.75 (1.50 to 2.00) µs", true),
        ];
        assert_eq!(reached, expected);
        let latency: Vec<_> = report.latency[0].goals.iter().map(|g| g.met).collect();
        assert_eq!(latency, [true, false]);
    }

    #[test]
    fn what_inserting_costs_however_it_is_done_stands_beside_what_it_cost() {
        let mut workload = sample().workloads.remove(0);
        let run = Run { applying_us: Some(9.0), ..Run::default() };
        workload.contenders.push(ContenderReport { name: Name::CopyAlone, runs: vec![run], skipped: None });
        workload.compare(Some(Goals::default()));
        assert_eq!(workload.goals[1].reached, "0.67 (0.67 to 0.68); COPY of the same rows alone: 0.75");
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        let goals = &sample().workloads[1].goals;
        assert_eq!(goals.len(), 1, "{goals:?}");
        assert!(goals[0].goal.contains("receiver"));
    }
}
