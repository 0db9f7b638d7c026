//! The divergence of one row of logits from its first value, which keeps a prompt as it was.
//!
//! With p₀ the first distribution and p the current one: ∂KL(p₀ ‖ p) = p − p₀; and, as published,
//! ∂KL(p ‖ p₀) = p (ln p − ln p₀ − KL).

use std::cell::OnceCell;

use candle_core::{D, Result, Tensor};

use crate::ops::log_sum_exp;
use crate::ops::simd::exp;

/// A row whose distribution should not move.
pub(crate) struct Drift {
    weight: f64,
    /// The direction KL(now ‖ first) as published, instead of KL(first ‖ now).
    is_published: bool,
    /// Log-probabilities of the first evaluation, `[vocabulary]`.
    initial: OnceCell<Vec<f32>>,
}

impl Drift {
    /// Starts from whatever the first evaluation finds.
    pub(crate) fn new(weight: f64, is_published: bool) -> Self {
        Self { weight, is_published, initial: OnceCell::new() }
    }

    /// The loss weight · KL; the logits become its gradient.
    pub(crate) fn descend(&self, logits: &mut [f32]) -> f64 {
        let shift = log_sum_exp(logits);
        let initial =
            self.initial.get_or_init(|| logits.iter().map(|logit| logit - shift).collect());
        match self.is_published {
            true => descend_published(logits, initial, shift, self.weight),
            false => descend(logits, initial, shift, self.weight),
        }
    }

    /// The loss weight · KL for logits [1, vocabulary] whose gradient candle computes.
    pub(crate) fn compose(&self, logits: &Tensor) -> Result<Tensor> {
        let new = candle_nn::ops::log_softmax(logits, D::Minus1)?;
        let initial = match self.initial.get() {
            Some(initial) => initial,
            None => {
                let first = new.flatten_all()?.to_vec1()?;
                self.initial.get_or_init(|| first)
            }
        };
        let initial = Tensor::new(&initial[..], logits.device())?.unsqueeze(0)?;
        let difference = (&new - &initial)?;
        let divergence = match self.is_published {
            true => (new.exp()? * difference)?.sum_all()?,
            false => (initial.exp()? * difference)?.sum_all()?.neg()?,
        };
        divergence * self.weight
    }
}

fn descend(logits: &mut [f32], initial: &[f32], shift: f32, weight: f64) -> f64 {
    let mut kl = 0.;
    for (logit, initial) in logits.iter_mut().zip(initial) {
        let (new, p) = (*logit - shift, exp(*initial));
        kl += f64::from(p * (initial - new));
        *logit = weight as f32 * (exp(new) - p);
    }
    weight * kl
}

fn descend_published(logits: &mut [f32], initial: &[f32], shift: f32, weight: f64) -> f64 {
    let term =
        |(logit, initial): (&f32, &f32)| f64::from(exp(logit - shift) * (logit - shift - initial));
    let kl: f64 = logits.iter().zip(initial).map(term).sum();
    for (logit, initial) in logits.iter_mut().zip(initial) {
        let new = *logit - shift;
        *logit = weight as f32 * exp(new) * (new - initial - kl as f32);
    }
    weight * kl
}
