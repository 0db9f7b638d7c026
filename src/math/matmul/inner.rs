//! `out = a · bᵀ` by inner products: both operands are read along their rows, so nothing is
//! packed.
//!
//! A tile of the result is a few rows of `a` times four rows of `b`. Each of its elements is one
//! register of partial sums along k, added up across the lanes at the end. The rows of `b` come in
//! blocks that stay in the second-level cache while all rows of `a` pass, and k in runs such that
//! the rows of a tile stay in the first level. Meanwhile the block that follows is fetched from
//! memory. The order of a sum depends on k alone.

use rayon::prelude::*;

use super::SMALL;
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
pub(super) fn product(
    machine: Machine,
    out: &mut [f32],
    a: &[f32],
    b: &[f32],
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

fn blocks<S: Simd>(simd: S, out: &mut [f32], a: &[f32], b: &[f32], n: usize, k: usize) {
    assert!(b.len() == n * k && out.len() * k == a.len() * n, "slices as large as their shapes");
    let is_small = a.len() * n < SMALL;
    let out = Shared::new(out);
    let block = |(index, b)| simd.run(Block { a, b, out, column: index * BLOCK, n, k });
    if is_small {
        b.chunks(BLOCK * k).enumerate().for_each(block);
    } else {
        b.par_chunks(BLOCK * k).enumerate().with_max_len(1).for_each(block);
    }
}

/// All rows of the result in the columns that belong to the given rows of `b`.
struct Block<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: Shared<f32>,
    column: usize,
    n: usize,
    k: usize,
}

impl Work for Block<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let run = self.k.div_ceil(self.k.div_ceil(RUN)).next_multiple_of(S::LANES);
        let rows = self.a.len() / self.k;
        for start in (0..self.k).step_by(run) {
            let end = self.k.min(start + run);
            for row in (0..rows).step_by(S::ROWS) {
                match S::ROWS.min(rows - row) {
                    6 => self.row_of_tiles::<S, 6>(simd, row, start, end),
                    5 => self.row_of_tiles::<S, 5>(simd, row, start, end),
                    4 => self.row_of_tiles::<S, 4>(simd, row, start, end),
                    3 => self.row_of_tiles::<S, 3>(simd, row, start, end),
                    2 => self.row_of_tiles::<S, 2>(simd, row, start, end),
                    _ => self.row_of_tiles::<S, 1>(simd, row, start, end),
                }
            }
        }
    }
}

impl Block<'_> {
    /// The tiles of `ROWS` rows, side by side, summed over `start..end` of k.
    #[inline(always)]
    fn row_of_tiles<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        row: usize,
        start: usize,
        end: usize,
    ) {
        let columns = self.b.len() / self.k;
        let a = std::array::from_fn(|r| self.a[(row + r) * self.k..][start..end].as_ptr());
        for column in (0..columns).step_by(COLUMNS) {
            // Past the last row of b the last one is read again and the sum not stored.
            let b = std::array::from_fn(|c| {
                self.b[(column + c).min(columns - 1) * self.k..][start..end].as_ptr()
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
    fn ahead(&self, row_of_tiles: usize, column: usize, start: usize) -> *const f32 {
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
unsafe fn tile<S: Simd, const ROWS: usize>(
    simd: S,
    a: [*const f32; ROWS],
    b: [*const f32; COLUMNS],
    k: usize,
    ahead: *const f32,
) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[simd.zero(); COLUMNS]; ROWS];
    let whole = k - k % S::LANES;
    for i in (0..whole).step_by(S::LANES) {
        simd.prefetch(ahead.wrapping_add(i));
        // SAFETY: i + LANES is at most k.
        step(simd, &mut sums, a, b, |from| unsafe { simd.load(from.add(i)) });
    }
    if whole < k {
        // SAFETY: the k - whole numbers from `whole` on end at k.
        step(simd, &mut sums, a, b, |from| unsafe { simd.load_first(from.add(whole), k - whole) });
    }
    let mut totals = [[0.0; COLUMNS]; ROWS];
    for (totals, sums) in totals.iter_mut().zip(sums) {
        *totals = simd.sums(sums);
    }
    totals
}

/// One register of every row further.
#[inline(always)]
fn step<S: Simd, const ROWS: usize>(
    simd: S,
    sums: &mut [[S::Vector; COLUMNS]; ROWS],
    a: [*const f32; ROWS],
    b: [*const f32; COLUMNS],
    load: impl Fn(*const f32) -> S::Vector,
) {
    // Plain loops: registers that pass through `array::map` end up in memory.
    let mut left = [simd.zero(); ROWS];
    for r in 0..ROWS {
        left[r] = load(a[r]);
    }
    for c in 0..COLUMNS {
        let right = load(b[c]);
        for r in 0..ROWS {
            sums[r][c] = simd.multiply_add(left[r], right, sums[r][c]);
        }
    }
}
