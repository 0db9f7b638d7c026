//! `out = a · bᵀ` by inner products: both operands are read along their rows, so nothing is
//! packed.
//!
//! A tile of the result is a few rows of `a` times four rows of `b`. Each of its elements is one
//! register of partial sums along k, added up across the lanes at the end. The rows of `b` come in
//! blocks that stay in the second-level cache while all rows of `a` pass, and k in runs such that
//! the rows of a tile stay in the first level. Meanwhile the block that follows is fetched from
//! memory. Numbers in half precision are widened as they are loaded, or, where more than one tile of
//! rows passes, once into a buffer in that cache. The order of a sum depends on k alone.

use std::cell::RefCell;

use rayon::prelude::*;

use super::SMALL;
use super::number::Number;
use super::shared::Shared;
use super::simd::{Machine, Simd, Work};

/// Columns of a tile, the number of registers that [`Simd::sums`] adds up at once.
const COLUMNS: usize = 4;
/// Rows of `b`, columns of the result, that one thread works on at a time.
const BLOCK: usize = 48;
/// Longest run along k.
const RUN: usize = 768;

/// `out[m, n] = a[m, k] · b[n, k]ᵀ` with nothing empty; false, and nothing done, where there is no
/// kernel for the machine.
pub(super) fn product<T: Number>(
    machine: Machine,
    out: &mut [f32],
    a: &[f32],
    b: &[T],
    n: usize,
    k: usize,
) -> bool {
    match machine {
        Machine::Avx512(simd) => blocks(simd, out, a, b, n, k),
        Machine::Avx2(simd) => blocks(simd, out, a, b, n, k),
        Machine::Other => return false,
    }
    true
}

fn blocks<S: Simd, T: Number>(simd: S, out: &mut [f32], a: &[f32], b: &[T], n: usize, k: usize) {
    assert!(b.len() == n * k && out.len() * k == a.len() * n, "slices as large as their shapes");
    let is_small = a.len() * n < SMALL;
    let out = Shared::new(out);
    let block = |(index, b): (usize, &[T])| {
        WIDENED.with_borrow_mut(|wide| {
            simd.run(Block { a, b, out, column: index * BLOCK, n, k, wide });
        });
    };
    if is_small {
        b.chunks(BLOCK * k).enumerate().for_each(block);
    } else {
        b.par_chunks(BLOCK * k).enumerate().with_max_len(1).for_each(block);
    }
}

/// All rows of the result in the columns that belong to the given rows of `b`.
struct Block<'a, T> {
    a: &'a [f32],
    b: &'a [T],
    out: Shared<f32>,
    column: usize,
    n: usize,
    k: usize,
    wide: &'a mut Vec<f32>,
}

/// A run along k of the rows of a block.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    /// The first number of the run in the first row, and all that follow.
    first: &'a [T],
    /// How far apart the rows begin.
    stride: usize,
    /// The run.
    start: usize,
    end: usize,
}

thread_local! {
    /// A run of a block of numbers in half precision, widened.
    static WIDENED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl<T: Number> Work for Block<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let run = self.k.div_ceil(self.k.div_ceil(RUN)).next_multiple_of(S::LANES);
        let is_read_once = self.a.len() <= 2 * S::ROWS * self.k;
        for start in (0..self.k).step_by(run) {
            let end = self.k.min(start + run);
            if is_read_once || T::as_f32(self.b).is_some() {
                let first = &self.b[start..];
                self.rows_of_tiles(simd, Rows { first, stride: self.k, start, end });
            } else {
                self.widen(simd, start, end);
                let wide = std::mem::take(self.wide);
                self.rows_of_tiles(simd, Rows { first: &wide, stride: end - start, start, end });
                *self.wide = wide;
            }
        }
    }
}

impl<T: Number> Block<'_, T> {
    /// Widens a run of all rows of the block.
    #[inline(always)]
    fn widen<S: Simd>(&mut self, simd: S, start: usize, end: usize) {
        let length = end - start;
        self.wide.resize(self.b.len() / self.k * length, 0.);
        let whole = length - length % S::LANES;
        for (row, to) in self.wide.chunks_exact_mut(length).enumerate() {
            let from = &self.b[row * self.k + start..][..length];
            for i in (0..whole).step_by(S::LANES) {
                // SAFETY: both slices are `length` long.
                unsafe { simd.store(to.as_mut_ptr().add(i), T::load(simd, from.as_ptr().add(i))) };
            }
            T::widen(&from[whole..], &mut to[whole..]);
        }
    }

    /// All tiles of the block, row by row.
    #[inline(always)]
    fn rows_of_tiles<S: Simd, N: Number>(&self, simd: S, b: Rows<'_, N>) {
        let rows = self.a.len() / self.k;
        for row in (0..rows).step_by(S::ROWS) {
            match S::ROWS.min(rows - row) {
                6 => self.row_of_tiles::<S, N, 6>(simd, row, b),
                5 => self.row_of_tiles::<S, N, 5>(simd, row, b),
                4 => self.row_of_tiles::<S, N, 4>(simd, row, b),
                3 => self.row_of_tiles::<S, N, 3>(simd, row, b),
                2 => self.row_of_tiles::<S, N, 2>(simd, row, b),
                _ => self.row_of_tiles::<S, N, 1>(simd, row, b),
            }
        }
    }

    /// The tiles of `ROWS` rows, side by side, summed over a run of k.
    #[inline(always)]
    fn row_of_tiles<S: Simd, N: Number, const ROWS: usize>(
        &self,
        simd: S,
        row: usize,
        Rows { first, stride, start, end }: Rows<'_, N>,
    ) {
        let columns = self.b.len() / self.k;
        let a = std::array::from_fn(|r| self.a[(row + r) * self.k..][start..end].as_ptr());
        for column in (0..columns).step_by(COLUMNS) {
            // Past the last row of b the last one is read again and the sum not stored.
            let b = std::array::from_fn(|c| {
                first[(column + c).min(columns - 1) * stride..][..end - start].as_ptr()
            });
            let ahead = self.ahead(row / S::ROWS, column, start);
            // SAFETY: the pointers come from slices of `end - start` numbers.
            let sums: [_; ROWS] = unsafe { tile(simd, a, b, end - start, ahead) };
            for (r, sums) in sums.iter().enumerate() {
                let out = self.out.at((row + r) * self.n + self.column + column);
                for (c, &sum) in sums.iter().enumerate().take(columns - column) {
                    // SAFETY: row and column lie inside the result, and these columns belong to
                    // this block alone.
                    unsafe { *out.add(c) = if start == 0 { sum } else { *out.add(c) + sum } };
                }
            }
        }
    }

    /// The row of the next block to be fetched during a tile: each of the first four rows of tiles
    /// fetches a quarter of it, later ones what is there already.
    #[inline(always)]
    fn ahead(&self, row_of_tiles: usize, column: usize, start: usize) -> *const T {
        let row = BLOCK + column + row_of_tiles % COLUMNS;
        self.b.as_ptr().wrapping_add(row * self.k + start)
    }
}

/// The inner products of each of `ROWS` rows with each of four, while `k` numbers from `ahead` on
/// are fetched into the cache.
///
/// # Safety
/// The pointers in `a` and `b` are valid for reading `k` numbers; `ahead` may point anywhere.
#[inline(always)]
unsafe fn tile<S: Simd, N: Number, T, const ROWS: usize>(
    simd: S,
    a: [*const f32; ROWS],
    b: [*const N; COLUMNS],
    k: usize,
    ahead: *const T,
) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[simd.zero(); COLUMNS]; ROWS];
    let whole = k - k % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        simd.prefetch(ahead.wrapping_add(i));
        // SAFETY: i + LANES is at most k.
        unsafe {
            let left = |from: *const f32| simd.load(from.add(i));
            step(simd, &mut sums, (a, left), (b, |from: *const N| N::load(simd, from.add(i))));
        }
    }
    if whole < k {
        let rest = k - whole;
        // SAFETY: the `rest` numbers from `whole` on end at k.
        unsafe {
            let left = |from: *const f32| simd.load_first(from.add(whole), rest);
            let right = |from: *const N| N::load_first(simd, from.add(whole), rest);
            step(simd, &mut sums, (a, left), (b, right));
        }
    }
    let mut totals = [[0.0; COLUMNS]; ROWS];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        *totals = simd.sums(sums);
    }
    totals
}

/// One register of every row further.
#[inline(always)]
fn step<S: Simd, N: Number, const ROWS: usize>(
    simd: S,
    sums: &mut [[S::Vector; COLUMNS]; ROWS],
    (a, load_left): ([*const f32; ROWS], impl Fn(*const f32) -> S::Vector),
    (b, load_right): ([*const N; COLUMNS], impl Fn(*const N) -> S::Vector),
) {
    // Plain loops: registers that pass through `array::map` end up in memory.
    let mut left = [simd.zero(); ROWS];
    for r in 0..ROWS {
        left[r] = load_left(a[r]);
    }
    for c in 0..COLUMNS {
        let right = load_right(b[c]);
        for r in 0..ROWS {
            sums[r][c] = simd.multiply_add(left[r], right, sums[r][c]);
        }
    }
}
