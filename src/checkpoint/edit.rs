//! One edited tensor: W + ΔW in f32, rounded once to its dtype, and the error of that rounding.
//!
//! With D = stored − W, the change that the file gets, and E = D − ΔW, all in f64: the residual is
//! ‖E‖ / ‖ΔW‖; the share of the change that is lost is 1 − ⟨D, ΔW⟩ / ‖ΔW‖², which is 1 where every
//! weight is rounded back to its old value and near 0 where rounding errors only scatter about the
//! change; and at a key k the share of the intended change of the value that was lost is
//! ‖E k‖ / ‖ΔW k‖.

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

/// Summary of the edit of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EditedTensor {
    /// Name of the tensor.
    pub name: String,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// Type of the tensor as written, as the file's format names it.
    pub dtype: String,
    /// The bound on the rank of the change, where it is a product.
    pub rank: Option<usize>,
    /// Frobenius norm of the change, ‖ΔW‖.
    pub change_norm: f64,
    /// Relative norm of the change, ‖ΔW‖ / ‖W‖, Frobenius.
    pub relative_norm: f64,
    /// The share of the change lost to rounding, 1 − ⟨stored − W, ΔW⟩ / ‖ΔW‖²; below 0 where
    /// rounding enlarged the change.
    pub share_lost: f64,
    /// The rounding residual ‖E‖ / ‖ΔW‖, where E is the error that rounding added to the change.
    pub rounding_residual: f64,
    /// The largest ‖E k‖ / ‖ΔW k‖ over the keys in the options, where there are any.
    pub key_residual: Option<f64>,
}

/// Receives the number of a piece's first element, its bytes, and the values that they read back
/// as.
type Take<'t> = dyn FnMut(usize, &[u8], &[f32]) -> Result<(), CheckpointError> + 't;

/// How edited tensors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredDtype {
    /// In the dtypes of the base.
    #[default]
    Stored,
    /// As f32, whose rounding is negligible and which takes twice the bytes of half precision.
    F32,
}

/// An edit that is ready to be written.
pub(super) struct Edit<'a> {
    pub(super) name: &'a str,
    change: &'a Change,
    /// How the tensor will be stored.
    element: Element,
    weights: &'a Weights,
    keys: Vec<&'a EditedKey>,
}

/// Sorts the changes by the file that they go to, and gives each its keys.
pub(super) fn by_shard<'a>(
    delta: &'a WeightDelta,
    weights: &'a Weights,
    keys: &'a [EditedKey],
    dtype: StoredDtype,
) -> Result<EditsByShard<'a>, CheckpointError> {
    keys.iter().try_for_each(|key| check_key(key, delta))?;
    let mut shards = EditsByShard::new();
    for (name, change) in &delta.changes {
        let edit = Edit::new(name, change, weights, dtype)?.at(keys);
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

impl<'a> Edit<'a> {
    /// The change of one tensor, which must fit it.
    pub(super) fn new(
        name: &'a str,
        change: &'a Change,
        weights: &'a Weights,
        dtype: StoredDtype,
    ) -> Result<Self, CheckpointError> {
        let stored = weights.element(name)?;
        let element = match dtype {
            StoredDtype::Stored => stored,
            StoredDtype::F32 => Element::F32,
        };
        Ok(Self { name, change, element, weights, keys: Vec::new() })
    }

    /// The same edit, measured at its keys.
    pub(super) fn at(mut self, keys: &'a [EditedKey]) -> Self {
        self.keys = keys.iter().filter(|key| key.tensor == self.name).collect();
        self
    }

    /// W and ΔW.
    pub(super) fn numbers(&self) -> Result<(Vec<f32>, Vec<f32>), CheckpointError> {
        Ok((self.weights.load_vec(self.name)?, self.dense()?))
    }

    /// How the tensor will be stored, and in how many bytes.
    pub(super) fn stored(&self) -> Result<(Dtype, usize), CheckpointError> {
        let elements = self.weights.shape(self.name)?.iter().product::<usize>();
        Ok((self.element.dtype(), elements * self.element.size()))
    }

    /// Writes the edited tensor into a file of the new folder, from byte `start` on.
    pub(super) fn write(
        &self,
        copy: &mut Copy,
        start: usize,
    ) -> Result<EditedTensor, CheckpointError> {
        self.round(&mut |at, bytes, _| Ok(copy.put(start + at * self.element.size(), bytes)?))
    }

    /// The tensor as it will be read back, and the summary of its rounding.
    pub(super) fn read_back(&self) -> Result<(Vec<f32>, EditedTensor), CheckpointError> {
        let mut all = Vec::new();
        let edited = self.round(&mut |_, _, values| {
            all.extend_from_slice(values);
            Ok(())
        })?;
        Ok((all, edited))
    }

    /// Adds and rounds piece by piece; `take` gets the number of the first element of a piece, its
    /// bytes, and the values that they read back as.
    fn round(&self, take: &mut Take<'_>) -> Result<EditedTensor, CheckpointError> {
        let (old, change) = self.numbers()?;
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
                0 => take(errors.len(), &bytes, stored)?,
                bad => return Err(self.too_large(bad, sums)?),
            }
            errors.extend(lost(stored, old, change));
        }
        self.describe(self.element.dtype().to_string(), &old, &change, &errors)
    }

    /// The summary of a tensor of which `stored` will be read back, in a type of another format.
    pub(super) fn measured(
        &self,
        dtype: &str,
        old: &[f32],
        change: &[f32],
        stored: &[f32],
    ) -> Result<EditedTensor, CheckpointError> {
        let errors: Vec<f32> = lost(stored, old, change).collect();
        self.describe(dtype.to_owned(), old, change, &errors)
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
        let (tensor, dtype) = (self.name.to_owned(), self.element.dtype().to_string());
        Ok(CheckpointError::TooLarge { tensor, dtype, bad, largest })
    }

    fn describe(
        &self,
        dtype: String,
        old: &[f32],
        change: &[f32],
        errors: &[f32],
    ) -> Result<EditedTensor, CheckpointError> {
        let shape = self.weights.shape(self.name)?.to_vec();
        let columns = shape.last().copied().unwrap_or(1);
        let at_key = |key: &&EditedKey| {
            ratio(norm(product(errors, columns, key)), norm(product(change, columns, key)))
        };
        let square: f64 = widened(change).map(|change| change * change).sum();
        let change_norm = square.sqrt();
        // ⟨D, ΔW⟩ = ‖ΔW‖² + ⟨E, ΔW⟩, whose second part alone is what was lost.
        let loss: f64 = widened(errors).zip(widened(change)).map(|(e, change)| -e * change).sum();
        Ok(EditedTensor {
            name: self.name.to_owned(),
            dtype,
            rank: self.change.rank(),
            change_norm,
            relative_norm: ratio(change_norm, norm(widened(old))),
            share_lost: ratio(loss, square),
            rounding_residual: ratio(norm(widened(errors)), change_norm),
            key_residual: self.keys.iter().map(at_key).reduce(f64::max),
            shape,
        })
    }
}

/// E = (stored − W) − ΔW.
fn lost<'v>(
    stored: &'v [f32],
    old: &'v [f32],
    change: &'v [f32],
) -> impl Iterator<Item = f32> + use<'v> {
    stored.iter().zip(old).zip(change).map(|((&stored, &old), &change)| {
        (f64::from(stored) - f64::from(old) - f64::from(change)) as f32
    })
}

fn widened(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|&value| f64::from(value))
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The ratio `part / whole`, or 0 where both are 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if part == 0.0 { 0.0 } else { part / whole }
}

/// The product M k or kᵀ M for the matrix M that has `columns` columns.
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
