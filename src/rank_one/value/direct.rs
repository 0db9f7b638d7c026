//! The objective on the CPU: a frozen pass, and the gradient of the logits by hand.
//!
//! With p = softmax(logits): ∂NLL(target) = p − 1[target]; ∂KL(p₀ ‖ p) = p − p₀; and, as published,
//! ∂KL(p ‖ p₀) = p (ln p − ln p₀ − KL).

use candle_core::Result;
use rayon::prelude::*;

use super::{Objective, StepLoss};
use crate::model::{Decoder, FrozenHead, FrozenPass};
use crate::ops::log_sum_exp;
use crate::ops::simd::{exp, vectorised};
use crate::ops::with_values;
use crate::rank_one::{EditContexts, Settings};

/// Buffers that stay from step to step.
pub(super) struct Direct<'a> {
    contexts: &'a EditContexts,
    settings: &'a Settings,
    pass: FrozenPass<'a>,
    head: FrozenHead<'a>,
    /// Lookup tokens and the share of δ that each gets.
    lookups: Vec<(usize, f32)>,
    /// The residual stream, then its gradient, [tail rows, hidden].
    stream: Vec<f32>,
    /// Rows that are read.
    rows: usize,
    /// Log-probabilities at δ = 0 of what must stay, [kept rows, vocabulary].
    initial: Vec<f32>,
}

impl<'a> Direct<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        contexts: &'a EditContexts,
        settings: &'a Settings,
    ) -> Result<Self> {
        let above = contexts.layer + 1..decoder.config().layers;
        Ok(Self {
            pass: FrozenPass::new(decoder, above, &contexts.tail, Some(&contexts.cache))?,
            rows: contexts.read_rows(settings.parity).len(),
            head: FrozenHead::new(decoder, contexts.read_rows(settings.parity)),
            lookups: contexts.lookup_rows().into_iter().zip(contexts.shares()).collect(),
            stream: vec![0.; contexts.tail.rows() * decoder.config().hidden],
            initial: Vec::new(),
            contexts,
            settings,
        })
    }
}

impl Objective for Direct<'_> {
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss> {
        with_values(&self.contexts.residual, "value", |start| {
            self.stream.copy_from_slice(start);
            Ok(())
        })?;
        for (row, share) in &self.lookups {
            let row = &mut self.stream[row * delta.len()..][..delta.len()];
            row.iter_mut().zip(delta).for_each(|(h, delta)| *h += share * delta);
        }
        self.pass.forward(&mut self.stream)?;
        let logits = self.head.forward(&self.stream)?;
        let targets = &self.contexts.targets;
        let vocabulary = logits.len() / self.rows;
        let (predicting, kept) = logits.split_at_mut(vocabulary * targets.len());
        let nll = descend_nll(predicting, targets);
        if self.initial.is_empty() {
            for row in kept.chunks_exact(vocabulary) {
                let shift = log_sum_exp(row);
                self.initial.extend(row.iter().map(|logit| logit - shift));
            }
        }
        let neighbors = self.contexts.neighbor_rows.len() as f64;
        let weights = std::iter::once(self.settings.kl_weight)
            .chain(std::iter::repeat(self.settings.neighbor_weight / neighbors));
        let parity = self.settings.parity;
        let rows = kept.chunks_exact_mut(vocabulary).zip(self.initial.chunks_exact(vocabulary));
        let terms: Vec<f64> = rows
            .zip(weights)
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|((row, initial), weight)| match parity {
                true => descend_published_kl(row, initial, weight),
                false => descend_kl(row, initial, weight),
            })
            .collect();
        let kl = terms.iter().sum::<f64>();
        Ok(StepLoss { loss: nll + kl, nll, kl, decay: 0. })
    }

    fn gradient(&mut self) -> Result<Vec<f32>> {
        self.head.backward(&mut self.stream)?;
        self.pass.backward(&mut self.stream)?;
        let width = self.stream.len() / self.contexts.tail.rows();
        let mut sum = vec![0f32; width];
        for (row, share) in &self.lookups {
            let row = &self.stream[row * width..][..width];
            sum.iter_mut().zip(row).for_each(|(sum, g)| *sum += share * g);
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
