//! Percentiles of measured values. Pure.

use serde::Serialize;

/// Some percentiles of a set of values, in their unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 95 of 100 are no larger.
    pub p95: f64,
    /// 99 of 100 are no larger.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Of these values, by the nearest rank; `None`: there are none.
    pub fn of(values: &[f64]) -> Option<Percentiles> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let max = *sorted.last()?;
        let rank = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(max)
        };
        Some(Percentiles { p50: rank(0.50), p95: rank(0.95), p99: rank(0.99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let expected = Percentiles { p50: 100.0, p95: 190.0, p99: 198.0, max: 200.0 };
        assert_eq!(Percentiles::of(&values), Some(expected));
        assert_eq!(Percentiles::of(&[7.0]).map(|p| (p.p50, p.p99)), Some((7.0, 7.0)));
        assert_eq!(Percentiles::of(&[]), None);
    }
}
