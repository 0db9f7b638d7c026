//! M, with which keys are weighed in a solve: C⁻¹, or the projector P on C's null space.
//!
//! Every member of the family writes ΔW = R G⁻¹ KᵀM with G = KᵀMK (+ λI); they differ in M.
//! C⁻¹ is never formed: C + ridge is factored once. P = I − Σ u uᵀ over C's leading
//! eigenvectors u. Which are leading is decided by energy: the null space holds the smallest
//! eigenvalues as long as they sum to no more than `share` of the trace of C (AlphaEdit,
//! arXiv 2410.02355, cuts at an absolute 0.02, which means another thing in each model).

use rayon::prelude::*;

use super::solve::RankOneError;
use crate::math::{Cholesky, SymmetricEigen};

/// C, made ready for solves; once for a layer.
pub struct Factored {
    metric: Metric,
    pub(super) width: usize,
}

enum Metric {
    Inverse(Cholesky),
    /// Leading eigenvectors, each of unit length.
    NullSpace {
        leading: Vec<Vec<f64>>,
    },
}

impl Factored {
    /// Factors the mean second moment `c` [d, d] with `ridge` · (mean of its diagonal) added.
    pub fn new(c: Vec<f64>, d: usize, ridge: f64, layer: usize) -> Result<Self, RankOneError> {
        Ok(Self::of_cholesky(Self::cholesky(c, d, ridge, layer)?, d))
    }

    /// L with L Lᵀ = C + ridge.
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

    /// From C + ridge as it was factored before.
    pub(super) fn of_cholesky(cholesky: Cholesky, d: usize) -> Self {
        Self { metric: Metric::Inverse(cholesky), width: d }
    }

    /// The null space of C: as many of its smallest eigenvalues as hold `share` of its trace.
    pub fn null_space(eigen: &SymmetricEigen, share: f64) -> Self {
        let d = eigen.values.len();
        let kept = null_space_size(&eigen.values, share);
        let leading = eigen.vectors.chunks_exact(d).skip(kept).map(<[f64]>::to_vec).collect();
        Self { metric: Metric::NullSpace { leading }, width: d }
    }

    /// A lower bound of the condition number; a projector has 1 on what it keeps.
    pub fn condition_estimate(&self) -> f64 {
        match &self.metric {
            Metric::Inverse(cholesky) => cholesky.condition_estimate(),
            Metric::NullSpace { .. } => 1.,
        }
    }

    /// Dimensions in which a key can be written.
    pub fn dimensions(&self) -> usize {
        match &self.metric {
            Metric::Inverse(_) => self.width,
            Metric::NullSpace { leading } => self.width - leading.len(),
        }
    }

    /// M k for each key.
    pub(super) fn weigh(&self, keys: &[Vec<f64>]) -> Vec<Vec<f64>> {
        match &self.metric {
            Metric::Inverse(cholesky) => cholesky.solve_each(keys),
            Metric::NullSpace { leading } => {
                keys.par_iter().with_max_len(1).map(|key| without(key, leading)).collect()
            }
        }
    }
}

/// The number of eigenvalues, smallest first, that together hold `share` of the sum.
///
/// An eigenvalue below zero is one of zero, rounded.
pub fn null_space_size(ascending: &[f64], share: f64) -> usize {
    let total: f64 = ascending.iter().map(|value| value.max(0.)).sum();
    let mut held = 0.;
    let fits = |value: &&f64| {
        held += value.max(0.);
        held <= share * total
    };
    ascending.iter().take_while(fits).count()
}

/// P k = k − Σ u (uᵀk).
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
}
