//! Nonlinearities of the MLP, plain and gated.

use candle_core::cpu::erf::erf_f32;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::simd::{exp, vectorised};
use super::{is_tracked, matrix, values, with_values};

/// The nonlinearity φ of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x σ(x).
    Silu,
    /// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))): GPT-2's `gelu_new`, `gelu_pytorch_tanh`.
    GeluTanh,
    /// ½ x (1 + erf(x / √2)): `gelu`, as first defined.
    Gelu,
    /// max(x, 0).
    Relu,
}

/// Runs a loop with `$slope` standing for φ and its slope. The choice is made outside of the loop,
/// which then has no branches and can use the vector units.
macro_rules! with_slope {
    ($activation:expr, $slope:ident => $loop:expr) => {
        match $activation {
            Activation::Silu => {
                let $slope = silu;
                $loop
            }
            Activation::GeluTanh => {
                let $slope = gelu_tanh;
                $loop
            }
            Activation::Gelu => {
                let $slope = gelu;
                $loop
            }
            Activation::Relu => {
                let $slope = relu;
                $loop
            }
        }
    };
}

/// The pair (φ(x), φ'(x)).
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = 1. / (1. + exp(-x));
    (x * s, s * (1. + x * (1. - s)))
}

/// The pair (φ(x), φ'(x)).
#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    const SCALE: f32 = 0.797_884_6;
    const CUBIC: f32 = 0.044_715;
    let inner = SCALE * (x + CUBIC * x * x * x);
    let t = 1. - 2. / (exp(2. * inner) + 1.);
    let slope = SCALE * (1. + 3. * CUBIC * x * x) * (1. - t * t);
    (0.5 * x * (1. + t), 0.5 * (1. + t) + 0.5 * x * slope)
}

/// The pair (φ(x), φ'(x)): x Φ(x) and Φ(x) + x N(x), with the normal distribution Φ, N.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    const INVERSE_ROOT: f32 = 0.398_942_3;
    let below = 0.5 * (1. + erf_f32(x * std::f32::consts::FRAC_1_SQRT_2));
    (x * below, below + x * INVERSE_ROOT * exp(-0.5 * x * x))
}

/// The pair (φ(x), φ'(x)).
#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    (x.max(0.), f32::from(u8::from(x > 0.)))
}

impl Activation {
    fn composed(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::GeluTanh => x.gelu(),
            Self::Gelu => x.gelu_erf(),
            Self::Relu => x.relu(),
        }
    }
}

/// φ(x), elementwise.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return activation.composed(x);
    }
    x.contiguous()?.apply_op1(Plain(activation))
}

/// φ(gate) · up, elementwise.
pub fn gate(gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
    if !gate.device().is_cpu() {
        return activation.composed(gate)? * up;
    }
    gate.contiguous()?.apply_op2(&up.contiguous()?, Gated(activation))
}

/// Elements that one task of the thread pool takes: large enough to be worth handing over.
const CHUNK: usize = 16 * 1024;

/// The kernels, between slices of equal length.
impl Activation {
    /// y = φ(x).
    pub(crate) fn write(self, y: &mut [f32], x: &[f32]) {
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            vectorised(
                #[inline(always)]
                || {
                    with_slope!(self, slope => {
                        y.iter_mut().zip(x).for_each(|(y, x)| *y = slope(*x).0);
                    });
                },
            );
        });
    }

    /// g ← g φ'(x).
    pub(crate) fn scale_by_slope(self, g: &mut [f32], x: &[f32]) {
        g.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(g, x)| {
            vectorised(
                #[inline(always)]
                || {
                    with_slope!(self, slope => {
                        g.iter_mut().zip(x).for_each(|(g, x)| *g *= slope(*x).1);
                    });
                },
            );
        });
    }

    /// y = φ(gate) · up.
    pub(crate) fn write_gated(self, y: &mut [f32], gate: &[f32], up: &[f32]) {
        let parts = y.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK)).zip(up.par_chunks(CHUNK));
        parts.for_each(|((y, gate), up)| {
            vectorised(
                #[inline(always)]
                || {
                    with_slope!(self, slope => {
                        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                            *y = slope(*gate).0 * up;
                        }
                    });
                },
            );
        });
    }

    /// Gradients with respect to gate and up, where that of the result is g.
    pub(crate) fn write_gated_gradients(
        self,
        [d_gate, d_up]: [&mut [f32]; 2],
        [gate, up, g]: [&[f32]; 3],
    ) {
        let outputs = d_gate.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
        let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)).zip(g.par_chunks(CHUNK));
        outputs.zip(inputs).for_each(|((d_gate, d_up), ((gate, up), g))| {
            vectorised(
                #[inline(always)]
                || {
                    let outputs = d_gate.iter_mut().zip(d_up);
                    let inputs = gate.iter().zip(up).zip(g);
                    with_slope!(self, slope => {
                        for ((d_gate, d_up), ((gate, up), g)) in outputs.zip(inputs) {
                            let (value, slope) = slope(*gate);
                            *d_gate = g * up * slope;
                            *d_up = g * value;
                        }
                    });
                },
            );
        });
    }
}

struct Plain(Activation);

impl CustomOp1 for Plain {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, "activation")?;
        let mut y = vec![0f32; x.len()];
        self.0.write(&mut y, x);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = x.dims2()?;
        let mut dx = vec![0f32; rows * width];
        with_values(x, "activation", |x| {
            with_values(g, "activation", |g| {
                dx.copy_from_slice(g);
                self.0.scale_by_slope(&mut dx, x);
                Ok(())
            })
        })?;
        Ok(Some(matrix(dx, rows, width)?))
    }
}

struct Gated(Activation);

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated activation"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gate = values(gate, gate_layout, "gated activation")?;
        let up = values(up, up_layout, "gated activation")?;
        let mut y = vec![0f32; gate.len()];
        self.0.write_gated(&mut y, gate, up);
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (rows, width) = gate.dims2()?;
        let mut d_gate = vec![0f32; rows * width];
        let mut d_up = vec![0f32; rows * width];
        with_values(gate, "gated activation", |gate| {
            with_values(up, "gated activation", |up| {
                with_values(g, "gated activation", |g| {
                    self.0.write_gated_gradients([&mut d_gate, &mut d_up], [gate, up, g]);
                    Ok(())
                })
            })
        })?;
        let d_gate = is_tracked(gate).then(|| matrix(d_gate, rows, width)).transpose()?;
        let d_up = is_tracked(up).then(|| matrix(d_up, rows, width)).transpose()?;
        Ok((d_gate, d_up))
    }
}
