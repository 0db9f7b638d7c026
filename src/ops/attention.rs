//! Causal grouped-query attention over sequences of unequal length.
//!
//! A query at row i of a span sees the span's past and its rows up to i:
//! p = softmax(q kᵀ / √d), o = p v. Backward, with the probabilities computed anew:
//! dP = g vᵀ, dS = p (dP − Σ p dP) / √d, dq = dS k, dk = dSᵀ q, dv = pᵀ g.
//! The past is constant: neither gradient nor recomputation reaches it.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::simd::{exp, total, vectorised};
use super::{is_tracked, matrix, values, with_values};

/// Consecutive tokens of one sequence: which rows of the batch, behind which rows of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Rows of the batch.
    pub rows: Range<usize>,
    /// Rows of the cache that come before them in the same sequence.
    pub past: Range<usize>,
}

/// Keys and values of tokens that came before, [cache rows, key-value heads · head width].
#[derive(Debug, Clone)]
pub struct Past {
    /// Rotated keys.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
}

/// Numbers of heads and their width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves heads / kv_heads query heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
}

impl AttentionShape {
    /// Width of all query heads.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn scale(&self) -> f32 {
        1. / (self.head_dim as f32).sqrt()
    }
}

/// q [rows, heads · d], k and v [rows, kv_heads · d] → [rows, heads · d].
///
/// The spans cover the rows in order and without a gap.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    shape: AttentionShape,
    spans: &[Span],
    past: Option<&Past>,
) -> Result<Tensor> {
    if !q.device().is_cpu() {
        return composed(q, k, v, shape, spans, past);
    }
    let op = Attention { shape, spans: spans.to_vec(), past: past.cloned() };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

/// The kernel: of which heads, and which rows see which.
pub(crate) struct Attention {
    pub(crate) shape: AttentionShape,
    pub(crate) spans: Vec<Span>,
    pub(crate) past: Option<Past>,
}

/// The rows that a span may look at: its past, then its own.
#[derive(Clone, Copy)]
struct Rows<'a> {
    past: &'a [f32],
    own: &'a [f32],
    width: usize,
    past_len: usize,
}

impl<'a> Rows<'a> {
    fn new(past: &'a [f32], own: &'a [f32], width: usize, span: &Span) -> Self {
        let rows = |all: &'a [f32], range: &Range<usize>| {
            if range.is_empty() { &[][..] } else { &all[range.start * width..range.end * width] }
        };
        let past_len = span.past.len();
        Self { past: rows(past, &span.past), own: rows(own, &span.rows), width, past_len }
    }

    #[inline(always)]
    fn head(&self, j: usize, offset: usize, d: usize) -> &'a [f32] {
        let (rows, j) =
            if j < self.past_len { (self.past, j) } else { (self.own, j - self.past_len) };
        &rows[j * self.width + offset..][..d]
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..16 {
            lanes[i] += a[i] * b[i];
        }
    }
    total(lanes) + rest
}

#[inline(always)]
fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x);
}

/// Turns scores into probabilities.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in scores.chunks(16) {
        lanes.iter_mut().zip(chunk).for_each(|(most, s)| *most = most.max(*s));
    }
    let largest = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut lanes = [0f32; 16];
    for chunk in scores.chunks_mut(16) {
        chunk.iter_mut().for_each(|s| *s = exp(*s - largest));
        lanes.iter_mut().zip(chunk).for_each(|(sum, s)| *sum += *s);
    }
    let inverse = 1. / total(lanes);
    scores.iter_mut().for_each(|s| *s *= inverse);
}

impl Attention {
    /// Attention probabilities of one query head over the first `seen` rows.
    #[inline(always)]
    fn probabilities(&self, q: &[f32], keys: Rows<'_>, offset: usize, p: &mut [f32]) {
        let scale = self.shape.scale();
        for (j, p) in p.iter_mut().enumerate() {
            *p = scale * dot(q, keys.head(j, offset, q.len()));
        }
        softmax(p);
    }

    fn kv_offset(&self, head: usize) -> usize {
        head / (self.shape.heads / self.shape.kv_heads) * self.shape.head_dim
    }

    #[inline(always)]
    fn query_row(&self, q: &[f32], keys: Rows<'_>, vals: Rows<'_>, p: &mut [f32], out: &mut [f32]) {
        let d = self.shape.head_dim;
        for head in 0..self.shape.heads {
            let offset = self.kv_offset(head);
            self.probabilities(&q[head * d..][..d], keys, offset, p);
            let out = &mut out[head * d..][..d];
            for (j, p) in p.iter().enumerate() {
                add_scaled(out, *p, vals.head(j, offset, d));
            }
        }
    }

    fn with_past<T>(&self, run: impl FnOnce(&[f32], &[f32]) -> Result<T>) -> Result<T> {
        match &self.past {
            None => run(&[], &[]),
            Some(past) => with_values(&past.keys, "attention", |keys| {
                with_values(&past.values, "attention", |values| run(keys, values))
            }),
        }
    }

    /// Writes what the queries `q` read to `out`, [rows, heads · d].
    pub(crate) fn write(&self, out: &mut [f32], q: &[f32], k: &[f32], v: &[f32]) -> Result<()> {
        let (width, kv) = (self.shape.query_width(), self.shape.kv_width());
        out.fill(0.);
        self.with_past(|past_k, past_v| {
            let tasks: Vec<(&Span, usize, &mut [f32])> = by_query(&self.spans, out, width);
            tasks.into_par_iter().for_each(|(span, first, out)| {
                let keys = Rows::new(past_k, k, kv, span);
                let vals = Rows::new(past_v, v, kv, span);
                let mut p = vec![0f32; span.past.len() + span.rows.len()];
                for (i, out) in out.chunks_exact_mut(width).enumerate() {
                    let seen = span.past.len() + first + i + 1;
                    let q = &q[(span.rows.start + first + i) * width..][..width];
                    vectorised(
                        #[inline(always)]
                        || self.query_row(q, keys, vals, &mut p[..seen], out),
                    );
                }
            });
            Ok(())
        })
    }

    /// (dq, dk, dv) of one span, each in the span's own rows.
    #[inline(always)]
    fn span_gradients(
        &self,
        span: &Span,
        (q, keys, vals, g): (&[f32], Rows<'_>, Rows<'_>, &[f32]),
        (dq, dk, dv): (&mut [f32], &mut [f32], &mut [f32]),
    ) {
        let AttentionShape { heads, head_dim: d, .. } = self.shape;
        let (width, kv) = (self.shape.query_width(), self.shape.kv_width());
        let past = span.past.len();
        let mut p = vec![0f32; past + span.rows.len()];
        let mut ds = p.clone();
        for i in 0..span.rows.len() {
            let (p, ds) = (&mut p[..past + i + 1], &mut ds[..past + i + 1]);
            for head in 0..heads {
                let (at, offset) = (i * width + head * d, self.kv_offset(head));
                let (q, g, dq) = (&q[at..][..d], &g[at..][..d], &mut dq[at..][..d]);
                self.probabilities(q, keys, offset, p);
                for (j, ds) in ds.iter_mut().enumerate() {
                    *ds = dot(g, vals.head(j, offset, d));
                }
                let mean = dot(p, ds);
                for j in 0..p.len() {
                    let slope = p[j] * (ds[j] - mean) * self.shape.scale();
                    add_scaled(dq, slope, keys.head(j, offset, d));
                    if j >= past {
                        let own = (j - past) * kv + offset;
                        add_scaled(&mut dk[own..][..d], slope, q);
                        add_scaled(&mut dv[own..][..d], p[j], g);
                    }
                }
            }
        }
    }

    /// Writes the gradients with respect to q, k and v, where that of the result is `g`.
    pub(crate) fn write_gradients(
        &self,
        [dq, dk, dv]: [&mut [f32]; 3],
        [q, k, v, g]: [&[f32]; 4],
    ) -> Result<()> {
        let (width, kv) = (self.shape.query_width(), self.shape.kv_width());
        [&mut *dq, &mut *dk, &mut *dv].into_iter().for_each(|gradient| gradient.fill(0.));
        let parts = by_span(&self.spans, dq, width)
            .into_iter()
            .zip(by_span(&self.spans, dk, kv))
            .zip(by_span(&self.spans, dv, kv));
        self.with_past(|past_k, past_v| {
            parts.zip(&self.spans).collect::<Vec<_>>().into_par_iter().for_each(
                |(((dq, dk), dv), span)| {
                    let own = span.rows.start * width..span.rows.end * width;
                    let keys = Rows::new(past_k, k, kv, span);
                    let vals = Rows::new(past_v, v, kv, span);
                    let inputs = (&q[own.clone()], keys, vals, &g[own]);
                    vectorised(
                        #[inline(always)]
                        || self.span_gradients(span, inputs, (dq, dk, dv)),
                    );
                },
            );
            Ok(())
        })
    }
}

/// The rows of each span of a matrix.
fn by_span<'a>(spans: &[Span], mut values: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(spans.len());
    for span in spans {
        let (part, rest) = values.split_at_mut(span.rows.len() * width);
        parts.push(part);
        values = rest;
    }
    parts
}

/// Queries that one task of the thread pool takes.
const QUERIES: usize = 32;

/// Blocks of query rows: (span, first query in it, their rows of the result).
fn by_query<'s, 'a>(
    spans: &'s [Span],
    out: &'a mut [f32],
    width: usize,
) -> Vec<(&'s Span, usize, &'a mut [f32])> {
    let parts = spans.iter().zip(by_span(spans, out, width));
    parts
        .flat_map(|(span, part)| {
            let blocks = part.chunks_mut(QUERIES * width).enumerate();
            blocks.map(move |(block, rows)| (span, block * QUERIES, rows))
        })
        .collect()
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = q_layout.shape().dims2()?.0;
        if self.spans.iter().map(|span| span.rows.len()).sum::<usize>() != rows {
            candle_core::bail!("attention: the spans do not cover the {rows} rows");
        }
        let q = values(q, q_layout, "attention")?;
        let mut out = vec![0f32; q.len()];
        let (k, v) = (values(k, k_layout, "attention")?, values(v, v_layout, "attention")?);
        self.write(&mut out, q, k, v)?;
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _out: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let zeros = |like: &Tensor| vec![0f32; like.elem_count()];
        let (mut dq, mut dk, mut dv) = (zeros(q), zeros(k), zeros(v));
        with_values(q, "attention", |qs| {
            with_values(k, "attention", |ks| {
                with_values(v, "attention", |vs| {
                    with_values(g, "attention", |gs| {
                        self.write_gradients([&mut dq, &mut dk, &mut dv], [qs, ks, vs, gs])
                    })
                })
            })
        })?;
        let shaped = |values: Vec<f32>, like: &Tensor| {
            let (rows, width) = like.dims2()?;
            is_tracked(like).then(|| matrix(values, rows, width)).transpose()
        };
        Ok((shaped(dq, q)?, shaped(dk, k)?, shaped(dv, v)?))
    }
}

/// The same from candle's differentiable operations, span by span.
pub(super) fn composed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    shape: AttentionShape,
    spans: &[Span],
    past: Option<&Past>,
) -> Result<Tensor> {
    let outputs = spans
        .iter()
        .map(|span| {
            let own = |x: &Tensor| x.narrow(0, span.rows.start, span.rows.len());
            let with_past = |x: &Tensor, past: Option<&Tensor>| match past {
                Some(past) if !span.past.is_empty() => {
                    let past = past.narrow(0, span.past.start, span.past.len())?;
                    Tensor::cat(&[past, own(x)?], 0)
                }
                _ => own(x),
            };
            let k = with_past(k, past.map(|past| &past.keys))?;
            let v = with_past(v, past.map(|past| &past.values))?;
            composed_span(&own(q)?, &k, &v, shape)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&outputs, 0)
}

fn composed_span(q: &Tensor, k: &Tensor, v: &Tensor, shape: AttentionShape) -> Result<Tensor> {
    let AttentionShape { heads, kv_heads, head_dim } = shape;
    let (queries, seen) = (q.dims2()?.0, k.dims2()?.0);
    let split = |x: &Tensor, heads: usize| {
        x.reshape((x.dims2()?.0, heads, head_dim))?.transpose(0, 1)?.contiguous()
    };
    let repeat = |x: Tensor| -> Result<Tensor> {
        let x = x.unsqueeze(1)?.expand((kv_heads, heads / kv_heads, seen, head_dim))?;
        x.contiguous()?.reshape((heads, seen, head_dim))
    };
    let q = split(q, heads)?;
    let (k, v) = (repeat(split(k, kv_heads)?)?, repeat(split(v, kv_heads)?)?);
    let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * f64::from(shape.scale()))?;
    let hidden: Vec<f32> = (0..queries)
        .flat_map(|i| (0..seen).map(move |j| if j > seen - queries + i { -1e9 } else { 0. }))
        .collect();
    let mask = Tensor::from_vec(hidden, (1, queries, seen), q.device())?;
    let p = candle_nn::ops::softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
    p.matmul(&v)?.transpose(0, 1)?.contiguous()?.reshape((queries, heads * head_dim))
}
