//! Negative log-likelihood of one token a row.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::simd::{exp, vectorised};
use super::{matrix, values, with_values};

/// −log softmax(logits) at the target for each row: `[rows, vocabulary]` → `[rows]`, in nats.
pub fn token_nll(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    if !logits.device().is_cpu() {
        let index = Tensor::new(targets, logits.device())?.unsqueeze(1)?;
        let log_probabilities = candle_nn::ops::log_softmax(logits, 1)?;
        return log_probabilities.gather(&index, 1)?.squeeze(1)?.neg();
    }
    logits.contiguous()?.apply_op1(TokenNll { targets: targets.to_vec() })
}

struct TokenNll {
    targets: Vec<u32>,
}

/// log Σ exp of a row, stable, summed in f64 over fixed blocks.
pub(crate) fn log_sum_exp(row: &[f32]) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.chunks(512).map(|block| f64::from(sum_exp(block, largest))).sum();
    largest + total.ln() as f32
}

fn sum_exp(block: &[f32], shift: f32) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0f32; 8];
            let chunks = block.chunks_exact(8);
            let rest: f32 = chunks.remainder().iter().map(|x| exp(x - shift)).sum();
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += exp(x - shift);
                }
            }
            lanes.iter().sum::<f32>() + rest
        },
    )
}

/// KL(softmax p ‖ softmax q) of two rows of logits, in nats; summed in f64 over fixed blocks.
pub(crate) fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let (p_sum, q_sum) = (log_sum_exp(p), log_sum_exp(q));
    let blocks = p.chunks(512).zip(q.chunks(512));
    blocks.map(|(p, q)| f64::from(divergence_block(p, q, p_sum, q_sum))).sum::<f64>().max(0.)
}

fn divergence_block(p: &[f32], q: &[f32], p_sum: f32, q_sum: f32) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let term = |p: f32, q: f32| exp(p - p_sum) * ((p - p_sum) - (q - q_sum));
            let mut lanes = [0f32; 8];
            let (ps, qs) = (p.chunks_exact(8), q.chunks_exact(8));
            let rest = ps.remainder().iter().zip(qs.remainder()).map(|(p, q)| term(*p, *q)).sum();
            for (p, q) in ps.zip(qs) {
                for (lane, (p, q)) in lanes.iter_mut().zip(p.iter().zip(q)) {
                    *lane += term(*p, *q);
                }
            }
            lanes.iter().fold(rest, |sum: f32, lane| sum + lane)
        },
    )
}

impl CustomOp1 for TokenNll {
    fn name(&self) -> &'static str {
        "token nll"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = values(logits, layout, "token nll")?;
        let (rows, vocabulary) = layout.shape().dims2()?;
        if rows != self.targets.len() {
            candle_core::bail!("token nll: {rows} rows for {} targets", self.targets.len());
        }
        if let Some(target) = self.targets.iter().find(|target| **target as usize >= vocabulary) {
            candle_core::bail!("token nll: target {target} beyond {vocabulary} logits");
        }
        let nll: Vec<f32> = logits
            .par_chunks_exact(vocabulary)
            .zip(&self.targets)
            .map(|(row, target)| log_sum_exp(row) - row[*target as usize])
            .collect();
        Ok((CpuStorage::F32(nll), rows.into()))
    }

    fn bwd(&self, logits: &Tensor, _nll: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let (rows, vocabulary) = logits.dims2()?;
        let g = g.to_vec1::<f32>()?;
        let mut gradient = vec![0f32; rows * vocabulary];
        with_values(logits, "token nll", |logits| {
            gradient
                .par_chunks_exact_mut(vocabulary)
                .zip(logits.par_chunks_exact(vocabulary))
                .zip(self.targets.par_iter().zip(&g))
                .for_each(|((out, row), (target, g))| {
                    let shift = log_sum_exp(row);
                    vectorised(
                        #[inline(always)]
                        || out.iter_mut().zip(row).for_each(|(o, x)| *o = g * exp(x - shift)),
                    );
                    out[*target as usize] -= g;
                });
            Ok(())
        })?;
        Ok(Some(matrix(gradient, rows, vocabulary)?))
    }
}

#[cfg(test)]
mod tests {
    use super::divergence;

    #[test]
    fn divergence_of_hand_worked_rows() {
        // p = (1/2, 1/2), q = (1/4, 3/4): ½ ln 2 + ½ ln ⅔.
        let expected = 0.5 * 2f64.ln() + 0.5 * (2f64 / 3.).ln();
        let found = divergence(&[0., 0.], &[0., 3f32.ln()]);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        let row: Vec<f32> = (0..1031).map(|i| (i % 17) as f32 / 3.).collect();
        assert_eq!(divergence(&row, &row), 0.);
        let shifted: Vec<f32> = row.iter().map(|x| x + 2.).collect();
        assert!(divergence(&row, &shifted) < 1e-6, "a shift of all logits changes nothing");
    }
}
