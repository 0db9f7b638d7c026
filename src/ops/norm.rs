//! Row normalisation.
//!
//! RMS: y = w · x / r, r = √(mean x² + ε). Layer: y = w · (x − μ) / s + b, s = √(var x + ε).
//! With n = (x − μ)/s (or x/r) and h = g · w, both have dx = (h − [mean h] − n · mean(h · n)) / s,
//! the bracket only for layer norm.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor};

use super::{is_tracked, matrix, values, with_values};

/// y = w · x / √(mean x² + ε) for each row of x [rows, width], w `[width]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    if !x.device().is_cpu() {
        let scale = ((x.sqr()?.mean_keepdim(D::Minus1))? + epsilon)?.sqrt()?;
        return x.broadcast_div(&scale)?.broadcast_mul(weight);
    }
    x.contiguous()?.apply_op2(weight, Norm { epsilon, is_centred: false })
}

/// y = w · (x − mean x) / √(var x + ε) + b for each row of x [rows, width], w and b `[width]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    if !x.device().is_cpu() {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
        return centred.broadcast_div(&scale)?.broadcast_mul(weight)?.broadcast_add(bias);
    }
    x.contiguous()?.apply_op3(weight, bias, Norm { epsilon, is_centred: true })
}

struct Norm {
    epsilon: f64,
    is_centred: bool,
}

impl Norm {
    /// (mean, 1 / scale) of a row.
    fn moments(&self, row: &[f32]) -> (f32, f32) {
        let width = row.len() as f32;
        let mean = if self.is_centred { sum(row.iter().copied()) / width } else { 0. };
        let square = sum(row.iter().map(|x| (x - mean) * (x - mean))) / width;
        (mean, 1. / (square + self.epsilon as f32).sqrt())
    }

    fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>) -> Vec<f32> {
        let mut y = vec![0f32; x.len()];
        for (y, x) in y.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
            let (mean, inverse) = self.moments(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = (x - mean) * inverse * w;
            }
            if let Some(b) = b {
                y.iter_mut().zip(b).for_each(|(y, b)| *y += b);
            }
        }
        y
    }

    fn input_gradient(&self, x: &[f32], w: &[f32], g: &[f32]) -> Vec<f32> {
        let width = w.len();
        let mut dx = vec![0f32; x.len()];
        let rows = dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(g.chunks_exact(width));
        for ((dx, x), g) in rows {
            let (mean, inverse) = self.moments(x);
            let h = || g.iter().zip(w).map(|(g, w)| g * w);
            let mean_h = if self.is_centred { sum(h()) / width as f32 } else { 0. };
            let mean_hn = sum(h().zip(x).map(|(h, x)| h * (x - mean) * inverse)) / width as f32;
            for ((dx, h), x) in dx.iter_mut().zip(h()).zip(x) {
                *dx = (h - mean_h - (x - mean) * inverse * mean_hn) * inverse;
            }
        }
        dx
    }

    fn weight_gradient(&self, x: &[f32], g: &[f32], width: usize) -> Vec<f32> {
        let mut dw = vec![0f32; width];
        for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
            let (mean, inverse) = self.moments(x);
            for ((dw, x), g) in dw.iter_mut().zip(x).zip(g) {
                *dw += g * (x - mean) * inverse;
            }
        }
        dw
    }

    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = x.dims2()?;
        with_values(x, "norm", |xs| {
            with_values(w, "norm", |ws| {
                with_values(g, "norm", |gs| {
                    let dx = is_tracked(x)
                        .then(|| matrix(self.input_gradient(xs, ws, gs), rows, width))
                        .transpose()?;
                    let dw = is_tracked(w)
                        .then(|| {
                            let dw = self.weight_gradient(xs, gs, width);
                            Tensor::from_vec(dw, width, w.device())
                        })
                        .transpose()?;
                    Ok((dx, dw))
                })
            })
        })
    }
}

/// Sum in eight fixed lanes: independent of threads, and open to vector units.
fn sum(terms: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0f32; 8];
    for (i, term) in terms.enumerate() {
        lanes[i % 8] += term;
    }
    lanes.iter().sum()
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "rms norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y =
            self.forward(values(x, x_layout, "rms norm")?, values(w, w_layout, "rms norm")?, None);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
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

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer norm"
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
        let y = self.forward(
            values(x, x_layout, "layer norm")?,
            values(w, w_layout, "layer norm")?,
            Some(values(b, b_layout, "layer norm")?),
        );
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
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
