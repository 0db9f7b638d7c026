//! The numbers of an edited tensor, W + ΔW, piece by piece, and the error of rounding them.
//!
//! With D = stored − W, the change that the file gets, and E = D − ΔW, all in f64: the residual is
//! ‖E‖ / ‖ΔW‖; the share of the change that is lost is 1 − ⟨D, ΔW⟩ / ‖ΔW‖², which is 1 where every
//! weight is rounded back to its old value and near 0 where rounding errors only scatter about the
//! change; and at a key k the share of the intended change of the value that was lost is
//! ‖E k‖ / ‖ΔW k‖. All of them are sums over elements, so that no more than a piece of W is read
//! at once; ΔW is one dense matrix, whose numbers then do not depend on the pieces.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::{CheckpointError, EditedKey, KeySide};
use crate::delta::Change;
use crate::model::weights::Weights;

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

/// W + ΔW, to be asked for from the first element on, in pieces of whole rows.
pub(super) struct Sums<'a> {
    name: &'a str,
    weights: &'a Weights,
    shape: Vec<usize>,
    rank: Option<usize>,
    /// Length of a row.
    pub(super) columns: usize,
    /// How many there are.
    pub(super) elements: usize,
    /// ΔW, flat.
    change: Tensor,
    /// The first row of the piece that was given last, and its W and ΔW.
    piece: (usize, Vec<f32>, Vec<f32>),
    tally: Tally<'a>,
}

/// What is summed over the elements.
#[derive(Default)]
struct Tally<'a> {
    /// ‖W‖².
    old: f64,
    /// ‖ΔW‖².
    change: f64,
    /// ‖E‖².
    error: f64,
    /// ⟨E, ΔW⟩, negated.
    loss: f64,
    /// At each key.
    keys: Vec<AtKey<'a>>,
}

/// E k and ΔW k.
struct AtKey<'a> {
    key: &'a EditedKey,
    error: Vec<f64>,
    change: Vec<f64>,
}

impl<'a> Sums<'a> {
    /// Of a tensor and its change, which are measured at the keys.
    pub(super) fn of(
        (name, change): (&'a str, &'a Change),
        weights: &'a Weights,
        keys: Vec<&'a EditedKey>,
    ) -> Result<Self, CheckpointError> {
        let shape = weights.shape(name)?.to_vec();
        let dense = change.to_dense();
        let flat =
            dense.and_then(|it| it.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all());
        let at_key = |key: &'a EditedKey| AtKey { key, error: Vec::new(), change: Vec::new() };
        let keys = keys.into_iter().map(at_key).collect();
        Ok(Self {
            columns: shape.last().copied().unwrap_or(1).max(1),
            elements: shape.iter().product(),
            change: flat.map_err(|error| failed(name, error))?,
            rank: change.rank(),
            piece: Default::default(),
            tally: Tally { keys, ..Tally::default() },
            name,
            weights,
            shape,
        })
    }

    /// Some of the numbers.
    pub(super) fn next(&mut self, elements: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        let change = self.change.narrow(0, elements.start, elements.len());
        let change: candle_core::Result<Vec<f32>> = change.and_then(|piece| piece.to_vec1());
        let change = change.map_err(|error| failed(self.name, error))?;
        let old = self.weights.load_elements(self.name, elements.clone())?;
        let sums = old.iter().zip(&change).map(|(old, change)| old + change).collect();
        self.piece = (elements.start / self.columns, old, change);
        Ok(sums)
    }

    /// Receives the numbers that were given last as they will be read back.
    pub(super) fn rounded(&mut self, stored: &[f32]) {
        let (first, old, change) = std::mem::take(&mut self.piece);
        self.tally.add(stored, &old, &change, (first, self.columns));
    }

    /// The summary of the tensor, stored as `dtype`, once all of it was rounded.
    pub(super) fn described(self, dtype: String) -> EditedTensor {
        let Tally { old, change, error, loss, keys } = self.tally;
        let norm_of_change = change.sqrt();
        let lost = |it: &AtKey<'_>| ratio(norm(&it.error), norm(&it.change));
        EditedTensor {
            name: self.name.to_owned(),
            shape: self.shape,
            dtype,
            rank: self.rank,
            change_norm: norm_of_change,
            relative_norm: ratio(norm_of_change, old.sqrt()),
            share_lost: ratio(loss, change),
            rounding_residual: ratio(error.sqrt(), norm_of_change),
            key_residual: keys.iter().map(lost).reduce(f64::max),
        }
    }
}

fn failed(tensor: &str, error: candle_core::Error) -> CheckpointError {
    CheckpointError::Compute { tensor: tensor.to_owned(), source: error.into() }
}

impl Tally<'_> {
    /// Adds some rows, the first of which has the number `first`.
    fn add(
        &mut self,
        stored: &[f32],
        old: &[f32],
        change: &[f32],
        (first, columns): (usize, usize),
    ) {
        let mut errors = Vec::with_capacity(old.len());
        for ((stored, old), change) in stored.iter().zip(old).zip(change) {
            let (old, change) = (f64::from(*old), f64::from(*change));
            let error = (f64::from(*stored) - old - change) as f32;
            errors.push(error);
            let error = f64::from(error);
            self.old += old * old;
            self.change += change * change;
            self.error += error * error;
            // ⟨D, ΔW⟩ = ‖ΔW‖² + ⟨E, ΔW⟩, whose second part alone is what was lost.
            self.loss += -error * change;
        }
        for AtKey { key, error, change: intended } in &mut self.keys {
            multiply(error, &errors, (first, columns), key);
            multiply(intended, change, (first, columns), key);
        }
    }
}

/// Adds to M k or kᵀ M what some rows of the matrix M give, the first of which has the number
/// `first`.
fn multiply(
    product: &mut Vec<f64>,
    rows: &[f32],
    (first, columns): (usize, usize),
    key: &EditedKey,
) {
    let rows = rows.chunks(columns);
    match key.side {
        KeySide::Columns => product.extend(rows.map(|row| -> f64 {
            row.iter().zip(&key.key).map(|(m, k)| f64::from(*m) * f64::from(*k)).sum()
        })),
        KeySide::Rows => {
            product.resize(columns, 0.);
            for (row, k) in rows.zip(&key.key[first..]) {
                let added = row.iter().map(|m| f64::from(*m) * f64::from(*k));
                product.iter_mut().zip(added).for_each(|(value, added)| *value += added);
            }
        }
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The ratio `part / whole`, or 0 where both are 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if part == 0.0 { 0.0 } else { part / whole }
}
