//! Weight changes in memory: per stored tensor a low-rank product or a dense sum.
//!
//! All matrices are kept *as the file stores the tensor*, so that a change can be
//! added to a checkpoint without knowing the family: for `[out, in]` storage
//! (llama) ΔT = left · right is [out, in], for GPT-2's `[in, out]` storage it is [in, out].

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, bail};

/// The change of one stored tensor.
#[derive(Debug, Clone)]
pub enum Change {
    /// A low-rank change, ΔT = left · right.
    LowRank {
        /// The left factor, [rows, r], f32.
        left: Tensor,
        /// The right factor, [r, columns], f32.
        right: Tensor,
    },
    /// A dense change ΔT of the tensor's shape, f32.
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

    /// Shape of the tensor that it changes.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::LowRank { left, right } => vec![left.dims()[0], right.dims()[1]],
            Self::Dense(change) => change.dims().to_vec(),
        }
    }

    /// T + ΔT for the f32 tensor `base`, which must have the change's shape.
    pub fn add_to(&self, base: &Tensor) -> Result<Tensor> {
        // Checked first, because factors of a few bytes can stand for a product of any size.
        if base.dims() != self.shape() {
            bail!("a change of shape {:?} does not fit a tensor {:?}", self.shape(), base.dims());
        }
        base + self.to_dense()?
    }

    /// The sum of two changes of one tensor: exact as long as both are low-rank.
    ///
    /// The factors are concatenated, so ranks add up.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        if self.shape() != other.shape() {
            bail!("changes of shapes {:?} and {:?} cannot be added", self.shape(), other.shape());
        }
        match (self, other) {
            (Self::LowRank { left: l1, right: r1 }, Self::LowRank { left: l2, right: r2 }) => {
                let (left, right) = (Tensor::cat(&[l1, l2], 1)?, Tensor::cat(&[r1, r2], 0)?);
                Ok(Self::LowRank { left, right })
            }
            _ => Ok(Self::Dense((self.to_dense()? + other.to_dense()?)?)),
        }
    }

    /// This change in the form that takes less space: factors, or their product.
    pub fn compact(self) -> Result<Self> {
        let (rank, shape) = (self.rank().unwrap_or(0), self.shape());
        match rank * shape.iter().sum::<usize>() > shape.iter().product() {
            true => Ok(Self::Dense(self.to_dense()?)),
            false => Ok(self),
        }
    }

    /// The Frobenius norm ‖ΔT‖, in f64.
    ///
    /// For a low-rank change ‖left · right‖² = tr(leftᵀ left · right rightᵀ), which never forms ΔT.
    pub fn norm(&self) -> Result<f64> {
        let square = match self {
            Self::LowRank { left, right } => {
                let (left, right) = (left.to_dtype(DType::F64)?, right.to_dtype(DType::F64)?);
                let outer = right.matmul(&right.t()?)?;
                (left.t()?.matmul(&left)? * outer)?.sum_all()?.to_scalar::<f64>()?
            }
            Self::Dense(change) => change.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar()?,
        };
        // The trace can come out as a tiny negative number where factors cancel.
        Ok(square.max(0.0).sqrt())
    }
}

/// Name of an edited tensor → the keys k* that its change was solved for, [n, d_k].
pub type Keys = BTreeMap<String, Tensor>;

/// Changes by tensor name.
#[derive(Debug, Clone, Default)]
pub struct WeightDelta {
    /// Name of the stored tensor → its change.
    pub changes: BTreeMap<String, Change>,
}

impl WeightDelta {
    /// The sum of two sets of changes.
    pub fn plus(mut self, other: &Self) -> Result<Self> {
        for (name, change) in &other.changes {
            let sum = match self.changes.get(name) {
                Some(earlier) => earlier.plus(change)?,
                None => change.clone(),
            };
            self.changes.insert(name.clone(), sum);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn matrix(rows: usize, values: &[f32]) -> Tensor {
        let shape = (rows, values.len() / rows);
        Tensor::from_slice(values, shape, &Device::Cpu).expect("a matrix")
    }

    fn rank_one() -> Change {
        Change::LowRank { left: matrix(2, &[1., 2.]), right: matrix(1, &[3., 0., 4.]) }
    }

    fn values(tensor: &Tensor) -> Vec<Vec<f32>> {
        tensor.to_vec2().expect("a matrix")
    }

    #[test]
    fn a_change_is_added_to_its_tensor() {
        let base = matrix(2, &[1.; 6]);
        let sum = rank_one().add_to(&base).expect("shapes fit");
        assert_eq!(values(&sum), [[4., 1., 5.], [7., 1., 9.]]);
        assert_eq!(rank_one().shape(), [2, 3]);
        assert!(rank_one().add_to(&matrix(3, &[1.; 6])).is_err());
    }

    #[test]
    fn sums_of_low_rank_changes_stay_low_rank() {
        let dense = Change::Dense(matrix(2, &[0., 1., 0., 0., 0., -8.]));
        let both = rank_one().plus(&rank_one()).expect("shapes fit");
        assert_eq!(both.rank(), Some(2));
        let all = both.plus(&dense).expect("shapes fit");
        assert_eq!(all.rank(), None);
        assert_eq!(values(&all.to_dense().expect("dense")), [[6., 1., 8.], [12., 0., 8.]]);
        assert!(dense.plus(&Change::Dense(matrix(3, &[0.; 6]))).is_err());
    }

    #[test]
    fn factors_larger_than_their_product_are_multiplied() {
        let one = rank_one().compact().expect("a change");
        assert_eq!(one.rank(), Some(1));
        // Rank two of [2, 3] is ten numbers where six do.
        let two = rank_one().plus(&rank_one()).expect("shapes fit").compact().expect("a change");
        assert_eq!(two.rank(), None);
        assert_eq!(values(&two.to_dense().expect("dense")), [[6., 0., 8.], [12., 0., 16.]]);
    }

    #[test]
    fn the_norm_is_that_of_the_product() {
        let dense = Change::Dense(rank_one().to_dense().expect("dense"));
        assert_eq!(rank_one().norm().expect("norm"), 125f64.sqrt());
        assert_eq!(dense.norm().expect("norm"), 125f64.sqrt());
    }

    #[test]
    fn deltas_add_up_by_name() {
        let delta =
            |name: &str| WeightDelta { changes: BTreeMap::from([(name.to_owned(), rank_one())]) };
        let sum = delta("a").plus(&delta("b")).and_then(|sum| sum.plus(&delta("a")));
        let ranks: Vec<_> =
            sum.expect("shapes fit").changes.into_values().map(|c| c.rank()).collect();
        assert_eq!(ranks, [Some(2), Some(1)]);
    }
}
