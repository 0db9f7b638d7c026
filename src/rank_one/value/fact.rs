//! The loss of a fact at the rows that its contexts read, by hand and by candle.

use candle_core::{Result, Tensor};

use super::StepLoss;
use crate::objective::answer::{self, compose_goals, descend_goals};
use crate::objective::drift::Drift;
use crate::objective::{Objective, Readout, TokenLoss, end};
use crate::ops::token_nll;
use crate::plan::Settings;
use crate::rank_one::EditContexts;

/// The objective of a fact: its targets, their ends and the essence prompt.
pub(super) struct FactObjective<'a> {
    contexts: &'a EditContexts,
    end_weight: f64,
    essence: Drift,
}

impl<'a> FactObjective<'a> {
    pub(super) fn new(contexts: &'a EditContexts, settings: &Settings) -> Self {
        let essence = Drift::new(settings.kl_weight, settings.parity);
        Self { contexts, end_weight: settings.end_weight, essence }
    }

    /// λ_end times how well the targets are said.
    fn weight_of_end(&self, nll: f64) -> f64 {
        self.end_weight * (-nll).exp()
    }

    /// The loss of logits [rows, vocabulary] whose gradient candle computes, and its parts.
    pub(super) fn compose(&self, logits: &Tensor) -> Result<(Tensor, StepLoss)> {
        let contexts = self.contexts;
        let (targets, ends) = (contexts.targets.len(), contexts.end_rows.len());
        let facts = logits.narrow(0, 0, targets)?;
        let nll = token_nll(&facts, &contexts.targets)?;
        let nll = match contexts.goals.as_slice() {
            [] => nll.mean_all()?,
            goals => compose_goals(&facts, &nll, goals)?,
        };
        let kl = self.essence.compose(&logits.narrow(0, targets + ends, 1)?)?;
        let mut loss = (&nll + &kl)?;
        let number = |scalar: &Tensor| scalar.to_scalar::<f32>().map(f64::from);
        let mut parts = StepLoss { nll: number(&nll)?, kl: number(&kl)?, ..StepLoss::default() };
        if let Some(ids) = contexts.ends.as_deref().filter(|_| ends > 0) {
            let rows = logits.narrow(0, targets, ends)?;
            let end = end::compose(&rows, ids, self.weight_of_end(parts.nll))?;
            (loss, parts.end) = ((loss + &end)?, number(&end)?);
        }
        parts.loss = number(&loss)?;
        Ok((loss, parts))
    }
}

impl Objective for FactObjective<'_> {
    type Loss = StepLoss;

    fn readout(&self) -> Readout {
        Readout::Logits(self.contexts.read_rows())
    }

    fn descend(&self, rows: &mut [f32]) -> StepLoss {
        let contexts = self.contexts;
        let (targets, ends) = (&contexts.targets, contexts.end_rows.len());
        let width = rows.len() / (targets.len() + ends + 1);
        let (facts, rest) = rows.split_at_mut(width * targets.len());
        let (ending, essence) = rest.split_at_mut(width * ends);
        let nll = match contexts.goals.as_slice() {
            [] => TokenLoss::Mean.descend(targets, facts, 1.).loss,
            goals => descend_goals(facts, targets, goals),
        };
        let kl = self.essence.descend(essence);
        let weight = self.weight_of_end(nll);
        let end = contexts.ends.as_deref();
        let end = end.map_or(0., |ids| end::descend(ending, ends, ids, weight));
        StepLoss { loss: nll + kl + end, nll, kl, end, ..StepLoss::default() }
    }
}

impl EditContexts {
    /// The loss at which the optimisation ends, where an insert ends at `stop`.
    pub(super) fn stop_loss(&self, stop: f64) -> f64 {
        if answer::erases(&self.goals) { answer::STOP * stop } else { stop }
    }
}
