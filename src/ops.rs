//! Differentiable kernels on packed rows: what a decoder layer is made of.
//!
//! A batch of sequences of unequal length is one matrix `[rows, width]`, one row a
//! token, without padding. Only attention needs to know where sequences begin.
//!
//! candle's own fused operations cut the gradient without a word, and its matrix
//! product computes the gradient of frozen weights. Each operation here is a
//! custom operation with a backward of its own that returns nothing for an operand
//! that is not tracked, so that the same code serves frozen editing and training.
//! On a device other than the CPU the same functions compose candle's differentiable
//! operations instead; the tests hold the two against each other.

mod activation;
mod attention;
mod linear;
mod loss;
mod norm;
mod rotary;
mod simd;

pub use activation::{Activation, activate, gate};
pub use attention::{AttentionShape, Past, Span, attention};
pub use linear::{WeightLayout, linear};
pub use loss::token_nll;
pub use norm::{layer_norm, rms_norm};
pub use rotary::{RotaryTable, rotate};

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

/// The f32 values behind a contiguous operand.
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
fn with_values<T>(tensor: &Tensor, op: &str, read: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => read(values(cpu, layout, op)?),
        _ => candle_core::bail!("{op} was given a tensor that is not on the CPU"),
    }
}

/// A matrix [rows, columns] on the CPU.
fn matrix(values: Vec<f32>, rows: usize, columns: usize) -> Result<Tensor> {
    Tensor::from_vec(values, (rows, columns), &candle_core::Device::Cpu)
}

/// Whether a gradient has to be computed for an operand.
fn is_tracked(tensor: &Tensor) -> bool {
    tensor.track_op()
}

#[cfg(test)]
mod tests;
