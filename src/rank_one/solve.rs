//! ΔW = R G⁻¹ KᵀM with G = KᵀMK + λI: one solve for the whole family.
//!
//! | method | M | λ | what it is |
//! |---|---|---|---|
//! | ROME | C⁻¹ | 0 | one fact: δ (C⁻¹k)ᵀ / (kᵀC⁻¹k), arXiv 2202.05262 |
//! | EMMET | C⁻¹ | 0 | exact for a batch, arXiv 2403.14236 |
//! | MEMIT | C⁻¹ | > 0 | least squares; the published R Kᵀ(λC + KKᵀ)⁻¹, arXiv 2210.07229 |
//! | AlphaEdit | P | > 0 | the published R KᵀP (KKᵀP + λI)⁻¹, arXiv 2410.02355 |
//!
//! At λ = 0 it is the smallest change, measured by C, with ΔW K = R. What an earlier batch wrote
//! is kept by including its keys in K with residuals of zero.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::error::RankOneError;
use super::metric::Factored;
use crate::delta::Change;
use crate::math::Cholesky;
use crate::ops::WeightLayout;

/// The change ΔW of one fact, or of several at once.
#[derive(Debug, Clone)]
pub struct RankOneChange {
    /// The change, in the orientation in which the tensor is stored.
    pub change: Change,
    /// Relative norm of the change, ‖ΔW‖/‖W‖, Frobenius.
    pub relative_norm: f64,
}

/// The keys that a weight should map to changed values, and those whose values stay.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The key k of each fact, n of `[d_k]`.
    pub keys: Vec<Vec<f32>>,
    /// The residual r that is added to the value of each key, n of `[d_v]`.
    pub residuals: Vec<Vec<f32>>,
    /// Keys whose values should stay: those of facts written earlier.
    pub kept: Vec<Vec<f32>>,
}

/// The change of `weight` that adds `delta` `[d_v]` to the value of each of `keys` `[d_k]`: ROME.
///
/// For one key it is δ (C⁻¹k)ᵀ / (kᵀC⁻¹k); for several, which all get the same δ, it still has rank
/// one. The values of the `kept` keys, those of facts written earlier, stay.
pub fn rank_one(
    factored: &Factored,
    (keys, kept): (&[Vec<f32>], &[Vec<f32>]),
    delta: &[f32],
    weight: &Tensor,
    layout: WeightLayout,
) -> Result<RankOneChange, RankOneError> {
    let request = Request { keys: keys.to_vec(), kept: kept.to_vec(), ..Request::default() };
    let each = weighed_rows(factored, &request, 0.)?;
    let sum = |i: usize| each.iter().skip(i).step_by(factored.width).sum::<f32>();
    let right = (0..factored.width).map(sum).collect();
    low_rank((delta.to_vec(), right), 1, weight, layout)
}

/// Solves ΔW = R G⁻¹ KᵀM with G = KᵀMK + λI, as factors of rank n: n facts are an n×n solve.
///
/// `lambda` is relative to the mean of kᵀMk over all keys, so that it means the same in every
/// model. Kept keys are part of K, with a residual of zero.
pub fn solve(
    factored: &Factored,
    request: &Request,
    lambda: f64,
    weight: &Tensor,
    layout: WeightLayout,
) -> Result<RankOneChange, RankOneError> {
    assert_eq!(request.keys.len(), request.residuals.len(), "a residual for each key");
    let right = weighed_rows(factored, request, lambda)?;
    low_rank((request.residuals.concat(), right), request.keys.len(), weight, layout)
}

/// Rows of G⁻¹ KᵀM that belong to the keys of the request, [n, d_k].
fn weighed_rows(
    factored: &Factored,
    request: &Request,
    lambda: f64,
) -> Result<Vec<f32>, RankOneError> {
    let wide = |key: &Vec<f32>| key.iter().map(|k| f64::from(*k)).collect::<Vec<f64>>();
    let keys: Vec<Vec<f64>> = request.kept.iter().chain(&request.keys).map(wide).collect();
    assert!(keys.iter().all(|key| key.len() == factored.width), "keys as wide as C");
    let weighed = factored.weigh(&keys);
    let gram = regularised_gram(&keys, &weighed, lambda, request.kept.len())?;
    Ok(directions(&gram, &weighed, request.kept.len()))
}

/// The change with rows r of `left` [n, d_v] for rows of `right` [n, d_k].
fn low_rank(
    (left, right): (Vec<f32>, Vec<f32>),
    n: usize,
    weight: &Tensor,
    layout: WeightLayout,
) -> Result<RankOneChange, RankOneError> {
    let (d_v, d_k) = (left.len() / n, right.len() / n);
    let right = Tensor::from_vec(right, (n, d_k), &Device::Cpu)?;
    let left = Tensor::from_vec(left, (n, d_v), &Device::Cpu)?;
    let (left, right) = match layout {
        WeightLayout::OutIn => (left.t()?.contiguous()?, right),
        WeightLayout::InOut => (right.t()?.contiguous()?, left),
    };
    let size = f64::from(weight.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    let low_rank = Change::LowRank { left, right };
    let relative_norm = low_rank.norm()? / size;
    Ok(RankOneChange { change: low_rank.compact()?, relative_norm })
}

/// The smallest share of kᵀMk by which a key must differ from those before it: f64 keeps
/// sixteen digits, and the factors are stored with seven.
const INDEPENDENT: f64 = 1e-9;

/// The Gram matrix G = KᵀMK + λI, factored.
fn regularised_gram(
    keys: &[Vec<f64>],
    weighed: &[Vec<f64>],
    lambda: f64,
    kept: usize,
) -> Result<Cholesky, RankOneError> {
    let n = keys.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let row = |i: usize| (0..n).map(move |j| if j <= i { dot(&keys[i], &weighed[j]) } else { 0. });
    let mut gram: Vec<f64> = (0..n).into_par_iter().flat_map_iter(row).collect();
    let scales: Vec<f64> = (0..n).map(|i| gram[i * n + i]).collect();
    if let Some(found) =
        scales.iter().find(|s| !s.is_finite() || **s < f64::from(f32::MIN_POSITIVE))
    {
        return Err(RankOneError::KeyTooSmall { found: *found });
    }
    let lambda = lambda * scales.iter().sum::<f64>() / n as f64;
    (0..n).for_each(|i| gram[i * n + i] += lambda);
    let dependent = |at: usize| RankOneError::SameKey { fact: at.saturating_sub(kept), kept };
    let factored = Cholesky::new(gram, n).map_err(|error| dependent(error.pivot))?;
    let is_dependent = |(pivot, scale): (f64, &f64)| pivot < INDEPENDENT * scale;
    let first = factored.pivots().zip(&scales).position(is_dependent);
    match first {
        Some(at) => Err(dependent(at)),
        None => Ok(factored),
    }
}

/// Rows of G⁻¹ KᵀM that belong to the facts after the first `kept`, [n, d_k].
fn directions(gram: &Cholesky, weighed: &[Vec<f64>], kept: usize) -> Vec<f32> {
    let (n, width) = (weighed.len(), weighed[0].len());
    let row = |fact: usize| {
        let mut unit = vec![0.; n];
        unit[fact] = 1.;
        let shares = gram.solve(&unit);
        let mut sum = vec![0.; width];
        for (share, weighed) in shares.iter().zip(weighed) {
            sum.iter_mut().zip(weighed).for_each(|(sum, m)| *sum += share * m);
        }
        sum.into_iter().map(|x| x as f32)
    };
    (kept..n).into_par_iter().with_max_len(1).flat_map_iter(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f32 storage of both factors and one f32 product of 40 terms.
    const TOLERANCE: f64 = 1e-4;

    #[test]
    fn the_changed_weight_maps_the_key_to_its_new_value() -> Result<(), RankOneError> {
        let (d_k, d_v) = (40, 24);
        let wave = |i: usize| (i as f64 * 0.731).sin();
        let mut c = vec![0.; d_k * d_k];
        for (at, c) in c.iter_mut().enumerate() {
            let (i, j) = (at / d_k, at % d_k);
            *c = (0..9).map(|t| wave(i + 41 * t) * wave(j + 41 * t)).sum();
        }
        let factored = Factored::new(c, d_k, 1e-2, 0)?;
        let key: Vec<f32> = (0..d_k).map(|i| wave(7 * i) as f32).collect();
        let delta: Vec<f32> = (0..d_v).map(|i| wave(5 * i + 3) as f32).collect();
        let k = Tensor::new(key.as_slice(), &Device::Cpu)?.unsqueeze(1)?;
        for layout in [WeightLayout::OutIn, WeightLayout::InOut] {
            let shape = if layout == WeightLayout::OutIn { (d_v, d_k) } else { (d_k, d_v) };
            let stored: Vec<f32> = (0..d_k * d_v).map(|i| wave(3 * i) as f32).collect();
            let weight = Tensor::from_vec(stored, shape, &Device::Cpu)?;
            let change =
                rank_one(&factored, (std::slice::from_ref(&key), &[]), &delta, &weight, layout)?;
            let edited = (&weight + change.change.to_dense()?)?;
            let value = |w: &Tensor| -> candle_core::Result<Vec<f32>> {
                let w = if layout == WeightLayout::OutIn { w.clone() } else { w.t()? };
                w.contiguous()?.matmul(&k)?.flatten_all()?.to_vec1()
            };
            let (before, after) = (value(&weight)?, value(&edited)?);
            let norm = delta.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
            for ((after, before), delta) in after.iter().zip(&before).zip(&delta) {
                let error = f64::from(after - before - delta).abs() / norm;
                assert!(error < TOLERANCE, "{layout:?}: off by {error:e}");
            }
        }
        Ok(())
    }

    #[test]
    fn several_keys_get_one_value_by_a_change_of_rank_one() -> Result<(), RankOneError> {
        let factored = Factored::new(vec![2., 0., 0., 0., 1., 0., 0., 0., 4.], 3, 0., 0)?;
        let weight = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
        let keys = [vec![1f32, 2., 0.], vec![0., 1., 3.]];
        let change = rank_one(&factored, (&keys, &[]), &[5., -1.], &weight, WeightLayout::OutIn)?;
        assert!(matches!(&change.change, Change::LowRank { left, .. } if left.dims() == [2, 1]));
        for key in keys {
            let key = Tensor::new(key, &Device::Cpu)?.unsqueeze(1)?;
            let value: Vec<f32> =
                change.change.to_dense()?.matmul(&key)?.flatten_all()?.to_vec1()?;
            for (found, wanted) in value.iter().zip([5., -1.]) {
                assert!(f64::from(found - wanted).abs() < TOLERANCE, "{value:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn the_value_of_a_key_that_was_written_earlier_stays() -> Result<(), RankOneError> {
        let factored = Factored::new(vec![2., 0., 0., 0., 1., 0., 0., 0., 4.], 3, 0., 0)?;
        let weight = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
        let (key, kept) = (vec![1f32, 2., 0.], vec![1., 1., 3.]);
        let both = (&[key.clone()][..], &[kept.clone()][..]);
        let change = rank_one(&factored, both, &[5., -1.], &weight, WeightLayout::OutIn)?;
        for (key, wanted) in [(key, [5., -1.]), (kept, [0., 0.])] {
            let key = Tensor::new(key, &Device::Cpu)?.unsqueeze(1)?;
            let value: Vec<f32> =
                change.change.to_dense()?.matmul(&key)?.flatten_all()?.to_vec1()?;
            for (found, wanted) in value.iter().zip(wanted) {
                assert!(f64::from(found - wanted).abs() < TOLERANCE, "{value:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_key_of_no_length_is_refused() {
        let factored = Factored::new(vec![1., 0., 0., 1.], 2, 0.1, 0).expect("definite");
        let weight = Tensor::ones((2, 2), candle_core::DType::F32, &Device::Cpu).expect("ones");
        let refused =
            rank_one(&factored, (&[vec![0., 0.]], &[]), &[1., 1.], &weight, WeightLayout::OutIn);
        assert!(matches!(refused, Err(RankOneError::KeyTooSmall { .. })));
    }
}
