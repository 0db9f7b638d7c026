//! Percentile bootstrap: the 95 % interval of a statistic over items drawn again with replacement.

use super::interval::Interval;
use super::random::Random;

/// Draws of a bootstrap: the ends of an interval move by about a tenth of its width at fewer.
const DRAWS: usize = 1_000;

/// Mean of values, one for each item, with its interval; nothing without items.
pub fn mean_bootstrap(values: &[f64], seed: u64) -> Option<Interval> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then(|| bootstrap([values, &[]], seed, |[values, _]| mean(values)))
}

/// A statistic of two sets of items, each drawn again by itself; `n` counts the items of the first.
pub fn bootstrap<T: Copy>(
    sets: [&[T]; 2],
    seed: u64,
    statistic: impl Fn([&[T]; 2]) -> f64,
) -> Interval {
    let mut random = Random::named(seed, "bootstrap");
    let mut again = |set: &[T]| -> Vec<T> { set.iter().map(|_| random.choose(set)).collect() };
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let [first, second] = sets.map(&mut again);
            statistic([first.as_slice(), second.as_slice()])
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn[(share * (DRAWS - 1) as f64).round() as usize];
    let mean = statistic(sets);
    Interval { mean, low: at(0.025).min(mean), high: at(0.975).max(mean), n: sets[0].len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_distribution() {
        let mut random = Random::new(3);
        let values: Vec<f64> = (0..200).map(|_| random.normal()).collect();
        let found = mean_bootstrap(&values, 1).expect("values");
        let normal = crate::math::mean_interval(&values).expect("values");
        assert_eq!((found.mean, found.n), (normal.mean, 200));
        for (end, expected) in [(found.low, normal.low), (found.high, normal.high)] {
            assert!((end - expected).abs() < 0.03, "{found:?} {normal:?}");
        }
        assert_eq!(mean_bootstrap(&values, 1), Some(found), "a seed gives the same draws");
        assert_eq!(mean_bootstrap(&[], 1), None);
    }

    #[test]
    fn equal_items_leave_nothing_to_chance() {
        let found = bootstrap([&[2.; 5], &[1.; 4]], 0, |[a, b]| a[0] - b[0]);
        assert_eq!(found, Interval { mean: 1., low: 1., high: 1., n: 5 });
    }
}
