//! A = Qᵀ Λ Q in f64 for a symmetric A: all eigenvalues, ascending, and their eigenvectors.
//!
//! Householder reflections take A to a tridiagonal T in n − 2 steps, each of which passes over
//! the matrix once: the rank-two update of one step and the product with the next step's
//! reflector share the pass. Implicit QL takes T to its eigenvalues; its plane rotations are
//! collected and applied to narrow panels of the eigenvectors, which stay in the cache.
//! Golub & Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3.

mod rotations;
mod tridiagonal;

use rotations::Rotations;
use tridiagonal::Tridiagonal;

/// The QL iteration did not converge, which happens only to a matrix that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("eigenvalue {index} did not converge: the matrix has entries that are not finite")]
pub struct NoConvergence {
    /// Index of the eigenvalue on the diagonal of T, from 0.
    pub index: usize,
}

/// Eigenvalues and eigenvectors of a symmetric matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricEigen {
    /// The eigenvalues, ascending, `[n]`.
    pub values: Vec<f64>,
    /// [n, n], row-major: row i is the unit eigenvector of value i.
    pub vectors: Vec<f64>,
}

/// Iterations for one eigenvalue; two are usual.
const ITERATIONS: usize = 60;

impl SymmetricEigen {
    /// Decomposes `matrix` [n, n], of which both triangles are read.
    ///
    /// # Panics
    /// If the slice is not n².
    pub fn new(matrix: Vec<f64>, n: usize) -> Result<Self, NoConvergence> {
        assert_eq!(matrix.len(), n * n, "the matrix is [{n}, {n}]");
        if let Some(at) = matrix.iter().position(|entry| !entry.is_finite()) {
            return Err(NoConvergence { index: at / n });
        }
        let reduced = Tridiagonal::of(matrix, n);
        let (mut diagonal, mut off_diagonal) =
            (reduced.diagonal.clone(), reduced.off_diagonal.clone());
        let mut rotations = Rotations::of_identity(n);
        for index in 0..n {
            ql_iterate(index, &mut diagonal, &mut off_diagonal, &mut rotations)?;
        }
        let mut vectors = rotations.finish();
        reduced.rotate_back(&mut vectors);
        Ok(sorted(&diagonal, &vectors, n))
    }
}

/// Takes QL steps with Wilkinson's shift until `diagonal[index]` is an eigenvalue.
fn ql_iterate(
    index: usize,
    diagonal: &mut [f64],
    off_diagonal: &mut [f64],
    rotations: &mut Rotations,
) -> Result<(), NoConvergence> {
    for _ in 0..ITERATIONS {
        let last = diagonal.len() - 1;
        let negligible = |at: &usize| {
            let scale = diagonal[*at].abs() + diagonal[at + 1].abs();
            off_diagonal[*at].abs() <= f64::EPSILON * scale
        };
        let end = (index..last).find(negligible).unwrap_or(last);
        if end == index {
            return Ok(());
        }
        step(index, end, diagonal, off_diagonal, rotations);
    }
    Err(NoConvergence { index })
}

/// One implicit QL step on rows `start..=end` of T.
fn step(
    start: usize,
    end: usize,
    diagonal: &mut [f64],
    off_diagonal: &mut [f64],
    rotations: &mut Rotations,
) {
    let slope = (diagonal[start + 1] - diagonal[start]) / (2. * off_diagonal[start]);
    let shift = slope + slope.hypot(1.).copysign(slope);
    let mut bulge = diagonal[end] - diagonal[start] + off_diagonal[start] / shift;
    let (mut sine, mut cosine, mut carried) = (1., 1., 0.);
    for i in (start..end).rev() {
        let (across, along) = (sine * off_diagonal[i], cosine * off_diagonal[i]);
        let length = across.hypot(bulge);
        off_diagonal[i + 1] = length;
        if length == 0. {
            // The matrix splits here; the next step sees two smaller ones.
            diagonal[i + 1] -= carried;
            off_diagonal[end] = 0.;
            return;
        }
        (sine, cosine) = (across / length, bulge / length);
        let left = diagonal[i + 1] - carried;
        let turned = (diagonal[i] - left) * sine + 2. * cosine * along;
        carried = sine * turned;
        diagonal[i + 1] = left + carried;
        bulge = cosine * turned - along;
        rotations.push(i, cosine, sine);
    }
    diagonal[start] -= carried;
    off_diagonal[start] = bulge;
    off_diagonal[end] = 0.;
}

fn sorted(diagonal: &[f64], vectors: &[f64], n: usize) -> SymmetricEigen {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| diagonal[*a].total_cmp(&diagonal[*b]));
    let values = order.iter().map(|i| diagonal[*i]).collect();
    let rows = order.iter().flat_map(|i| &vectors[i * n..(i + 1) * n]);
    SymmetricEigen { values, vectors: rows.copied().collect() }
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
        assert_eq!(refused, Err(NoConvergence { index: 1 }));
    }
}
