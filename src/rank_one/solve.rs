//! ΔW = δ (C⁻¹k)ᵀ / (kᵀC⁻¹k): the smallest change, measured by C, with ΔW k = δ.

use candle_core::{Device, Tensor};

use super::value::ValueError;
use crate::delta::Change;
use crate::math::{Cholesky, NotPositiveDefinite};
use crate::ops::WeightLayout;

/// An edit that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RankOneError {
    /// C with its ridge has no Cholesky factor.
    #[error("the second moment of layer {layer} is {source}; a larger ridge makes it definite")]
    SecondMoment {
        /// Whose.
        layer: usize,
        /// Where it failed.
        source: NotPositiveDefinite,
    },
    /// k*ᵀC⁻¹k* is so small, or not a number, that the division would explode.
    #[error("k*ᵀC⁻¹k* is {found:e}, which is no scale to divide by")]
    KeyTooSmall {
        /// The value.
        found: f64,
    },
    /// The change is larger than the guard allows.
    #[error("|ΔW|/|W| would be {found:.3}, above the limit of {limit}")]
    TooLarge {
        /// ‖ΔW‖/‖W‖.
        found: f64,
        /// `max_delta`.
        limit: f64,
    },
    /// The value optimisation failed.
    #[error("{0}")]
    Value(#[from] ValueError),
    /// The computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
}

/// C + ridge, factored once for a layer.
pub struct Factored {
    cholesky: Cholesky,
    width: usize,
}

impl Factored {
    /// Factors the mean second moment `c` [d, d] with `ridge` · (mean of its diagonal) added.
    pub fn new(mut c: Vec<f64>, d: usize, ridge: f64, layer: usize) -> Result<Self, RankOneError> {
        let mean = (0..d).map(|i| c[i * d + i]).sum::<f64>() / d as f64;
        (0..d).for_each(|i| c[i * d + i] += ridge * mean);
        let cholesky =
            Cholesky::new(c, d).map_err(|source| RankOneError::SecondMoment { layer, source })?;
        Ok(Self { cholesky, width: d })
    }

    /// A lower bound of the condition number.
    pub fn condition_estimate(&self) -> f64 {
        self.cholesky.condition_estimate()
    }
}

/// ΔW of one fact.
#[derive(Debug, Clone)]
pub struct RankOneChange {
    /// In the orientation in which the tensor is stored.
    pub change: Change,
    /// ‖ΔW‖/‖W‖, Frobenius.
    pub relative_norm: f64,
}

/// The change of `weight` that adds `delta` `[d_v]` to the value of `key` `[d_k]`.
pub fn rank_one(
    factored: &Factored,
    key: &[f32],
    delta: &[f32],
    weight: &Tensor,
    layout: WeightLayout,
) -> Result<RankOneChange, RankOneError> {
    let key: Vec<f64> = key.iter().map(|k| f64::from(*k)).collect();
    assert_eq!(key.len(), factored.width, "the key is as wide as the second moment");
    let direction = factored.cholesky.solve(&key);
    let scale: f64 = key.iter().zip(&direction).map(|(k, u)| k * u).sum();
    if !scale.is_finite() || scale < f64::from(f32::MIN_POSITIVE) {
        return Err(RankOneError::KeyTooSmall { found: scale });
    }
    let direction: Vec<f32> = direction.iter().map(|u| (u / scale) as f32).collect();
    let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let size = f64::from(weight.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    let relative_norm = norm(&direction) * norm(delta) / size;
    let (rows, columns) = match layout {
        WeightLayout::OutIn => (delta, direction.as_slice()),
        WeightLayout::InOut => (direction.as_slice(), delta),
    };
    let left = Tensor::from_slice(rows, (rows.len(), 1), &Device::Cpu)?;
    let right = Tensor::from_slice(columns, (1, columns.len()), &Device::Cpu)?;
    Ok(RankOneChange { change: Change::LowRank { left, right }, relative_norm })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f32 storage of both factors and one f32 product of 40 terms.
    const TOLERANCE: f64 = 1e-4;

    #[test]
    fn the_changed_weight_maps_the_key_to_its_new_value() -> Result<(), RankOneError> {
        let (d_k, d_v) = (40, 24);
        let wave = |i: usize| (i as f64 * 0.731).sin();
        let mut c = vec![0.; d_k * d_k];
        for (at, c) in c.iter_mut().enumerate() {
            let (i, j) = (at / d_k, at % d_k);
            *c = (0..9).map(|t| wave(i + 41 * t) * wave(j + 41 * t)).sum();
        }
        let factored = Factored::new(c, d_k, 1e-2, 0)?;
        let key: Vec<f32> = (0..d_k).map(|i| wave(7 * i) as f32).collect();
        let delta: Vec<f32> = (0..d_v).map(|i| wave(5 * i + 3) as f32).collect();
        let k = Tensor::new(key.as_slice(), &Device::Cpu)?.unsqueeze(1)?;
        for layout in [WeightLayout::OutIn, WeightLayout::InOut] {
            let shape = if layout == WeightLayout::OutIn { (d_v, d_k) } else { (d_k, d_v) };
            let stored: Vec<f32> = (0..d_k * d_v).map(|i| wave(3 * i) as f32).collect();
            let weight = Tensor::from_vec(stored, shape, &Device::Cpu)?;
            let change = rank_one(&factored, &key, &delta, &weight, layout)?;
            let edited = (&weight + change.change.to_dense()?)?;
            let value = |w: &Tensor| -> candle_core::Result<Vec<f32>> {
                let w = if layout == WeightLayout::OutIn { w.clone() } else { w.t()? };
                w.contiguous()?.matmul(&k)?.flatten_all()?.to_vec1()
            };
            let (before, after) = (value(&weight)?, value(&edited)?);
            let norm = delta.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
            for ((after, before), delta) in after.iter().zip(&before).zip(&delta) {
                let error = f64::from(after - before - delta).abs() / norm;
                assert!(error < TOLERANCE, "{layout:?}: off by {error:e}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_key_of_no_length_is_refused() {
        let factored = Factored::new(vec![1., 0., 0., 1.], 2, 0.1, 0).expect("definite");
        let weight = Tensor::ones((2, 2), candle_core::DType::F32, &Device::Cpu).expect("ones");
        let refused = rank_one(&factored, &[0., 0.], &[1., 1.], &weight, WeightLayout::OutIn);
        assert!(matches!(refused, Err(RankOneError::KeyTooSmall { .. })));
    }
}
