//! From the value of a layer to the residual stream: the identity, or a norm and a factor.
//!
//! The value is the output of the down projection, which is what an edit sets. Most decoders add it
//! to the stream as it is, so that a change of the value is the same change of the stream. With a
//! norm N and a factor a, v + δ changes the stream by a (N(v + δ) − N(v)).

use candle_core::{Result, Tensor};

use super::branch_end::BranchEnd;
use super::decoder::Decoder;

/// The way from a layer's value to the residual stream.
#[derive(Clone, Copy)]
pub struct ValuePath<'a> {
    end: &'a BranchEnd,
}

impl Decoder {
    /// The way from the value of `layer` to the residual stream.
    pub fn value_path(&self, layer: usize) -> ValuePath<'_> {
        ValuePath { end: &self.layers[layer].after_mlp }
    }
}

impl ValuePath<'_> {
    /// Whether a change of the value is the same change of the stream.
    pub fn is_identity(self) -> bool {
        self.end.is_identity()
    }

    /// The change of the stream, [rows, hidden], where δ `[1, hidden]` is added to the values.
    pub fn change(self, values: &Tensor, delta: &Tensor) -> Result<Tensor> {
        if self.is_identity() {
            return delta.broadcast_as(values.shape())?.contiguous();
        }
        let after = self.end.forward(values.broadcast_add(delta)?)?;
        after - self.end.forward(values.clone())?
    }

    /// Adds to `stream`, one row, the change that δ makes to its value; on the CPU.
    pub fn add_change(self, stream: &mut [f32], value: &[f32], delta: &[f32]) -> Result<()> {
        if self.is_identity() {
            stream.iter_mut().zip(delta).for_each(|(h, delta)| *h += delta);
            return Ok(());
        }
        let (before, after) = (self.added(value.to_vec())?, self.added(sum(value, delta))?);
        for (h, (after, before)) in stream.iter_mut().zip(after.iter().zip(&before)) {
            *h += after - before;
        }
        Ok(())
    }

    /// What one value adds to the stream.
    fn added(self, mut value: Vec<f32>) -> Result<Vec<f32>> {
        let mut kept = vec![0.; value.len()];
        self.end.write(&mut value, &mut kept)?;
        Ok(value)
    }

    /// Adds to `total` the gradient with respect to δ, where that of the row of the stream is `g`.
    pub fn add_gradient(
        self,
        total: &mut [f32],
        g: &[f32],
        value: &[f32],
        delta: &[f32],
    ) -> Result<()> {
        if self.is_identity() {
            total.iter_mut().zip(g).for_each(|(total, g)| *total += g);
            return Ok(());
        }
        let mut part = vec![0.; g.len()];
        self.end.write_gradient(&mut part, g, &sum(value, delta))?;
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        Ok(())
    }

    /// The change of a value that changes the stream by `change`, or, as a norm reaches only rows
    /// of one length, as nearly as it can.
    pub fn change_of_value(self, value: &[f32], mut change: Vec<f32>) -> Result<Vec<f32>> {
        if self.end.scale != 1. {
            change.iter_mut().for_each(|change| *change /= self.end.scale);
        }
        let Some(norm) = &self.end.norm else { return Ok(change) };
        let mut wanted = vec![0.; value.len()];
        norm.write(&mut wanted, value)?;
        wanted.iter_mut().zip(&change).for_each(|(wanted, change)| *wanted += change);
        let mut found = norm.nearest_input(value, &wanted)?;
        found.iter_mut().zip(value).for_each(|(found, value)| *found -= value);
        Ok(found)
    }
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::norm::RowNorm;
    use candle_core::Device;

    /// One row norm of eight f32 numbers, forth and back.
    const TOLERANCE: f32 = 1e-5;

    /// Both kinds of norm, and one with a factor after it.
    fn ends() -> Result<[BranchEnd; 3]> {
        let weight = || Tensor::new(&[1.5f32, 0.5, -2., 1., 0.9, 0.75, 1.25, 3.], &Device::Cpu);
        let bias = Tensor::new(&[0.1f32, -0.2, 0.3, 0., 0.5, 0., -0.4, 0.2], &Device::Cpu)?;
        let layer = RowNorm::Layer { weight: weight()?, bias, epsilon: 0. };
        let rms = |from_one| -> Result<RowNorm> {
            Ok(RowNorm::Rms { weight: weight()?, epsilon: 0., from_one })
        };
        let end = |norm, scale| BranchEnd { norm: Some(norm), scale };
        Ok([end(rms(false)?, 1.), end(layer, 1.), end(rms(true)?, 0.4)])
    }

    #[test]
    fn the_change_of_a_value_is_found_from_that_of_the_stream() -> Result<()> {
        let value = [0.3f32, -1.1, 0.7, 2., -0.4, 0.9, -1.6, 0.2];
        let delta = [0.5f32, 0.1, -0.8, 0.3, 0., -1., 0.6, 0.4];
        for end in &ends()? {
            let path = ValuePath { end };
            let mut wanted = vec![0.; 8];
            path.add_change(&mut wanted, &value, &delta)?;
            let row = |x: &[f32]| Tensor::new(x, &Device::Cpu)?.unsqueeze(0);
            let composed = path.change(&row(&value)?, &row(&delta)?)?.flatten_all()?;
            let found = path.change_of_value(&value, wanted.clone())?;
            let mut reached = vec![0.; 8];
            path.add_change(&mut reached, &value, &found)?;
            let others = composed.to_vec1::<f32>()?.into_iter().zip(reached);
            for (wanted, (composed, reached)) in wanted.iter().zip(others) {
                assert!((wanted - composed).abs() < TOLERANCE, "{wanted} composed {composed}");
                assert!((wanted - reached).abs() < 10. * TOLERANCE, "{wanted} reached {reached}");
            }
        }
        Ok(())
    }

    #[test]
    fn without_a_norm_both_changes_are_one() -> Result<()> {
        let path = ValuePath { end: &BranchEnd { norm: None, scale: 1. } };
        let mut stream = [1f32, 2.];
        path.add_change(&mut stream, &[7., 7.], &[0.5, -0.25])?;
        assert_eq!(stream, [1.5, 1.75]);
        assert_eq!(path.change_of_value(&[7., 7.], vec![0.5, -0.25])?, [0.5, -0.25]);
        Ok(())
    }
}
