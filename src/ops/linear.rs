//! y = x Wᵀ + b, for both ways in which files store W.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::{is_tracked, matrix, values, with_values};
use crate::math::{matmul_nn, matmul_nt, matmul_tn};

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
    /// (in, out) widths of a stored matrix.
    pub fn widths(self, stored: (usize, usize)) -> (usize, usize) {
        match self {
            Self::OutIn => (stored.1, stored.0),
            Self::InOut => stored,
        }
    }
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

struct Linear(WeightLayout);

impl Linear {
    fn product(&self, x: (&[f32], &Layout), w: (&[f32], &Layout)) -> Result<(Vec<f32>, Shape)> {
        let (rows, width) = x.1.shape().dims2()?;
        let (width_in, width_out) = self.0.widths(w.1.shape().dims2()?);
        if width != width_in {
            candle_core::bail!("linear: {width} columns into a map of {width_in} inputs");
        }
        let mut y = vec![0f32; rows * width_out];
        match self.0 {
            WeightLayout::OutIn => matmul_nt(&mut y, x.0, w.0, rows, width_out, width_in),
            WeightLayout::InOut => matmul_nn(&mut y, x.0, w.0, rows, width_out, width_in),
        }
        Ok((y, (rows, width_out).into()))
    }

    /// dx = g W.
    fn input_gradient(&self, w: &Tensor, g: &Tensor) -> Result<Tensor> {
        let (width_in, width_out) = self.0.widths(w.dims2()?);
        let rows = g.dims2()?.0;
        let mut dx = vec![0f32; rows * width_in];
        with_values(g, "linear", |g| {
            with_values(w, "linear", |w| {
                match self.0 {
                    WeightLayout::OutIn => matmul_nn(&mut dx, g, w, rows, width_in, width_out),
                    WeightLayout::InOut => matmul_nt(&mut dx, g, w, rows, width_in, width_out),
                }
                Ok(())
            })
        })?;
        matrix(dx, rows, width_in)
    }

    /// dW = gᵀ x, or xᵀ g for `[in, out]` storage.
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
