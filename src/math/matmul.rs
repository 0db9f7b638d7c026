//! Matrix products of row-major slices, the floor on which model and statistics stand.
//!
//! All of them split the *result* into blocks and give the blocks to the threads of the current
//! rayon pool. How the terms of one element are summed depends on the shapes alone, so results
//! are the same to the bit on any number of threads.

mod portable;

use portable::{Operand, product};

/// `out[m, n] = a[m, k] · b[n, k]ᵀ`, all row-major: a linear layer whose weight is stored
/// `[out, in]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn matmul_nt(out: &mut [f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) {
    check(out, a, b, m, n, k);
    product(out, Operand::rows(a, k), Operand::columns(b, k), m, n, k);
}

/// `out[m, n] = a[m, k] · b[k, n]`, all row-major: the gradient of such a layer with respect to
/// its input, and the forward pass of a weight stored `[in, out]`.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn matmul_nn(out: &mut [f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) {
    check(out, a, b, m, n, k);
    product(out, Operand::rows(a, k), Operand::rows(b, n), m, n, k);
}

/// `out[m, n] = a[k, m]ᵀ · b[k, n]`, all row-major: the gradient with respect to a weight.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn matmul_tn(out: &mut [f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) {
    check(out, a, b, m, n, k);
    product(out, Operand::columns(a, m), Operand::rows(b, n), m, n, k);
}

/// `c[k, k] += xᵀ x` for `x[rows, k]`: f32 sums over short runs of rows, added up in f64.
///
/// # Panics
/// If a slice is not as long as its shape says.
pub fn add_gram(c: &mut [f64], x: &[f32], rows: usize, k: usize) {
    assert_eq!(c.len(), k * k, "c is [{k}, {k}]");
    assert_eq!(x.len(), rows * k, "x is [{rows}, {k}]");
    let mut part = vec![0.0; k * k];
    for x in x.chunks((GRAM_ROWS * k).max(1)) {
        matmul_tn(&mut part, x, x, k, k, x.len() / k);
        for (c, part) in c.iter_mut().zip(&part) {
            *c += f64::from(*part);
        }
    }
}

/// Rows summed in f32 before they reach an f64 sum; the relative error of a run is at most
/// `GRAM_ROWS` times 2⁻²⁴.
const GRAM_ROWS: usize = 256;

fn check(out: &[f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) {
    assert_eq!(out.len(), m * n, "the result is [{m}, {n}]");
    assert_eq!(a.len(), m * k, "the left operand has {m} x {k} elements");
    assert_eq!(b.len(), n * k, "the right operand has {n} x {k} elements");
}

#[cfg(test)]
mod tests;
