//! Row normalisation.
//!
//! RMS: y = w · x / r, r = √(mean x² + ε). Layer: y = w · (x − μ) / s + b, s = √(var x + ε).
//! With n = (x − μ)/s (or x/r) and h = g · w, both have dx = (h − [mean h] − n · mean(h · n)) / s,
//! the bracket only for layer norm.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::simd::{total, vectorised};
use super::{is_tracked, matrix, values, with_values};

/// y = w · x / √(mean x² + ε) for each row of x [rows, width], w `[width]`.
///
/// Where w is narrower, each of the parts of its width that a row consists of is normalised.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    if !x.device().is_cpu() {
        let (shape, width) = (x.dims2()?, weight.dims1()?);
        if width < shape.1 {
            let parts = x.reshape((shape.0 * shape.1 / width, width))?;
            return rms_norm(&parts, weight, epsilon)?.reshape(shape);
        }
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

/// Rows that one task of the thread pool takes at least.
const ROWS: usize = 32;

/// The kernel of both norms.
#[derive(Clone, Copy)]
pub(crate) struct Norm {
    /// ε.
    pub(crate) epsilon: f64,
    /// Whether the mean is subtracted, as in layer norm.
    pub(crate) is_centred: bool,
}

impl Norm {
    /// The pair (mean, 1 / scale) of a row.
    #[inline(always)]
    fn moments(&self, row: &[f32]) -> (f32, f32) {
        let width = row.len() as f32;
        let mean = if self.is_centred { sum([row], |[x]| x) / width } else { 0. };
        let square = sum([row], |[x]| (x - mean) * (x - mean)) / width;
        (mean, 1. / (square + self.epsilon as f32).sqrt())
    }

    /// Writes norm(x) to `y`, [rows, width].
    pub(crate) fn write(&self, y: &mut [f32], x: &[f32], w: &[f32], b: Option<&[f32]>) {
        y.par_chunks_exact_mut(w.len())
            .zip(x.par_chunks_exact(w.len()))
            .with_min_len(ROWS)
            .for_each(|(y, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        let (mean, inverse) = self.moments(x);
                        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                            *y = (x - mean) * inverse * w;
                        }
                        if let Some(b) = b {
                            y.iter_mut().zip(b).for_each(|(y, b)| *y += b);
                        }
                    },
                );
            });
    }

    /// Adds the gradient with respect to x to `dx`, where that of the result is `g`.
    pub(crate) fn add_input_gradient(&self, dx: &mut [f32], x: &[f32], w: &[f32], g: &[f32]) {
        let width = w.len();
        let inputs = x.par_chunks_exact(width).zip(g.par_chunks_exact(width));
        dx.par_chunks_exact_mut(width).zip(inputs).with_min_len(ROWS).for_each(|(dx, (x, g))| {
            vectorised(
                #[inline(always)]
                || self.row_gradient(x, w, g, dx),
            );
        });
    }

    fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>) -> Vec<f32> {
        let mut y = vec![0f32; x.len()];
        self.write(&mut y, x, w, b);
        y
    }

    fn input_gradient(&self, x: &[f32], w: &[f32], g: &[f32]) -> Vec<f32> {
        let mut dx = vec![0f32; x.len()];
        self.add_input_gradient(&mut dx, x, w, g);
        dx
    }

    #[inline(always)]
    fn row_gradient(&self, x: &[f32], w: &[f32], g: &[f32], dx: &mut [f32]) {
        let width = w.len() as f32;
        let (mean, inverse) = self.moments(x);
        let mean_h = if self.is_centred { sum([g, w], |[g, w]| g * w) / width } else { 0. };
        let mean_hn = sum([g, w, x], |[g, w, x]| g * w * (x - mean) * inverse) / width;
        for (dx, ((g, w), x)) in dx.iter_mut().zip(g.iter().zip(w).zip(x)) {
            *dx += (g * w - mean_h - (x - mean) * inverse * mean_hn) * inverse;
        }
    }

    fn weight_gradient(&self, x: &[f32], g: &[f32], width: usize) -> Vec<f32> {
        let block = |(x, g): (&[f32], &[f32])| {
            let mut dw = vec![0f32; width];
            vectorised(
                #[inline(always)]
                || {
                    for (x, g) in x.chunks_exact(width).zip(g.chunks_exact(width)) {
                        let (mean, inverse) = self.moments(x);
                        for ((dw, x), g) in dw.iter_mut().zip(x).zip(g) {
                            *dw += g * (x - mean) * inverse;
                        }
                    }
                },
            );
            dw
        };
        // Blocks of fixed size, added in order: the sum does not depend on the threads.
        let blocks = x.par_chunks(ROWS * width).zip(g.par_chunks(ROWS * width));
        let parts: Vec<Vec<f32>> = blocks.map(block).collect();
        let mut dw = vec![0f32; width];
        for part in parts {
            dw.iter_mut().zip(part).for_each(|(dw, part)| *dw += part);
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
                            let dw = self.weight_gradient(xs, gs, ws.len());
                            Tensor::from_vec(dw, ws.len(), w.device())
                        })
                        .transpose()?;
                    Ok((dx, dw))
                })
            })
        })
    }
}

/// Σ term over rows of one length, in sixteen fixed lanes: independent of threads, and open to
/// vector units.
#[inline(always)]
fn sum<const N: usize>(rows: [&[f32]; N], term: impl Fn([f32; N]) -> f32) -> f32 {
    let chunks = rows.map(|row| row.as_chunks::<16>());
    let mut lanes = [0f32; 16];
    for at in 0..chunks[0].0.len() {
        let chunks = chunks.map(|(whole, _)| &whole[at]);
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane += term(chunks.map(|chunk| chunk[i]));
        }
    }
    let rest = |i: usize| term(chunks.map(|(_, rest)| rest[i]));
    total(lanes) + (0..chunks[0].1.len()).map(rest).sum::<f32>()
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
