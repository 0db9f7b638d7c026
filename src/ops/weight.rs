//! The matrix of a linear map or of a table: a tensor, or numbers as a file stores them.
//!
//! Weights that do not change stay in the file's type, in mapped memory; the products widen them as
//! they read them, and their values and gradients are those of a widened copy to the bit. What is
//! edited or trained is a tensor.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use super::linear::{WeightLayout, linear};
use super::{add_bias, is_tracked, matrix, values, with_values};
use crate::math::Numbers;

/// Numbers in the type of a file, wherever they lie.
pub trait StoredNumbers: Send + Sync {
    /// All of them.
    fn numbers(&self) -> Numbers<'_>;
}

/// A matrix of a model. Clones share its numbers.
#[derive(Clone)]
pub enum Weight {
    /// An f32 tensor on any device.
    Tensor(Tensor),
    /// Rows as they are stored, in the memory of the CPU.
    Stored(Arc<dyn StoredNumbers>, (usize, usize)),
}

impl From<Tensor> for Weight {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl Weight {
    /// Rows and columns.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        match self {
            Self::Tensor(tensor) => tensor.dims2(),
            Self::Stored(_, shape) => Ok(*shape),
        }
    }

    /// The device that products with it run on.
    pub fn device(&self) -> &Device {
        match self {
            Self::Tensor(tensor) => tensor.device(),
            Self::Stored(..) => &Device::Cpu,
        }
    }

    /// Its f32 values: the tensor itself, or a widened copy.
    pub fn tensor(&self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor.clone()),
            Self::Stored(stored, (rows, columns)) => {
                matrix(stored.numbers().to_vec(), *rows, *columns)
            }
        }
    }

    /// A copy of its f32 values, which no other tensor shares.
    pub fn copied(&self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => tensor.force_contiguous(),
            Self::Stored(..) => self.tensor(),
        }
    }

    /// The chosen rows, [chosen, columns].
    pub fn rows(&self, chosen: &[u32]) -> Result<Tensor> {
        let (stored, (rows, columns)) = match self {
            Self::Tensor(tensor) => {
                return tensor.index_select(&Tensor::new(chosen, tensor.device())?, 0);
            }
            Self::Stored(stored, shape) => (stored, *shape),
        };
        let mut values = vec![0f32; chosen.len() * columns];
        for (row, to) in chosen.iter().zip(values.chunks_exact_mut(columns)) {
            if *row as usize >= rows {
                candle_core::bail!("row {row} of a table with {rows} rows");
            }
            stored.numbers().part(*row as usize * columns, columns).widen(to);
        }
        matrix(values, chosen.len(), columns)
    }

    /// Calls `read` with its numbers, in the order of the rows; on the CPU.
    pub(crate) fn with_numbers<T>(
        &self,
        op: &str,
        read: impl FnOnce(Numbers<'_>) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Tensor(tensor) => with_values(tensor, op, |values| read(values.into())),
            Self::Stored(stored, _) => read(stored.numbers()),
        }
    }

    /// As [`linear`]: x [rows, in] → [rows, out].
    pub fn linear(
        &self,
        x: &Tensor,
        layout: WeightLayout,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (stored, shape) = match self {
            Self::Tensor(tensor) => return linear(x, tensor, layout, bias),
            Self::Stored(stored, shape) => (stored.clone(), *shape),
        };
        // The gradient of a bias is candle's own.
        let (own, tracked) = match bias.filter(|bias| is_tracked(bias)) {
            None => (bias.cloned(), None),
            tracked => (None, tracked),
        };
        let op = StoredLinear { stored, widths: layout.widths(shape), layout, bias: own };
        let y = x.contiguous()?.apply_op1(op)?;
        tracked.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
    }
}

/// A linear map whose matrix takes no gradient.
struct StoredLinear {
    stored: Arc<dyn StoredNumbers>,
    layout: WeightLayout,
    /// Of the input and of the output.
    widths: (usize, usize),
    bias: Option<Tensor>,
}

impl CustomOp1 for StoredLinear {
    fn name(&self) -> &'static str {
        "linear with stored weights"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if width != self.widths.0 {
            candle_core::bail!("linear: {width} columns into a map of {} inputs", self.widths.0);
        }
        let x = values(x, layout, "linear")?;
        let mut y = vec![0f32; rows * self.widths.1];
        self.layout.write(&mut y, x, self.stored.numbers(), self.widths);
        if let Some(bias) = &self.bias {
            add_bias(&mut y, bias)?;
        }
        Ok((CpuStorage::F32(y), (rows, self.widths.1).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        if !is_tracked(x) {
            return Ok(None);
        }
        let rows = g.dims2()?.0;
        let mut dx = vec![0f32; rows * self.widths.0];
        with_values(g, "linear", |g| {
            self.layout.write_input_gradient(&mut dx, g, self.stored.numbers(), self.widths);
            Ok(())
        })?;
        matrix(dx, rows, self.widths.0).map(Some)
    }
}
