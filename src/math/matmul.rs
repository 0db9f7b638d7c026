//! Matrix products of row-major slices, the floor on which model and statistics stand.
//!
//! All of them split the *result* into blocks and give the blocks to the threads of the current
//! rayon pool. How the terms of one element are summed depends on the shapes alone, so results are
//! the same to the bit on any number of threads. Call them from inside a pool (`install`): from
//! outside, waking its threads costs as much as a small product.
//!
//! On x86-64 three kernels of our own do what the `gemm` crate is slow at, which packs both
//! operands on every call: inner products for `a · bᵀ` ([`matmul_nt`]), with nothing packed; for
//! dozens of rows, where inner products would pass through their operands more than once, `b`
//! packed alone, panel by panel; and `a · b` with a long k and few rows, the gradient through a
//! vocabulary, which is bound by how `b` comes from memory. Everything else is that crate's, block
//! by block. `b` may be stored in half precision: each kernel widens its numbers as it reads them,
//! and which kernel runs does not depend on it, so that the sums are those of widened numbers.

mod gram;
#[cfg(target_arch = "x86_64")]
mod inner;
mod number;
#[cfg(target_arch = "x86_64")]
mod outer;
#[cfg(target_arch = "x86_64")]
mod packed;
mod portable;
mod shared;
#[cfg(target_arch = "x86_64")]
mod simd;

use number::Number;
pub use number::Numbers;
#[cfg(target_arch = "x86_64")]
use packed::Stored;
use portable::{Operand, product};

/// Multiplications in a product below which threads do not pay.
const SMALL: usize = 1 << 18;
/// Terms beyond which inner products pass through their operands more than once, so that packing
/// is faster.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 768;

/// `out[m, n] = a[m, k] · b[n, k]ᵀ`, all row-major: a linear layer whose weight is stored
/// `[out, in]`.
///
/// # Panics
/// If the length of a slice does not match its shape.
pub fn matmul_nt<'b>(
    out: &mut [f32],
    a: &[f32],
    b: impl Into<Numbers<'b>>,
    m: usize,
    n: usize,
    k: usize,
) {
    match b.into() {
        Numbers::F32(b) => nt(out, a, b, m, n, k),
        Numbers::F16(b) => nt(out, a, b, m, n, k),
        Numbers::Bf16(b) => nt(out, a, b, m, n, k),
    }
}

fn nt<T: Number>(out: &mut [f32], a: &[f32], b: &[T], m: usize, n: usize, k: usize) {
    if !has_terms(out, a, b, m, n, k) {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        let machine = simd::Machine::detect();
        let is_long = k > LONG && packed::product(machine, out, a, (b, Stored::Columns), n, k);
        if is_long || inner::product(machine, out, a, b, n, k) {
            return;
        }
    }
    product(out, Operand::rows(a, k), Operand::columns(b, k), m, n, k);
}

/// `out[m, n] = a[m, k] · b[k, n]`, all row-major: the gradient of such a layer with respect to
/// its input, and the forward pass of a weight stored `[in, out]`.
///
/// # Panics
/// If the length of a slice does not match its shape.
pub fn matmul_nn<'b>(
    out: &mut [f32],
    a: &[f32],
    b: impl Into<Numbers<'b>>,
    m: usize,
    n: usize,
    k: usize,
) {
    match b.into() {
        Numbers::F32(b) => nn(out, a, b, m, n, k),
        Numbers::F16(b) => nn(out, a, b, m, n, k),
        Numbers::Bf16(b) => nn(out, a, b, m, n, k),
    }
}

fn nn<T: Number>(out: &mut [f32], a: &[f32], b: &[T], m: usize, n: usize, k: usize) {
    if !has_terms(out, a, b, m, n, k) {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        let machine = simd::Machine::detect();
        if outer::product(machine, out, a, b, n, k)
            || packed::product(machine, out, a, (b, Stored::Rows), n, k)
        {
            return;
        }
    }
    product(out, Operand::rows(a, k), Operand::rows(b, n), m, n, k);
}

/// `out[m, n] = a[k, m]ᵀ · b[k, n]`, all row-major: the gradient with respect to a weight.
///
/// # Panics
/// If the length of a slice does not match its shape.
pub fn matmul_tn(out: &mut [f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) {
    if has_terms(out, a, b, m, n, k) {
        product(out, Operand::columns(a, m), Operand::rows(b, n), m, n, k);
    }
}

/// `out[m, n] += a[k, m]ᵀ · b[k, n]`, all row-major: a weight's gradient, summed over batches.
///
/// # Panics
/// If the length of a slice does not match its shape.
pub fn add_tn(out: &mut [f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) {
    assert_eq!(out.len(), m * n, "the result is [{m}, {n}]");
    if !a.is_empty() && !b.is_empty() {
        assert_eq!((a.len(), b.len()), (m * k, n * k), "the operands have {k} rows");
        portable::add_product(out, Operand::columns(a, m), Operand::rows(b, n), m, n, k);
    }
}

/// `c[k, k] += xᵀ x` for `x[rows, k]`: f32 sums over short runs of rows, added up in f64. What is
/// added is symmetric to the bit. c is read and written once a call, so many rows a call pay.
///
/// # Panics
/// If the length of a slice does not match its shape.
pub fn add_gram(c: &mut [f64], x: &[f32], rows: usize, k: usize) {
    assert_eq!(c.len(), k * k, "c is [{k}, {k}]");
    assert_eq!(x.len(), rows * k, "x is [{rows}, {k}]");
    if !x.is_empty() {
        gram::add(c, x, k);
    }
}

/// Checks the slices against the shape. Whether there is anything to sum; if not, `out` is zeroed.
fn has_terms<T>(out: &mut [f32], a: &[f32], b: &[T], m: usize, n: usize, k: usize) -> bool {
    assert_eq!(out.len(), m * n, "the result is [{m}, {n}]");
    assert_eq!(a.len(), m * k, "the left operand has {m} x {k} elements");
    assert_eq!(b.len(), n * k, "the right operand has {n} x {k} elements");
    let has_terms = !a.is_empty() && !b.is_empty();
    if !has_terms {
        out.fill(0.0);
    }
    has_terms
}

#[cfg(test)]
mod tests;
