//! The metric M that weighs keys in a solve: C⁻¹, or the projector P onto C's null space.
//!
//! Every member of the family writes ΔW = R G⁻¹ KᵀM with G = KᵀMK (+ λI); they differ in M.
//! C⁻¹ is never formed: C + ridge is factored once. P = I − Σ u uᵀ over C's leading
//! eigenvectors u. Which are leading is decided by energy: the null space holds the smallest
//! eigenvalues as long as they sum to no more than `share` of the trace of C (AlphaEdit,
//! arXiv 2410.02355, cuts at an absolute 0.02, which means something different in each model).

use std::sync::Arc;

use rayon::prelude::*;

use super::error::RankOneError;
use crate::math::{Cholesky, NotPositiveDefinite, SymmetricEigen};

/// The second moment C of a layer, factored for solves.
pub struct Factored {
    metric: Arc<Metric>,
    pub(super) width: usize,
}

enum Metric {
    Inverse(Cholesky),
    /// Leading eigenvectors, each of unit length.
    NullSpace {
        leading: Vec<Vec<f64>>,
    },
    /// M of C + V Vᵀ, which is M − M V (1 + VᵀM V)⁻¹ VᵀM.
    Updated {
        base: Arc<Metric>,
        /// Columns of V.
        directions: Vec<Vec<f64>>,
        weighed: Vec<Vec<f64>>,
        /// The small matrix 1 + VᵀM V, factored.
        small: Cholesky,
    },
}

/// A direction in which keys are likely to lie, and its weight relative to C.
pub type Expected = (Vec<f32>, f64);

/// Expected keys that share `weight` evenly.
pub fn sharing(keys: Vec<Vec<f32>>, weight: f64) -> Vec<Expected> {
    let weight = weight / keys.len().max(1) as f64;
    keys.into_iter().map(|key| (key, weight)).collect()
}

impl Factored {
    /// Factors the mean second moment `c` [d, d] with `ridge` · (mean of its diagonal) added.
    pub fn new(c: Vec<f64>, d: usize, ridge: f64, layer: usize) -> Result<Self, RankOneError> {
        Ok(Self::of_cholesky(Self::cholesky(c, d, ridge, layer)?, d))
    }

    /// The Cholesky factor L with L Lᵀ = C + ridge.
    pub(super) fn cholesky(
        mut c: Vec<f64>,
        d: usize,
        ridge: f64,
        layer: usize,
    ) -> Result<Cholesky, RankOneError> {
        let mean = (0..d).map(|i| c[i * d + i]).sum::<f64>() / d as f64;
        (0..d).for_each(|i| c[i * d + i] += ridge * mean);
        Cholesky::new(c, d).map_err(|source| RankOneError::SecondMoment { layer, source })
    }

    /// The metric from C + ridge as factored earlier.
    pub(super) fn of_cholesky(cholesky: Cholesky, d: usize) -> Self {
        Self { metric: Arc::new(Metric::Inverse(cholesky)), width: d }
    }

    /// The null space of C: as many of its smallest eigenvalues as hold `share` of its trace.
    pub fn null_space(eigen: &SymmetricEigen, share: f64) -> Self {
        let d = eigen.values.len();
        let kept = null_space_size(&eigen.values, share);
        let leading = eigen.vectors.chunks_exact(d).skip(kept).map(<[f64]>::to_vec).collect();
        Self { metric: Arc::new(Metric::NullSpace { leading }), width: d }
    }

    /// The metric with w k kᵀ added to C for each expected key: a write then changes the values of
    /// those keys less, without a new factorisation.
    pub fn expecting(&self, keys: &[Expected]) -> Result<Self, NotPositiveDefinite> {
        let scaled = |(key, weight): &Expected| {
            key.iter().map(|k| weight.sqrt() * f64::from(*k)).collect::<Vec<f64>>()
        };
        let directions: Vec<Vec<f64>> = keys.iter().map(scaled).collect();
        let (base, n) = (self.metric.clone(), directions.len());
        if n == 0 {
            return Ok(Self { metric: base, width: self.width });
        }
        let weighed = base.weigh(&directions);
        let entry = |at: usize| {
            let (i, j) = (at / n, at % n);
            dot(&directions[i], &weighed[j]) + if i == j { 1. } else { 0. }
        };
        let small = Cholesky::new((0..n * n).map(entry).collect(), n)?;
        let metric = Metric::Updated { base, directions, weighed, small };
        Ok(Self { metric: Arc::new(metric), width: self.width })
    }

    /// A lower bound of the condition number; a projector has 1 on what it keeps.
    pub fn condition_estimate(&self) -> f64 {
        self.metric.condition_estimate()
    }

    /// Number of dimensions in which a key can be written.
    pub fn dimensions(&self) -> usize {
        self.width - self.metric.closed()
    }

    /// The weighed key M k of each key.
    pub(super) fn weigh(&self, keys: &[Vec<f64>]) -> Vec<Vec<f64>> {
        self.metric.weigh(keys)
    }
}

impl Metric {
    fn condition_estimate(&self) -> f64 {
        match self {
            Self::Inverse(cholesky) => cholesky.condition_estimate(),
            Self::NullSpace { .. } => 1.,
            Self::Updated { base, .. } => base.condition_estimate(),
        }
    }

    /// Number of dimensions in which no key can be written.
    fn closed(&self) -> usize {
        match self {
            Self::Inverse(_) => 0,
            Self::NullSpace { leading } => leading.len(),
            Self::Updated { base, .. } => base.closed(),
        }
    }

    fn weigh(&self, keys: &[Vec<f64>]) -> Vec<Vec<f64>> {
        match self {
            Self::Inverse(cholesky) => cholesky.solve_each(keys),
            Self::NullSpace { leading } => {
                keys.par_iter().with_max_len(1).map(|key| without(key, leading)).collect()
            }
            Self::Updated { base, directions, weighed, small } => {
                let mut all = base.weigh(keys);
                for weighed_key in &mut all {
                    // M is symmetric: VᵀM k is the product of M V with k, or of V with M k.
                    let along: Vec<f64> = directions.iter().map(|v| dot(v, weighed_key)).collect();
                    for (share, weighed) in small.solve(&along).into_iter().zip(weighed) {
                        weighed_key.iter_mut().zip(weighed).for_each(|(x, m)| *x -= share * m);
                    }
                }
                all
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The number of eigenvalues, smallest first, that together hold `share` of the sum.
///
/// An eigenvalue below zero is a rounded zero.
pub fn null_space_size(ascending: &[f64], share: f64) -> usize {
    let total: f64 = ascending.iter().map(|value| value.max(0.)).sum();
    let mut held = 0.;
    let fits = |value: &&f64| {
        held += value.max(0.);
        held <= share * total
    };
    ascending.iter().take_while(fits).count()
}

/// The projection P k = k − Σ u (uᵀk).
fn without(key: &[f64], leading: &[Vec<f64>]) -> Vec<f64> {
    let mut rest = key.to_vec();
    for direction in leading {
        // The directions are orthonormal, so that each product may be taken from the key.
        let along: f64 = key.iter().zip(direction).map(|(k, u)| k * u).sum();
        rest.iter_mut().zip(direction).for_each(|(rest, u)| *rest -= along * u);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_space_is_cut_by_share_of_energy() {
        let values = [-1e-18, 0., 1., 1., 2., 6.];
        for (share, size) in [(0., 2), (0.099, 2), (0.1, 3), (0.2, 4), (0.4, 5), (1., 6)] {
            assert_eq!(null_space_size(&values, share), size, "share {share}");
        }
    }

    #[test]
    fn the_projector_removes_what_c_uses_and_nothing_else() {
        // C = 9 a aᵀ + 0.01 b bᵀ with a = (3, 4)/5 and b = (−4, 3)/5.
        let c = |i: usize, j: usize| {
            let (a, b) = ([0.6, 0.8], [-0.8, 0.6]);
            9. * a[i] * a[j] + 0.01 * b[i] * b[j]
        };
        let c = vec![c(0, 0), c(0, 1), c(1, 0), c(1, 1)];
        let eigen = SymmetricEigen::new(c, 2).expect("it converges");
        let factored = Factored::null_space(&eigen, 0.01);
        assert_eq!(factored.dimensions(), 1);
        let weighed = factored.weigh(&[vec![3., 4.], vec![-4., 3.]]);
        for (found, expected) in weighed.concat().iter().zip([0., 0., -4., 3.]) {
            assert!((found - expected).abs() < 1e-12, "{weighed:?}");
        }
    }

    #[test]
    fn expected_keys_are_added_to_c() {
        let d = 5;
        let wave = |i: usize| (i as f64 * 0.917).sin();
        let mut c: Vec<f64> = (0..d * d)
            .map(|at| (0..8).map(|t| wave(at / d + 7 * t) * wave(at % d + 7 * t)).sum())
            .collect();
        let keys: [Expected; 2] = [1., 2.].map(|weight| {
            ((0..d).map(|i| wave(i * 3 + 1) as f32 / weight as f32).collect(), weight)
        });
        let updated = Factored::new(c.clone(), d, 0.1, 0)
            .expect("definite")
            .expecting(&keys)
            .expect("definite");
        let ridge = 0.1 * (0..d).map(|i| c[i * d + i]).sum::<f64>() / d as f64;
        (0..d).for_each(|i| c[i * d + i] += ridge);
        for (key, weight) in &keys {
            for at in 0..d * d {
                c[at] += weight * f64::from(key[at / d]) * f64::from(key[at % d]);
            }
        }
        let whole = Factored::new(c, d, 0., 0).expect("definite");
        let key = vec![(0..d).map(|i| wave(11 * i)).collect::<Vec<f64>>()];
        for (found, expected) in updated.weigh(&key).concat().iter().zip(whole.weigh(&key).concat())
        {
            assert!(
                (found - expected).abs() < 1e-10 * expected.abs().max(1.),
                "{found} {expected}"
            );
        }
        assert_eq!(updated.dimensions(), d);
    }
}
