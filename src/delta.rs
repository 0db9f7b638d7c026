//! Weight changes in memory: per stored tensor a low-rank product or a dense sum.
//!
//! All matrices are kept *as the file stores the tensor*, so that a change can be
//! added to a checkpoint without knowing the family: for `[out, in]` storage
//! (llama) ΔT = left · right is [out, in], for GPT-2's `[in, out]` storage it is [in, out].

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

/// The change of one stored tensor.
#[derive(Debug, Clone)]
pub enum Change {
    /// ΔT = left · right.
    LowRank {
        /// [rows, r], f32.
        left: Tensor,
        /// [r, columns], f32.
        right: Tensor,
    },
    /// ΔT itself, of the tensor's shape, f32.
    Dense(Tensor),
}

impl Change {
    /// ΔT as one dense f32 tensor.
    pub fn to_dense(&self) -> Result<Tensor> {
        match self {
            Self::LowRank { left, right } => left.matmul(right),
            Self::Dense(change) => Ok(change.clone()),
        }
    }

    /// The rank bound r of a low-rank change, or nothing for a dense one.
    pub fn rank(&self) -> Option<usize> {
        match self {
            Self::LowRank { left, .. } => Some(left.dims()[1]),
            Self::Dense(_) => None,
        }
    }
}

/// Changes by tensor name.
#[derive(Debug, Clone, Default)]
pub struct WeightDelta {
    /// Name of the stored tensor → its change.
    pub changes: BTreeMap<String, Change>,
}
