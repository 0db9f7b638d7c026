//! One layer of a frozen pass: what it keeps, and its way forward and back.

use candle_core::Result;

use crate::model::config::DecoderConfig;
use crate::model::decoder::DecoderLayer;
use crate::model::norm::RowNorm;
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
    /// Queries and keys before their norms, only where they have norms.
    plain_query: Vec<f32>,
    plain_key: Vec<f32>,
    /// What attention and the down projection give, [rows, hidden], only where a norm follows.
    attention_out: Vec<f32>,
    mlp_out: Vec<f32>,
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
        let kept = |norm: &Option<RowNorm>, width| zeros(if norm.is_some() { width } else { 0 });
        let (shape, inner, hidden) = (config.attention, config.intermediate, config.hidden);
        let attention = &layer.attention;
        Self {
            attention: AttentionRows { rule: attention.rule, spans, past },
            before: zeros(hidden),
            middle: zeros(hidden),
            query: zeros(shape.query_width()),
            key: zeros(shape.kv_width()),
            value: zeros(shape.kv_width()),
            gate: zeros(if layer.mlp.gate.is_some() { inner } else { 0 }),
            up: zeros(inner),
            plain_query: kept(&attention.query_norm, shape.query_width()),
            plain_key: kept(&attention.key_norm, shape.kv_width()),
            attention_out: kept(&layer.after_attention.norm, hidden),
            mlp_out: kept(&layer.after_mlp.norm, hidden),
        }
    }

    /// Attention half of the layer, up to what its attention read.
    pub(super) fn attention(
        &mut self,
        layer: &DecoderLayer,
        stream: &[f32],
        rotary: &[RotaryTable],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (attention, normed) = (&layer.attention, &mut scratch.hidden);
        self.before.copy_from_slice(stream);
        write_normed(layer.attention_norm.as_ref(), normed, stream)?;
        attention.query.write(&mut self.query, normed)?;
        attention.key.write(&mut self.key, normed)?;
        attention.value.write(&mut self.value, normed)?;
        if let Some(norm) = &attention.query_norm {
            self.plain_query.copy_from_slice(&self.query);
            norm.write(&mut self.query, &self.plain_query)?;
        }
        if let Some(norm) = &attention.key_norm {
            self.plain_key.copy_from_slice(&self.key);
            norm.write(&mut self.key, &self.plain_key)?;
        }
        if let Some(table) = attention.rotation.map(|at| &rotary[at]) {
            table.turn(&mut self.query, attention.rule.shape.query_width(), 1.);
            table.turn(&mut self.key, attention.rule.shape.kv_width(), 1.);
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
        layer.after_attention.write(sum, first(&mut self.attention_out, of.hidden))?;
        let read = &mut self.middle[..of.hidden];
        if layer.is_parallel {
            read.copy_from_slice(stream);
        }
        add(stream, sum);
        if !layer.is_parallel {
            read.copy_from_slice(stream);
        }
        write_normed(layer.norm_of_mlp(), normed, read)?;
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
        layer.after_mlp.write(sum, first(&mut self.mlp_out, of.hidden))?;
        add(stream, sum);
        Ok(())
    }

    /// Backward of [`mlp`](Self::mlp): `g` becomes the gradient of the stream before it,
    /// and the scratch rows that of what attention read; `at_value` sees that of the value.
    pub(super) fn mlp_backward(
        &self,
        layer: &DecoderLayer,
        g: &mut [f32],
        scratch: &mut Scratch,
        at_value: impl FnOnce(&[f32]),
    ) -> Result<()> {
        let (mlp, of) = (&layer.mlp, self.lengths(g));
        if layer.is_parallel {
            self.output_backward(layer, g, scratch)?;
        }
        let (sum, part) = (&mut scratch.sum[..of.hidden], &mut scratch.hidden[..of.hidden]);
        let (up, inner) = (&self.up[..of.inner], &mut scratch.inner[..of.inner]);
        if layer.after_mlp.is_identity() {
            at_value(g);
            mlp.down.write_gradient(inner, g)?;
        } else {
            let kept = &self.mlp_out[..of.hidden.min(self.mlp_out.len())];
            layer.after_mlp.write_gradient(sum, g, kept)?;
            at_value(sum);
            mlp.down.write_gradient(inner, sum)?;
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
        add_normed_gradient(layer.norm_of_mlp(), g, &self.middle[..of.hidden], sum)?;
        if layer.is_parallel { Ok(()) } else { self.output_backward(layer, g, scratch) }
    }

    /// The gradient of what attention read, where that of the stream that it is added to is `g`.
    fn output_backward(
        &self,
        layer: &DecoderLayer,
        g: &[f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (of, output) = (self.lengths(g), &layer.attention.output);
        let attended = &mut scratch.attended[..of.attended];
        if layer.after_attention.is_identity() {
            return output.write_gradient(attended, g);
        }
        let part = &mut scratch.hidden[..of.hidden];
        let kept = &self.attention_out[..of.hidden.min(self.attention_out.len())];
        layer.after_attention.write_gradient(part, g, kept)?;
        output.write_gradient(attended, part)
    }

    /// Backward of [`attention`](Self::attention), for all rows.
    pub(super) fn attention_backward(
        &self,
        layer: &DecoderLayer,
        g: &mut [f32],
        rotary: &[RotaryTable],
        to: &mut Scratch,
    ) -> Result<()> {
        let attention = &layer.attention;
        let gradients = [&mut to.query, &mut to.key, &mut to.value].map(Vec::as_mut_slice);
        let inputs = [&self.query, &self.key, &self.value, &to.attended].map(Vec::as_slice);
        self.attention.write_gradients(gradients, inputs)?;
        if let Some(table) = attention.rotation.map(|at| &rotary[at]) {
            table.turn(&mut to.query, attention.rule.shape.query_width(), -1.);
            table.turn(&mut to.key, attention.rule.shape.kv_width(), -1.);
        }
        for (norm, plain, g) in [
            (&attention.query_norm, &self.plain_query, &mut to.query),
            (&attention.key_norm, &self.plain_key, &mut to.key),
        ] {
            let Some(norm) = norm else { continue };
            let before = &mut to.attended[..g.len()];
            before.fill(0.);
            norm.add_gradient(before, plain, g)?;
            g.copy_from_slice(before);
        }
        attention.query.write_gradient(&mut to.sum, &to.query)?;
        attention.key.write_gradient(&mut to.hidden, &to.key)?;
        add(&mut to.sum, &to.hidden);
        attention.value.write_gradient(&mut to.hidden, &to.value)?;
        add(&mut to.sum, &to.hidden);
        add_normed_gradient(layer.attention_norm.as_ref(), g, &self.before, &to.sum)
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

/// The first `length` numbers, or none of an empty buffer.
fn first(buffer: &mut [f32], length: usize) -> &mut [f32] {
    let length = length.min(buffer.len());
    &mut buffer[..length]
}

fn write_normed(norm: Option<&RowNorm>, y: &mut [f32], x: &[f32]) -> Result<()> {
    match norm {
        Some(norm) => norm.write(y, x),
        None => {
            y.copy_from_slice(x);
            Ok(())
        }
    }
}

fn add_normed_gradient(norm: Option<&RowNorm>, dx: &mut [f32], x: &[f32], g: &[f32]) -> Result<()> {
    match norm {
        Some(norm) => norm.add_gradient(dx, x, g),
        None => {
            add(dx, g);
            Ok(())
        }
    }
}

/// sum ← sum + part.
pub(super) fn add(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}
