//! The row norms of decoders.

use candle_core::{Result, Tensor};

use super::config::Norm;

use crate::ops::{NormRows, layer_norm, rms_norm, with_values};

/// A norm with its parameters.
#[derive(Clone)]
pub(super) enum RowNorm {
    /// `from_one`: the factors are 1 + weight.
    Rms {
        weight: Tensor,
        epsilon: f64,
        from_one: bool,
    },
    Layer {
        weight: Tensor,
        bias: Tensor,
        epsilon: f64,
    },
}

impl RowNorm {
    /// A norm of this kind; only one with a mean has a bias.
    pub(super) fn new(kind: Norm, weight: Tensor, bias: Option<Tensor>) -> Self {
        match (kind, bias) {
            (Norm::Layer(epsilon), Some(bias)) => Self::Layer { weight, bias, epsilon },
            (Norm::Layer(epsilon) | Norm::Rms(epsilon), _) => {
                Self::Rms { weight, epsilon, from_one: false }
            }
            (Norm::RmsFromOne(epsilon), _) => Self::Rms { weight, epsilon, from_one: true },
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Rms { epsilon, .. } => rms_norm(x, &self.factors()?, *epsilon),
            Self::Layer { weight, bias, epsilon } => layer_norm(x, weight, bias, *epsilon),
        }
    }

    /// Writes the norm of `x` to `y`, both [rows, width], on the CPU.
    pub(super) fn write(&self, y: &mut [f32], x: &[f32]) -> Result<()> {
        let kernel = self.kernel();
        with_values(&self.factors()?, "norm", |w| match self {
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
        with_values(&self.factors()?, "norm", |w| {
            self.kernel().add_input_gradient(dx, x, w, g);
            Ok(())
        })
    }

    /// The input nearest to `x` whose norm has the direction of `y`, both one row, on the CPU.
    ///
    /// With u = (y − b) / w, inputs with that norm are α u + β, where β is zero unless the norm is
    /// centred. Where w is zero the norm says nothing about its input, which stays.
    pub(super) fn nearest_input(&self, x: &[f32], y: &[f32]) -> Result<Vec<f32>> {
        let values = |tensor: &Tensor| with_values(tensor, "norm", |values| Ok(values.to_vec()));
        let weight = values(&self.factors()?)?;
        let bias = match self {
            Self::Rms { .. } => vec![0.; x.len()],
            Self::Layer { bias, .. } => values(bias)?,
        };
        let centre = match self {
            Self::Rms { .. } => 0.,
            Self::Layer { .. } => x.iter().sum::<f32>() / x.len() as f32,
        };
        let own: Vec<f32> = x.iter().map(|x| x - centre).collect();
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let scale = (dot(&own, &own) / x.len() as f64).sqrt().max(f64::MIN_POSITIVE) as f32;
        let direction: Vec<f32> = (0..x.len())
            .map(|i| if weight[i] == 0. { own[i] / scale } else { (y[i] - bias[i]) / weight[i] })
            .collect();
        let square = dot(&direction, &direction).max(f64::MIN_POSITIVE);
        let along = (dot(&own, &direction) / square) as f32;
        Ok(direction.into_iter().map(|u| along * u + centre).collect())
    }

    /// What the normalised numbers are multiplied by.
    fn factors(&self) -> Result<Tensor> {
        match self {
            Self::Rms { weight, from_one: true, .. } => weight + 1.,
            Self::Rms { weight, .. } | Self::Layer { weight, .. } => Ok(weight.clone()),
        }
    }

    fn kernel(&self) -> NormRows {
        match *self {
            Self::Rms { epsilon, .. } => NormRows { epsilon, is_centred: false },
            Self::Layer { epsilon, .. } => NormRows { epsilon, is_centred: true },
        }
    }
}
