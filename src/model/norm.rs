//! The two row norms of decoders.

use candle_core::{Result, Tensor};

use crate::ops::{layer_norm, rms_norm};

/// A norm with its parameters.
#[derive(Clone)]
pub(super) enum RowNorm {
    Rms { weight: Tensor, epsilon: f64 },
    Layer { weight: Tensor, bias: Tensor, epsilon: f64 },
}

impl RowNorm {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Rms { weight, epsilon } => rms_norm(x, weight, *epsilon),
            Self::Layer { weight, bias, epsilon } => layer_norm(x, weight, bias, *epsilon),
        }
    }
}
