//! One layer of a frozen pass: what it keeps, and its way forward and back.

use candle_core::Result;

use crate::model::config::DecoderConfig;
use crate::model::decoder::DecoderLayer;
use crate::ops::{AttentionRows, Past, RotaryTable, Span};

/// What a layer keeps from its forward pass for its backward pass.
pub(super) struct Tape {
    attention: AttentionRows,
    /// The residual stream before the layer, and after its attention, [rows, hidden].
    before: Vec<f32>,
    middle: Vec<f32>,
    /// Rotated, [rows, heads · head width].
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    /// Inputs of the nonlinearity, [rows, intermediate]; the gate only where there is one.
    gate: Vec<f32>,
    up: Vec<f32>,
    /// What the down projection gives, [rows, hidden], only where a norm follows it.
    out: Vec<f32>,
}

/// Rows that no layer keeps.
pub(super) struct Scratch {
    /// [rows, hidden].
    hidden: Vec<f32>,
    sum: Vec<f32>,
    /// [rows, heads · head width].
    pub(super) attended: Vec<f32>,
    pub(super) query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    /// [rows, intermediate].
    inner: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(config: &DecoderConfig, rows: usize) -> Self {
        let zeros = |width: usize| vec![0f32; rows * width];
        let (shape, inner) = (config.attention, config.intermediate);
        Self {
            hidden: zeros(config.hidden),
            sum: zeros(config.hidden),
            attended: zeros(shape.query_width()),
            query: zeros(shape.query_width()),
            key: zeros(shape.kv_width()),
            value: zeros(shape.kv_width()),
            inner: zeros(inner),
            gate: zeros(inner),
            up: zeros(inner),
        }
    }
}

impl Tape {
    /// A tape for rows in spans, after what the layer's cache holds of their past.
    pub(super) fn new(
        config: &DecoderConfig,
        layer: &DecoderLayer,
        (rows, spans): (usize, Vec<Span>),
        past: Option<Past>,
    ) -> Self {
        let zeros = |width: usize| vec![0f32; rows * width];
        let (shape, inner) = (config.attention, config.intermediate);
        Self {
            attention: AttentionRows { shape, spans, past },
            before: zeros(config.hidden),
            middle: zeros(config.hidden),
            query: zeros(shape.query_width()),
            key: zeros(shape.kv_width()),
            value: zeros(shape.kv_width()),
            gate: zeros(if layer.mlp.gate.is_some() { inner } else { 0 }),
            up: zeros(inner),
            out: zeros(if layer.post_mlp_norm.is_some() { config.hidden } else { 0 }),
        }
    }

    /// Attention half of the layer, up to what its attention read.
    pub(super) fn attention(
        &mut self,
        layer: &DecoderLayer,
        stream: &[f32],
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
        self.attention.write(&mut scratch.attended, &self.query, &self.key, &self.value)
    }

    /// MLP half of the layer, up to its output, for the rows of `stream`: all, or the first ones.
    pub(super) fn mlp(
        &mut self,
        layer: &DecoderLayer,
        stream: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (mlp, of) = (&layer.mlp, self.lengths(stream));
        let (normed, sum) = (&mut scratch.hidden[..of.hidden], &mut scratch.sum[..of.hidden]);
        layer.attention.output.write(sum, &scratch.attended[..of.attended])?;
        add(stream, sum);
        self.middle[..of.hidden].copy_from_slice(stream);
        layer.mlp_norm.write(normed, stream)?;
        let (up, inner) = (&mut self.up[..of.inner], &mut scratch.inner[..of.inner]);
        mlp.up.write(up, normed)?;
        match &mlp.gate {
            Some(projection) => {
                let gate = &mut self.gate[..of.inner];
                projection.write(gate, normed)?;
                mlp.activation.write_gated(inner, gate, up);
            }
            None => mlp.activation.write(inner, up),
        }
        mlp.down.write(sum, inner)?;
        if let Some(norm) = &layer.post_mlp_norm {
            self.out[..of.hidden].copy_from_slice(sum);
            norm.write(sum, &self.out[..of.hidden])?;
        }
        add(stream, sum);
        Ok(())
    }

    /// Backward of [`mlp`](Self::mlp): `g` becomes the gradient of the stream before it,
    /// and the scratch rows that of what attention read.
    pub(super) fn mlp_backward(
        &self,
        layer: &DecoderLayer,
        g: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (mlp, of) = (&layer.mlp, self.lengths(g));
        let (sum, part) = (&mut scratch.sum[..of.hidden], &mut scratch.hidden[..of.hidden]);
        let (up, inner) = (&self.up[..of.inner], &mut scratch.inner[..of.inner]);
        match &layer.post_mlp_norm {
            None => mlp.down.write_gradient(inner, g)?,
            Some(norm) => {
                sum.fill(0.);
                norm.add_gradient(sum, &self.out[..of.hidden], g)?;
                mlp.down.write_gradient(inner, sum)?;
            }
        }
        match &mlp.gate {
            Some(projection) => {
                let d_gate = &mut scratch.gate[..of.inner];
                let d_up = &mut scratch.up[..of.inner];
                let inputs = [&self.gate[..of.inner], up, &*inner];
                mlp.activation.write_gated_gradients([&mut *d_gate, &mut *d_up], inputs);
                mlp.up.write_gradient(sum, d_up)?;
                projection.write_gradient(part, d_gate)?;
                add(sum, part);
            }
            None => {
                mlp.activation.scale_by_slope(inner, up);
                mlp.up.write_gradient(sum, inner)?;
            }
        }
        layer.mlp_norm.add_gradient(g, &self.middle[..of.hidden], sum)?;
        layer.attention.output.write_gradient(&mut scratch.attended[..of.attended], g)
    }

    /// Backward of [`attention`](Self::attention), for all rows.
    pub(super) fn attention_backward(
        &self,
        layer: &DecoderLayer,
        g: &mut [f32],
        rotary: Option<&RotaryTable>,
        to: &mut Scratch,
    ) -> Result<()> {
        let attention = &layer.attention;
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
}

/// Lengths of the slices that hold the rows of `stream`, which may be fewer than a tape has.
struct Lengths {
    hidden: usize,
    attended: usize,
    inner: usize,
}

impl Tape {
    fn lengths(&self, stream: &[f32]) -> Lengths {
        let (part, whole) = (stream.len(), self.before.len());
        let inner = part * self.up.len() / whole;
        Lengths { hidden: part, attended: part * self.query.len() / whole, inner }
    }
}

/// sum ← sum + part.
pub(super) fn add(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}
