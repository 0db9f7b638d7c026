//! What the checks of an audit found, check by check.

use serde::Serialize;

use super::attacks::{StepsToRelearn, steps_to_relearn};
use super::check::Check;
use super::depth::LayerLens;
use super::facts_relearnt::FactsRelearnt;
use super::forms::Form;
use super::guided::Guided;
use super::integrity::Integrity;
use super::membership::Membership;
use super::recall::FormRecall;
use super::sampled::Sampled;
use super::strata::{Stratum, StratumKind};
use super::truth::TruthRatio;
use crate::probe::SecretLeak;
use crate::run::{Outcome, QuantisedMemory, Relearning};

/// What was found, as far as it was looked for.
#[derive(Default, Serialize)]
pub struct Findings {
    /// What the files are.
    pub integrity: Option<Integrity>,
    /// Recall of the passages, form by form, as they stand first.
    pub recall: Vec<FormRecall>,
    /// Truth ratios of words that were left out.
    pub truth: Option<TruthRatio>,
    /// Recital by the base, guided by the edited model.
    pub guided: Option<Guided>,
    /// Membership inference by each score.
    pub membership: Vec<Membership>,
    /// Named secrets, with what attacks brought back.
    pub secrets: Vec<SecretLeak>,
    /// Whether they were asked for.
    pub asked_secrets: bool,
    /// The logit lens, layer by layer.
    pub depth: Vec<LayerLens>,
    /// Damage by stratum.
    pub strata: Vec<Stratum>,
    /// Facts inserted and erased.
    pub facts: Option<Outcome>,
    /// Recall after rounding.
    pub quantised: Vec<QuantisedMemory>,
    /// The best of sampled continuations.
    pub sampled: Option<Sampled>,
    /// Relearning with all weights.
    pub relearned: Option<Relearning>,
    /// Relearning with low-rank changes.
    pub low_rank: Option<Relearning>,
    /// Erased facts, each learnt again from one mention.
    pub facts_relearnt: Option<FactsRelearnt>,
}

/// A check that was run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Done {
    /// The check.
    pub check: Check,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// A check that was not run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotRun {
    /// The check.
    pub check: Check,
    /// Why not, in words.
    pub reason: String,
}

impl Findings {
    /// The passages as they stand.
    pub fn verbatim(&self) -> Option<&FormRecall> {
        self.recall.iter().find(|found| found.form == Form::Verbatim)
    }

    /// Damage on one kind of text.
    pub fn stratum(&self, kind: StratumKind) -> Option<&Stratum> {
        self.strata.iter().find(|stratum| stratum.kind == kind)
    }

    /// Both lessons that were given, with their names.
    pub fn lessons(&self) -> impl Iterator<Item = (Check, &Relearning)> {
        let full = self.relearned.iter().map(|it| (Check::Relearned, it));
        full.chain(self.low_rank.iter().map(|it| (Check::LowRank, it)))
    }

    /// Steps to relearn with all weights.
    pub fn steps(&self) -> Option<StepsToRelearn> {
        steps_to_relearn(self.relearned.as_ref()?)
    }
}
