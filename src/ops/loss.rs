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
