//! y = x Wᵀ + b, for both ways in which files store W.
//!
//! The gradient of a matrix that is trained does not travel through candle's store, which would
//! zero, add and copy it once for each batch: [`linear_collecting`] adds it where it belongs.

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::{is_tracked, matrix, values, with_values};
use crate::math::{Numbers, add_tn, matmul_nn, matmul_nt, matmul_tn};

/// How a file stores the matrix of a linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightLayout {
    /// `[out, in]`: y = x Wᵀ. Nearly every family.
    OutIn,
    /// `[in, out]`: y = x W. GPT-2's `Conv1D`.
    InOut,
}

impl WeightLayout {
    /// The widths (in, out) of a stored matrix.
    pub fn widths(self, stored: (usize, usize)) -> (usize, usize) {
        match self {
            Self::OutIn => (stored.1, stored.0),
            Self::InOut => stored,
        }
    }

    /// y = x Wᵀ between rows of `width_in` and of `width_out` numbers.
    pub(crate) fn write(
        self,
        y: &mut [f32],
        x: &[f32],
        w: Numbers<'_>,
        (width_in, width_out): (usize, usize),
    ) {
        let rows = x.len() / width_in;
        match self {
            Self::OutIn => matmul_nt(y, x, w, rows, width_out, width_in),
            Self::InOut => matmul_nn(y, x, w, rows, width_out, width_in),
        }
    }

    /// Backward of [`linear`] with respect to its input: dx = g W.
    pub(crate) fn write_input_gradient(
        self,
        dx: &mut [f32],
        g: &[f32],
        w: Numbers<'_>,
        (width_in, width_out): (usize, usize),
    ) {
        let rows = g.len() / width_out;
        match self {
            Self::OutIn => matmul_nn(dx, g, w, rows, width_in, width_out),
            Self::InOut => matmul_nt(dx, g, w, rows, width_in, width_out),
        }
    }
}

/// Adds a bias, of the width of a row, to each row.
pub(crate) fn add_bias(rows: &mut [f32], bias: &Tensor) -> Result<()> {
    with_values(bias, "linear", |bias| {
        for row in rows.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        Ok(())
    })
}

/// x [rows, in] → [rows, out], with `weight` as `layout` says and an optional `bias` `[out]`.
pub fn linear(
    x: &Tensor,
    weight: &Tensor,
    layout: WeightLayout,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        let product = match layout {
            WeightLayout::OutIn => x.matmul(&weight.t()?)?,
            WeightLayout::InOut => x.matmul(weight)?,
        };
        return bias.map_or(Ok(product.clone()), |bias| product.broadcast_add(bias));
    }
    match bias {
        None => x.contiguous()?.apply_op2(weight, Linear(layout)),
        Some(bias) => x.contiguous()?.apply_op3(weight, bias, Linear(layout)),
    }
}

/// As [`linear`]; backward adds the gradient of `weight` to `gradient`. On the CPU only.
pub(crate) fn linear_collecting(
    x: &Tensor,
    weight: &Tensor,
    layout: WeightLayout,
    bias: Option<&Tensor>,
    gradient: &Gradient,
) -> Result<Tensor> {
    if gradient.lock().len() != weight.elem_count() {
        candle_core::bail!("a gradient of another size than its weight {:?}", weight.dims());
    }
    let op = Collecting { op: Linear(layout), gradient: gradient.clone() };
    match bias {
        None => x.contiguous()?.apply_op2(weight, op),
        Some(bias) => x.contiguous()?.apply_op3(weight, bias, op),
    }
}

/// Where the gradient of one tensor is summed, in the tensor's own order.
#[derive(Clone)]
pub struct Gradient(Arc<Mutex<Vec<f32>>>);

impl Gradient {
    pub(crate) fn zeros(elements: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![0.; elements])))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<f32>> {
        self.0.lock().expect("nobody panics while holding a gradient")
    }

    /// Adds a gradient of the same size.
    pub(crate) fn add(&self, part: &Tensor) -> Result<()> {
        with_values(part, "gradient", |part| {
            self.lock().iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            Ok(())
        })
    }
}

struct Linear(WeightLayout);

struct Collecting {
    op: Linear,
    gradient: Gradient,
}

impl Linear {
    /// Adds dW = gᵀ x, or xᵀ g for `[in, out]` storage.
    fn collect(&self, x: &Tensor, g: &Tensor, gradient: &Gradient) -> Result<()> {
        let (rows, width_in) = x.dims2()?;
        let width_out = g.dims2()?.1;
        with_values(g, "linear", |g| {
            with_values(x, "linear", |x| {
                let mut sum = gradient.lock();
                match self.0 {
                    WeightLayout::OutIn => add_tn(&mut sum, g, x, width_out, width_in, rows),
                    WeightLayout::InOut => add_tn(&mut sum, x, g, width_in, width_out, rows),
                }
                Ok(())
            })
        })
    }

    fn product(&self, x: (&[f32], &Layout), w: (&[f32], &Layout)) -> Result<(Vec<f32>, Shape)> {
        let (rows, width) = x.1.shape().dims2()?;
        let (width_in, width_out) = self.0.widths(w.1.shape().dims2()?);
        if width != width_in {
            candle_core::bail!("linear: {width} columns into a map of {width_in} inputs");
        }
        let mut y = vec![0f32; rows * width_out];
        self.0.write(&mut y, x.0, w.0.into(), (width_in, width_out));
        Ok((y, (rows, width_out).into()))
    }

    /// The gradient with respect to the input: dx = g W.
    fn input_gradient(&self, w: &Tensor, g: &Tensor) -> Result<Tensor> {
        let widths = self.0.widths(w.dims2()?);
        let rows = g.dims2()?.0;
        let mut dx = vec![0f32; rows * widths.0];
        with_values(g, "linear", |g| {
            with_values(w, "linear", |w| {
                self.0.write_input_gradient(&mut dx, g, w.into(), widths);
                Ok(())
            })
        })?;
        matrix(dx, rows, widths.0)
    }

    /// The gradient with respect to the weight: dW = gᵀ x, or xᵀ g for `[in, out]` storage.
    fn weight_gradient(&self, x: &Tensor, w: &Tensor, g: &Tensor) -> Result<Tensor> {
        let (rows, width_in) = x.dims2()?;
        let width_out = g.dims2()?.1;
        let mut dw = vec![0f32; width_in * width_out];
        with_values(g, "linear", |g| {
            with_values(x, "linear", |x| {
                match self.0 {
                    WeightLayout::OutIn => matmul_tn(&mut dw, g, x, width_out, width_in, rows),
                    WeightLayout::InOut => matmul_tn(&mut dw, x, g, width_in, width_out, rows),
                }
                Ok(())
            })
        })?;
        let (first, second) = w.dims2()?;
        matrix(dw, first, second)
    }

    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = is_tracked(x).then(|| self.input_gradient(w, g)).transpose()?;
        let dw = is_tracked(w).then(|| self.weight_gradient(x, w, g)).transpose()?;
        Ok((dx, dw))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, x_layout, "linear")?;
        let w = values(w, w_layout, "linear")?;
        let (y, shape) = self.product((x, x_layout), (w, w_layout))?;
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, g)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = values(x, x_layout, "linear")?;
        let w = values(w, w_layout, "linear")?;
        let b = values(b, b_layout, "linear")?;
        let (mut y, shape) = self.product((x, x_layout), (w, w_layout))?;
        for row in y.chunks_exact_mut(b.len()) {
            row.iter_mut().zip(b).for_each(|(y, b)| *y += b);
        }
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, w, g)?;
        let db = is_tracked(b).then(|| g.sum(0)).transpose()?;
        Ok((dx, dw, db))
    }
}

impl CustomOp2 for Collecting {
    fn name(&self) -> &'static str {
        "trained linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        CustomOp2::cpu_fwd(&self.op, x, x_layout, w, w_layout)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.op.collect(x, g, &self.gradient)?;
        Ok((is_tracked(x).then(|| self.op.input_gradient(w, g)).transpose()?, None))
    }
}

impl CustomOp3 for Collecting {
    fn name(&self) -> &'static str {
        "trained linear with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        CustomOp3::cpu_fwd(&self.op, x, x_layout, w, w_layout, b, b_layout)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = CustomOp2::bwd(self, x, w, y, g)?;
        let db = is_tracked(b).then(|| g.sum(0)).transpose()?;
        Ok((dx, dw, db))
    }
}
