//! The two row norms of decoders.

use candle_core::{Result, Tensor};

use crate::ops::{NormRows, layer_norm, rms_norm, with_values};

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

    /// Writes the norm of `x` to `y`, both [rows, width], on the CPU.
    pub(super) fn write(&self, y: &mut [f32], x: &[f32]) -> Result<()> {
        let kernel = self.kernel();
        with_values(self.weight(), "norm", |w| match self {
            Self::Rms { .. } => {
                kernel.write(y, x, w, None);
                Ok(())
            }
            Self::Layer { bias, .. } => with_values(bias, "norm", |b| {
                kernel.write(y, x, w, Some(b));
                Ok(())
            }),
        })
    }

    /// Adds the gradient with respect to `x` to `dx`, where that of the norm is `g`.
    pub(super) fn add_gradient(&self, dx: &mut [f32], x: &[f32], g: &[f32]) -> Result<()> {
        with_values(self.weight(), "norm", |w| {
            self.kernel().add_input_gradient(dx, x, w, g);
            Ok(())
        })
    }

    fn weight(&self) -> &Tensor {
        let (Self::Rms { weight, .. } | Self::Layer { weight, .. }) = self;
        weight
    }

    fn kernel(&self) -> NormRows {
        match *self {
            Self::Rms { epsilon, .. } => NormRows { epsilon, is_centred: false },
            Self::Layer { epsilon, .. } => NormRows { epsilon, is_centred: true },
        }
    }
}
