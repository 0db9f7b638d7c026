//! The decoder as an exported folder will hold it, and the cost of rounding to its dtypes.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::Serialize;

use super::CheckpointError;
use super::edit::{Edit, StoredDtype};
use super::sums::EditedTensor;
use crate::delta::WeightDelta;
use crate::model::{Decoder, Model};

/// The part of a change lost to rounding, over all its tensors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rounding {
    /// The share lost, 1 − Σ⟨stored − W, ΔW⟩ / Σ‖ΔW‖²: 1 where every weight is rounded back to its
    /// old value, near 0 where rounding errors only scatter about the change.
    pub share_lost: f64,
    /// The residual √Σ‖stored − W − ΔW‖² / √Σ‖ΔW‖², scatter included.
    pub residual: f64,
    /// Number of edited tensors.
    pub tensors: usize,
    /// The tensor that loses the largest share, and that share.
    pub worst: Option<(String, f64)>,
}

impl Rounding {
    /// Sums up tensors; each counts by the square of its change.
    pub fn of(edited: &[EditedTensor]) -> Self {
        let square = |tensor: &EditedTensor| tensor.change_norm.powi(2);
        let total: f64 = edited.iter().map(square).sum();
        let mean = |value: fn(&EditedTensor) -> f64| match total {
            0.0 => 0.,
            total => edited.iter().map(|it| square(it) * value(it)).sum::<f64>() / total,
        };
        let worst = edited.iter().max_by(|a, b| a.share_lost.total_cmp(&b.share_lost));
        Self {
            share_lost: mean(|it| it.share_lost),
            residual: mean(|it| it.rounding_residual.powi(2)).sqrt(),
            tensors: edited.len(),
            worst: worst.map(|it| (it.name.clone(), it.share_lost)),
        }
    }
}

/// The model with a change, as [`export`](super::export) with the same dtype would write it.
pub fn as_written(
    model: &Model,
    delta: &WeightDelta,
    dtype: StoredDtype,
) -> Result<(Decoder, Rounding), CheckpointError> {
    let (mut tensors, mut edited) = (BTreeMap::new(), Vec::new());
    for (name, change) in &delta.changes {
        let (values, summary) = Edit::new(name, change, &model.weights, dtype)?.read_back()?;
        let compute = |error: candle_core::Error| CheckpointError::Compute {
            tensor: name.clone(),
            source: error.into(),
        };
        let tensor = Tensor::from_vec(values, summary.shape.as_slice(), model.decoder.device());
        tensors.insert(name.as_str(), tensor.map_err(compute)?);
        edited.push(summary);
    }
    Ok((model.with_tensors(tensors)?, Rounding::of(&edited)))
}
