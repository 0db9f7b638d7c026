//! One edited tensor: W + ΔW in f32, rounded once to the dtype of the tensor, and what the rounding cost.
//!
//! With E = stored − W − ΔW, all in f64, the residual is ‖E‖ / ‖ΔW‖; and at a key
//! k the share of the intended change of the value that was lost, ‖E k‖ / ‖ΔW k‖.

use candle_core::{DType, Device};
use safetensors::Dtype;
use serde::Serialize;

use super::transfer::Copy;
use super::{CheckpointError, EditedKey, EditsByShard, KeySide};
use crate::delta::{Change, WeightDelta};
use crate::model::weights::Weights;
use crate::model::weights::element::Element;

/// Elements that are added and rounded at once.
const PIECE: usize = 1 << 18;

/// What was done to one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EditedTensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its dtype, before and after.
    pub dtype: Dtype,
    /// The bound on the rank of the change, where it is a product.
    pub rank: Option<usize>,
    /// ‖ΔW‖ / ‖W‖, Frobenius.
    pub relative_norm: f64,
    /// ‖E‖ / ‖ΔW‖, where E is what rounding to the dtype added to the change.
    pub rounding_residual: f64,
    /// The largest ‖E k‖ / ‖ΔW k‖ over the keys in the options, where there are any.
    pub key_residual: Option<f64>,
}

/// An edit that is ready to be written.
pub(super) struct Edit<'a> {
    name: &'a str,
    change: &'a Change,
    element: Element,
    weights: &'a Weights,
    keys: Vec<&'a EditedKey>,
}

/// Sorts the changes by the file that they go to, and gives each its keys.
pub(super) fn by_shard<'a>(
    delta: &'a WeightDelta,
    weights: &'a Weights,
    keys: &'a [EditedKey],
) -> Result<EditsByShard<'a>, CheckpointError> {
    keys.iter().try_for_each(|key| check_key(key, delta))?;
    let mut shards = EditsByShard::new();
    for (name, change) in &delta.changes {
        let element = weights.element(name)?;
        let keys = keys.iter().filter(|key| key.tensor == *name).collect();
        let edit = Edit { name, change, element, weights, keys };
        shards.entry(weights.shard_of(name)?.to_owned()).or_default().push(edit);
    }
    Ok(shards)
}

fn check_key(key: &EditedKey, delta: &WeightDelta) -> Result<(), CheckpointError> {
    let tensor = key.tensor.clone();
    let shape = delta.changes.get(&tensor).map(Change::shape);
    let expected = match (shape.as_deref(), key.side) {
        (Some([_, columns]), KeySide::Columns) => *columns,
        (Some([rows, _]), KeySide::Rows) => *rows,
        _ => return Err(CheckpointError::NoSuchMatrix { tensor }),
    };
    match key.key.len() {
        found if found == expected => Ok(()),
        found => Err(CheckpointError::KeyLength { tensor, found, expected }),
    }
}

impl Edit<'_> {
    /// Writes the edited tensor over the old one in a copy of its file.
    pub(super) fn write(&self, copy: &mut Copy) -> Result<EditedTensor, CheckpointError> {
        let start = self.weights.range(self.name)?.start;
        let old = self.weights.load_vec(self.name)?;
        let change = self.dense()?;
        let mut errors = Vec::with_capacity(old.len());
        let mut bytes = Vec::new();
        let mut sums = vec![0.0; PIECE];
        let mut stored = vec![0.0; PIECE];
        for (old, change) in old.chunks(PIECE).zip(change.chunks(PIECE)) {
            let (sums, stored) = (&mut sums[..old.len()], &mut stored[..old.len()]);
            for (sum, (old, change)) in sums.iter_mut().zip(old.iter().zip(change)) {
                *sum = old + change;
            }
            bytes.clear();
            self.element.round_into(sums, &mut bytes);
            match self.element.widen(&bytes, stored) {
                0 => copy.put(start + errors.len() * self.element.size(), &bytes)?,
                bad => return Err(self.too_large(bad, sums)?),
            }
            let parts = stored.iter().zip(old).zip(change);
            errors.extend(parts.map(|((&stored, &old), &change)| {
                (f64::from(stored) - f64::from(old) - f64::from(change)) as f32
            }));
        }
        self.describe(&old, &change, &errors)
    }

    fn dense(&self) -> Result<Vec<f32>, CheckpointError> {
        let dense = self.change.to_dense().and_then(|dense| {
            dense.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
        });
        dense.map_err(|e| CheckpointError::Compute {
            tensor: self.name.to_owned(),
            source: e.into(),
        })
    }

    fn too_large(&self, bad: usize, sums: &[f32]) -> Result<CheckpointError, CheckpointError> {
        let largest = sums.iter().fold(0.0, |largest: f32, sum| largest.max(sum.abs()));
        let (tensor, dtype) = (self.name.to_owned(), self.weights.dtype(self.name)?);
        Ok(CheckpointError::TooLarge { tensor, dtype, bad, largest })
    }

    fn describe(
        &self,
        old: &[f32],
        change: &[f32],
        errors: &[f32],
    ) -> Result<EditedTensor, CheckpointError> {
        let shape = self.weights.shape(self.name)?.to_vec();
        let columns = shape.last().copied().unwrap_or(1);
        let at_key = |key: &&EditedKey| {
            ratio(norm(product(errors, columns, key)), norm(product(change, columns, key)))
        };
        Ok(EditedTensor {
            name: self.name.to_owned(),
            dtype: self.weights.dtype(self.name)?,
            rank: self.change.rank(),
            relative_norm: ratio(norm(widened(change)), norm(widened(old))),
            rounding_residual: ratio(norm(widened(errors)), norm(widened(change))),
            key_residual: self.keys.iter().map(at_key).reduce(f64::max),
            shape,
        })
    }
}

fn widened(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|&value| f64::from(value))
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// `part / whole`, or 0 where both are 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if part == 0.0 { 0.0 } else { part / whole }
}

/// M k or kᵀ M for the matrix M that has `columns` columns.
fn product(matrix: &[f32], columns: usize, key: &EditedKey) -> Vec<f64> {
    let rows = matrix.chunks(columns);
    match key.side {
        KeySide::Columns => {
            rows.map(|row| widened(row).zip(widened(&key.key)).map(|(m, k)| m * k).sum()).collect()
        }
        KeySide::Rows => {
            let mut value = vec![0.0; columns];
            for (row, k) in rows.zip(widened(&key.key)) {
                value.iter_mut().zip(widened(row)).for_each(|(value, m)| *value += m * k);
            }
            value
        }
    }
}
