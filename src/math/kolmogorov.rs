//! The two-sample Kolmogorov-Smirnov test.
//!
//! D is the largest distance between the empirical distribution functions of n and m observations.
//! If both come from one continuous distribution, every merging of the two sorted samples is as
//! likely as any other: a lattice path from (0, 0) to (n, m). The exact two-sided p is the share of
//! paths with |i/n − j/m| ≥ D somewhere. Its parts are summed where a path first does so, all of
//! them positive, so that a p of 1e-21 has as many digits as one of 0.5. The limit for large n and
//! m is 2 Σ (−1)^(k−1) exp(−2 k² D² nm/(n + m)).

/// What the test found.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct KolmogorovSmirnov {
    /// The statistic D.
    pub distance: f64,
    /// The exact two-sided p.
    pub p: f64,
    /// p of Kolmogorov's limit.
    pub p_limit: f64,
    /// Observations of each sample.
    pub n: [usize; 2],
}

/// Compares two samples; nothing where one is empty or holds what is no number.
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> Option<KolmogorovSmirnov> {
    let (n, m) = (first.len(), second.len());
    if n == 0 || m == 0 || first.iter().chain(second).any(|x| x.is_nan()) {
        return None;
    }
    let steps = largest_gap(first, second);
    let distance = steps as f64 / (n as f64 * m as f64);
    let p = outside(n, m, steps);
    let scale = n as f64 * m as f64 / (n + m) as f64;
    let p_limit = limit(scale * distance * distance);
    Some(KolmogorovSmirnov { distance, p, p_limit, n: [n, m] })
}

/// max |i m − j n| over the values, i and j counting the observations up to and with a value.
fn largest_gap(first: &[f64], second: &[f64]) -> u64 {
    let sorted = |sample: &[f64]| {
        let mut sample = sample.to_vec();
        sample.sort_by(f64::total_cmp);
        sample
    };
    let (first, second) = (sorted(first), sorted(second));
    let (mut i, mut j, mut largest) = (0, 0, 0);
    while i < first.len() && j < second.len() {
        let value = first[i].min(second[j]);
        i += first[i..].iter().take_while(|x| **x <= value).count();
        j += second[j..].iter().take_while(|x| **x <= value).count();
        largest = largest.max(gap(i, j, first.len(), second.len()));
    }
    largest
}

fn gap(i: usize, j: usize, n: usize, m: usize) -> u64 {
    (i as u64 * m as u64).abs_diff(j as u64 * n as u64)
}

/// Share of the paths that are at least `steps` off the diagonal somewhere.
fn outside(n: usize, m: usize, steps: u64) -> f64 {
    // mass[i]: share of the paths that pass (i, j) and were never outside before.
    let mut mass = vec![0f64; n + 1];
    let mut left = 0.;
    for j in 0..=m {
        for i in 0..=n {
            // A path at (i, j) goes on in either direction in proportion to the steps that are
            // left.
            let rest = |i: usize, j: usize| (n - i + m - j) as f64;
            let from_below = match j {
                0 => f64::from(u8::from(i == 0)),
                _ => mass[i] * (m - j + 1) as f64 / rest(i, j - 1),
            };
            let from_left = match i {
                0 => 0.,
                _ => mass[i - 1] * (n - i + 1) as f64 / rest(i - 1, j),
            };
            mass[i] = from_below + from_left;
            if gap(i, j, n, m) >= steps {
                left += mass[i];
                mass[i] = 0.;
            }
        }
    }
    left.min(1.)
}

fn limit(square: f64) -> f64 {
    // Below this the series converges slowly, and its sum is 1 to 14 digits.
    const SMALL: f64 = 0.04;
    if square < SMALL {
        return 1.;
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 1. } else { -1. };
        sign * (-2. * f64::from(k * k) * square).exp()
    };
    (2. * (1..=100).map(term).sum::<f64>()).clamp(0., 1.)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths counted by hand: apart, 2 of C(n + m, n); four against four with D = 3/4, 16 of 70.
    #[test]
    fn counts_of_small_samples() {
        for (first, second, distance, p) in [
            (&[1., 2., 3.][..], &[4., 5., 6.][..], 1., 0.1),
            (&[1., 2.], &[3., 4., 5.], 1., 0.2),
            (&[1., 3.], &[2., 4.], 0.5, 1.),
            (&[1., 2., 3., 4.], &[3.5, 5., 6., 7.], 0.75, 16. / 70.),
            (&[1., 1., 2.], &[1., 1., 2.], 0., 1.),
        ] {
            let found = kolmogorov_smirnov(first, second).expect("both have observations");
            assert!((found.distance - distance).abs() < 1e-12, "{first:?}: {found:?}");
            assert!((found.p - p).abs() < 1e-12, "{first:?}: {found:?}");
            let turned = kolmogorov_smirnov(second, first).expect("the same");
            assert!((turned.p - found.p).abs() < 1e-12, "{turned:?}");
        }
        assert_eq!(kolmogorov_smirnov(&[], &[1.]), None);
        assert_eq!(kolmogorov_smirnov(&[f64::NAN], &[1.]), None);
    }

    /// Values that scipy.stats.ks_2samp gives for D = 119/300, and the table of Kolmogorov's limit.
    #[test]
    fn far_tails_keep_their_digits() {
        let p = outside(300, 300, 119 * 300);
        assert!((p / 1.834_066e-21 - 1.).abs() < 1e-6, "{p:e}");
        let tail = limit(150. * (119f64 / 300.).powi(2));
        assert!((tail / 6.322_412e-21 - 1.).abs() < 1e-6, "{tail:e}");
        assert!((limit(1.) - 0.269_999_67).abs() < 1e-7, "{}", limit(1.));
        // Two ways to write the limit agree where the other series takes over.
        assert!((limit(0.040_001) - 1.).abs() < 1e-6, "{}", limit(0.040_001));
    }
}
