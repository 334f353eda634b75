//! The report as a table for people, on stdout. Pure.

use super::{ContenderReport, Goal, LatencyReport, Report, Run, ServerFacts, Size, WorkloadReport};
use crate::bench::measure::{Percentiles, ServerCpu};

/// The whole report.
pub fn table(report: &Report) -> String {
    let mut out = vec![heading(report)];
    for workload in &report.workloads {
        out.push(one_workload(workload));
    }
    if !report.latency.is_empty() {
        out.push(latency(&report.latency));
    }
    if !report.workloads.is_empty() {
        out.push(legend(report).join("\n"));
    }
    out.join("\n\n")
}

pub(super) fn heading(report: &Report) -> String {
    let server = |facts: &ServerFacts| {
        let minor = facts.version % 10_000;
        let flag = facts.optimization.as_deref().filter(|_| !facts.is_usual());
        format!(
            "{}.{minor}{}{}",
            facts.version / 10_000,
            flag.map(|flag| format!(" (built with {flag}: what a server in use takes is less)"))
                .unwrap_or_default(),
            if facts.visible { "" } else { " (its CPU is not visible from here)" }
        )
    };
    let rounds = if report.rounds > 1 {
        format!(", the middle one of {} rounds", report.rounds)
    } else {
        String::new()
    };
    format!(
        "bench {}: PostgreSQL {} → {}, {} cores, scale {}{rounds}; pg_migrator {} over {}",
        report.bench,
        server(&report.source),
        server(&report.target),
        report.cores,
        report.scale,
        report.version,
        match (report.connections, report.bench) {
            (1, "copy") => "1 connection pair".to_owned(),
            (n, "copy") => format!("{n} connection pairs"),
            (1, _) => "1 lane".to_owned(),
            (n, _) if report.sparing => format!("1 lane, {n} where they pay"),
            (n, _) => format!("{n} lanes"),
        }
    )
}

/// What there is to do, in words.
pub(super) fn size(workload: &WorkloadReport) -> String {
    let size = &workload.size;
    let mb = size.bytes as f64 / 1e6;
    if size.rows > 0 {
        format!("{}: {} rows, {mb:.1} MB of COPY data", workload.what, grouped(size.rows))
    } else {
        format!(
            "{}: {} changes in {} transactions, {mb:.1} MB of WAL",
            workload.what,
            grouped(size.changes),
            grouped(size.transactions)
        )
    }
}

/// The columns' heads.
pub(super) fn heads(size: &Size) -> &'static [&'static str] {
    match size.rows {
        0 => &[
            "",
            "s",
            "changes/s",
            "tx/s",
            "MB/s",
            "client",
            "walsender",
            "worker",
            "sessions",
            "other",
            "µs each",
            "busy",
            "of limit",
            "× own",
            "rows",
        ],
        _ => {
            &["", "s", "rows/s", "MB/s", "client", "source", "target", "µs each", "busy", "of limit", "rows"]
        }
    }
}

/// What the columns mean, for who reads the table: a line each.
pub(super) fn legend(report: &Report) -> &'static [&'static str] {
    match report.bench {
        "copy" => &[
            "client, source, target: CPU seconds; µs each: their sum per row; busy: share of the cores that they used",
            "of limit: rate against the faster COPY by hand; rows: whether the target's are the source's",
        ],
        _ => &[
            "client, walsender, worker (the target's apply worker), sessions (the target's), other (all other server processes): CPU seconds",
            "µs each: CPU of what applies (client and sessions, or worker) per change; busy: share of the cores that all of them used",
            "of limit: rate against the receiver that throws the stream away; × own: against PostgreSQL's own subscription; both in the same round",
            "met, MISSED: the middle of all rounds (the least and the most), each against what ran in the same round; rows: whether the target's are the source's",
        ],
    }
}

fn one_workload(workload: &WorkloadReport) -> String {
    let mut rows = vec![heads(&workload.size).iter().map(|head| (*head).to_owned()).collect()];
    rows.extend(workload.contenders.iter().filter_map(|c| cells(c, &workload.size)));
    let mut lines = vec![format!("{} — {}", workload.name, size(workload))];
    lines.extend(aligned(&rows));
    for contender in &workload.contenders {
        if let Some(why) = &contender.skipped {
            lines.push(format!("  {} took no part: {why}", contender.name));
        }
        for run in &contender.runs {
            lines.extend(run.differing.iter().map(|d| format!("  {} DIFFERS: {d}", contender.name)));
        }
        if let Some(whole) = contender.middle().and_then(|run| run.whole_seconds) {
            lines.push(format!("  {}: the whole migration took {whole:.2} s", contender.name));
        }
    }
    lines.extend(workload.goals.iter().map(judged));
    lines.join("\n")
}

fn judged(goal: &Goal) -> String {
    format!("  {} {}: {}", if goal.met { "met   " } else { "MISSED" }, goal.goal, goal.reached)
}

/// A contender's line; `None` where it did not take part.
pub(super) fn cells(contender: &ContenderReport, size: &Size) -> Option<Vec<String>> {
    let run = contender.middle()?;
    let cpu = &run.cpu;
    let seconds = |s: Option<f64>| s.map_or("-".to_owned(), |s| format!("{s:.2}"));
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |s| format!("{:.0} %", s * 100.0));
    let of = |server: Option<ServerCpu>, part: fn(&ServerCpu) -> f64| seconds(server.as_ref().map(part));
    let mut cells = vec![
        contender.name.to_string(),
        format!("{:.2}", run.seconds),
        grouped(run.items_per_second.round() as u64),
    ];
    if size.rows > 0 {
        let all = cpu.client.zip(cpu.source).zip(cpu.target);
        let all = all.map(|((client, source), target)| client + source.total() + target.total());
        cells.extend([
            format!("{:.1}", run.megabytes_per_second),
            seconds(cpu.client),
            of(cpu.source, ServerCpu::total),
            of(cpu.target, ServerCpu::total),
            seconds(all.map(|s| s * 1e6 / size.rows as f64)),
            percent(cpu.busy),
            percent(run.share_of_limit),
            rows(run),
        ]);
        return Some(cells);
    }
    let rest = |server: Option<ServerCpu>, part: fn(&ServerCpu) -> f64| server.as_ref().map(part);
    let source_rest = rest(cpu.source, |s| s.total() - s.walsender);
    let target_rest = rest(cpu.target, |t| t.other + t.walsender);
    let known = source_rest.or(target_rest).is_some();
    cells.extend([
        grouped(run.transactions_per_second.round() as u64),
        format!("{:.1}", run.megabytes_per_second),
        seconds(cpu.client),
        of(cpu.source, |s| s.walsender),
        of(cpu.target, |t| t.apply_worker),
        of(cpu.target, |t| t.backend),
        seconds(known.then(|| source_rest.unwrap_or(0.0) + target_rest.unwrap_or(0.0))),
        seconds(run.applying_us),
        percent(cpu.busy),
        percent(run.share_of_limit),
        seconds(run.times_subscription),
        rows(run),
    ]);
    Some(cells)
}

fn rows(run: &Run) -> String {
    match run.equal {
        None => "-",
        Some(true) => "equal",
        Some(false) => "DIFFER",
    }
    .to_owned()
}

fn latency(reports: &[LatencyReport]) -> String {
    let heads =
        ["", "tx/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "lag p50 kB", "lag p99 kB", "lag max kB"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut after = Vec::new();
    for report in reports {
        if let Some(why) = &report.skipped {
            after.push(format!("  {} took no part: {why}", report.name));
            continue;
        }
        rows.push(latency_cells(report));
        after.extend(report.goals.iter().map(judged));
    }
    let asked = reports.first().map_or(0.0, |r| r.rate_asked);
    let mut lines = vec![format!("latency — from commit to visible, {asked:.0} transactions per second")];
    lines.extend(aligned(&rows));
    lines.extend(after);
    lines.join("\n")
}

pub(super) fn latency_cells(report: &LatencyReport) -> Vec<String> {
    let of = |p: &Option<Percentiles>, part: fn(&Percentiles) -> f64, unit: f64| {
        p.as_ref().map_or("-".to_owned(), |p| format!("{:.1}", part(p) / unit))
    };
    let (latency, lag) = (&report.latency_ms, &report.lag_bytes);
    vec![
        report.name.to_string(),
        format!("{:.0}", report.rate),
        of(latency, |p| p.p50, 1.0),
        of(latency, |p| p.p95, 1.0),
        of(latency, |p| p.p99, 1.0),
        of(latency, |p| p.max, 1.0),
        of(lag, |p| p.p50, 1e3),
        of(lag, |p| p.p99, 1e3),
        of(lag, |p| p.max, 1e3),
    ]
}

/// The first column to the left, all others to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(i, (cell, width))| match i {
            0 => format!("  {cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn for_people() {
        insta::assert_snapshot!(table(&sample()), @r"
bench apply: PostgreSQL 17.2 (built with -Os: what a server in use takes is less) → 18.1, 2 cores, scale 1, the middle one of 2 rounds; pg_migrator 0.1.0 over 1 lane

update-bulk — rows updated in 10 transactions: 500,000 changes in 10 transactions, 100.0 MB of WAL
                   s  changes/s  tx/s  MB/s  client  walsender  worker  sessions  other  µs each  busy  of limit  × own   rows
  receiver      3.00    166,667     3  33.3    0.20       2.50    0.00      0.00   0.25        -  80 %         -      -      -
  subscription  6.25     80,000     2  16.0    0.00       2.50    5.50      0.00   0.25    11.00  80 %      48 %   1.00  equal
  pg_migrator   3.25    153,846     3  30.8    0.75       2.50    0.00      3.00   0.25     7.50  80 %      92 %   1.92  equal
  met    at least 1.6 × the rate of PostgreSQL's own subscription: 1.96 (1.92 to 2.00) ×
  met    target and tool: at most 0.75 of its apply worker's CPU per change: 0.67 (0.67 to 0.68)
  met    at least 0.85 of the rate of a receiver that throws the stream away, or the cores 90 % busy: 0.96 (0.92 to 1.00), 80 % busy
  met    client: at most 2 µs of CPU per change: 1.75 (1.50 to 2.00) µs

mixed — rows updated in 10 transactions: 500,000 changes in 10 transactions, 100.0 MB of WAL
                  s  changes/s  tx/s  MB/s  client  walsender  worker  sessions  other  µs each  busy  of limit  × own   rows
  receiver     3.00    166,667     3  33.3    0.20       2.50    0.00      0.00   0.25        -  80 %         -      -      -
  pg_migrator  3.50    142,857     3  28.6       -          -       -         -      -        -     -     100 %      -  equal
  subscription took no part: target: permission denied <to create>
  met    at least 0.85 of the rate of a receiver that throws the stream away, or the cores 90 % busy: 1.00

latency — from commit to visible, 1000 transactions per second
               tx/s  p50 ms  p95 ms  p99 ms  max ms  lag p50 kB  lag p99 kB  lag max kB
  pg_migrator  1000    12.0    40.0   300.0   400.0         1.0        30.0        40.0
  met    p50 of commit to visible under 50 ms: 12.0 ms
  MISSED p99 of commit to visible under 250 ms: 300.0 ms

client, walsender, worker (the target's apply worker), sessions (the target's), other (all other server processes): CPU seconds
µs each: CPU of what applies (client and sessions, or worker) per change; busy: share of the cores that all of them used
of limit: rate against the receiver that throws the stream away; × own: against PostgreSQL's own subscription; both in the same round
met, MISSED: the middle of all rounds (the least and the most), each against what ran in the same round; rows: whether the target's are the source's
");
    }

    #[test]
    fn rows_that_differ_are_named() {
        let mut report = sample();
        let run = &mut report.workloads[0].contenders[2].runs[1];
        run.equal = Some(false);
        run.differing = vec!["bench.items: 5 rows on the source, 4 on the target".to_owned()];
        assert!(!report.all_equal());
        let text = table(&report);
        assert!(
            text.contains("pg_migrator DIFFERS: bench.items: 5 rows") && text.contains("  DIFFER\n"),
            "{text}"
        );
    }
}
