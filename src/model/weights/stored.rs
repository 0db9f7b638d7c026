//! Matrices in the type of their file: in its mapped pages, or, where their numbers are scattered
//! in it, copied together.

use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use super::element::Element;
use super::{Weights, WeightsError};
use crate::ops::{Numbers, StoredNumbers, Weight};

/// Numbers in the pages of a shard.
struct Mapped {
    weights: Weights,
    shard: usize,
    /// Bytes of the shard.
    range: Range<usize>,
    element: Element,
}

impl StoredNumbers for Mapped {
    fn numbers(&self) -> Numbers<'_> {
        let bytes = &self.weights.0.shards[self.shard].map[self.range.clone()];
        self.element.numbers(bytes).expect("it was aligned when it was opened")
    }
}

/// Numbers that were copied together.
enum Copied {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl StoredNumbers for Copied {
    fn numbers(&self) -> Numbers<'_> {
        match self {
            Self::F32(all) => Numbers::F32(all),
            Self::F16(all) => Numbers::F16(all),
            Self::Bf16(all) => Numbers::Bf16(all),
        }
    }
}

impl Copied {
    fn of<'a>(element: Element, pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        match element {
            Element::F32 => {
                Self::F32(pieces.flat_map(numbers).map(|x| f32::from_le_bytes(*x)).collect())
            }
            Element::F16 => {
                Self::F16(pieces.flat_map(numbers).map(|x| f16::from_le_bytes(*x)).collect())
            }
            Element::BF16 => {
                Self::Bf16(pieces.flat_map(numbers).map(|x| bf16::from_le_bytes(*x)).collect())
            }
        }
    }
}

fn numbers<const SIZE: usize>(bytes: &[u8]) -> &[[u8; SIZE]] {
    bytes.as_chunks().0
}

impl Weights {
    /// The matrix of `shape` that consists of `runs` of a tensor's numbers, in the type of its
    /// file. Nobody has checked that they are finite.
    pub(crate) fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        runs: &[Range<usize>],
    ) -> Result<Weight, WeightsError> {
        let (element, range) = (self.element(name)?, self.range(name)?);
        let at = |number: usize| range.start + number * element.size();
        let bytes = |run: &Range<usize>| at(run.start)..at(run.end);
        let shard = self.0.shard_of[name];
        let map = &self.0.shards[shard].map;
        let numbers: Arc<dyn StoredNumbers> = match runs {
            [run] if element.numbers(&map[bytes(run)]).is_some() => {
                Arc::new(Mapped { weights: self.clone(), shard, range: bytes(run), element })
            }
            runs => Arc::new(Copied::of(element, runs.iter().map(|run| &map[bytes(run)]))),
        };
        Ok(Weight::Stored(numbers, shape))
    }
}
