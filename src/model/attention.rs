//! Self-attention of one layer: projections, their norms, rotation, cache.

use candle_core::{Result, Tensor};

use super::batch::{Batch, KvCache};
use super::mlp::Projection;
use super::norm::RowNorm;
use crate::ops::{AttentionRule, RotaryTable, attention, rotate};

/// Context of a forward pass, shared by all layers.
pub(super) struct ForwardPass<'a> {
    pub(super) batch: &'a Batch,
    pub(super) cache: Option<&'a KvCache>,
    pub(super) rotary: Vec<RotaryTable>,
}

#[derive(Clone)]
pub(super) struct Attention {
    pub(super) query: Projection,
    pub(super) key: Projection,
    pub(super) value: Projection,
    pub(super) output: Projection,
    pub(super) query_norm: Option<RowNorm>,
    pub(super) key_norm: Option<RowNorm>,
    pub(super) rule: AttentionRule,
    /// Which of the decoder's rotary encodings turns queries and keys.
    pub(super) rotation: Option<usize>,
}

impl Attention {
    /// x [rows, hidden], already normalised → [rows, hidden].
    pub(super) fn forward(
        &self,
        layer: usize,
        x: &Tensor,
        run: &ForwardPass<'_>,
    ) -> Result<Tensor> {
        let (mut q, mut k) = (self.query.forward(x)?, self.key.forward(x)?);
        let v = self.value.forward(x)?;
        if let Some(norm) = &self.query_norm {
            q = norm.forward(&q)?;
        }
        if let Some(norm) = &self.key_norm {
            k = norm.forward(&k)?;
        }
        if let Some(table) = self.rotation.map(|at| &run.rotary[at]) {
            (q, k) = (rotate(&q, table)?, rotate(&k, table)?);
        }
        let past = run.cache.map(|cache| cache.layer(layer));
        let attended = attention(&q, &k, &v, self.rule, &run.batch.spans, past)?;
        if let Some(cache) = run.cache {
            cache.store(layer, run.batch, &k, &v)?;
        }
        self.output.forward(&attended)
    }
}
