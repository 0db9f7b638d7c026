//! Attention between slices, as matrix products of one key head at a time.
//!
//! The query heads that share a key head stand below each other in one matrix. For a block of query
//! rows, with q scaled by 1/√d: p = softmax(q kᵀ), o = p v. Backward, with the probabilities
//! computed anew: dP = g vᵀ, dS = p (dP − Σ p dP), dq = dS k / √d, dk = dSᵀ q, dv = pᵀ g.
//! With a soft limit c, p = softmax(c tanh(q kᵀ / c)), and dS gets the factor 1 − tanh²(q kᵀ / c).

use std::ops::Range;

use candle_core::Result;
use rayon::prelude::*;

use super::{AttentionRule, AttentionShape, Past, Span};
use crate::math::{add_tn, matmul_nn, matmul_nt};
use crate::ops::simd::{exp, total, vectorised};
use crate::ops::{soft_limit, with_values};

/// Query rows of a block: enough for fast products, and few enough that little is computed in vain
/// of what a row must not see.
const QUERIES: usize = 32;

/// Which heads there are, and which rows see which.
pub(crate) struct Attention {
    pub(crate) rule: AttentionRule,
    pub(crate) spans: Vec<Span>,
    pub(crate) past: Option<Past>,
}

/// Keys or values of the cached rows and of the batch's own rows.
#[derive(Clone, Copy)]
struct PastAndOwn<'a> {
    past: &'a [f32],
    own: &'a [f32],
}

impl Attention {
    /// Writes what the queries `q` read to `out`, [rows, heads · d].
    pub(crate) fn write(&self, out: &mut [f32], q: &[f32], k: &[f32], v: &[f32]) -> Result<()> {
        let width = self.rule.shape.query_width();
        self.with_past(k, v, |keys, vals| {
            by_block(&self.spans, out, width).into_par_iter().for_each(|(span, rows, out)| {
                let q = &q[span.rows.start * width..];
                for head in 0..self.rule.shape.kv_heads {
                    let seen = span.past.len() + rows.end;
                    let keys = self.gather(keys, span, seen, head);
                    let queries = self.queries(q, &rows, head);
                    let mut p = self.scores(&queries, &keys, seen);
                    self.limit(&mut p);
                    self.probabilities(&mut p, span, &rows);
                    let vals = self.gather(vals, span, seen, head);
                    let (lines, d) = (p.len() / seen, self.rule.shape.head_dim);
                    let mut read = vec![0f32; lines * d];
                    matmul_nn(&mut read, &p, &vals, lines, d, seen);
                    self.scatter(out, &read, head);
                }
            });
            Ok(())
        })
    }

    /// Writes the gradients with respect to q, k and v, where that of the result is `g`.
    pub(crate) fn write_gradients(
        &self,
        [dq, dk, dv]: [&mut [f32]; 3],
        [q, k, v, g]: [&[f32]; 4],
    ) -> Result<()> {
        let AttentionShape { kv_heads, head_dim: d, .. } = self.rule.shape;
        let (width, kv) = (self.rule.shape.query_width(), self.rule.shape.kv_width());
        self.with_past(k, v, |keys, vals| {
            let tasks: Vec<(&Span, usize)> = self
                .spans
                .iter()
                .flat_map(|span| (0..kv_heads).map(move |head| (span, head)))
                .collect();
            let head = |(span, head): &(&Span, usize)| {
                let rows = span.rows.start * width..span.rows.end * width;
                self.head_gradients(span, *head, (&q[rows.clone()], &g[rows]), keys, vals)
            };
            let parts: Vec<[Vec<f32>; 3]> = tasks.par_iter().map(head).collect();
            for ((span, head), [queries, keys, vals]) in tasks.into_iter().zip(parts) {
                let rows = span.rows.start * width..span.rows.end * width;
                self.scatter(&mut dq[rows], &queries, head);
                for (to, from) in [(&mut *dk, keys), (&mut *dv, vals)] {
                    let to = &mut to[span.rows.start * kv..span.rows.end * kv];
                    for (to, from) in to.chunks_exact_mut(kv).zip(from.chunks_exact(d)) {
                        to[head * d..][..d].copy_from_slice(from);
                    }
                }
            }
            Ok(())
        })
    }

    /// Gradients (dq, dk, dv) of the rows of one span and one key head, with the span's own `q` and
    /// `g`.
    fn head_gradients(
        &self,
        span: &Span,
        head: usize,
        (q, g): (&[f32], &[f32]),
        keys: PastAndOwn<'_>,
        vals: PastAndOwn<'_>,
    ) -> [Vec<f32>; 3] {
        let (n, past, d) = (span.rows.len(), span.past.len(), self.rule.shape.head_dim);
        let keys = self.gather(keys, span, past + n, head);
        let vals = self.gather(vals, span, past + n, head);
        let mut dq = Vec::with_capacity(q.len() / self.rule.shape.kv_heads);
        let (mut dk, mut dv) = (vec![0f32; n * d], vec![0f32; n * d]);
        for first in (0..n).step_by(QUERIES) {
            let rows = first..n.min(first + QUERIES);
            let seen = past + rows.end;
            let (keys, vals) = (&keys[..seen * d], &vals[..seen * d]);
            let queries = self.queries(q, &rows, head);
            let mut p = self.scores(&queries, keys, seen);
            let slopes = self.limit(&mut p);
            self.probabilities(&mut p, span, &rows);
            let lines = p.len() / seen;
            let g = self.head(g, &rows, head);
            let mut ds = vec![0f32; p.len()];
            matmul_nt(&mut ds, &g, vals, lines, seen, d);
            vectorised(
                #[inline(always)]
                || {
                    for (ds, p) in ds.chunks_exact_mut(seen).zip(p.chunks_exact(seen)) {
                        let mean = dot(p, ds);
                        ds.iter_mut().zip(p).for_each(|(ds, p)| *ds = p * (*ds - mean));
                    }
                },
            );
            ds.iter_mut().zip(&slopes).for_each(|(ds, slope)| *ds *= slope);
            let mut part = vec![0f32; lines * d];
            matmul_nn(&mut part, &ds, keys, lines, d, seen);
            let scale = self.rule.scale;
            dq.extend(part.iter().map(|dq| scale * dq));
            let own = rows.end;
            add_tn(&mut dk[..own * d], columns_from(&mut ds, seen, past), &queries, own, d, lines);
            add_tn(&mut dv[..own * d], columns_from(&mut p, seen, past), &g, own, d, lines);
        }
        [dq, dk, dv]
    }

    /// The products of a block of query rows with the keys, [rows · group, seen].
    fn scores(&self, queries: &[f32], keys: &[f32], seen: usize) -> Vec<f32> {
        let d = self.rule.shape.head_dim;
        let lines = queries.len() / d;
        let mut scores = vec![0f32; lines * seen];
        matmul_nt(&mut scores, queries, keys, lines, seen, d);
        scores
    }

    /// Limits scores softly; gives the slope of the limit at each, and nothing without a limit.
    fn limit(&self, scores: &mut [f32]) -> Vec<f32> {
        let Some(cap) = self.rule.cap else { return Vec::new() };
        scores.iter_mut().map(|score| soft_limit(score, cap)).collect()
    }

    /// From scores to probabilities, and zero for what a row must not see.
    fn probabilities(&self, p: &mut [f32], span: &Span, rows: &Range<usize>) {
        let seen = span.past.len() + rows.end;
        let group = self.rule.shape.group();
        vectorised(
            #[inline(always)]
            || {
                for (line, p) in p.chunks_exact_mut(seen).enumerate() {
                    let position = span.past.len() + rows.start + line / group;
                    let first = self.rule.first_seen(position);
                    p[..first].fill(0.);
                    softmax(&mut p[first..=position]);
                    p[position + 1..].fill(0.);
                }
            },
        );
    }

    /// The rows of one head that `span` sees, the first `seen`: its past, then its own, [seen, d].
    fn gather(&self, memory: PastAndOwn<'_>, span: &Span, seen: usize, head: usize) -> Vec<f32> {
        let (width, d) = (self.rule.shape.kv_width(), self.rule.shape.head_dim);
        let past = memory.past[span.past.start * width..span.past.end * width].chunks_exact(width);
        let own = memory.own[span.rows.start * width..].chunks_exact(width);
        let rows = past.chain(own.take(seen - span.past.len()));
        let mut gathered = Vec::with_capacity(seen * d);
        rows.for_each(|row| gathered.extend_from_slice(&row[head * d..][..d]));
        gathered
    }

    /// The query heads of one key head below each other, [rows · group, d].
    fn head(&self, of: &[f32], rows: &Range<usize>, head: usize) -> Vec<f32> {
        let (width, own) =
            (self.rule.shape.query_width(), self.rule.shape.group() * self.rule.shape.head_dim);
        let mut lines = Vec::with_capacity(rows.len() * own);
        for row in of[rows.start * width..rows.end * width].chunks_exact(width) {
            lines.extend_from_slice(&row[head * own..][..own]);
        }
        lines
    }

    /// The queries of one key head below each other, scaled.
    fn queries(&self, q: &[f32], rows: &Range<usize>, head: usize) -> Vec<f32> {
        let mut queries = self.head(q, rows, head);
        let scale = self.rule.scale;
        queries.iter_mut().for_each(|q| *q *= scale);
        queries
    }

    /// Moves rows that stand below each other back to the rows of `to`.
    fn scatter(&self, to: &mut [f32], from: &[f32], head: usize) {
        let (width, own) =
            (self.rule.shape.query_width(), self.rule.shape.group() * self.rule.shape.head_dim);
        for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(own)) {
            to[head * own..][..own].copy_from_slice(from);
        }
    }

    fn with_past<T>(
        &self,
        k: &[f32],
        v: &[f32],
        run: impl FnOnce(PastAndOwn<'_>, PastAndOwn<'_>) -> Result<T>,
    ) -> Result<T> {
        let Some(past) = &self.past else {
            return run(PastAndOwn { past: &[], own: k }, PastAndOwn { past: &[], own: v });
        };
        with_values(&past.keys, "attention", |keys| {
            with_values(&past.values, "attention", |values| {
                run(PastAndOwn { past: keys, own: k }, PastAndOwn { past: values, own: v })
            })
        })
    }
}

/// The columns from `first` on of a matrix `width` wide, moved together.
fn columns_from(matrix: &mut [f32], width: usize, first: usize) -> &[f32] {
    let own = width - first;
    let lines = matrix.len() / width;
    (0..lines).for_each(|i| matrix.copy_within(i * width + first..(i + 1) * width, i * own));
    &matrix[..lines * own]
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0f32; 16];
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    total(lanes) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Turns scores into probabilities.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in scores.chunks(16) {
        lanes.iter_mut().zip(chunk).for_each(|(most, s)| *most = most.max(*s));
    }
    let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|s| *s = exp(*s - largest));
    let mut lanes = [0f32; 16];
    for chunk in scores.chunks(16) {
        lanes.iter_mut().zip(chunk).for_each(|(sum, s)| *sum += *s);
    }
    let inverse = 1. / total(lanes);
    scores.iter_mut().for_each(|s| *s *= inverse);
}

/// Blocks of query rows: their span, which of its rows they are, and their rows of `values`.
fn by_block<'s, 'a>(
    spans: &'s [Span],
    mut values: &'a mut [f32],
    width: usize,
) -> Vec<(&'s Span, Range<usize>, &'a mut [f32])> {
    let mut blocks = Vec::new();
    for span in spans {
        let (part, rest) = values.split_at_mut(span.rows.len() * width);
        values = rest;
        for (block, part) in part.chunks_mut(QUERIES * width).enumerate() {
            let first = block * QUERIES;
            blocks.push((span, first..first + part.len() / width, part));
        }
    }
    blocks
}
