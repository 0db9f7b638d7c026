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
    (n > 0).then(|| {
        let (low, high) = wilson(successes as f64 / n as f64, n as f64);
        Interval { mean: successes as f64 / n as f64, low, high, n }
    })
}

/// Ends of Wilson's interval around a share of `count` observations, a number that need not be whole.
fn wilson(mean: f64, count: f64) -> (f64, f64) {
    let spread = Z * Z / count;
    let centre = (mean + spread / 2.) / (1. + spread);
    let half = Z * (mean * (1. - mean) / count + spread / (4. * count)).sqrt() / (1. + spread);
    let (low, high) = ((centre - half).max(0.), (centre + half).min(1.));
    (low.min(mean), high.max(mean))
}

/// Mean of shares, each in 0..1, with an interval that lies there too.
///
/// Wilson's interval on the effective number of observations n·p(1−p)/s², where s² is the variance of
/// the shares: for zeros and ones that is n itself, and more for shares that vary less. p and s² are
/// taken with Z²/2 zeros and ones added, as Agresti and Coull do, so that a few shares that happen to
/// agree do not pass for certainty.
pub fn share_mean_interval(shares: &[f64]) -> Option<Interval> {
    let n = shares.len();
    if n == 0 {
        return None;
    }
    let mean = shares.iter().sum::<f64>() / n as f64;
    let total = n as f64 + Z * Z;
    let centre = (shares.iter().sum::<f64>() + Z * Z / 2.) / total;
    let squares = shares.iter().map(|share| share * share).sum::<f64>() + Z * Z / 2.;
    let variance = squares / total - centre * centre;
    let (low, high) = wilson(mean, n as f64 * centre * (1. - centre) / variance);
    Some(Interval { mean, low, high, n })
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
    fn shares_of_records_have_an_interval_in_their_range() {
        // Zeros and ones are counts.
        let counts = share_mean_interval(&[1., 1., 0., 1.]).expect("four shares");
        let wilson = share_interval(3, 4).expect("four observations");
        assert!(
            (counts.low - wilson.low).abs() < 1e-12 && (counts.high - wilson.high).abs() < 1e-12
        );
        // Shares that vary less than counts say more, yet not everything.
        let close = share_mean_interval(&[0.75; 4]).expect("four shares");
        assert!(wilson.low < close.low && close.low < 0.75, "{close:?}");
        assert!(close.high < wilson.high && close.high > 0.75, "{close:?}");
        let one = share_mean_interval(&[0.5]).expect("one share");
        assert!(one.low < 0.25 && one.high > 0.75, "{one:?}");
        for shares in [vec![1.; 30], vec![0.], vec![0.1, 0.9, 1.], vec![0.99; 200]] {
            let Interval { mean, low, high, .. } = share_mean_interval(&shares).expect("shares");
            assert!(0. <= low && low <= mean && mean <= high && high <= 1., "{shares:?}");
        }
        assert_eq!(share_mean_interval(&[]), None);
    }

    #[test]
    fn normal_interval_of_three_values() {
        let interval = mean_interval(&[1., 2., 3.]).expect("three values");
        assert!((interval.high - 2. - 1.959_964 / 3f64.sqrt()).abs() < 1e-9, "{interval:?}");
    }
}
