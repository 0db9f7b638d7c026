//! Layers whose weights do not change, run over and over on the same rows, forward and back.
//!
//! An optimisation of one vector repeats the same layers some twenty times. This pass keeps every
//! buffer from one time to the next and computes no gradient but that of its input:
//!
//! n = norm(h), m = h + O attention(Q n, K n, V n), h' = m + D (φ(G norm(m)) · U norm(m)),
//! where norms may follow O and D;
//! with g = ∂L/∂h': g ← g + ∂norm(m)ᵀ (Gᵀ dgate + Uᵀ dup),
//! g ← g + ∂norm(h)ᵀ (Qᵀ dq + Kᵀ dk + Vᵀ dv).
//!
//! This pass runs on the CPU, in f32, without adapters; on other devices the decoder's own layers
//! do the same with candle's gradients, and the tests compare the two.

mod head;
mod tape;

use std::ops::Range;

use candle_core::Result;

use super::batch::{Batch, KvCache};
use super::decoder::{Decoder, DecoderLayer};
use crate::ops::RotaryTable;

pub use head::FrozenHead;
use tape::{Scratch, Tape, add};

/// Some layers of a decoder on the rows of one batch.
///
/// Only chosen rows are read after the last layer, which attends from all rows and computes the
/// rest for these alone.
pub struct FrozenPass<'a> {
    layers: &'a [DecoderLayer],
    /// Number of the first of them in the decoder.
    first: usize,
    rotary: Vec<RotaryTable>,
    tapes: Vec<Tape>,
    scratch: Scratch,
    read: Vec<usize>,
    /// The residual stream, then its gradient, of all rows and of those that are read.
    stream: Vec<f32>,
    after: Vec<f32>,
}

impl<'a> FrozenPass<'a> {
    /// `layers` of `decoder` on the rows of `batch`, after what `cache` holds of their sequences;
    /// `read` are the rows that are read after the last of them.
    pub fn new(
        decoder: &'a Decoder,
        layers: Range<usize>,
        (batch, read): (&Batch, Vec<usize>),
        cache: Option<&KvCache>,
    ) -> Result<Self> {
        decoder.check(batch)?;
        let (config, rows) = (decoder.config(), batch.rows());
        let tape = |layer: usize| {
            let past = cache.map(|cache| cache.layer(layer).clone());
            Tape::new(config, &decoder.layers[layer], (rows, batch.spans.clone()), past)
        };
        let rotary = config.position.tables(&batch.spans)?;
        Ok(Self {
            layers: &decoder.layers[layers.clone()],
            first: layers.start,
            rotary,
            tapes: layers.map(tape).collect(),
            scratch: Scratch::new(config, rows),
            stream: vec![0.; rows * config.hidden],
            after: vec![0.; read.len() * config.hidden],
            read,
        })
    }

    /// The residual stream after the last layer at the rows that are read, [read, hidden], where
    /// `start` writes the one before the first layer, [rows, hidden].
    pub fn forward(&mut self, start: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<&[f32]> {
        self.forward_observed(start, &mut |_, _| {})
    }

    /// As [`forward`](Self::forward); `at_stream` sees each layer's number and the residual stream
    /// after it, [rows, hidden], of all layers but the last.
    pub fn forward_observed(
        &mut self,
        start: impl FnOnce(&mut [f32]) -> Result<()>,
        at_stream: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<&[f32]> {
        let (rotary, scratch) = (self.rotary.as_slice(), &mut self.scratch);
        start(&mut self.stream)?;
        let last = self.layers.len().wrapping_sub(1);
        for (i, (layer, tape)) in self.layers.iter().zip(&mut self.tapes).enumerate() {
            tape.attention(layer, &self.stream, rotary, scratch)?;
            if i < last {
                tape.mlp(layer, &mut self.stream, scratch)?;
                at_stream(self.first + i, &self.stream);
            }
        }
        let width = self.after.len() / self.read.len();
        gather(&mut self.after, &self.stream, &self.read, width);
        if let (Some(layer), Some(tape)) = (self.layers.last(), self.tapes.last_mut()) {
            let width = layer.attention.rule.shape.query_width();
            gather(&mut scratch.query, &scratch.attended, &self.read, width);
            std::mem::swap(&mut scratch.query, &mut scratch.attended);
            tape.mlp(layer, &mut self.after, scratch)?;
        }
        Ok(&self.after)
    }

    /// The gradient with respect to what `start` wrote in the latest [`forward`](Self::forward),
    /// [rows, hidden], where `end` writes that with respect to what it gave, [read, hidden].
    pub fn backward(&mut self, end: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<&[f32]> {
        self.backward_observed(end, &mut |_, _| {})
    }

    /// As [`backward`](Self::backward); `at_value` sees each layer's number and the gradient with
    /// respect to its value, from the last layer to the first: [read, hidden] of the last one,
    /// [rows, hidden] of the others.
    pub fn backward_observed(
        &mut self,
        end: impl FnOnce(&mut [f32]) -> Result<()>,
        at_value: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<&[f32]> {
        self.backward_joined(end, at_value, &mut |_, _| {})
    }

    /// As [`backward_observed`](Self::backward_observed), of a loss that also reads streams on the
    /// way: `at_stream` adds its gradient with respect to the stream after a layer, [rows, hidden],
    /// of all layers but the last.
    pub fn backward_joined(
        &mut self,
        end: impl FnOnce(&mut [f32]) -> Result<()>,
        at_value: &mut dyn FnMut(usize, &[f32]),
        at_stream: &mut dyn FnMut(usize, &mut [f32]),
    ) -> Result<&[f32]> {
        let (rotary, scratch) = (self.rotary.as_slice(), &mut self.scratch);
        let (first, last) = (self.first, self.layers.len().wrapping_sub(1));
        end(&mut self.after)?;
        if let (Some(layer), Some(tape)) = (self.layers.last(), self.tapes.last()) {
            tape.mlp_backward(layer, &mut self.after, scratch, |g| at_value(first + last, g))?;
            let width = layer.attention.rule.shape.query_width();
            scatter(&mut scratch.query, &scratch.attended, &self.read, width);
            std::mem::swap(&mut scratch.query, &mut scratch.attended);
        }
        let width = self.after.len() / self.read.len();
        scatter(&mut self.stream, &self.after, &self.read, width);
        for (i, (layer, tape)) in self.layers.iter().zip(&self.tapes).enumerate().rev() {
            if i < last {
                at_stream(first + i, &mut self.stream);
                tape.mlp_backward(layer, &mut self.stream, scratch, |g| at_value(first + i, g))?;
            }
            tape.attention_backward(layer, &mut self.stream, rotary, scratch)?;
        }
        Ok(&self.stream)
    }
}

/// Gathers the chosen rows, one after the other.
fn gather(to: &mut [f32], from: &[f32], rows: &[usize], width: usize) {
    for (to, row) in to.chunks_exact_mut(width).zip(rows) {
        to.copy_from_slice(&from[row * width..][..width]);
    }
}

/// Rows to their places, zeros elsewhere; a row that is there twice gets both.
fn scatter(to: &mut [f32], from: &[f32], rows: &[usize], width: usize) {
    to.fill(0.);
    for (from, row) in from.chunks_exact(width).zip(rows) {
        add(&mut to[row * width..][..width], from);
    }
}
