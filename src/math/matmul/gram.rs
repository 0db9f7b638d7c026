//! `c += xᵀ x` in f64: short runs of rows are summed in f32, the runs in f64.
//!
//! Only the blocks on and below the diagonal are computed; each is added at its place and,
//! transposed, at the mirrored one.

use rayon::prelude::*;

use super::portable::{Operand, multiply};
use super::shared::Shared;

/// Rows summed in f32 before they reach an f64 sum; the relative error of a run is at most
/// `RUN` times 2⁻²⁴.
pub(super) const RUN: usize = 256;
/// Rows and columns of a block: small enough that little is computed twice along the diagonal,
/// large enough for the product to run at full speed.
const BLOCK: usize = 96;

/// `c[k, k] += xᵀ x` for `x[rows, k]`, neither of them empty.
pub(super) fn add(c: &mut [f64], x: &[f32], k: usize) {
    let c = Shared::new(c);
    let starts = (0..k).step_by(BLOCK);
    let pairs: Vec<_> = starts.flat_map(|i| (0..=i).step_by(BLOCK).map(move |j| (i, j))).collect();
    pairs.into_par_iter().with_max_len(1).for_each(|(row, column)| {
        let (rows, columns) = (BLOCK.min(k - row), BLOCK.min(k - column));
        let sum = block(x, k, (row, rows), (column, columns));
        for (i, sum) in sum.chunks_exact(columns).enumerate() {
            for (j, sum) in sum.iter().enumerate() {
                // SAFETY: inside c, and no other pair has this block or its mirror image.
                unsafe { *c.at((row + i) * k + column + j) += sum };
            }
        }
        if row == column {
            return;
        }
        for j in 0..columns {
            for i in 0..rows {
                // SAFETY: as above.
                unsafe { *c.at((column + j) * k + row + i) += sum[i * columns + j] };
            }
        }
    });
}

/// The block of `xᵀ x` that starts at `row` and `column`.
fn block(
    x: &[f32],
    k: usize,
    (row, rows): (usize, usize),
    (column, columns): (usize, usize),
) -> Vec<f64> {
    let mut sum = vec![0.0; rows * columns];
    let mut part = vec![0.0; rows * columns];
    for run in x.chunks(RUN * k) {
        let left = Operand::columns(&run[row..], k);
        let right = Operand::rows(&run[column..], k);
        multiply(&mut part, left, right, rows, columns, run.len() / k);
        for (sum, part) in sum.iter_mut().zip(&part) {
            *sum += f64::from(*part);
        }
    }
    sum
}
