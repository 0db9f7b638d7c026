//! An erased answer that the residual stream shows on the way: the logit lens as a loss.
//!
//! With p the distribution that the decoder's norm and head read from the stream after a layer, o
//! the erased token and q(o) its share for other subjects, read in the same way, the loss of a row
//! is max(0, ln p(o) − ln q(o)), as in [`answer`](super::answer) without its margin: what is gone from the
//! last layer alone can be read off the ones before it. The rows' mean is weighted. Its gradient
//! with respect to the logits of a row in excess is 1\[o\] − p.

use candle_core::{D, Result, Tensor};

use super::answer::UNSEEN;
use crate::ops::log_sum_exp;

/// A row of a residual stream, and what it should not show.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LensRow {
    /// The layer after which the stream is read.
    pub(crate) layer: usize,
    /// The place of the row's target among all targets.
    pub(crate) target: usize,
    /// The erased token o.
    token: u32,
    /// ln q(o), or of a share too small to be found.
    ceiling: f32,
}

impl LensRow {
    /// The row of `target` after `layer`, where other subjects give `token` this share.
    pub(crate) fn new(layer: usize, target: usize, token: u32, share: f32) -> Self {
        Self { layer, target, token, ceiling: share.max(UNSEEN).ln() }
    }
}

/// The rows that are read on the way, layer by layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lens {
    weight: f64,
    rows: Vec<LensRow>,
}

impl Lens {
    /// Reads `rows`, whose mean excess counts `weight` times.
    pub(crate) fn new(weight: f64, mut rows: Vec<LensRow>) -> Self {
        rows.sort_by_key(|row| row.layer);
        Self { weight, rows }
    }

    /// The rows, in the order of their layers.
    pub(crate) fn rows(&self) -> &[LensRow] {
        &self.rows
    }

    /// The layers that are read, ascending.
    pub(crate) fn layers(&self) -> Vec<usize> {
        let mut layers: Vec<usize> = self.rows.iter().map(|row| row.layer).collect();
        layers.dedup();
        layers
    }

    /// The loss of the rows' logits [rows, vocabulary], which become its gradient.
    pub(crate) fn descend(&self, logits: &mut [f32]) -> f64 {
        let count = self.rows.len().max(1);
        let share = (self.weight / count as f64) as f32;
        let width = logits.len() / count;
        let mut sum = 0.;
        for (row, read) in logits.chunks_exact_mut(width.max(1)).zip(&self.rows) {
            let shift = log_sum_exp(row);
            let own = read.token as usize;
            let excess = row[own] - shift - read.ceiling;
            if excess <= 0. {
                row.fill(0.);
                continue;
            }
            sum += f64::from(excess);
            row.iter_mut().for_each(|logit| *logit = -share * (*logit - shift).exp());
            row[own] += share;
        }
        f64::from(share) * sum
    }

    /// The loss for logits [rows, vocabulary] whose gradient candle finds.
    pub(crate) fn compose(&self, logits: &Tensor) -> Result<Tensor> {
        let log_p = candle_nn::ops::log_softmax(logits, D::Minus1)?;
        let tokens: Vec<u32> = self.rows.iter().map(|row| row.token).collect();
        let tokens = Tensor::new(tokens, logits.device())?.unsqueeze(1)?;
        let ceilings: Vec<f32> = self.rows.iter().map(|row| row.ceiling).collect();
        let own = log_p.gather(&tokens, 1)?.squeeze(1)?;
        let excess = (own - Tensor::new(ceilings, logits.device())?)?.relu()?;
        excess.mean_all()? * self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_excess_costs_and_its_gradient_is_that_of_candle() -> Result<()> {
        let rows = vec![
            LensRow::new(7, 0, 2, 0.9),
            LensRow::new(3, 1, 0, 0.01),
            LensRow::new(5, 0, 4, 0.),
        ];
        let lens = Lens::new(0.6, rows);
        assert_eq!(lens.layers(), [3, 5, 7]);
        let values: Vec<f32> = (0..15).map(|i| (f64::from(i) * 1.3).sin() as f32).collect();
        let logits = Tensor::from_vec(values.clone(), (3, 5), &candle_core::Device::Cpu)?;
        let logits = candle_core::Var::from_tensor(&logits)?;
        let loss = lens.compose(&logits)?;
        let expected = loss.backward()?.get(&logits).expect("tracked").flatten_all()?;
        let mut found = values.clone();
        let own = lens.descend(&mut found);
        // Sums of five f32 numbers.
        assert!((own - f64::from(loss.to_scalar::<f32>()?)).abs() < 1e-6, "{own} {loss}");
        for (found, expected) in found.iter().zip(expected.to_vec1::<f32>()?) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        // By the formula: the excess over 1 %, over 1e-4, and none over 90 %.
        let p = |row: usize, token: usize| {
            let row: Vec<f64> = values[5 * row..][..5].iter().map(|x| f64::from(*x)).collect();
            row[token].exp() / row.iter().map(|x| x.exp()).sum::<f64>()
        };
        let naive = 0.2 * ((p(0, 0) / 0.01).ln() + (p(1, 4) / 1e-4).ln());
        assert!((own - naive).abs() < 1e-5 && p(2, 2) < 0.9, "{own} {naive}");
        assert!(found[10..].iter().all(|slope| *slope == 0.), "no excess, no slope");
        Ok(())
    }
}
