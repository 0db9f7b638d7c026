//! Plane rotations of neighboring rows, collected and applied panel by panel.
//!
//! A sweep of QL touches the whole matrix of eigenvectors. Many sweeps at a time on a panel of
//! few columns read that panel from memory once.

use rayon::prelude::*;

/// Columns of a panel: 1,536 rows of it fit the second-level cache.
const PANEL: usize = 48;
/// Rotations collected before they are applied.
const COLLECTED: usize = 1 << 16;

/// Eigenvectors in the making: rows of an orthogonal matrix, kept in panels of columns.
pub(super) struct Rotations {
    /// Each [n, width of the panel].
    panels: Vec<Vec<f64>>,
    n: usize,
    pending: Vec<Rotation>,
}

/// Rows i and i + 1 turn into c · row i − s · row (i + 1) and s · row i + c · row (i + 1).
#[derive(Clone, Copy)]
struct Rotation {
    row: usize,
    cosine: f64,
    sine: f64,
}

impl Rotations {
    pub(super) fn of_identity(n: usize) -> Self {
        let panels = (0..n).step_by(PANEL).map(|first| {
            let width = PANEL.min(n - first);
            let mut panel = vec![0.; n * width];
            (0..width).for_each(|i| panel[(first + i) * width + i] = 1.);
            panel
        });
        Self { panels: panels.collect(), n, pending: Vec::with_capacity(COLLECTED) }
    }

    pub(super) fn push(&mut self, row: usize, cosine: f64, sine: f64) {
        self.pending.push(Rotation { row, cosine, sine });
        if self.pending.len() == COLLECTED {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let (n, pending) = (self.n, &self.pending);
        self.panels.par_iter_mut().for_each(|panel| {
            let width = panel.len() / n;
            for Rotation { row, cosine, sine } in pending {
                let (upper, lower) = panel[row * width..][..2 * width].split_at_mut(width);
                for (a, b) in upper.iter_mut().zip(lower) {
                    (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
                }
            }
        });
        self.pending.clear();
    }

    /// The rotated rows, [n, n].
    pub(super) fn finish(mut self) -> Vec<f64> {
        self.apply();
        let row = |i: usize| {
            self.panels.iter().flat_map(move |panel| {
                let width = panel.len() / self.n;
                &panel[i * width..(i + 1) * width]
            })
        };
        (0..self.n).flat_map(row).copied().collect()
    }
}
