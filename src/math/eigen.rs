//! A = Qᵀ Λ Q in f64 for a symmetric A: all eigenvalues, ascending, and their eigenvectors.
//!
//! By faer, on one thread: its blocked tridiagonalisation and divide and conquer take 0.7 s for
//! the 1,536 columns of a small model, and the result does not depend on the number of threads.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{self, ComputeEigenvectors, SelfAdjointEvdParams};
use faer::{Auto, Mat, MatRef, Par, Spec, diag::Diag};

/// Why a matrix has no eigenvectors that could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoConvergence {
    /// An entry is NaN or infinite.
    #[error("row {row} of the matrix has an entry that is not finite")]
    NotFinite {
        /// Its row, from 0.
        row: usize,
    },
    /// The iteration did not settle.
    #[error("the eigenvalues did not converge")]
    Unsettled,
}

/// Eigenvalues and eigenvectors of a symmetric matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricEigen {
    /// Ascending, `[n]`.
    pub values: Vec<f64>,
    /// [n, n], row-major: row i is the unit eigenvector of value i.
    pub vectors: Vec<f64>,
}

impl SymmetricEigen {
    /// Decomposes the symmetric `matrix` [n, n].
    ///
    /// # Errors
    /// `NoConvergence`, which no matrix of finite numbers is known to give.
    ///
    /// # Panics
    /// If the slice is not n².
    pub fn new(matrix: Vec<f64>, n: usize) -> Result<Self, NoConvergence> {
        assert_eq!(matrix.len(), n * n, "the matrix is [{n}, {n}]");
        if let Some(at) = matrix.iter().position(|entry| !entry.is_finite()) {
            return Err(NoConvergence::NotFinite { row: at / n });
        }
        let parameters = Spec::<SelfAdjointEvdParams, f64>::new(Auto::<f64>::auto());
        let (wanted, sequential) = (ComputeEigenvectors::Yes, Par::Seq);
        let scratch = evd::self_adjoint_evd_scratch::<f64>(n, wanted, sequential, parameters);
        let (mut values, mut vectors) = (Diag::zeros(n), Mat::zeros(n, n));
        evd::self_adjoint_evd(
            MatRef::from_row_major_slice(&matrix, n, n),
            values.as_mut(),
            Some(vectors.as_mut()),
            sequential,
            MemStack::new(&mut MemBuffer::new(scratch)),
            parameters,
        )
        .map_err(|_| NoConvergence::Unsettled)?;
        let values = values.column_vector().iter().copied().collect();
        // One eigenvector after the other, as columns are stored.
        let vectors = vectors.col_iter().flat_map(|column| column.iter().copied());
        Ok(Self { values, vectors: vectors.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors of a backward stable method: some n ε ‖A‖.
    const TOLERANCE: f64 = 1e-11;

    fn symmetric(n: usize) -> Vec<f64> {
        let wave = |i: usize, j: usize| ((i * 37 + j * 101) as f64 * 0.713).sin();
        (0..n * n).map(|at| wave(at / n, at % n) + wave(at % n, at / n)).collect()
    }

    fn check(matrix: &[f64], n: usize) {
        let eigen = SymmetricEigen::new(matrix.to_vec(), n).expect("it converges");
        let size = matrix.iter().map(|a| a * a).sum::<f64>().sqrt().max(1e-300);
        assert!(eigen.values.is_sorted(), "{:?}", eigen.values);
        for i in 0..n {
            let vector = &eigen.vectors[i * n..(i + 1) * n];
            for row in 0..n {
                let image: f64 =
                    matrix[row * n..(row + 1) * n].iter().zip(vector).map(|(a, v)| a * v).sum();
                let error = (image - eigen.values[i] * vector[row]).abs() / size;
                assert!(error < TOLERANCE, "n = {n}, vector {i}, row {row}: {error:e}");
            }
            for j in 0..=i {
                let other = &eigen.vectors[j * n..(j + 1) * n];
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                let expected = if i == j { 1. } else { 0. };
                assert!((dot - expected).abs() < TOLERANCE, "n = {n}: {i} · {j} = {dot}");
            }
        }
    }

    #[test]
    fn vectors_are_orthonormal_and_mapped_to_their_multiples() {
        for n in [1, 2, 3, 5, 64, 97, 150] {
            check(&symmetric(n), n);
        }
    }

    #[test]
    fn equal_eigenvalues_and_zeros_are_no_obstacle() {
        let identity: Vec<f64> = (0..49).map(|at| f64::from(u8::from(at % 8 == 0))).collect();
        check(&identity, 7);
        check(&[0.; 36], 6);
        // Rank three among 40: 37 eigenvalues are zero.
        let n = 40;
        let wave = |i: usize, t: usize| ((i + 41 * t) as f64 * 0.731).sin();
        let entry = |at: usize| (0..3).map(|t| wave(at / n, t) * wave(at % n, t)).sum::<f64>();
        check(&(0..n * n).map(entry).collect::<Vec<_>>(), n);
    }

    #[test]
    fn known_values_come_out() {
        // The second difference of a chain of n points: 2 − 2 cos(π i / (n + 1)).
        let n = 30;
        let entry = |at: usize| match (at / n).abs_diff(at % n) {
            0 => 2.,
            1 => -1.,
            _ => 0.,
        };
        let chain = SymmetricEigen::new((0..n * n).map(entry).collect(), n).expect("it converges");
        for (i, value) in chain.values.iter().enumerate() {
            let angle = std::f64::consts::PI * (i + 1) as f64 / (n + 1) as f64;
            assert!((value - (2. - 2. * angle.cos())).abs() < TOLERANCE, "{i}: {value}");
        }
    }

    #[test]
    fn entries_that_are_no_numbers_are_refused() {
        let refused = SymmetricEigen::new(vec![1., 0., 0., f64::NAN], 2);
        assert_eq!(refused, Err(NoConvergence::NotFinite { row: 1 }));
    }

    #[test]
    fn the_number_of_threads_does_not_matter() {
        let n = 300;
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| SymmetricEigen::new(symmetric(n), n))
        };
        assert_eq!(on(1), on(3), "to the bit");
    }
}
