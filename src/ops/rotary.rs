//! Rotary position encoding, in the half-split convention of Hugging Face.
//!
//! With the two halves (a, b) of a head and the angle θ of a position and a frequency:
//! (a cos θ − b sin θ, b cos θ + a sin θ). Its backward is the rotation by −θ.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{matrix, values, with_values};

/// Cosines and sines for the rows of one batch.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    cos: Arc<Vec<f32>>,
    sin: Arc<Vec<f32>>,
    half: usize,
}

impl RotaryTable {
    /// For `positions`, one a row, and the inverse frequencies of half a head.
    pub fn new(positions: impl Iterator<Item = usize>, inverse_frequencies: &[f32]) -> Self {
        let (sin, cos) = positions
            .flat_map(|position| inverse_frequencies.iter().map(move |f| position as f32 * f))
            .map(f32::sin_cos)
            .unzip::<f32, f32, Vec<_>, Vec<_>>();
        Self { cos: Arc::new(cos), sin: Arc::new(sin), half: inverse_frequencies.len() }
    }

    /// Rotates rows of `width` numbers, forward (1) or back (-1).
    pub(crate) fn turn(&self, x: &mut [f32], width: usize, direction: f32) {
        let half = self.half;
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            let cos = &self.cos[row * half..][..half];
            let sin = &self.sin[row * half..][..half];
            for x in x.chunks_exact_mut(2 * half) {
                let (first, second) = x.split_at_mut(half);
                for i in 0..half {
                    let (a, b, s) = (first[i], second[i], direction * sin[i]);
                    first[i] = a * cos[i] - b * s;
                    second[i] = b * cos[i] + a * s;
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
        let half = self.half;
        let table = |values: &[f32]| Tensor::from_slice(values, (rows, 1, half), x.device());
        let (cos, sin) = (table(&self.cos)?, table(&self.sin)?);
        let x = x.reshape((rows, width / (2 * half), 2 * half))?;
        let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], 2)?.reshape((rows, width))
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
