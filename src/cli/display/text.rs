//! Numbers and lines as people read them: pure formatting, no terminal.
//!
//! Invariant: one event, one line, whatever is in it: line breaks inside messages are indented, so that a line
//! which begins with `[` always begins an event.

use std::time::Duration;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// The tag in front of a line.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }

    /// ANSI colour of the tag.
    fn color(self) -> &'static str {
        match self {
            Level::Error => "31",
            Level::Warn => "33",
            Level::Info => "32",
            Level::Debug | Level::Trace => "2",
        }
    }
}

/// `[INFO] message`.
pub(crate) fn line(level: Level, message: &str, color: bool) -> String {
    let message = message.trim_end().replace('\n', "\n       ");
    if color {
        format!("[\x1b[{}m{}\x1b[0m] {message}", level.color(), level.tag())
    } else {
        format!("[{}] {message}", level.tag())
    }
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 table`, `2 tables`; plurals with `s` or, for `…ex`, `…exes`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let ending = match (n, noun.ends_with('x')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", count(n))
}

/// `512 B`, `1.5 kB`, `700 MB`: three digits at most, powers of 1024 as PostgreSQL's `pg_size_pretty` has them.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub(crate) fn duration(d: Duration) -> String {
    let seconds = d.as_secs_f64();
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 9.995 => format!("{s:.2} s"),
        s if s < 59.95 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// As [`duration`], to the second.
pub(crate) fn whole(d: Duration) -> String {
    match d.as_secs() {
        s if s < 60 => format!("{s} s"),
        s => duration(Duration::from_secs(s)),
    }
}

/// Bytes per second; nothing where no time passed.
pub(crate) fn rate(n: u64, d: Duration) -> Option<String> {
    let seconds = d.as_secs_f64();
    (seconds > 0.001).then(|| format!("{}/s", bytes((n as f64 / seconds) as u64)))
}

/// A point in time, RFC 3339, UTC, milliseconds.
pub(crate) fn timestamp(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, counted in 400-year eras that begin on 1 March.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since_epoch.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0, 999, 1000, 12_345_678].map(count).each_ref().map(|s| s.as_str())
        );
        assert_eq!(counted(1, "index"), "1 index");
        assert_eq!(counted(2, "index"), "2 indexes");
        assert_eq!(counted(0, "table"), "0 tables");
        let sizes = [0, 999, 1000, 1536, 102_400, 700 << 20, 1 << 30, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.5 kB", "100 kB", "700 MB", "1.0 GB", "16777216 TB"]);
    }

    #[test]
    fn times() {
        let shown =
            [0.0, 0.417, 9.999, 59.94, 59.96, 245.2, 7380.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.00 s", "0.42 s", "10.0 s", "59.9 s", "1 min 00 s", "4 min 05 s", "2 h 03 min"]);
        assert_eq!(rate(10 << 20, Duration::from_secs(2)).as_deref(), Some("5.0 MB/s"));
        assert_eq!(rate(1, Duration::ZERO), None);
    }

    #[test]
    fn timestamps() {
        let at = |s: u64| timestamp(Duration::from_millis(s * 1000 + 7));
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59.007Z");
    }

    #[test]
    fn a_message_stays_one_event() {
        assert_eq!(line(Level::Warn, "a\nb\n", false), "[WARN] a\n       b");
        assert_eq!(line(Level::Error, "x", true), "[\x1b[31mERROR\x1b[0m] x");
    }
}
