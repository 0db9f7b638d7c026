//! The MLP of one layer, cut at its key: key = φ(gate x) · up x or φ(up x), value = down(key).

use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor};

use crate::ops::{
    Activation, Gradient, Weight, WeightLayout, activate, add_bias, gate, linear, linear_collecting,
};

/// A linear map with its parameters.
#[derive(Clone)]
pub(super) struct Projection {
    pub(super) weight: Weight,
    pub(super) layout: WeightLayout,
    pub(super) bias: Option<Tensor>,
    /// Where the weight's gradient goes, while it is trained.
    pub(super) gradient: Option<Gradient>,
    /// A low-rank change added to the weight: W + left · right in its stored orientation.
    pub(super) adapter: Option<LowRank>,
    /// Where the rows that it reads are noted.
    pub(super) seen: Option<Seen>,
}

/// The factors of a low-rank change.
#[derive(Clone)]
pub(super) struct LowRank {
    /// [rows of the stored weight, r].
    pub(super) left: Tensor,
    /// [r, columns].
    pub(super) right: Tensor,
}

/// The rows that a projection read last.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Tensor>>>);

impl Seen {
    pub(super) fn note(&self, x: &Tensor) {
        *self.0.lock().expect("nobody panics while noting rows") = Some(x.clone());
    }

    pub(super) fn take(&self) -> Option<Tensor> {
        self.0.lock().expect("nobody panics while noting rows").take()
    }
}

impl Projection {
    pub(super) fn new(weight: Weight, layout: WeightLayout, bias: Option<Tensor>) -> Self {
        Self { weight, layout, bias, gradient: None, adapter: None, seen: None }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(seen) = &self.seen {
            seen.note(x);
        }
        let (weight, layout, bias) = (&self.weight, self.layout, self.bias.as_ref());
        let y = match &self.gradient {
            None => weight.linear(x, layout, bias)?,
            Some(gradient) => linear_collecting(x, &weight.tensor()?, layout, bias, gradient)?,
        };
        let Some(LowRank { left, right }) = &self.adapter else { return Ok(y) };
        let (first, second) = match layout {
            WeightLayout::OutIn => (right, left),
            WeightLayout::InOut => (left, right),
        };
        y + linear(&linear(x, first, layout, None)?, second, layout, None)?
    }

    /// As [`forward`](Self::forward) without an adapter: writes to `y`, [rows, out], on the CPU.
    pub(super) fn write(&self, y: &mut [f32], x: &[f32]) -> Result<()> {
        let widths = self.layout.widths(self.weight.dims2()?);
        self.weight.with_numbers("linear", |w| {
            self.layout.write(y, x, w, widths);
            Ok(())
        })?;
        self.bias.as_ref().map_or(Ok(()), |bias| add_bias(y, bias))
    }

    /// Writes the gradient with respect to the input to `dx`, where that of the output is `g`.
    pub(super) fn write_gradient(&self, dx: &mut [f32], g: &[f32]) -> Result<()> {
        let widths = self.layout.widths(self.weight.dims2()?);
        self.weight.with_numbers("linear", |w| {
            self.layout.write_input_gradient(dx, g, w, widths);
            Ok(())
        })
    }
}

#[derive(Clone)]
pub(super) struct MlpBlock {
    /// The gate projection, present in gated MLPs.
    pub(super) gate: Option<Projection>,
    pub(super) up: Projection,
    pub(super) down: Projection,
    pub(super) activation: Activation,
}

impl MlpBlock {
    /// x [rows, hidden], already normalised → the down projection's input, [rows, intermediate].
    pub(super) fn key(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.forward(x)?;
        match &self.gate {
            Some(projection) => gate(&projection.forward(x)?, &up, self.activation),
            None => activate(&up, self.activation),
        }
    }
}
