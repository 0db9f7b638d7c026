//! The product for any machine and any strides: blocks of columns, each one call of `gemm`.
//!
//! `gemm` can split its work among threads, but on matrices of a few hundred rows this
//! gains little; calling it on one thread for each block of columns gains all there is.

use rayon::prelude::*;

use super::SMALL;
use super::number::Number;
use super::shared::Shared;

/// A matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand<'a, T = f32> {
    data: &'a [T],
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Number> Operand<'a, T> {
    /// The matrix whose rows begin `width` apart.
    pub(super) fn rows(data: &'a [T], width: usize) -> Self {
        Self { data, row_stride: width, column_stride: 1 }
    }

    /// The transpose of [`Operand::rows`].
    pub(super) fn columns(data: &'a [T], width: usize) -> Self {
        Self { data, row_stride: 1, column_stride: width }
    }

    fn starting_at_column(self, column: usize) -> Self {
        Self { data: &self.data[column * self.column_stride..], ..self }
    }

    /// Whether element `[rows - 1, columns - 1]` lies inside the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        let last = (rows - 1) * self.row_stride + (columns - 1) * self.column_stride;
        last < self.data.len()
    }

    /// Calls `read` with the f32 values of the first `columns` columns of `rows` rows.
    fn widened(&self, rows: usize, columns: usize, read: impl FnOnce(Operand<'_>)) {
        let Self { row_stride, column_stride, .. } = *self;
        if let Some(data) = T::as_f32(self.data) {
            return read(Operand { data, row_stride, column_stride });
        }
        let lies_in_rows = column_stride == 1;
        let (lines, length, apart) = match lies_in_rows {
            true => (rows, columns, row_stride),
            false => (columns, rows, column_stride),
        };
        // As far apart as before where they were next to each other, or not: `gemm` sums in another
        // order where they are.
        let apart_then = apart.min(BLOCK).max(length);
        let mut data = vec![0.; lines * apart_then];
        for (i, to) in data.chunks_exact_mut(apart_then).enumerate() {
            T::widen(&self.data[i * apart..][..length], &mut to[..length]);
        }
        read(match lies_in_rows {
            true => Operand::rows(&data, apart_then),
            false => Operand::columns(&data, apart_then),
        });
    }
}

/// Columns of a block. Fixed, so that the sums do not depend on the number of threads.
const BLOCK: usize = 96;

/// `out[m, n] = a[m, k] · b[k, n]`, with `out` row-major and contiguous and nothing empty.
pub(super) fn product<T: Number>(
    out: &mut [f32],
    a: Operand,
    b: Operand<T>,
    m: usize,
    n: usize,
    k: usize,
) {
    blocks(out, a, b, [m, n, k], false);
}

/// As [`product`], added to what `out` holds.
pub(super) fn add_product(out: &mut [f32], a: Operand, b: Operand, m: usize, n: usize, k: usize) {
    blocks(out, a, b, [m, n, k], true);
}

fn blocks<T: Number>(
    out: &mut [f32],
    a: Operand,
    b: Operand<T>,
    [m, n, k]: [usize; 3],
    adds: bool,
) {
    assert_eq!(out.len(), m * n, "the result is [{m}, {n}]");
    let out = Shared::new(out);
    let block = |column| {
        let columns = BLOCK.min(n - column);
        b.starting_at_column(column).widened(k, columns, |b| {
            // SAFETY: these columns of the result, which is borrowed for the whole call, belong to
            // this block alone.
            unsafe { multiply_into(out.at(column), n, a, b, [m, columns, k], adds) };
        });
    };
    if m * n * k < SMALL {
        (0..n).step_by(BLOCK).for_each(block);
    } else {
        (0..n).into_par_iter().step_by(BLOCK).with_max_len(1).for_each(block);
    }
}

/// As [`product`], on this thread and in one piece.
pub(super) fn multiply(out: &mut [f32], a: Operand, b: Operand, m: usize, n: usize, k: usize) {
    assert_eq!(out.len(), m * n, "the result is [{m}, {n}]");
    // SAFETY: `out` is borrowed and has m rows of n numbers.
    unsafe { multiply_into(out.as_mut_ptr(), n, a, b, [m, n, k], false) };
}

/// # Safety
/// `out` is valid for reading and writing m rows of n numbers that begin `stride` apart, and nobody
/// else uses them.
unsafe fn multiply_into(
    out: *mut f32,
    stride: usize,
    a: Operand,
    b: Operand,
    [m, n, k]: [usize; 3],
    adds: bool,
) {
    assert!(a.holds(m, k) && b.holds(k, n), "the operands are as large as their shapes say");
    let [stride, a_row, a_column, b_row, b_column] =
        [stride, a.row_stride, a.column_stride, b.row_stride, b.column_stride]
            .map(|stride| stride as isize);
    let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
    let (keep, scale, alone) = (f32::from(u8::from(adds)), 1.0, gemm::Parallelism::None);
    // SAFETY: the operands were checked above, `out` by the caller.
    unsafe {
        gemm::gemm(
            m, n, k, out, 1, stride, adds, a, a_column, a_row, b, b_column, b_row, keep, scale,
            false, false, false, alone,
        );
    }
}
