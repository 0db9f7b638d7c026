//! T = H … H₀ A H₀ … H with reflections H = I − β v vᵀ, and the way back for eigenvectors.

use rayon::prelude::*;

/// Eigenvectors turned back at once, so that a reflector that was loaded serves several.
const GROUP: usize = 16;

/// A tridiagonal matrix and the reflections that led to it.
pub(super) struct Tridiagonal {
    pub(super) diagonal: Vec<f64>,
    /// Entry i stands between diagonal entries i and i + 1; the last is zero.
    pub(super) off_diagonal: Vec<f64>,
    reflectors: Vec<Reflector>,
}

/// H = I − β v vᵀ, acting on entries `first..`.
struct Reflector {
    first: usize,
    beta: f64,
    v: Vec<f64>,
}

/// A −= v wᵀ + w vᵀ on the rows and columns from `first` on, not yet carried out.
struct Update {
    first: usize,
    v: Vec<f64>,
    w: Vec<f64>,
}

impl Tridiagonal {
    pub(super) fn of(mut a: Vec<f64>, n: usize) -> Self {
        let (mut diagonal, mut off_diagonal) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut reflectors = Vec::with_capacity(n);
        let mut pending = Update { first: 0, v: vec![0.; n], w: vec![0.; n] };
        for k in 0..n {
            let row = pending.row(&a, n, k);
            diagonal.push(row[0]);
            if k + 2 >= n {
                // The last entry beside the diagonal needs no reflection; behind it stands zero.
                off_diagonal.push(row.get(1).copied().unwrap_or(0.));
                continue;
            }
            let (v, beta, entry) = reflector(&row[1..]);
            off_diagonal.push(entry);
            let p = pending.carry_out(&mut a, n, k + 1, &v, beta);
            let half: f64 = beta / 2. * dot(&p, &v);
            let w = p.iter().zip(&v).map(|(p, v)| p - half * v).collect();
            reflectors.push(Reflector { first: k + 1, beta, v: v.clone() });
            pending = Update { first: k + 1, v, w };
        }
        Self { diagonal, off_diagonal, reflectors }
    }

    /// Turns eigenvectors of T, the rows of `vectors` [n, n], into those of A.
    pub(super) fn rotate_back(&self, vectors: &mut [f64]) {
        let n = self.diagonal.len();
        vectors.par_chunks_mut(GROUP * n).for_each(|rows| {
            for reflector in self.reflectors.iter().rev() {
                for row in rows.chunks_exact_mut(n) {
                    let row = &mut row[reflector.first..];
                    let scale = reflector.beta * dot(row, &reflector.v);
                    row.iter_mut().zip(&reflector.v).for_each(|(x, v)| *x -= scale * v);
                }
            }
        });
    }
}

impl Update {
    /// Row k from its diagonal on, as it is behind the update.
    fn row(&self, a: &[f64], n: usize, k: usize) -> Vec<f64> {
        let (v, w) = (&self.v[k - self.first..], &self.w[k - self.first..]);
        let entries = a[k * n + k..(k + 1) * n].iter().zip(v.iter().zip(w));
        entries.map(|(a, (vj, wj))| a - v[0] * wj - w[0] * vj).collect()
    }

    /// Updates the rows from `from` on and, in the same pass, multiplies them: β A v.
    fn carry_out(&self, a: &mut [f64], n: usize, from: usize, v: &[f64], beta: f64) -> Vec<f64> {
        let skip = from - self.first;
        let (old_v, old_w) = (&self.v[skip..], &self.w[skip..]);
        let rows = a[from * n..].par_chunks_mut(n).with_min_len(16);
        let product = rows.enumerate().map(|(i, row)| {
            let (vi, wi) = (old_v[i], old_w[i]);
            let row = &mut row[from..];
            for (a, (vj, wj)) in row.iter_mut().zip(old_v.iter().zip(old_w)) {
                *a -= vi * wj + wi * vj;
            }
            beta * dot(row, v)
        });
        product.collect()
    }
}

/// v and β with (I − β v vᵀ) x = (entry, 0, …), and that entry.
fn reflector(x: &[f64]) -> (Vec<f64>, f64, f64) {
    let mut v = x.to_vec();
    // Scaled, so that squares of very small or large entries keep their digits.
    let scale = x.iter().fold(0f64, |largest, x| largest.max(x.abs()));
    if scale == 0. || x[1..].iter().all(|x| *x == 0.) {
        return (v, 0., x[0]);
    }
    v.iter_mut().for_each(|v| *v /= scale);
    let length = dot(&v, &v).sqrt();
    // The sign that adds magnitudes: no digits cancel.
    let entry = -length.copysign(v[0]);
    v[0] -= entry;
    let beta = 2. / dot(&v, &v);
    (v, beta, entry * scale)
}

/// Four running sums, which the processor adds side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.; 4];
    let (mut left, mut right) = (a.chunks_exact(4), b.chunks_exact(4));
    for (a, b) in left.by_ref().zip(right.by_ref()) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}
