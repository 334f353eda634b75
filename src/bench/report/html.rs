//! The report as one HTML page with its plots inside: nothing is loaded from anywhere. Pure; well-formed as XML too.

use super::svg::{self, Bar, Line, escape};
use super::table::{cells, heading, heads, latency_cells, legend, size};
use super::{ContenderReport, Goal, LatencyReport, Report, Run, WorkloadReport};
use crate::bench::contender::Name;
use crate::bench::measure::Point;

const STYLE: &str = "\
:root{--ink:#1d2733;--soft:#66707c;--line:#dde1e6;--page:#fff;--good:#2e7d4f;--bad:#b3382c}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa4b0;--line:#39424d;--page:#161b22;--good:#6cc08b;--bad:#ef7f72}}\
body{margin:2rem auto;max-width:76rem;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}\
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2.5rem}p{color:var(--soft)}\
div.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}\
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left}\
td span{display:inline-block;width:.7em;height:.7em;border-radius:2px;margin-right:.5em}\
div.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1rem;margin-top:1rem}\
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg text.title{font-weight:600;fill:var(--ink)}\
line.grid{stroke:var(--line)}line.goal{stroke:var(--ink);stroke-dasharray:4 3}\
ul{list-style:none;padding:0}li.met::before{content:'✓ ';color:var(--good)}li.missed::before{content:'✗ ';color:var(--bad)}";

/// The whole page.
pub fn html(report: &Report) -> String {
    let title = format!("pg_migrator bench {}", report.bench);
    let mut body = format!("<h1>{}</h1>\n<p>{}</p>\n", escape(&title), escape(&heading(report)));
    for workload in &report.workloads {
        body += &one_workload(workload);
    }
    if !report.latency.is_empty() {
        body += &latency(&report.latency);
    }
    if !report.workloads.is_empty() {
        body += &format!("<p>{}</p>\n", escape(&legend(report).join("; ")));
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><meta name=\"viewport\" content=\"width=device-width\"/>\
         <title>{}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n",
        escape(&title)
    )
}

fn one_workload(workload: &WorkloadReport) -> String {
    let mut rows = String::new();
    for (i, contender) in workload.contenders.iter().enumerate() {
        if let Some(cells) = cells(contender, &workload.size) {
            rows += &row(&cells, i);
        }
    }
    let mut notes = String::new();
    for contender in &workload.contenders {
        if let Some(why) = &contender.skipped {
            notes += &format!("<p>{} took no part: {}</p>\n", contender.name, escape(why));
        }
        for difference in contender.runs.iter().flat_map(|run| &run.differing) {
            notes += &format!("<p>{} differs: {}</p>\n", contender.name, escape(difference));
        }
    }
    let plots = [
        svg::lines("Throughput over time", "MB/s", &over_time(workload, |run, _| throughput(&run.points))),
        svg::lines("Left to do over time", "MB", &over_time(workload, |run, total| left(&run.points, total))),
        svg::bars("Share of the limit", &shares(workload), Some(0.85)),
    ];
    format!(
        "<h2>{}</h2>\n<p>{}</p>\n{}{notes}{}<div class=\"plots\">{}</div>\n",
        workload.name,
        escape(&size(workload)),
        table(heads(&workload.size), &rows),
        goals(&workload.goals),
        plots.join("\n")
    )
}

fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
    format!("<div class=\"wide\"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>\n")
}

/// A line of a table, with the colour of its contender in front.
fn row(cells: &[String], color: usize) -> String {
    let cell = |(i, cell): (usize, &String)| match i {
        0 => format!("<td><span style=\"background:{}\"></span>{}</td>", svg::color(color), escape(cell)),
        _ => format!("<td>{}</td>", escape(cell)),
    };
    format!("<tr>{}</tr>", cells.iter().enumerate().map(cell).collect::<String>())
}

fn goals(goals: &[Goal]) -> String {
    if goals.is_empty() {
        return String::new();
    }
    let item = |goal: &Goal| {
        let class = if goal.met { "met" } else { "missed" };
        format!("<li class=\"{class}\">{}: {}</li>", escape(&goal.goal), escape(&goal.reached))
    };
    format!("<ul>{}</ul>\n", goals.iter().map(item).collect::<String>())
}

fn over_time(workload: &WorkloadReport, of: impl Fn(&Run, u64) -> Vec<(f64, f64)>) -> Vec<Line> {
    let line = |(color, contender): (usize, &ContenderReport)| {
        let run = contender.middle()?;
        Some(Line { name: contender.name.to_string(), color, points: of(run, workload.size.bytes) })
    };
    // COPY alone drains no backlog.
    let contenders = workload.contenders.iter().enumerate().filter(|(_, c)| c.name != Name::CopyAlone);
    contenders.filter_map(line).collect()
}

/// Millions of bytes per second between the samples.
fn throughput(points: &[Point]) -> Vec<(f64, f64)> {
    let between = |pair: &[Point]| {
        let [a, b] = pair else { return None };
        let seconds = b.at - a.at;
        (seconds > 1e-3).then(|| (b.at, b.done.saturating_sub(a.done) as f64 / seconds / 1e6))
    };
    points.windows(2).filter_map(between).collect()
}

/// Millions of bytes that were left at each sample.
fn left(points: &[Point], total: u64) -> Vec<(f64, f64)> {
    let total = points.iter().map(|p| p.done).fold(total, u64::max);
    points.iter().map(|p| (p.at, (total - p.done) as f64 / 1e6)).collect()
}

fn shares(workload: &WorkloadReport) -> Vec<Bar> {
    let bar = |(color, contender): (usize, &ContenderReport)| {
        let run = contender.middle()?;
        let value = run.share_of_limit?;
        Some(Bar { name: contender.name.to_string(), color, value, shown: format!("{:.0} %", value * 100.0) })
    };
    workload.contenders.iter().enumerate().filter_map(bar).collect()
}

fn latency(reports: &[LatencyReport]) -> String {
    let heads =
        ["", "tx/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "lag p50 kB", "lag p99 kB", "lag max kB"];
    let color = |name: Name| if name == Name::Migrator { 2 } else { 1 };
    let took_part = || reports.iter().filter(|r| r.skipped.is_none());
    let rows: String = took_part().map(|r| row(&latency_cells(r), color(r.name))).collect();
    let skipped = reports.iter().filter_map(|r| Some((r.name, r.skipped.as_ref()?)));
    let notes: String =
        skipped.map(|(name, why)| format!("<p>{name} took no part: {}</p>\n", escape(why))).collect();
    let line = |report: &LatencyReport, points: Vec<(f64, f64)>| Line {
        name: report.name.to_string(),
        color: color(report.name),
        points,
    };
    let latencies: Vec<Line> = took_part().map(|r| line(r, r.points.clone())).collect();
    let lags: Vec<Line> = took_part()
        .map(|r| line(r, r.lag_points.iter().map(|(at, bytes)| (*at, *bytes as f64 / 1e3)).collect()))
        .collect();
    let judged: String = reports.iter().map(|r| goals(&r.goals)).collect();
    format!(
        "<h2>latency</h2>\n<p>From commit on the source to visible on the target, under a steady load.</p>\n{}{notes}{judged}\
         <div class=\"plots\">{}\n{}</div>\n",
        table(&heads, &rows),
        svg::lines("Latency over time (worst of each 100 ms)", "ms", &latencies),
        svg::lines("Lag over time", "kB", &lags)
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// Whether every tag is closed in order, as XML wants it.
    fn balanced(page: &str) -> Result<usize, String> {
        let mut open = Vec::new();
        let mut tags = 0;
        for part in page.split('<').skip(1) {
            let (tag, _) = part.split_once('>').ok_or_else(|| format!("no end: {part}"))?;
            let name = tag.trim_matches('/').split_whitespace().next().unwrap_or_default().to_owned();
            tags += 1;
            match tag {
                _ if tag.starts_with('!') || tag.ends_with('/') => {}
                _ if tag.starts_with('/') => {
                    let last = open.pop();
                    if last.as_ref() != Some(&name) {
                        return Err(format!("</{name}> closes {last:?}"));
                    }
                }
                _ => open.push(name),
            }
        }
        if open.is_empty() { Ok(tags) } else { Err(format!("left open: {open:?}")) }
    }

    #[test]
    fn one_page_that_needs_nothing_else() {
        let page = html(&sample());
        assert!(balanced(&page).is_ok_and(|tags| tags > 100), "{:?}", balanced(&page));
        for outside in ["http:", "https:", "src=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("denied &lt;to create&gt;"));
        assert_eq!(page.matches("<svg ").count(), 8);
    }

    #[test]
    fn what_is_left_never_grows_below_nothing() {
        let points = [Point { at: 0.0, done: 0 }, Point { at: 1.0, done: 7_000_000 }];
        assert_eq!(left(&points, 5_000_000), [(0.0, 7.0), (1.0, 0.0)]);
        assert_eq!(throughput(&points), [(1.0, 7.0)]);
    }
}
