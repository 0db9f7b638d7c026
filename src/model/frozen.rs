//! Layers whose weights do not change, run over and over on the same rows, forward and back.
//!
//! An optimisation of one vector repeats the same layers some twenty times. This pass keeps every
//! buffer from one time to the next and computes no gradient but that of its input:
//!
//! n = norm(h), m = h + O attention(Q n, K n, V n), h' = m + D (φ(G norm(m)) · U norm(m));
//! with g = ∂L/∂h': g ← g + ∂norm(m)ᵀ (Gᵀ dgate + Uᵀ dup), g ← g + ∂norm(h)ᵀ (Qᵀ dq + Kᵀ dk + Vᵀ dv).
//!
//! On the CPU, in f32, and without adapters; elsewhere the decoder's own layers do the same with
//! candle's gradients, and the tests hold the two against each other.

mod head;

use std::ops::Range;

use candle_core::Result;

use super::batch::{Batch, KvCache};
use super::config::Position;
use super::decoder::{Decoder, DecoderLayer};
use crate::ops::{AttentionRows, RotaryTable};

pub use head::FrozenHead;

/// Some layers of a decoder on the rows of one batch.
pub struct FrozenPass<'a> {
    layers: &'a [DecoderLayer],
    rotary: Option<RotaryTable>,
    tapes: Vec<Tape>,
    scratch: Scratch,
}

/// What a layer keeps from its forward pass for its backward pass.
struct Tape {
    attention: AttentionRows,
    /// The residual stream in front of the layer, and behind its attention, [rows, hidden].
    before: Vec<f32>,
    middle: Vec<f32>,
    /// Rotated, [rows, heads · head width].
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    /// Inputs of the nonlinearity, [rows, intermediate]; the gate only where there is one.
    gate: Vec<f32>,
    up: Vec<f32>,
}

/// Rows that no layer keeps.
struct Scratch {
    /// [rows, hidden].
    hidden: Vec<f32>,
    sum: Vec<f32>,
    /// [rows, heads · head width].
    attended: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    /// [rows, intermediate].
    inner: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl<'a> FrozenPass<'a> {
    /// `layers` of `decoder` on the rows of `batch`, behind what `cache` holds of their sequences.
    pub fn new(
        decoder: &'a Decoder,
        layers: Range<usize>,
        batch: &Batch,
        cache: Option<&KvCache>,
    ) -> Result<Self> {
        decoder.check(batch)?;
        let (config, rows) = (decoder.config(), batch.rows());
        let shape = config.attention;
        let zeros = |width: usize| vec![0f32; rows * width];
        let (wide, narrow) = (shape.query_width(), shape.kv_width());
        let (hidden, inner) = (config.hidden, config.intermediate);
        let tape = |layer: usize| Tape {
            attention: AttentionRows {
                shape,
                spans: batch.spans.clone(),
                past: cache.map(|cache| cache.layer(layer).clone()),
            },
            before: zeros(hidden),
            middle: zeros(hidden),
            query: zeros(wide),
            key: zeros(narrow),
            value: zeros(narrow),
            gate: zeros(if decoder.layers[layer].mlp.gate.is_some() { inner } else { 0 }),
            up: zeros(inner),
        };
        let rotary = match &config.position {
            Position::Learned => None,
            Position::Rotary { inverse_frequencies } => {
                Some(RotaryTable::new(batch.positions(), inverse_frequencies))
            }
        };
        Ok(Self {
            layers: &decoder.layers[layers.clone()],
            rotary,
            tapes: layers.map(tape).collect(),
            scratch: Scratch {
                hidden: zeros(hidden),
                sum: zeros(hidden),
                attended: zeros(wide),
                query: zeros(wide),
                key: zeros(narrow),
                value: zeros(narrow),
                inner: zeros(inner),
                gate: zeros(inner),
                up: zeros(inner),
            },
        })
    }

    /// Turns the residual stream in front of the first layer into that behind the last one,
    /// [rows, hidden].
    pub fn forward(&mut self, stream: &mut [f32]) -> Result<()> {
        let rotary = self.rotary.as_ref();
        for (layer, tape) in self.layers.iter().zip(&mut self.tapes) {
            tape.forward(layer, stream, rotary, &mut self.scratch)?;
        }
        Ok(())
    }

    /// Turns the gradient with respect to the stream behind the last layer into that with respect
    /// to the stream of the latest [`forward`](Self::forward), [rows, hidden].
    pub fn backward(&mut self, gradient: &mut [f32]) -> Result<()> {
        let rotary = self.rotary.as_ref();
        for (layer, tape) in self.layers.iter().zip(&mut self.tapes).rev() {
            tape.backward(layer, gradient, rotary, &mut self.scratch)?;
        }
        Ok(())
    }
}

impl Tape {
    fn forward(
        &mut self,
        layer: &DecoderLayer,
        stream: &mut [f32],
        rotary: Option<&RotaryTable>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (attention, normed) = (&layer.attention, &mut scratch.hidden);
        self.before.copy_from_slice(stream);
        layer.attention_norm.write(normed, stream)?;
        attention.query.write(&mut self.query, normed)?;
        attention.key.write(&mut self.key, normed)?;
        attention.value.write(&mut self.value, normed)?;
        if let Some(table) = rotary {
            table.turn(&mut self.query, attention.shape.query_width(), 1.);
            table.turn(&mut self.key, attention.shape.kv_width(), 1.);
        }
        self.attention.write(&mut scratch.attended, &self.query, &self.key, &self.value)?;
        attention.output.write(&mut scratch.sum, &scratch.attended)?;
        add(stream, &scratch.sum);
        self.middle.copy_from_slice(stream);

        let mlp = &layer.mlp;
        layer.mlp_norm.write(normed, stream)?;
        mlp.up.write(&mut self.up, normed)?;
        match &mlp.gate {
            Some(gate) => {
                gate.write(&mut self.gate, normed)?;
                mlp.activation.write_gated(&mut scratch.inner, &self.gate, &self.up);
            }
            None => mlp.activation.write(&mut scratch.inner, &self.up),
        }
        mlp.down.write(&mut scratch.sum, &scratch.inner)?;
        add(stream, &scratch.sum);
        Ok(())
    }

    fn backward(
        &mut self,
        layer: &DecoderLayer,
        g: &mut [f32],
        rotary: Option<&RotaryTable>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.through_mlp(layer, g, scratch)?;
        let (attention, to) = (&layer.attention, scratch);
        attention.output.write_gradient(&mut to.attended, g)?;
        let gradients = [&mut to.query, &mut to.key, &mut to.value].map(Vec::as_mut_slice);
        let inputs = [&self.query, &self.key, &self.value, &to.attended].map(Vec::as_slice);
        self.attention.write_gradients(gradients, inputs)?;
        if let Some(table) = rotary {
            table.turn(&mut to.query, attention.shape.query_width(), -1.);
            table.turn(&mut to.key, attention.shape.kv_width(), -1.);
        }
        attention.query.write_gradient(&mut to.sum, &to.query)?;
        attention.key.write_gradient(&mut to.hidden, &to.key)?;
        add(&mut to.sum, &to.hidden);
        attention.value.write_gradient(&mut to.hidden, &to.value)?;
        add(&mut to.sum, &to.hidden);
        layer.attention_norm.add_gradient(g, &self.before, &to.sum)
    }

    /// From behind the layer to behind its attention.
    fn through_mlp(
        &mut self,
        layer: &DecoderLayer,
        g: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (mlp, to) = (&layer.mlp, scratch);
        mlp.down.write_gradient(&mut to.inner, g)?;
        match &mlp.gate {
            Some(gate) => {
                let gradients = [to.gate.as_mut_slice(), to.up.as_mut_slice()];
                let inputs = [&self.gate, &self.up, &to.inner].map(Vec::as_slice);
                mlp.activation.write_gated_gradients(gradients, inputs);
                mlp.up.write_gradient(&mut to.sum, &to.up)?;
                gate.write_gradient(&mut to.hidden, &to.gate)?;
                add(&mut to.sum, &to.hidden);
            }
            None => {
                mlp.activation.scale_by_slope(&mut to.inner, &self.up);
                mlp.up.write_gradient(&mut to.sum, &to.inner)?;
            }
        }
        layer.mlp_norm.add_gradient(g, &self.middle, &to.sum)
    }
}

fn add(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}
