//! Differentiable kernels on packed rows: what a decoder layer is made of.
//!
//! A batch of sequences of unequal length is one matrix `[rows, width]`, one row a
//! token, without padding. Only attention needs to know where sequences begin.
//!
//! candle's own fused operations silently cut the gradient, and its matrix
//! product computes the gradient of frozen weights. Each operation here is a
//! custom operation with a backward of its own that returns nothing for an operand
//! that is not tracked, so that the same code serves frozen editing and training.
//! On a device other than the CPU the same functions compose candle's differentiable
//! operations instead; the tests compare the two.

mod activation;
mod attention;
mod linear;
mod logits;
mod loss;
mod norm;
mod rotary;
pub(crate) mod simd;
mod weight;

pub use crate::math::{Numbers, add_gram, matmul_nn, matmul_nt};
pub use activation::{Activation, activate, gate};
pub(crate) use attention::Attention as AttentionRows;
pub use attention::{AttentionRule, AttentionShape, Past, Span, attention};
pub use linear::{Gradient, WeightLayout, linear};
pub(crate) use linear::{add_bias, linear_collecting};
pub use logits::LogitRule;
pub(crate) use logits::soft_limit;
pub use loss::token_nll;
pub(crate) use loss::{divergence, log_sum_exp};
pub(crate) use norm::Norm as NormRows;
pub use norm::{layer_norm, rms_norm};
pub use rotary::{Pairing, RotaryTable, Rotation, rotate};
pub use weight::{StoredNumbers, Weight};

use std::cell::Cell;

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, Layout, Result, Shape, Storage, Tensor};

/// The f32 values of a contiguous operand.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout, op: &str) -> Result<&'a [f32]> {
    let CpuStorage::F32(all) = storage else {
        candle_core::bail!("{op} computes in f32, not {:?}", storage_dtype(storage));
    };
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => candle_core::bail!("{op} needs a contiguous operand, got {layout:?}"),
    }
}

fn storage_dtype(storage: &CpuStorage) -> candle_core::DType {
    use candle_core::backend::BackendStorage;
    storage.dtype()
}

/// Calls `read` with the values of a contiguous f32 tensor on the CPU.
pub(crate) fn with_values<T>(
    tensor: &Tensor,
    op: &str,
    read: impl FnOnce(&[f32]) -> Result<T>,
) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => read(values(cpu, layout, op)?),
        _ => candle_core::bail!("{op} was given a tensor that is not on the CPU"),
    }
}

/// Calls `write` with the values of a contiguous f32 tensor on the CPU, in place: every tensor that
/// shares its storage changes with it.
pub(crate) fn with_values_mut(tensor: &Tensor, write: impl FnOnce(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&InPlace(Cell::new(Some(write))))
}

struct InPlace<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for InPlace<F> {
    fn name(&self) -> &'static str {
        "write in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(all), Some((from, to))) = (storage, layout.contiguous_offsets())
        else {
            candle_core::bail!("only contiguous f32 tensors are written in place");
        };
        if let Some(write) = self.0.take() {
            write(&mut all[from..to]);
        }
        Ok(())
    }
}

/// A scalar whose gradient with respect to `y` is `gradient`, of the same shape: where backward
/// starts in the middle of a computation.
pub(crate) fn seed_gradient(y: &Tensor, gradient: Tensor) -> Result<Tensor> {
    y.apply_op1(Seed(gradient))
}

struct Seed(Tensor);

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "gradient seed"
    }

    fn cpu_fwd(&self, _y: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.]), Shape::from(())))
    }

    fn bwd(&self, _y: &Tensor, _scalar: &Tensor, _g: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

/// A matrix [rows, columns] on the CPU.
pub(crate) fn matrix(values: Vec<f32>, rows: usize, columns: usize) -> Result<Tensor> {
    Tensor::from_vec(values, (rows, columns), &candle_core::Device::Cpu)
}

/// Whether a gradient has to be computed for an operand.
fn is_tracked(tensor: &Tensor) -> bool {
    tensor.track_op()
}

#[cfg(test)]
mod tests;
