//! C = L Lᵀ in f64, once per matrix; every solve after it is two triangular sweeps.
//!
//! Right-looking in blocks: the diagonal block by the textbook loop, the panel below it
//! by substitution, and the rest of the matrix by one product L₂₁ L₂₁ᵀ, where the time goes.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;

/// The matrix has a pivot that is not positive.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("not positive definite at pivot {pivot} (value {value:e})")]
pub struct NotPositiveDefinite {
    /// Row of the pivot, from 0.
    pub pivot: usize,
    /// The value of the pivot.
    pub value: f64,
}

/// Numbers that may lie outside the heap, as in a mapped file.
pub trait Entries: Send + Sync {
    /// All of them.
    fn entries(&self) -> &[f64];
    /// They are not needed for a while.
    fn rest(&self) {}
}

impl Entries for Vec<f64> {
    fn entries(&self) -> &[f64] {
        self
    }
}

/// The lower factor L of a symmetric positive definite matrix. Clones share it.
#[derive(Clone)]
pub struct Cholesky {
    /// [n, n], row-major; the part above the diagonal is zero.
    lower: Arc<dyn Entries>,
    n: usize,
}

impl fmt::Debug for Cholesky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cholesky").field("n", &self.n).finish_non_exhaustive()
    }
}

/// Columns of a block: its diagonal part stays in the first-level cache.
const BLOCK: usize = 64;

impl Cholesky {
    /// Factors `matrix` [n, n], of which the lower triangle is read.
    ///
    /// # Panics
    /// If the slice is not n².
    pub fn new(mut matrix: Vec<f64>, n: usize) -> Result<Self, NotPositiveDefinite> {
        assert_eq!(matrix.len(), n * n, "the matrix is [{n}, {n}]");
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            factor_diagonal(&mut matrix, n, start, end)?;
            solve_panel(&mut matrix, n, start, end);
            update_rest(&mut matrix, n, start, end);
        }
        for row in 0..n {
            matrix[row * n + row + 1..(row + 1) * n].fill(0.);
        }
        Ok(Self { lower: Arc::new(matrix), n })
    }

    /// Solves L Lᵀ x = b for x.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let n = self.n;
        assert_eq!(b.len(), n, "the right-hand side has {n} entries");
        let (mut x, lower) = (b.to_vec(), self.lower());
        for i in 0..n {
            let row = &lower[i * n..i * n + i];
            let known: f64 = row.iter().zip(&x).map(|(l, x)| l * x).sum();
            x[i] = (x[i] - known) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            x[i] /= lower[i * n + i];
            let pivot = x[i];
            let row = &lower[i * n..i * n + i];
            x[..i].iter_mut().zip(row).for_each(|(x, l)| *x -= l * pivot);
        }
        x
    }

    /// [`solve`](Self::solve) for each of several right-hand sides, side by side.
    pub fn solve_each(&self, columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let solved = columns.par_iter().with_max_len(1).map(|b| self.solve(b)).collect();
        self.lower.rest();
        solved
    }

    /// What was left of each diagonal entry of the matrix when it became a pivot.
    pub fn pivots(&self) -> impl Iterator<Item = f64> + '_ {
        let lower = self.lower();
        (0..self.n).map(|i| lower[i * self.n + i].powi(2))
    }

    /// L, [n, n] row-major; zero above the diagonal.
    pub fn lower(&self) -> &[f64] {
        self.lower.entries()
    }

    /// The factorisation whose L is `lower` [n, n]; nothing where a pivot is not positive.
    pub fn of_lower(lower: Arc<dyn Entries>, n: usize) -> Option<Self> {
        let entries = lower.entries();
        let is_pivot = |i: usize| entries[i * n + i] > 0. && entries[i * n + i].is_finite();
        let is_factor = entries.len() == n * n && (0..n).all(is_pivot);
        lower.rest();
        is_factor.then_some(Self { lower, n })
    }

    /// (largest / smallest diagonal entry of L)², a lower bound of the condition number.
    pub fn condition_estimate(&self) -> f64 {
        self.pivots().fold(0., f64::max) / self.pivots().fold(f64::INFINITY, f64::min)
    }
}

fn factor_diagonal(
    a: &mut [f64],
    n: usize,
    start: usize,
    end: usize,
) -> Result<(), NotPositiveDefinite> {
    for j in start..end {
        for i in j..end {
            let (row, column) = (i * n, j * n);
            let known: f64 = (start..j).map(|k| a[row + k] * a[column + k]).sum();
            let value = a[row + j] - known;
            if i > j {
                a[row + j] = value / a[column + j];
            } else if value > 0. && value.is_finite() {
                a[row + j] = value.sqrt();
            } else {
                return Err(NotPositiveDefinite { pivot: j, value });
            }
        }
    }
    Ok(())
}

/// L₂₁ = A₂₁ L₁₁⁻ᵀ, row by row.
fn solve_panel(a: &mut [f64], n: usize, start: usize, end: usize) {
    let (head, below) = a.split_at_mut(end * n);
    below.par_chunks_mut(n).for_each(|row| {
        for j in start..end {
            let pivot = &head[j * n..];
            let known: f64 = (start..j).map(|k| row[k] * pivot[k]).sum();
            row[j] = (row[j] - known) / pivot[j];
        }
    });
}

/// A₂₂ −= L₂₁ L₂₁ᵀ.
fn update_rest(a: &mut [f64], n: usize, start: usize, end: usize) {
    let rest = n - end;
    if rest == 0 {
        return;
    }
    let width = end - start;
    let panel: Vec<f64> = (end..n).flat_map(|i| a[i * n + start..i * n + end].to_vec()).collect();
    // SAFETY: the destination is the [rest, rest] corner of `a`, the operands are `panel`,
    // which is a copy, and all strides stay inside them.
    unsafe {
        gemm::gemm(
            rest,
            rest,
            width,
            a.as_mut_ptr().add(end * n + end),
            1,
            n as isize,
            true,
            panel.as_ptr(),
            1,
            width as isize,
            panel.as_ptr(),
            width as isize,
            1,
            1.,
            -1.,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gram(n: usize) -> Vec<f64> {
        let x = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as f64 / 23. - 0.5;
        let entry = |i: usize, j: usize| (0..n + 3).map(|k| x(i, k) * x(j, k)).sum::<f64>();
        (0..n * n)
            .map(|at| entry(at / n, at % n) + if at / n == at % n { 1. } else { 0. })
            .collect()
    }

    #[test]
    fn solves_across_block_borders() {
        for n in [1, 2, 63, 64, 65, 130, 200] {
            let matrix = gram(n);
            let x: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
            let b: Vec<f64> =
                (0..n).map(|i| (0..n).map(|j| matrix[i * n + j] * x[j]).sum()).collect();
            let solved = Cholesky::new(matrix, n).expect("positive definite").solve(&b);
            let worst = solved.iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0., f64::max);
            assert!(worst < 1e-9, "n = {n}: {worst:e}");
        }
    }

    #[test]
    fn an_indefinite_matrix_names_its_pivot() {
        let failed = Cholesky::new(vec![1., 2., 2., 1.], 2).expect_err("indefinite");
        assert_eq!((failed.pivot, failed.value), (1, -3.));
    }
}
