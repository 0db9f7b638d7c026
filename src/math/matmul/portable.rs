//! The product for any machine and any strides: blocks of columns, each one call of `gemm`.

use rayon::prelude::*;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    data: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Operand<'a> {
    /// The matrix whose rows lie one after the other, each `width` long.
    pub(super) fn rows(data: &'a [f32], width: usize) -> Self {
        Self { data, row_stride: width, column_stride: 1 }
    }

    /// The transpose of [`Operand::rows`].
    pub(super) fn columns(data: &'a [f32], width: usize) -> Self {
        Self { data, row_stride: 1, column_stride: width }
    }

    /// The slice from column `column` on.
    fn starting_at_column(self, column: usize) -> *const f32 {
        self.data[column * self.column_stride..].as_ptr()
    }

    /// Whether element `[rows - 1, columns - 1]` lies inside the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        let last = (rows - 1) * self.row_stride + (columns - 1) * self.column_stride;
        last < self.data.len()
    }
}

/// The start of a matrix whose blocks are written by several threads.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: `product` gives every thread columns of its own.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// Columns of a block. Fixed, so that the sums do not depend on the number of threads.
const COLUMNS: usize = 96;

/// `out[m, n] = a[m, k] · b[k, n]`, with `out` row-major and contiguous.
pub(super) fn product(out: &mut [f32], a: Operand, b: Operand, m: usize, n: usize, k: usize) {
    if m == 0 || n == 0 || k == 0 {
        out.fill(0.0);
        return;
    }
    assert!(out.len() == m * n && a.holds(m, k) && b.holds(k, n), "operands as large as said");
    let shared = Shared(out.as_mut_ptr());
    (0..n.div_ceil(COLUMNS)).into_par_iter().for_each(|block| {
        let column = block * COLUMNS;
        let columns = COLUMNS.min(n - column);
        // SAFETY: the operands were checked above; the block writes only its own columns of
        // `out`, which is borrowed for the whole loop.
        unsafe {
            gemm::gemm(
                m,
                columns,
                k,
                shared.at(column),
                1,
                n as isize,
                false,
                a.data.as_ptr(),
                a.column_stride as isize,
                a.row_stride as isize,
                b.starting_at_column(column),
                b.column_stride as isize,
                b.row_stride as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    });
}
