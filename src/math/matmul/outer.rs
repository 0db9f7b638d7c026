//! `out = a · b` for a long k, such as the gradient through a vocabulary: b, far larger than any
//! cache, is read once, in order and ahead of time.
//!
//! Each thread takes parts of k, each with a result of its own; the parts are added up in order.
//! Within a part, a few rows of `b` at a time pass through the first-level cache: a tile of the
//! result is loaded, the outer products of these rows with a few rows of `a` are added, and it is
//! stored again. Numbers in half precision are widened into a buffer that stays in that cache. The
//! order of a sum depends on k alone.

use std::cell::RefCell;

use rayon::prelude::*;

use super::number::Number;
use super::simd::{Machine, Simd, Work};

/// Terms from which on this pays.
const LONG: usize = 8192;
/// Rows of the result up to which it pays: the result of a part has to stay in the second-level
/// cache.
const FEW: usize = 256;
/// Terms of one part.
const PART: usize = 3072;
/// Rows of `b` that are in the cache at a time.
const RUN: usize = 128;
/// Registers in a row of a tile.
const REGISTERS: usize = 3;
/// Width of the widest tile.
const WIDEST: usize = 48;

/// `out[m, n] = a[m, k] · b[k, n]` with nothing empty; false, and nothing done, where there is no
/// kernel for the machine or the shape.
pub(super) fn product<T: Number>(
    machine: Machine,
    out: &mut [f32],
    a: &[f32],
    b: &[T],
    n: usize,
    k: usize,
) -> bool {
    match machine {
        Machine::Avx512(simd) => parts(simd, out, a, b, n, k),
        Machine::Avx2(simd) => parts(simd, out, a, b, n, k),
        Machine::Other => false,
    }
}

fn parts<S: Simd, T: Number>(
    simd: S,
    out: &mut [f32],
    a: &[f32],
    b: &[T],
    n: usize,
    k: usize,
) -> bool {
    if k < LONG || a.len() > FEW * k || !n.is_multiple_of(S::LANES) {
        return false;
    }
    assert!(b.len() == n * k && out.len() * k == a.len() * n, "slices as large as their shapes");
    let part = |(index, b): (usize, &[T])| {
        let mut sum = vec![0.0; out.len()];
        WIDENED.with_borrow_mut(|wide| {
            simd.run(Part { a: &a[index * PART..], b, sum: &mut sum, n, k, wide });
        });
        sum
    };
    let parts: Vec<_> = b.par_chunks(PART * n).enumerate().with_max_len(1).map(part).collect();
    out.par_chunks_mut(n).enumerate().for_each(|(row, out)| {
        out.copy_from_slice(&parts[0][row * n..][..n]);
        for part in &parts[1..] {
            out.iter_mut().zip(&part[row * n..]).for_each(|(out, part)| *out += part);
        }
    });
    true
}

/// The terms of the sums that belong to the given rows of `b`; `a` begins with the first of them.
struct Part<'a, T> {
    a: &'a [f32],
    b: &'a [T],
    sum: &'a mut [f32],
    n: usize,
    k: usize,
    wide: &'a mut [f32; RUN * WIDEST],
}

thread_local! {
    /// What passes through the cache of numbers in half precision, widened.
    static WIDENED: RefCell<[f32; RUN * WIDEST]> = const { RefCell::new([0.; RUN * WIDEST]) };
}

impl<T: Number> Work for Part<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        for start in (0..self.b.len() / self.n).step_by(RUN) {
            let wide = self.n - self.n % (REGISTERS * S::LANES);
            for column in (0..wide).step_by(REGISTERS * S::LANES) {
                self.column_of_tiles::<S, REGISTERS>(simd, start, column);
            }
            for column in (wide..self.n).step_by(S::LANES) {
                self.column_of_tiles::<S, 1>(simd, start, column);
            }
        }
    }
}

impl<T: Number> Part<'_, T> {
    /// The tiles `WIDTH` registers wide, one below the other.
    #[inline(always)]
    fn column_of_tiles<S: Simd, const WIDTH: usize>(
        &mut self,
        simd: S,
        start: usize,
        column: usize,
    ) {
        let rows = self.sum.len() / self.n;
        self.widen::<S, WIDTH>(simd, start, column);
        for row in (0..rows).step_by(S::LONG_ROWS) {
            match S::LONG_ROWS.min(rows - row) {
                8 => self.tile::<S, 8, WIDTH>(simd, row, start, column),
                7 => self.tile::<S, 7, WIDTH>(simd, row, start, column),
                6 => self.tile::<S, 6, WIDTH>(simd, row, start, column),
                5 => self.tile::<S, 5, WIDTH>(simd, row, start, column),
                4 => self.tile::<S, 4, WIDTH>(simd, row, start, column),
                3 => self.tile::<S, 3, WIDTH>(simd, row, start, column),
                2 => self.tile::<S, 2, WIDTH>(simd, row, start, column),
                _ => self.tile::<S, 1, WIDTH>(simd, row, start, column),
            }
        }
    }

    /// Widens the part of b that the tiles read, where it is not f32; its next part is fetched.
    #[inline(always)]
    fn widen<S: Simd, const WIDTH: usize>(&mut self, simd: S, start: usize, column: usize) {
        if T::as_f32(self.b).is_some() {
            return;
        }
        let (n, width, steps) = (self.n, WIDTH * S::LANES, self.steps(start));
        for (i, to) in self.wide.chunks_exact_mut(width).take(steps).enumerate() {
            let from = &self.b[(start + i) * n + column..][..width];
            simd.prefetch(from.as_ptr().wrapping_add(RUN * n));
            for c in (0..width).step_by(S::LANES) {
                // SAFETY: both slices are `width` long.
                unsafe { simd.store(to.as_mut_ptr().add(c), T::load(simd, from.as_ptr().add(c))) };
            }
        }
    }

    /// Rows of b that are in the cache at a time, from `start` on.
    #[inline(always)]
    fn steps(&self, start: usize) -> usize {
        RUN.min(self.b.len() / self.n - start)
    }

    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const WIDTH: usize>(
        &mut self,
        simd: S,
        row: usize,
        start: usize,
        column: usize,
    ) {
        let (n, k, width) = (self.n, self.k, WIDTH * S::LANES);
        let steps = self.steps(start);
        let a = self.a[row * k + start..][..(ROWS - 1) * k + steps].as_ptr();
        // Where the rows of b begin, how far apart they are, and whether they lie in memory.
        let (b, stride, is_stored) = match T::as_f32(self.b) {
            Some(b) => (&b[start * n + column..][..(steps - 1) * n + width], n, true),
            None => (&self.wide[..steps * width], width, false),
        };
        let b = b.as_ptr();
        let to = self.sum[row * n + column..][..(ROWS - 1) * n + width].as_mut_ptr();
        let mut sums = [[simd.zero(); WIDTH]; ROWS];
        for (r, sums) in sums.iter_mut().enumerate() {
            for (c, sum) in sums.iter_mut().enumerate() {
                // SAFETY: inside the slice that `to` comes from, as its length says.
                *sum = unsafe { simd.load(to.add(r * n + c * S::LANES)) };
            }
        }
        for i in 0..steps {
            let mut right = [simd.zero(); WIDTH];
            for (c, right) in right.iter_mut().enumerate() {
                let at = b.wrapping_add(i * stride + c * S::LANES);
                if row == 0 && is_stored {
                    simd.prefetch(at.wrapping_add(RUN * n));
                }
                // SAFETY: inside the slice that `b` comes from, as its length says.
                *right = unsafe { simd.load(at) };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: inside the slice that `a` comes from, as its length says.
                let left = simd.splat(unsafe { *a.add(r * k + i) });
                for (sum, &right) in sums.iter_mut().zip(&right) {
                    *sum = simd.multiply_add(left, right, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, &sum) in sums.iter().enumerate() {
                // SAFETY: as for the loads.
                unsafe { simd.store(to.add(r * n + c * S::LANES), sum) };
            }
        }
    }
}
