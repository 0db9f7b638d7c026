//! Causal grouped-query attention over sequences of unequal length.
//!
//! A query at row i of a span sees the span's past and its rows up to i, or the latest of them where
//! attention has a window. The past is constant: no gradient reaches it. On the CPU the [`kernel`] does the work, on other devices candle's
//! operations do it.

mod kernel;

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};

use super::{is_tracked, matrix, values, with_values};

pub(crate) use kernel::Attention;

/// Consecutive tokens of one sequence: which rows of the batch, after which rows of the past.
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

    /// Query heads that share a key head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// How scores are computed, and which rows a query sees.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct AttentionRule {
    /// Numbers of heads and their width.
    pub shape: AttentionShape,
    /// Factor of the products q · k.
    pub scale: f32,
    /// Soft limit c of the scores: s becomes c · tanh(s / c).
    pub cap: Option<f32>,
    /// Rows that a query sees, its own included; all earlier ones where there is no window.
    pub window: Option<usize>,
}

impl From<AttentionShape> for AttentionRule {
    /// Scores are divided by √d, without a limit or a window.
    fn from(shape: AttentionShape) -> Self {
        Self { shape, scale: 1. / (shape.head_dim as f32).sqrt(), cap: None, window: None }
    }
}

impl AttentionRule {
    /// The first position that the query at `position` sees.
    fn first_seen(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// q [rows, heads · d], k and v [rows, kv_heads · d] → [rows, heads · d].
///
/// The spans cover the rows in order and without a gap.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    rule: AttentionRule,
    spans: &[Span],
    past: Option<&Past>,
) -> Result<Tensor> {
    if !q.device().is_cpu() {
        return composed(q, k, v, rule, spans, past);
    }
    let op = Attention { rule, spans: spans.to_vec(), past: past.cloned() };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
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

/// Attention from candle's differentiable operations, span by span.
pub(super) fn composed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    rule: AttentionRule,
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
            composed_span(&own(q)?, &k, &v, rule)
        })
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&outputs, 0)
}

fn composed_span(q: &Tensor, k: &Tensor, v: &Tensor, rule: AttentionRule) -> Result<Tensor> {
    let AttentionShape { heads, kv_heads, head_dim } = rule.shape;
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
    let mut scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * f64::from(rule.scale))?;
    if let Some(cap) = rule.cap.map(f64::from) {
        scores = ((scores / cap)?.tanh()? * cap)?;
    }
    let is_hidden = |position: usize, j: usize| j > position || j < rule.first_seen(position);
    let hidden: Vec<f32> = (seen - queries..seen)
        .flat_map(|at| (0..seen).map(move |j| if is_hidden(at, j) { -1e9 } else { 0. }))
        .collect();
    let mask = Tensor::from_vec(hidden, (1, queries, seen), q.device())?;
    let p = candle_nn::ops::softmax(&scores.broadcast_add(&mask)?, D::Minus1)?;
    p.matmul(&v)?.transpose(0, 1)?.contiguous()?.reshape((queries, heads * head_dim))
}
