//! The decoder: embedding, layers, head, in f32, for every family.
//!
//! h₀ = embed(tokens); m = h + attention(norm(h)); h' = m + mlp(norm(m)); logits = head(norm(h)).
//! Families leave norms out, add others after the branches, or let the MLP read h in place of m.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::attention::{Attention, ForwardPass};
use super::batch::{Batch, KvCache};
use super::branch_end::BranchEnd;
use super::config::DecoderConfig;
use super::mlp::MlpBlock;
use super::norm::RowNorm;
use super::parameters::Parameters;
use super::trace::{Site, Unobserved, Visit, Visitor};
use crate::ops::{Weight, WeightLayout};

/// A model's arithmetic. Clones share all tensors.
#[derive(Clone)]
pub struct Decoder {
    pub(super) config: DecoderConfig,
    pub(super) parameters: Arc<Parameters>,
    pub(super) embedding: Weight,
    pub(super) positions: Option<Tensor>,
    pub(super) layers: Vec<DecoderLayer>,
    pub(super) final_norm: RowNorm,
    pub(super) head: Weight,
    pub(super) head_bias: Option<Tensor>,
}

/// One layer.
#[derive(Clone)]
pub(super) struct DecoderLayer {
    pub(super) attention_norm: Option<RowNorm>,
    pub(super) attention: Attention,
    pub(super) after_attention: BranchEnd,
    pub(super) mlp_norm: Option<RowNorm>,
    pub(super) mlp: MlpBlock,
    /// The way of the value to the residual stream.
    pub(super) after_mlp: BranchEnd,
    /// Both branches read the stream before the layer.
    pub(super) is_parallel: bool,
}

impl Decoder {
    /// The configuration that decides the arithmetic.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The parameter table of the decoder: what each tensor is for, and where it is stored.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The device that the decoder computes on.
    pub fn device(&self) -> &Device {
        self.embedding.device()
    }

    /// The embedding of each token, [rows, hidden].
    pub fn embed(&self, batch: &Batch) -> Result<Tensor> {
        let hidden = self.token_embeddings(&batch.ids)?;
        let Some(table) = &self.positions else { return Ok(hidden) };
        let positions: Vec<u32> = batch.positions().map(|position| position as u32).collect();
        hidden + table.index_select(&Tensor::new(positions, self.device())?, 0)?
    }

    /// The embedding of each token without its position, [tokens, hidden].
    pub(crate) fn token_embeddings(&self, ids: &[u32]) -> Result<Tensor> {
        let hidden = self.embedding.rows(ids)?;
        match self.config.embedding_scale {
            1. => Ok(hidden),
            scale => hidden * f64::from(scale),
        }
    }

    /// All layers: the residual stream after the last, [rows, hidden].
    pub fn forward(&self, batch: &Batch, cache: Option<&KvCache>) -> Result<Tensor> {
        let hidden = self.embed(batch)?;
        let run = self.run_layers(0..self.layers.len(), hidden, batch, cache, &mut Unobserved)?;
        Ok(run.expect("an unobserved run does not stop"))
    }

    /// All layers, seen by `visitor`; nothing where it stopped the run.
    pub fn observe(
        &self,
        batch: &Batch,
        cache: Option<&KvCache>,
        visitor: &mut dyn Visitor,
    ) -> Result<Option<Tensor>> {
        let hidden = self.embed(batch)?;
        self.run_layers(0..self.layers.len(), hidden, batch, cache, visitor)
    }

    /// Some layers, from the residual stream before the first of them, [rows, hidden].
    pub fn run_layers(
        &self,
        layers: Range<usize>,
        mut hidden: Tensor,
        batch: &Batch,
        cache: Option<&KvCache>,
        visitor: &mut dyn Visitor,
    ) -> Result<Option<Tensor>> {
        self.check(batch)?;
        let rotary = self.config.position.tables(&batch.spans)?;
        let run = ForwardPass { batch, cache, rotary };
        for layer in layers {
            match self.layers[layer].forward(layer, &hidden, &run, visitor)? {
                Some(next) => hidden = next,
                None => return Ok(None),
            }
        }
        Ok(Some(hidden))
    }

    /// Next-token scores of chosen rows of the last residual stream, [chosen, vocabulary].
    pub fn logits(&self, hidden: &Tensor, rows: &[usize]) -> Result<Tensor> {
        let chosen: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        let chosen = hidden.index_select(&Tensor::new(chosen, self.device())?, 0)?;
        self.head_logits(&chosen)
    }

    /// The head applied to every row, [rows, vocabulary].
    pub fn head_logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let (normed, bias) = (self.final_normed(hidden)?, self.head_bias.as_ref());
        self.config.logits.apply(self.head.linear(&normed, WeightLayout::OutIn, bias)?)
    }

    /// What the head reads: the last norm of the residual stream, [rows, hidden].
    pub(crate) fn final_normed(&self, hidden: &Tensor) -> Result<Tensor> {
        self.final_norm.forward(hidden)
    }

    /// The head's matrix, [vocabulary, hidden].
    pub(crate) fn head(&self) -> &Weight {
        &self.head
    }

    /// The head's bias, `[vocabulary]`.
    pub(crate) fn head_bias(&self) -> Option<&Tensor> {
        self.head_bias.as_ref()
    }

    /// The down projection of a layer as stored.
    pub fn down_projection(&self, layer: usize) -> (&Weight, WeightLayout) {
        let down = &self.layers[layer].mlp.down;
        (&down.weight, down.layout)
    }

    /// This decoder with another down projection in one layer.
    pub fn with_down_projection(&self, layer: usize, weight: Tensor) -> Self {
        let mut edited = self.clone();
        edited.layers[layer].mlp.down.weight = weight.into();
        edited
    }

    pub(super) fn check(&self, batch: &Batch) -> Result<()> {
        let longest = batch.spans.iter().map(|span| span.past.len() + span.rows.len()).max();
        if longest.unwrap_or(0) > self.config.context {
            candle_core::bail!(
                "a sequence of {} tokens exceeds the model's context of {}",
                longest.unwrap_or(0),
                self.config.context
            );
        }
        match batch.ids.iter().find(|id| **id as usize >= self.config.vocabulary) {
            Some(id) => candle_core::bail!(
                "token {id} is outside the model's vocabulary of {}",
                self.config.vocabulary
            ),
            None => Ok(()),
        }
    }
}

impl DecoderLayer {
    fn forward(
        &self,
        layer: usize,
        hidden: &Tensor,
        run: &ForwardPass<'_>,
        visitor: &mut dyn Visitor,
    ) -> Result<Option<Tensor>> {
        let read = normed(self.attention_norm.as_ref(), hidden)?;
        let attended = self.attention.forward(layer, &read, run)?;
        let Some(attended) = pass(visitor, layer, Site::AttentionOutput, attended)? else {
            return Ok(None);
        };
        let middle = (hidden + self.after_attention.forward(attended)?)?;
        let read = if self.is_parallel { hidden } else { &middle };
        let key = self.mlp.key(&normed(self.norm_of_mlp(), read)?)?;
        let Some(key) = pass(visitor, layer, Site::Key, key)? else { return Ok(None) };
        let Some(value) = pass(visitor, layer, Site::Value, self.mlp.down.forward(&key)?)? else {
            return Ok(None);
        };
        let added = self.after_mlp.forward(value)?;
        pass(visitor, layer, Site::Residual, (middle + added)?)
    }

    /// The norm of what the MLP reads: its own, or the one that a parallel layer shares.
    pub(super) fn norm_of_mlp(&self) -> Option<&RowNorm> {
        let shared = self.attention_norm.as_ref().filter(|_| self.is_parallel);
        self.mlp_norm.as_ref().or(shared)
    }
}

fn normed(norm: Option<&RowNorm>, rows: &Tensor) -> Result<Tensor> {
    norm.map_or_else(|| Ok(rows.clone()), |norm| norm.forward(rows))
}

/// The rows with which the run goes on, or nothing where it stops.
fn pass(
    visitor: &mut dyn Visitor,
    layer: usize,
    site: Site,
    rows: Tensor,
) -> Result<Option<Tensor>> {
    Ok(match visitor.visit(layer, site, &rows)? {
        Visit::Keep => Some(rows),
        Visit::Substitute(other) => Some(other),
        Visit::Stop => None,
    })
}
