//! The MLP of one layer, cut at its key: key = φ(gate x) · up x or φ(up x), value = down(key).

use candle_core::{Result, Tensor};

use crate::ops::{Activation, WeightLayout, activate, gate, linear};

/// A linear map with its parameters.
#[derive(Clone)]
pub(super) struct Projection {
    pub(super) weight: Tensor,
    pub(super) layout: WeightLayout,
    pub(super) bias: Option<Tensor>,
}

impl Projection {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, &self.weight, self.layout, self.bias.as_ref())
    }
}

#[derive(Clone)]
pub(super) struct MlpBlock {
    /// Present in gated MLPs.
    pub(super) gate: Option<Projection>,
    pub(super) up: Projection,
    pub(super) down: Projection,
    pub(super) activation: Activation,
}

impl MlpBlock {
    /// x [rows, hidden], already normalised → the input of the down projection, [rows, intermediate].
    pub(super) fn key(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.forward(x)?;
        match &self.gate {
            Some(projection) => gate(&projection.forward(x)?, &up, self.activation),
            None => activate(&up, self.activation),
        }
    }
}
