//! Plots as inline SVG: lines over time, and bars. Pure; everything that is text is escaped.

use std::fmt::Write as _;

/// A line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Index of its colour.
    pub(super) color: usize,
    /// Seconds, value.
    pub(super) points: Vec<(f64, f64)>,
}

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) color: usize,
    pub(super) value: f64,
    pub(super) shown: String,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 220.0;
/// Room for the axes' labels: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (58.0, 14.0, 28.0, 34.0);

/// Of contenders, in the order of their colours.
const COLORS: [&str; 5] = ["#8a8f98", "#3367a8", "#d9622b", "#5b8c5a", "#9a6fb0"];

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(super) fn color(index: usize) -> &'static str {
    COLORS[index % COLORS.len()]
}

/// Lines over seconds.
pub(super) fn lines(title: &str, unit: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let right = points().map(|p| p.0).fold(0.0, f64::max).max(1e-3);
    let top = nice(points().map(|p| p.1).fold(0.0, f64::max));
    let x = |at: f64| MARGIN.0 + at / right * (WIDTH - MARGIN.0 - MARGIN.1);
    let y = |value: f64| HEIGHT - MARGIN.3 - value / top * (HEIGHT - MARGIN.2 - MARGIN.3);
    let mut out = begin(title);
    for i in 0..=4 {
        let value = top * f64::from(i) / 4.0;
        let (at, left, end) = (y(value), MARGIN.0, WIDTH - MARGIN.1);
        let _ = write!(
            out,
            r#"<line class="grid" x1="{left}" y1="{at:.1}" x2="{end}" y2="{at:.1}"/><text class="axis" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            left - 6.0,
            at + 4.0,
            short(value)
        );
    }
    for i in 0..=4 {
        let at = right * f64::from(i) / 4.0;
        let _ = write!(
            out,
            r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{} s</text>"#,
            x(at),
            HEIGHT - MARGIN.3 + 18.0,
            short(at)
        );
    }
    let _ = write!(
        out,
        r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
        MARGIN.0 - 6.0,
        MARGIN.2 - 10.0,
        escape(unit)
    );
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let path: Vec<String> = line.points.iter().map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
        let _ = write!(
            out,
            r#"<polyline fill="none" stroke="{}" stroke-width="2" points="{}"><title>{}</title></polyline>"#,
            color(line.color),
            path.join(" "),
            escape(&line.name)
        );
    }
    out + "</svg>"
}

/// Horizontal bars; `mark`: where a goal stands.
pub(super) fn bars(title: &str, bars: &[Bar], mark: Option<f64>) -> String {
    let top = bars.iter().map(|bar| bar.value).chain(mark).fold(0.0, f64::max).max(1e-9);
    let (left, end) = (130.0, WIDTH - 70.0);
    let step = (HEIGHT - MARGIN.2 - 16.0) / bars.len().max(1) as f64;
    let height = (step * 0.6).min(28.0);
    let mut out = begin(title);
    for (i, bar) in bars.iter().enumerate() {
        let at = MARGIN.2 + step * (i as f64 + 0.5);
        let width = (bar.value / top).clamp(0.0, 1.0) * (end - left);
        let (name, shown) = (escape(&bar.name), escape(&bar.shown));
        let _ = write!(
            out,
            r#"<rect x="{left}" y="{:.1}" width="{width:.1}" height="{height:.1}" fill="{}"/><text class="axis" x="{}" y="{:.1}" text-anchor="end">{name}</text><text class="axis" x="{:.1}" y="{:.1}">{shown}</text>"#,
            at - height / 2.0,
            color(bar.color),
            left - 8.0,
            at + 4.0,
            left + width + 6.0,
            at + 4.0
        );
    }
    if let Some(mark) = mark {
        let x = left + mark / top * (end - left);
        let _ = write!(
            out,
            r#"<line class="goal" x1="{x:.1}" y1="{}" x2="{x:.1}" y2="{}"/>"#,
            MARGIN.2,
            HEIGHT - 12.0
        );
    }
    out + "</svg>"
}

fn begin(title: &str) -> String {
    let title = escape(title);
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><text class="title" x="{}" y="14">{title}</text>"#,
        MARGIN.0
    )
}

/// The next round number that is no smaller.
fn nice(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let unit = 10f64.powf(value.log10().floor());
    let factors = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    factors.iter().map(|f| f * unit).find(|n| *n >= value * 0.9999).unwrap_or(10.0 * unit)
}

/// A number with three digits and the prefix of its thousands.
pub(super) fn short(value: f64) -> String {
    let (value, prefix) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if value.abs() >= 100.0 || value == 0.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [0.0, 0.25, 12.5, 250.0, 12_000.0, 3e6].map(short),
            ["0", "0.25", "12.5", "250", "12k", "3M"]
        );
        assert_eq!([0.0, 3.0, 42.0, 50.0, 81.0].map(nice), [1.0, 4.0, 50.0, 50.0, 100.0]);
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        assert!(lines("t", "u", &[]).ends_with("</svg>"));
        assert!(bars("t", &[], None).ends_with("</svg>"));
    }
}
