//! One edited tensor: W + ΔW in f32, rounded once to its dtype.

use safetensors::Dtype;
use serde::Serialize;

use super::sums::{EditedTensor, Sums};
use super::transfer::Copy;
use super::{CheckpointError, EditedKey, EditsByShard, KeySide};
use crate::delta::{Change, WeightDelta};
use crate::model::weights::Weights;
use crate::model::weights::element::Element;

/// Elements that are added and rounded at once.
const PIECE: usize = 1 << 18;

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

    /// W + ΔW, to be taken piece by piece.
    pub(super) fn sums(&self) -> Result<Sums<'a>, CheckpointError> {
        Sums::of((self.name, self.change), self.weights, self.keys.clone())
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
        let mut all = self.sums()?;
        let (mut bytes, mut stored) = (Vec::new(), Vec::new());
        let step = all.columns * (PIECE / all.columns).max(1);
        for start in (0..all.elements).step_by(step) {
            let sums = all.next(start..all.elements.min(start + step))?;
            bytes.clear();
            self.element.round_into(&sums, &mut bytes);
            stored.resize(sums.len(), 0.);
            match self.element.widen(&bytes, &mut stored) {
                0 => take(start, &bytes, &stored)?,
                bad => return Err(self.too_large(bad, &sums)?),
            }
            all.rounded(&stored);
        }
        Ok(all.described(self.element.dtype().to_string()))
    }

    fn too_large(&self, bad: usize, sums: &[f32]) -> Result<CheckpointError, CheckpointError> {
        let largest = sums.iter().fold(0.0, |largest: f32, sum| largest.max(sum.abs()));
        let (tensor, dtype) = (self.name.to_owned(), self.element.dtype().to_string());
        Ok(CheckpointError::TooLarge { tensor, dtype, bad, largest })
    }
}
