//! From the output of a branch of a layer, attention or MLP, to what it adds to the residual stream.
//!
//! Most families add the output as it is. Some pass it through a norm, some multiply it by a factor.

use candle_core::{Result, Tensor};

use super::norm::RowNorm;

/// The way from a branch's output to the residual stream.
#[derive(Clone)]
pub(super) struct BranchEnd {
    pub(super) norm: Option<RowNorm>,
    pub(super) scale: f32,
}

impl BranchEnd {
    /// Whether the output is added as it is.
    pub(super) fn is_identity(&self) -> bool {
        self.norm.is_none() && self.scale == 1.
    }

    /// What is added, [rows, hidden].
    pub(super) fn forward(&self, output: Tensor) -> Result<Tensor> {
        let normed = match &self.norm {
            None => output,
            Some(norm) => norm.forward(&output)?,
        };
        if self.scale == 1. { Ok(normed) } else { normed * f64::from(self.scale) }
    }

    /// From outputs to what is added, in place; `kept` gets the input of the norm, if there is one.
    pub(super) fn write(&self, rows: &mut [f32], kept: &mut [f32]) -> Result<()> {
        if let Some(norm) = &self.norm {
            kept.copy_from_slice(rows);
            norm.write(rows, kept)?;
        }
        self.multiply(rows);
        Ok(())
    }

    /// Writes the gradient with respect to the output to `dx`, where that of the stream is `g`.
    pub(super) fn write_gradient(&self, dx: &mut [f32], g: &[f32], kept: &[f32]) -> Result<()> {
        match &self.norm {
            None => dx.copy_from_slice(g),
            Some(norm) => {
                dx.fill(0.);
                norm.add_gradient(dx, kept, g)?;
            }
        }
        self.multiply(dx);
        Ok(())
    }

    fn multiply(&self, rows: &mut [f32]) {
        if self.scale != 1. {
            rows.iter_mut().for_each(|x| *x *= self.scale);
        }
    }
}
