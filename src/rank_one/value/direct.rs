//! The objective on the CPU: a frozen pass, and the gradient of the logits by hand.
//!
//! With p = softmax(logits) and e = 1 at the target, else 0: ∂NLL = p − e; ∂KL(p₀ ‖ p) = p − p₀; and,
//! as published, ∂KL(p ‖ p₀) = p (ln p − ln p₀ − KL).

use candle_core::Result;
use rayon::prelude::*;

use super::{Objective, StepLoss};
use crate::model::{Decoder, FrozenHead, FrozenPass};
use crate::ops::log_sum_exp;
use crate::ops::simd::{exp, vectorised};
use crate::ops::with_values;
use crate::plan::Settings;
use crate::rank_one::EditContexts;
use crate::rank_one::erase::descend_goals;

/// Buffers that stay from step to step.
pub(super) struct Direct<'a> {
    contexts: &'a EditContexts,
    settings: &'a Settings,
    pass: FrozenPass<'a>,
    head: FrozenHead<'a>,
    lookups: Vec<usize>,
    /// Log-probabilities of the essence prompt at δ = 0, `[vocabulary]`.
    initial: Vec<f32>,
}

impl<'a> Direct<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        contexts: &'a EditContexts,
        settings: &'a Settings,
    ) -> Result<Self> {
        let above = contexts.layer + 1..decoder.config().layers;
        let read = contexts.read_rows();
        Ok(Self {
            head: FrozenHead::new(decoder, read.len()),
            pass: FrozenPass::new(decoder, above, (&contexts.tail, read), Some(&contexts.cache))?,
            lookups: contexts.lookup_rows(),
            initial: Vec::new(),
            contexts,
            settings,
        })
    }
}

impl Objective for Direct<'_> {
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss> {
        let behind = with_values(&self.contexts.residual, "value", |residual| {
            self.pass.forward(|stream| {
                stream.copy_from_slice(residual);
                for row in &self.lookups {
                    let row = &mut stream[row * delta.len()..][..delta.len()];
                    row.iter_mut().zip(delta).for_each(|(h, delta)| *h += delta);
                }
            })
        })?;
        let logits = self.head.forward(behind)?;
        let targets = &self.contexts.targets;
        let (predicting, essence) =
            logits.split_at_mut(logits.len() / (targets.len() + 1) * targets.len());
        let nll = match self.contexts.goals.as_slice() {
            [] => descend_nll(predicting, targets),
            goals => descend_goals(predicting, targets, goals),
        };
        if self.initial.is_empty() {
            let shift = log_sum_exp(essence);
            self.initial = essence.iter().map(|logit| logit - shift).collect();
        }
        let weight = self.settings.kl_weight;
        let kl = match self.settings.parity {
            true => descend_published_kl(essence, &self.initial, weight),
            false => descend_kl(essence, &self.initial, weight),
        };
        Ok(StepLoss { loss: nll + kl, nll, kl, decay: 0. })
    }

    fn gradient(&mut self) -> Result<Vec<f32>> {
        let gradient = self.pass.backward(|behind| self.head.backward(behind))?;
        let width = gradient.len() / self.contexts.tail.rows();
        let mut sum = vec![0f32; width];
        for row in &self.lookups {
            let row = &gradient[row * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
        }
        Ok(sum)
    }
}

/// The mean NLL of one target a row; the logits become its gradient.
fn descend_nll(logits: &mut [f32], targets: &[u32]) -> f64 {
    let slope = 1. / targets.len() as f32;
    let rows = logits.par_chunks_exact_mut(logits.len() / targets.len()).zip(targets);
    let nll: Vec<f64> = rows
        .map(|(row, target)| {
            let shift = log_sum_exp(row);
            let nll = shift - row[*target as usize];
            to_probabilities(row, shift, slope);
            row[*target as usize] -= slope;
            f64::from(nll)
        })
        .collect();
    nll.iter().sum::<f64>() / targets.len() as f64
}

/// weight · KL(initial ‖ new); the logits become its gradient.
fn descend_kl(logits: &mut [f32], initial: &[f32], weight: f64) -> f64 {
    let shift = log_sum_exp(logits);
    let mut kl = 0.;
    for (logit, initial) in logits.iter_mut().zip(initial) {
        let (new, p) = (*logit - shift, exp(*initial));
        kl += f64::from(p * (initial - new));
        *logit = weight as f32 * (exp(new) - p);
    }
    weight * kl
}

/// weight · KL(new ‖ initial); the logits become its gradient.
fn descend_published_kl(logits: &mut [f32], initial: &[f32], weight: f64) -> f64 {
    let shift = log_sum_exp(logits);
    let term =
        |(logit, initial): (&f32, &f32)| f64::from(exp(logit - shift) * (logit - shift - initial));
    let kl: f64 = logits.iter().zip(initial).map(term).sum();
    for (logit, initial) in logits.iter_mut().zip(initial) {
        let new = *logit - shift;
        *logit = weight as f32 * exp(new) * (new - initial - kl as f32);
    }
    weight * kl
}

/// scale · exp(x − shift), in place.
fn to_probabilities(row: &mut [f32], shift: f32, scale: f32) {
    vectorised(
        #[inline(always)]
        || row.iter_mut().for_each(|x| *x = scale * exp(*x - shift)),
    );
}
