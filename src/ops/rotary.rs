//! Rotary position encoding of the first dimensions of each head.
//!
//! With a pair (a, b) of a head's numbers and the angle θ of a position and a frequency:
//! (a cos θ − b sin θ, b cos θ + a sin θ). Its backward is the rotation by −θ. Which numbers are
//! pairs is a convention: Hugging Face's halves, or GPT-J's neighbors. A magnitude, where there is
//! one, multiplies both cos and sin.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{Span, matrix, values, with_values};

/// Which numbers of a head rotate with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Number j of the rotated ones with number j + half.
    Halves,
    /// Numbers 2j and 2j + 1.
    Neighbors,
}

/// A rotary encoding: frequencies, and the numbers of a head that they turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    /// Inverse frequencies; twice as many numbers of a head are rotated, the first ones.
    pub inverse_frequencies: Vec<f32>,
    /// Inverse frequencies of sequences longer than this many tokens.
    pub beyond: Option<(usize, Vec<f32>)>,
    /// Width of a head.
    pub head_dim: usize,
    /// Which numbers are pairs.
    pub pairing: Pairing,
    /// Factor of the rotated numbers.
    pub magnitude: f32,
}

impl Rotation {
    /// The frequencies of a span, which change beyond a length.
    fn frequencies(&self, span: &Span) -> Result<&[f32]> {
        let (past, whole) = (span.past.len(), span.past.len() + span.rows.len());
        match &self.beyond {
            Some((length, long)) if whole > *length => {
                if (1..=*length).contains(&past) {
                    candle_core::bail!(
                        "a sequence grows from {past} to {whole} tokens, but positions are \
                         encoded otherwise beyond {length}: it cannot be continued token by token"
                    );
                }
                Ok(long)
            }
            _ => Ok(&self.inverse_frequencies),
        }
    }
}

/// Cosines and sines for the rows of one batch.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    cos: Arc<Vec<f32>>,
    sin: Arc<Vec<f32>>,
    half: usize,
    head_dim: usize,
    pairing: Pairing,
}

impl RotaryTable {
    /// For the rows of `spans`, which cover a batch without a gap.
    pub fn new(spans: &[Span], rotation: &Rotation) -> Result<Self> {
        let (mut sin, mut cos) = (Vec::new(), Vec::new());
        for span in spans {
            let frequencies = rotation.frequencies(span)?;
            let first = span.past.len();
            for position in first..first + span.rows.len() {
                for angle in frequencies.iter().map(|f| position as f32 * f) {
                    let (s, c) = angle.sin_cos();
                    sin.push(rotation.magnitude * s);
                    cos.push(rotation.magnitude * c);
                }
            }
        }
        Ok(Self {
            cos: Arc::new(cos),
            sin: Arc::new(sin),
            half: rotation.inverse_frequencies.len(),
            head_dim: rotation.head_dim,
            pairing: rotation.pairing,
        })
    }

    /// Rotates rows of `width` numbers, forward (1) or back (-1).
    pub(crate) fn turn(&self, x: &mut [f32], width: usize, direction: f32) {
        let half = self.half;
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            let cos = &self.cos[row * half..][..half];
            let sin = &self.sin[row * half..][..half];
            for x in x.chunks_exact_mut(self.head_dim) {
                let x = &mut x[..2 * half];
                match self.pairing {
                    Pairing::Halves => turn_halves(x, cos, sin, direction),
                    Pairing::Neighbors => turn_neighbors(x, cos, sin, direction),
                }
            }
        }
    }

    fn turned(&self, x: &[f32], width: usize, direction: f32) -> Vec<f32> {
        let mut y = x.to_vec();
        self.turn(&mut y, width, direction);
        y
    }

    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let (half, d) = (self.half, self.head_dim);
        let table = |values: &[f32]| Tensor::from_slice(values, (rows, 1, half), x.device());
        let (cos, sin) = (table(&self.cos)?, table(&self.sin)?);
        let x = x.reshape((rows, width / d, d))?;
        let (pairs, axis) = match self.pairing {
            Pairing::Halves => ((rows, width / d, 2, half), 2),
            Pairing::Neighbors => ((rows, width / d, half, 2), 3),
        };
        let turned = x.narrow(2, 0, 2 * half)?.contiguous()?.reshape(pairs)?;
        let part = |at| turned.narrow(axis, at, 1)?.squeeze(axis);
        let (a, b) = (part(0)?, part(1)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        let turned = Tensor::stack(&[first, second], axis)?.reshape((rows, width / d, 2 * half))?;
        let rest = x.narrow(2, 2 * half, d - 2 * half)?;
        let whole = if d == 2 * half { turned } else { Tensor::cat(&[turned, rest], 2)? };
        whole.reshape((rows, width))
    }
}

fn turn_halves(x: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    let (first, second) = x.split_at_mut(cos.len());
    for i in 0..cos.len() {
        let (a, b, s) = (first[i], second[i], direction * sin[i]);
        first[i] = a * cos[i] - b * s;
        second[i] = b * cos[i] + a * s;
    }
}

fn turn_neighbors(x: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
    for (pair, (cos, sin)) in x.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin)) {
        let ([a, b], s) = (*pair, direction * sin);
        *pair = [a * cos - b * s, b * cos + a * s];
    }
}

/// Rotates each head of x [rows, heads · head width] by the row's angles.
pub fn rotate(x: &Tensor, table: &RotaryTable) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return table.composed(x);
    }
    x.contiguous()?.apply_op1(Rotate(table.clone()))
}

struct Rotate(RotaryTable);

impl CustomOp1 for Rotate {
    fn name(&self) -> &'static str {
        "rotary encoding"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, "rotary encoding")?;
        let width = layout.shape().dims2()?.1;
        Ok((CpuStorage::F32(self.0.turned(x, width, 1.)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = x.dims2()?;
        let dx = with_values(g, "rotary encoding", |g| Ok(self.0.turned(g, width, -1.)))?;
        Ok(Some(matrix(dx, rows, width)?))
    }
}

#[cfg(test)]
pub(super) fn composed(x: &Tensor, table: &RotaryTable) -> Result<Tensor> {
    table.composed(x)
}
