//! General text in a training: kept where it was, within a budget of drift.
//!
//! A step descends on γ · passages + α · retain + λ · KL(start ‖ now) of a few sequences that the
//! training is not about. λ is the multiplier of the constraint KL ≤ budget, as in constrained
//! optimisation: it grows in proportion while the KL of other general text is above a share of the budget,
//! and falls back to its least while it is below. That text is what the budget is kept on, and no step
//! draws it. A step overshoots on the few sequences that it draws: their own KL is then about three times
//! that of text which no step draws, and says nothing about it.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::example::Example;
use super::head::{in_logits, references};
use super::schedule::Order;
use crate::model::Decoder;
use crate::objective::{Reference, TokenLoss};

/// Sequences that no change is about.
#[derive(Debug, Clone, Default)]
pub struct GeneralText {
    /// Sequences that steps draw from.
    pub trained: Vec<Example>,
    /// Sequences that no step draws: the budget is kept on them.
    pub checked: Vec<Example>,
}

/// Tokens kept of each distribution of the start model.
const KEPT: usize = 64;
/// Share of the budget that the steps aim at, so that most of the change survives the check.
const AIM: f64 = 0.7;
/// Largest change of ln λ at a measurement.
const RESPONSE: f64 = 0.5;
/// Largest λ, relative to the least: with more, the steps would do nothing but return.
const GROWTH: f64 = 4.;

/// What the draws of general text leave from step to step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Steering {
    order: Order,
    /// Least λ.
    least: f64,
    /// λ.
    weight: f64,
    /// Drift when it was last measured, nats a token.
    drift: f64,
}

impl Steering {
    pub(super) fn new(sequences: usize, least: f64, seed: u64) -> Self {
        Self { order: Order::new(sequences, seed), least, weight: least, drift: 0. }
    }

    pub(super) fn draw(&mut self, count: usize) -> Vec<usize> {
        self.order.take(count)
    }

    pub(super) fn weight(&self) -> f64 {
        self.weight
    }

    pub(super) fn drift(&self) -> f64 {
        self.drift
    }

    /// Takes note of the drift, measured after some steps; λ follows.
    pub(super) fn observe(&mut self, drift: f64, budget: f64) {
        self.drift = drift;
        let excess = (drift.max(f64::MIN_POSITIVE) / (AIM * budget)).ln();
        let change = RESPONSE * excess.clamp(-1., 1.);
        self.weight = (self.weight * change.exp()).clamp(self.least, GROWTH * self.least);
    }
}

/// General text and the model whose predictions are held on it.
pub(super) struct Kept<'a> {
    start: &'a Decoder,
    sequences: &'a [Example],
}

impl<'a> Kept<'a> {
    pub(super) fn new(start: &'a Decoder, sequences: &'a [Example]) -> Self {
        Self { start, sequences }
    }

    /// The sequences at these places, each with `weight` over their number. What the start model says of
    /// them is not kept: hardly one is drawn twice.
    pub(super) fn examples(
        &self,
        drawn: &[usize],
        weight: f64,
    ) -> Result<Vec<Example>, TrainError> {
        let scale = (weight / drawn.len().max(1) as f64) as f32;
        let mut examples: Vec<Example> =
            drawn.iter().map(|place| Example { scale, ..self.sequences[*place].clone() }).collect();
        let found = references(self.start, &examples, KEPT)?;
        for (example, reference) in examples.iter_mut().zip(found) {
            example.loss = TokenLoss::Divergence(Arc::new(reference));
        }
        Ok(examples)
    }
}

/// Text on which the drift of a changed decoder is measured again and again.
pub(super) struct Drift<'a> {
    sequences: &'a [Example],
    references: Vec<Reference>,
}

impl<'a> Drift<'a> {
    pub(super) fn new(start: &Decoder, sequences: &'a [Example]) -> Result<Self, TrainError> {
        /// So many outcomes of each distribution that the rest hardly counts.
        const CHECKED: usize = 512;
        Ok(Self { sequences, references: references(start, sequences, CHECKED)? })
    }

    /// Mean KL(start ‖ now), nats a token.
    pub(super) fn of(&self, decoder: &Decoder) -> Result<f64, TrainError> {
        let (mut sum, mut count, mut at) = (0., 0, 0);
        in_logits(decoder, self.sequences, |example, logits, vocabulary| {
            let reference = &self.references[at];
            at += 1;
            count += example.targets();
            for (target, row) in logits.chunks_exact(vocabulary).enumerate() {
                sum += reference.divergence(target, row);
            }
        })?;
        Ok(sum / count as f64)
    }
}

/// Takes out the sequences that tell of the passages: those with a short run of tokens that stands
/// in a passage, and neither in retained nor in held-out text, as a name does. Runs are as short
/// as leave half of the sequences.
pub fn without_mentions(
    sequences: &mut Vec<Example>,
    passages: &[Example],
    others: [&[Example]; 2],
) {
    const RUNS: [usize; 4] = [3, 4, 6, 8];
    for run in RUNS {
        let windows = |set: &[Example]| -> HashSet<Vec<u32>> {
            set.iter().flat_map(|it| it.ids.windows(run).map(<[u32]>::to_vec)).collect()
        };
        let known: HashSet<Vec<u32>> = others.into_iter().flat_map(windows).collect();
        let told: HashSet<Vec<u32>> = windows(passages).difference(&known).cloned().collect();
        let tells = |it: &Example| it.ids.windows(run).any(|window| told.contains(window));
        let kept: Vec<bool> = sequences.iter().map(|it| !tells(it)).collect();
        let count = kept.iter().filter(|kept| **kept).count();
        if 2 * count >= sequences.len() || run == RUNS[RUNS.len() - 1] {
            let mut kept = kept.into_iter();
            sequences.retain(|_| kept.next().unwrap_or(false));
            return;
        }
    }
}

/// Takes out the sequences that repeat a run of the passages: to hold them would be to hold what is
/// to be forgotten.
pub fn without_runs_of(sequences: &mut Vec<Example>, passages: &[Example]) {
    /// Tokens in a row that texts on other things hardly share.
    const RUN: usize = 8;
    let runs: HashSet<&[u32]> = passages.iter().flat_map(|it| it.ids.windows(RUN)).collect();
    sequences.retain(|it| !it.ids.windows(RUN).any(|run| runs.contains(run)));
}
