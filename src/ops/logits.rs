//! What follows the product of the head: a factor and a soft limit.
//!
//! With the product z and the factor a: l = a z, or c · tanh(a z / c) with a limit c. Backward:
//! dz = a g, or a g (1 − (l / c)²).

use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// From the products of the head to logits.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LogitRule {
    /// Factor of the products.
    pub scale: f32,
    /// Soft limit of the logits.
    pub cap: Option<f32>,
}

impl Default for LogitRule {
    /// Logits are the products themselves.
    fn default() -> Self {
        Self { scale: 1., cap: None }
    }
}

/// Elements that one task of the thread pool takes.
const CHUNK: usize = 16 * 1024;

impl LogitRule {
    /// The logits of products, by candle's operations.
    pub fn apply(self, products: Tensor) -> Result<Tensor> {
        let scaled = if self.scale == 1. { products } else { (products * f64::from(self.scale))? };
        match self.cap.map(f64::from) {
            None => Ok(scaled),
            Some(cap) => (scaled / cap)?.tanh()? * cap,
        }
    }

    /// From products to logits, in place.
    pub(crate) fn write(self, logits: &mut [f32]) {
        if self == Self::default() {
            return;
        }
        logits.par_chunks_mut(CHUNK).for_each(|logits| {
            for logit in logits {
                *logit *= self.scale;
                if let Some(cap) = self.cap {
                    soft_limit(logit, cap);
                }
            }
        });
    }

    /// From the gradient of logits to that of the products, in place; `logits` as written.
    pub(crate) fn write_gradient(self, g: &mut [f32], logits: &[f32]) {
        if self == Self::default() {
            return;
        }
        let Some(cap) = self.cap else {
            return g.iter_mut().for_each(|g| *g *= self.scale);
        };
        g.par_chunks_mut(CHUNK).zip(logits.par_chunks(CHUNK)).for_each(|(g, logits)| {
            for (g, logit) in g.iter_mut().zip(logits) {
                let share = logit / cap;
                *g *= self.scale * (1. - share * share);
            }
        });
    }

    /// The logits that a gradient needs: none without a limit.
    pub(crate) fn kept(self, logits: &[f32]) -> Vec<f32> {
        if self.cap.is_some() { logits.to_vec() } else { Vec::new() }
    }
}

/// x ← c · tanh(x / c); gives the slope 1 − tanh²(x / c).
pub(crate) fn soft_limit(x: &mut f32, cap: f32) -> f32 {
    let share = (*x / cap).tanh();
    *x = cap * share;
    1. - share * share
}
