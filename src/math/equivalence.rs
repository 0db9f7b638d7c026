//! Two one-sided tests of equivalence (TOST): whether a mean difference lies within a margin.
//!
//! Of n paired differences d with mean d̄ and standard error s/√n, two hypotheses have to be rejected:
//! that the true mean is at most −δ, by t = (d̄ + δ)/(s/√n), and that it is at least δ, by
//! t = (δ − d̄)/(s/√n), each with n − 1 degrees of freedom (Schuirmann 1987). A large p-value of a
//! test for difference says nothing of the kind.

use serde::{Deserialize, Serialize};

/// The outcome of the two tests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Mean difference d̄.
    pub difference: f64,
    /// The margin δ.
    pub margin: f64,
    /// The larger of the two p-values.
    pub p: f64,
    /// Number of pairs.
    pub n: usize,
}

/// Tests whether the mean of paired differences lies within `margin` of zero; nothing for fewer than
/// two pairs.
pub fn equivalence(differences: &[f64], margin: f64) -> Option<Equivalence> {
    let n = differences.len();
    if n < 2 {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n as f64;
    let square: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let error = (square / (n - 1) as f64 / n as f64).sqrt();
    let freedom = (n - 1) as f64;
    let one = |distance: f64| match error {
        // Equal differences: the mean is known, and inside or not.
        0. => f64::from(u8::from(distance <= 0.)),
        _ => 1. - student(distance / error, freedom),
    };
    let p = one(margin + mean).max(one(margin - mean));
    Some(Equivalence { difference: mean, margin, p, n })
}

/// Distribution function of Student's t.
fn student(t: f64, freedom: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(freedom / (freedom + t * t), freedom / 2., 0.5);
    if t > 0. { 1. - tail } else { tail }
}

/// Regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0. || x >= 1. {
        return x.clamp(0., 1.);
    }
    // The fraction converges fast on one side of the mean alone.
    if x > (a + 1.) / (a + b + 2.) {
        return 1. - incomplete_beta(1. - x, b, a);
    }
    let front = a * x.ln() + b * (1. - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let mut value = 0.;
    for step in (0..=TERMS).rev() {
        value = term(step, x, a, b) / (1. + value);
    }
    front.exp() / a * value
}

/// Terms of the continued fraction: more than enough for twelve digits below the mean.
const TERMS: usize = 200;

fn term(step: usize, x: f64, a: f64, b: f64) -> f64 {
    let m = (step / 2) as f64;
    match step {
        0 => 1.,
        step if step % 2 == 0 => m * (b - m) * x / ((a + 2. * m - 1.) * (a + 2. * m)),
        _ => -(a + m) * (a + b + m) * x / ((a + 2. * m) * (a + 2. * m + 1.)),
    }
}

/// ln Γ(x) for x > 0, by Stirling's series above 10, to which smaller numbers are led.
fn ln_gamma(x: f64) -> f64 {
    if x < 10. {
        return ln_gamma(x + 1.) - x.ln();
    }
    let inverse = 1. / (x * x);
    let series = (1. / 12. - inverse * (1. / 360. - inverse * (1. / 1260. - inverse / 1680.))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2. * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_student_from_tables() {
        for (t, freedom, expected) in [
            (0., 5., 0.5),
            (2.920, 2., 0.95),
            (2.132, 4., 0.95),
            (1.812, 10., 0.95),
            (-1.812, 10., 0.05),
            (2.045, 29., 0.975),
            (1.660, 99., 0.95),
        ] {
            let found = student(t, freedom);
            assert!((found - expected).abs() < 5e-4, "t {t} of {freedom}: {found}");
        }
    }

    #[test]
    fn equivalence_by_hand() {
        // d̄ = 0.1, s = 0.1, n = 4: s/√n = 0.05; δ = 0.3 gives t = 8 and t = 4 with three degrees.
        let spread = 0.1 * 0.75f64.sqrt();
        let differences = [0.1 + spread, 0.1 - spread, 0.1 + spread, 0.1 - spread];
        let found = equivalence(&differences, 0.3).expect("four pairs");
        assert!((found.difference - 0.1).abs() < 1e-12 && found.n == 4);
        // P(t₃ > 4) = 0.01400.
        assert!((found.p - 0.0140).abs() < 1e-4, "{found:?}");
        let narrow = equivalence(&differences, 0.1).expect("four pairs");
        assert!((narrow.p - 0.5).abs() < 1e-12, "on the margin itself: {narrow:?}");
        assert_eq!(equivalence(&[0.2, 0.2], 0.3).map(|it| it.p), Some(0.));
        assert_eq!(equivalence(&[0.2, 0.2], 0.1).map(|it| it.p), Some(1.));
        assert_eq!(equivalence(&[0.2], 0.1), None);
    }
}
