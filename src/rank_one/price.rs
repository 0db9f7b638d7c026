//! The price of a change of weights: the drift of general text that it will cause.
//!
//! A change ΔW of a down projection, [d_v, d_k], adds ΔW k to the value at every token. To second
//! order the KL divergence from the base is then, with the keys and the gradients taken as
//! independent and each token for itself,
//!
//!   price = ½ tr(S ΔW C ΔWᵀ), in nats a token,
//!
//! with C = E[k kᵀ] of [`second_moment`](mod@super::second_moment) and S = E[g gᵀ] of
//! [`gradient_moment`](mod@super::gradient_moment) (K-FAC, Martens & Grosse, arXiv 1503.05671). For
//! ΔW = U Vᵀ of rank r that is ½ Σ (UᵀSU) ∘ (VᵀCV): r products with each factor. Prices of several
//! layers add up.
//!
//! C has to come from other text than the C of the solve. ΔW is solved so as to spare that text, and
//! priced on it seems to cost little more than half of what it costs on any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::second_moment::SecondMoment;
use super::statistics::Obtained;
use crate::delta::{Change, WeightDelta};
use crate::math::Entries;
use crate::ops::WeightLayout;
use crate::progress::Progress;

/// A symmetric matrix that a sum over tokens gives.
#[derive(Clone)]
struct Moment {
    /// The sum, [d, d].
    sum: Arc<dyn Entries>,
    width: usize,
    tokens: usize,
}

/// C and S of one layer.
#[derive(Clone)]
pub struct PriceFactors {
    keys: Moment,
    gradients: Moment,
}

/// The factors of the layers that a run writes, by the name of the changed tensor.
#[derive(Clone)]
pub struct Prices {
    layers: BTreeMap<String, PriceFactors>,
    layout: WeightLayout,
}

impl Moment {
    fn of(obtained: Obtained, progress: &dyn Progress) -> Self {
        let SecondMoment { width, tokens, .. } = obtained.moment;
        Self { sum: obtained.into_entries(progress), width, tokens }
    }

    /// xᵢᵀ M xⱼ of all pairs of vectors, [n, n].
    fn products(&self, vectors: &[Vec<f64>]) -> Vec<f64> {
        let rows = self.sum.entries();
        let times = |x: &Vec<f64>| rows.chunks_exact(self.width).map(|row| dot(row, x)).collect();
        let moved: Vec<Vec<f64>> = vectors.par_iter().with_max_len(1).map(times).collect();
        let pairs = vectors.par_iter().flat_map_iter(|x| moved.iter().map(move |y| dot(x, y)));
        let scale = 1. / self.tokens.max(1) as f64;
        let products = pairs.map(|product| scale * product).collect();
        self.sum.rest();
        products
    }
}

/// Σ aᵢ bᵢ in four sums side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (chunks_a, rest_a) = a.as_chunks::<4>();
    let (chunks_b, rest_b) = b.as_chunks::<4>();
    let mut sums = [0.; 4];
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

impl PriceFactors {
    /// Factors from the sums over keys and over gradients.
    pub fn new(keys: Obtained, gradients: Obtained, progress: &dyn Progress) -> Self {
        Self { keys: Moment::of(keys, progress), gradients: Moment::of(gradients, progress) }
    }

    /// The price of a change of the down projection, stored as `layout` says, in nats a token.
    pub fn price(&self, change: &Change, layout: WeightLayout) -> Result<f64> {
        Ok(match Sides::of(change, layout)? {
            Sides::Factors { values, keys } => {
                0.5 * dot(&self.gradients.products(&values), &self.keys.products(&keys))
            }
            Sides::Rows(rows) => {
                let of_keys = self.keys.products(&rows);
                let Moment { sum, tokens, .. } = &self.gradients;
                0.5 * dot(sum.entries(), &of_keys) / (*tokens).max(1) as f64
            }
        })
    }

    /// The price ½ δᵀSδ of a change δ of the value at every token, in nats a token.
    pub fn price_of_value(&self, delta: &[f32]) -> f64 {
        let delta = delta.iter().copied().map(f64::from).collect();
        0.5 * self.gradients.products(&[delta])[0]
    }

    /// Tokens that C and S were collected from.
    pub fn tokens(&self) -> (usize, usize) {
        (self.keys.tokens, self.gradients.tokens)
    }
}

/// A change as the price takes it.
enum Sides {
    /// Columns of U and of V, where ΔW = U Vᵀ.
    Factors { values: Vec<Vec<f64>>, keys: Vec<Vec<f64>> },
    /// Rows of ΔW, of a dense change and of one whose factors are larger than their product.
    Rows(Vec<Vec<f64>>),
}

impl Sides {
    fn of(change: &Change, layout: WeightLayout) -> Result<Self> {
        let rows = |matrix: &Tensor| matrix.to_dtype(DType::F64)?.to_vec2::<f64>();
        let columns = |matrix: &Tensor| rows(&matrix.t()?.contiguous()?);
        Ok(match (change.clone().compact()?, layout) {
            (Change::LowRank { left, right }, WeightLayout::OutIn) => {
                Self::Factors { values: columns(&left)?, keys: rows(&right)? }
            }
            (Change::LowRank { left, right }, WeightLayout::InOut) => {
                Self::Factors { values: rows(&right)?, keys: columns(&left)? }
            }
            (Change::Dense(dense), WeightLayout::OutIn) => Self::Rows(rows(&dense)?),
            (Change::Dense(dense), WeightLayout::InOut) => Self::Rows(columns(&dense)?),
        })
    }
}

impl Prices {
    /// The prices of changes of some tensors, stored as `layout` says.
    pub fn new(layers: BTreeMap<String, PriceFactors>, layout: WeightLayout) -> Self {
        Self { layers, layout }
    }

    /// The price of all changes together, in nats a token; nothing where the factors of a changed
    /// tensor are not known.
    pub fn of(&self, delta: &WeightDelta) -> Result<Option<f64>> {
        let mut sum = 0.;
        for (name, change) in &delta.changes {
            let Some(factors) = self.layers.get(name) else { return Ok(None) };
            sum += factors.price(change, self.layout)?;
        }
        Ok(Some(sum))
    }
}

#[cfg(test)]
mod tests;
