//! `out = a · b` for dozens of rows and more: b is packed panel by panel, a is read as it lies.
//!
//! A panel is the width of a tile: a few registers of columns of b, copied so that the terms of a
//! sum follow each other. For a run of terms it stays in the first-level cache while the rows of a
//! pass, a few at a time: with each term, a row of the panel is loaded, one number of each row of a
//! is spread over a register, and their outer product is added to the tile. The run that follows is
//! fetched meanwhile. Packing costs as much as a few rows do, so it does not pay for fewer. Numbers
//! in half precision are widened while they are packed. The order of a sum depends on k alone.

use std::cell::RefCell;

use rayon::prelude::*;

use super::SMALL;
use super::number::Number;
use super::shared::Shared;
use super::simd::{Machine, Simd, Work};

/// Rows of the result from which on packing pays.
const MANY: usize = 40;
/// Registers in a row of a tile.
const REGISTERS: usize = 2;
/// Terms of a panel that are in the cache at a time.
const RUN: usize = 192;
/// Width of the widest panel.
const WIDEST: usize = 32;
/// Numbers in a line of the cache.
const LINE: usize = 16;

/// How b lies in its slice.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored {
    /// `b[k, n]`.
    Rows,
    /// `b[n, k]`.
    Columns,
}

/// `out[m, n] = a[m, k] · b` with nothing empty; false, and nothing done, where there is no
/// kernel for the machine or the shape.
pub(super) fn product<T: Number>(
    machine: Machine,
    out: &mut [f32],
    a: &[f32],
    (b, stored): (&[T], Stored),
    n: usize,
    k: usize,
) -> bool {
    match machine {
        Machine::Avx512(simd) => panels(simd, out, a, (b, stored), n, k),
        Machine::Avx2(simd) => panels(simd, out, a, (b, stored), n, k),
        Machine::Other => false,
    }
}

fn panels<S: Simd, T: Number>(
    simd: S,
    out: &mut [f32],
    a: &[f32],
    (b, stored): (&[T], Stored),
    n: usize,
    k: usize,
) -> bool {
    let width = REGISTERS * S::LANES;
    if a.len() < MANY * k || n < width || k < S::LANES {
        return false;
    }
    assert!(b.len() == n * k && out.len() * k == a.len() * n, "slices as large as their shapes");
    let is_small = a.len() * n < SMALL;
    let out = Shared::new(out);
    let panel = |column| {
        PACKED.with_borrow_mut(|packed| {
            simd.run(Panel { a, b, stored, out, column, n, k, packed: &mut packed.0 });
        });
    };
    if is_small {
        (0..n).step_by(width).for_each(panel);
    } else {
        (0..n).into_par_iter().step_by(width).with_max_len(1).for_each(panel);
    }
    true
}

/// The columns of the result from `column` on, as wide as a tile or as many as are left.
struct Panel<'a, T> {
    a: &'a [f32],
    b: &'a [T],
    stored: Stored,
    out: Shared<f32>,
    column: usize,
    n: usize,
    k: usize,
    packed: &'a mut [f32; RUN * WIDEST],
}

/// A run of a panel, packed: [terms, width of a tile].
#[repr(align(64))]
struct Packed([f32; RUN * WIDEST]);

/// When lines of the run to come are fetched.
#[derive(Clone, Copy)]
struct Fetches {
    /// At the terms whose number has none of these bits.
    mask: usize,
    /// How many make a tile.
    a_tile: usize,
}

impl Fetches {
    /// So that a run is there when `tiles` tiles are done.
    #[inline(always)]
    fn within<S: Simd>(tiles: usize) -> Self {
        // RUN rows in `tiles` tiles of RUN terms each.
        let step = (tiles / lines_of_a_row::<S>()).clamp(1, 64);
        let step = 1 << step.ilog2();
        Self { mask: step - 1, a_tile: RUN / step }
    }
}

/// Lines of the cache that a row of a panel lies in, wherever in a line it begins.
#[inline(always)]
const fn lines_of_a_row<S: Simd>() -> usize {
    REGISTERS * S::LANES / LINE + 1
}

thread_local! {
    /// Filled anew for each run.
    static PACKED: RefCell<Packed> = const { RefCell::new(Packed([0.; RUN * WIDEST])) };
}

impl<T: Number> Work for Panel<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let columns = (self.n - self.column).min(REGISTERS * S::LANES);
        let rows = self.a.len() / self.k;
        let fetches = Fetches::within::<S>(rows.div_ceil(S::TALL_ROWS));
        for start in (0..self.k).step_by(RUN) {
            let terms = RUN.min(self.k - start);
            self.pack(simd, (start, terms), columns);
            for row in (0..rows).step_by(S::TALL_ROWS) {
                let at = (row, start, terms, columns);
                match S::TALL_ROWS.min(rows - row) {
                    12 => self.tile::<S, 12>(simd, at, fetches),
                    11 => self.tile::<S, 11>(simd, at, fetches),
                    10 => self.tile::<S, 10>(simd, at, fetches),
                    9 => self.tile::<S, 9>(simd, at, fetches),
                    8 => self.tile::<S, 8>(simd, at, fetches),
                    7 => self.tile::<S, 7>(simd, at, fetches),
                    6 => self.tile::<S, 6>(simd, at, fetches),
                    5 => self.tile::<S, 5>(simd, at, fetches),
                    4 => self.tile::<S, 4>(simd, at, fetches),
                    3 => self.tile::<S, 3>(simd, at, fetches),
                    2 => self.tile::<S, 2>(simd, at, fetches),
                    _ => self.tile::<S, 1>(simd, at, fetches),
                }
            }
        }
    }
}

impl<T: Number> Panel<'_, T> {
    /// Copies `terms` of the panel; columns after the last one keep what the buffer holds.
    #[inline(always)]
    fn pack<S: Simd>(&mut self, simd: S, (start, terms): (usize, usize), columns: usize) {
        let (width, packed) = (REGISTERS * S::LANES, &mut *self.packed);
        match self.stored {
            Stored::Rows => {
                for (i, to) in packed.chunks_exact_mut(width).take(terms).enumerate() {
                    let from = &self.b[(start + i) * self.n + self.column..][..columns];
                    if columns < width {
                        T::widen(from, &mut to[..columns]);
                        continue;
                    }
                    for c in (0..width).step_by(S::LANES) {
                        // SAFETY: both slices are `width` long.
                        unsafe {
                            simd.store(to.as_mut_ptr().add(c), T::load(simd, from.as_ptr().add(c)));
                        }
                    }
                }
            }
            Stored::Columns => {
                for column in (0..columns).step_by(8) {
                    let whole = if columns - column < 8 { 0 } else { terms - terms % 8 };
                    let b = &self.b[(self.column + column) * self.k + start..];
                    for i in (0..whole).step_by(8) {
                        // The last number that is read and the last one that is written.
                        let (from, to) = (&b[i..][..7 * self.k + 8], &mut packed[i * width..]);
                        let to = &mut to[column..][..7 * width + 8];
                        // SAFETY: both slices hold eight rows of eight numbers so far apart.
                        unsafe {
                            T::transpose(simd, from.as_ptr(), self.k, to.as_mut_ptr(), width);
                        }
                    }
                    for c in 0..(columns - column).min(8) {
                        for i in whole..terms {
                            let at = i * width + column + c;
                            T::widen(&b[c * self.k + i..][..1], &mut packed[at..][..1]);
                        }
                    }
                }
            }
        }
    }

    /// Adds the terms of a run to the tile of `ROWS` rows from `row` on.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        (row, start, terms, columns): (usize, usize, usize, usize),
        fetches: Fetches,
    ) {
        let width = REGISTERS * S::LANES;
        let a = self.a[row * self.k + start..][..(ROWS - 1) * self.k + terms].as_ptr();
        let b = self.packed[..terms * width].as_ptr();
        let mut line = row / S::TALL_ROWS * fetches.a_tile;
        let mut sums = [[simd.zero(); REGISTERS]; ROWS];
        for i in 0..terms {
            if i & fetches.mask == 0 {
                simd.prefetch(self.ahead::<S>(start + terms, line));
                line += 1;
            }
            let mut right = [simd.zero(); REGISTERS];
            for (c, right) in right.iter_mut().enumerate() {
                // SAFETY: inside the slice that `b` comes from, as its length says.
                *right = unsafe { simd.load(b.add(i * width + c * S::LANES)) };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: inside the slice that `a` comes from, as its length says.
                let left = simd.splat(unsafe { *a.add(r * self.k + i) });
                for (sum, &right) in sums.iter_mut().zip(&right) {
                    *sum = simd.multiply_add(left, right, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let out = self.out.at((row + r) * self.n + self.column);
            // SAFETY: these columns of the result belong to this panel alone, and `columns` of
            // them are there.
            unsafe { self.put(simd, out, *sums, start == 0, columns) };
        }
    }

    /// The cache line of the next run, or of the next panel's first, that is number `line` of it.
    #[inline(always)]
    fn ahead<S: Simd>(&self, start: usize, line: usize) -> *const T {
        let width = REGISTERS * S::LANES;
        let (start, column) = match start < self.k {
            true => (start, self.column),
            false => (0, self.column + width),
        };
        let at = match self.stored {
            Stored::Rows => {
                let lines = lines_of_a_row::<S>();
                let (term, part) = (line / lines, line % lines);
                (start + term) * self.n + column + part * LINE
            }
            Stored::Columns => {
                let (row, part) = (line / (RUN / LINE), line % (RUN / LINE));
                (column + row) * self.k + start + part * LINE
            }
        };
        self.b.as_ptr().wrapping_add(at)
    }

    /// Writes the sums of one row to the result, or adds them to what is there.
    ///
    /// # Safety
    /// `out` is valid for `columns` numbers that nobody else uses.
    #[inline(always)]
    unsafe fn put<S: Simd>(
        &self,
        simd: S,
        out: *mut f32,
        sums: [S::Vector; REGISTERS],
        is_first: bool,
        columns: usize,
    ) {
        if columns == REGISTERS * S::LANES {
            for (c, sum) in sums.into_iter().enumerate() {
                let out = out.wrapping_add(c * S::LANES);
                // SAFETY: within the columns, as the caller says.
                unsafe {
                    let sum = if is_first { sum } else { simd.add(simd.load(out), sum) };
                    simd.store(out, sum);
                }
            }
            return;
        }
        let mut row = [0.; WIDEST];
        for (c, sum) in sums.into_iter().enumerate() {
            // SAFETY: the row is as wide as the widest panel.
            unsafe { simd.store(row.as_mut_ptr().add(c * S::LANES), sum) };
        }
        for (c, sum) in row.iter().take(columns).enumerate() {
            // SAFETY: within the columns, as the caller says.
            unsafe { *out.add(c) = if is_first { *sum } else { *out.add(c) + sum } };
        }
    }
}
