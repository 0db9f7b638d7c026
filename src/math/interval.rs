//! Means with 95 % intervals.

use serde::{Deserialize, Serialize};

/// A mean, its 95 % interval and the number of observations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Observations.
    pub n: usize,
}

/// Two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_964;

/// Share of successes with Wilson's interval; nothing where there is no observation.
pub fn share_interval(successes: usize, n: usize) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (count, mean) = (n as f64, successes as f64 / n as f64);
    let spread = Z * Z / count;
    let centre = (mean + spread / 2.) / (1. + spread);
    let half = Z * (mean * (1. - mean) / count + spread / (4. * count)).sqrt() / (1. + spread);
    let (low, high) = ((centre - half).max(0.), (centre + half).min(1.));
    Some(Interval { mean, low: low.min(mean), high: high.max(mean), n })
}

/// Mean with the interval mean ± 1.96 s/√n; a single observation has no spread to show.
pub fn mean_interval(values: &[f64]) -> Option<Interval> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let square: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let half = if n > 1 { Z * (square / (n - 1) as f64 / n as f64).sqrt() } else { 0. };
    Some(Interval { mean, low: mean - half, high: mean + half, n })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_for_hand_worked_counts() {
        let half = share_interval(5, 10).expect("ten observations");
        assert!((half.low - 0.2366).abs() < 1e-3 && (half.high - 0.7634).abs() < 1e-3, "{half:?}");
        let all = share_interval(4, 4).expect("four observations");
        assert!((all.low - 0.5101).abs() < 1e-3 && all.high == 1., "{all:?}");
        assert_eq!(share_interval(0, 0), None);
    }

    #[test]
    fn normal_interval_of_three_values() {
        let interval = mean_interval(&[1., 2., 3.]).expect("three values");
        assert!((interval.high - 2. - 1.959_964 / 3f64.sqrt()).abs() < 1e-9, "{interval:?}");
    }
}
