//! The outcome of a run: every measurement, the verdict, and the change itself.

mod fact;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use serde_json::{Value, json};

use super::Grouping;
use super::attack::Attack;
use super::bleed::Bleed;
use super::earlier::EarlierFacts;
use super::job::Job;
use super::layer_norms::LayerNorm;
use super::left_out::left_out;
use super::plan::Plan;
use super::price::{Price, PriceAgreement};
use super::train::{OwnWordsOutcome, ReferenceOutcome, SetsMemory, TrainingOutcome};
use crate::checkpoint::Rounding;
use crate::delta::{Keys, WeightDelta};
use crate::model::{Decoder, Model};
use crate::patch::{BaseHashes, LEFT_OUT, Patch, PatchError, Recipe};
use crate::probe::{
    Background, Completion, Damage, Drift, Leak, Measured, ProbeScores, Said, SaidShares,
    SecretLeak,
};
use crate::spec::{LeftOut, Method, PassageVerb};
use crate::verdict::Verdict;

pub use fact::FactOutcome;

/// Everything that a run measured and changed.
#[derive(Default, Serialize)]
pub struct Outcome {
    /// Display name of the base model.
    pub model: String,
    /// Summary of how facts were written, where there were any.
    pub write: Option<WriteSummary>,
    /// The cases: one for each record, or one for all of a spec.
    pub cases: Vec<CaseOutcome>,
    /// The outcome of each group of facts.
    pub groups: Vec<GroupOutcome>,
    /// The outcome of each training.
    pub trainings: Vec<TrainingOutcome>,
    /// The information recoverable about each erased fact.
    pub leaks: Vec<Leak>,
    /// The information recoverable about each secret.
    pub secrets: Vec<SecretLeak>,
    /// What an attack on the forgotten passages brought back, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attack>,
    /// Damage to general text that no edit is about.
    pub damage: Option<Damage>,
    /// The price that statistics predicted for the change: its drift, to second order. Of isolated
    /// groups, their mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How well the prices of the groups' models and their measured drifts agree, where there are
    /// many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_agreement: Option<PriceAgreement>,
    /// Drift on the probe file's `[[retain]]` texts.
    pub retain: Option<Drift>,
    /// What is remembered of the passages of a spec, where nothing was trained.
    pub passages: Vec<PassageMeasures>,
    /// The probe file's `[[forget]]` and `[[holdout]]` texts.
    pub texts: Option<PassageMeasures>,
    /// Free continuations of the probe file's `[[generation]]` prompts.
    pub completions: Vec<Completion>,
    /// The scores without the facts that only follow from others, where such were written.
    pub without_ripples: Option<ProbeScores>,
    /// Fluency of text that the base generates; only for sequences.
    pub fluency_before: Option<f64>,
    /// The collapse of the model in a sequence, if there was one.
    pub collapse: Option<Collapse>,
    /// The part of the change lost by storing it in the base's number type, where that was
    /// measured.
    pub rounding: Option<Rounding>,
    /// Records of the file that could not be used and were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Whether the facts of the patches that the run started from still hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierFacts>,
    /// How alike other subjects' keys are, and what became of their answers; of one case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bleed: Vec<Bleed>,
    /// How much each layer changed, where one model holds the whole change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_norms: Vec<LayerNorm>,
    /// The verdict; nothing where one model was only measured.
    pub verdict: Option<Verdict>,
    /// The change, where one model holds all of it.
    #[serde(skip)]
    pub change: Option<ModelChange>,
}

/// Summary of how facts were written.
#[derive(Debug, Clone, Serialize)]
pub struct WriteSummary {
    /// Member of the rank-one family.
    pub method: Method,
    /// The layers that were written.
    pub layers: Vec<usize>,
    /// The λ of least squares, relative to the keys' own scale.
    pub lambda: f64,
    /// Which facts share a model.
    pub grouping: Grouping,
    /// The target that erased facts were moved toward, where it is the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toward: Option<String>,
    /// Median wall-clock seconds of a fact, without planning, second moments and measuring.
    pub seconds_per_fact: f64,
    /// Facts whose value came from the cache.
    pub values_from_cache: usize,
}

/// A change of weights and the model that has it.
pub struct ModelChange {
    /// The change added to each tensor.
    pub delta: WeightDelta,
    /// The keys that facts were written under; none where a training moved them afterwards.
    pub keys: Keys,
    /// The changed model.
    pub decoder: Decoder,
}

/// A record, or all facts of a spec.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseOutcome {
    /// The record's number, or the spec's name.
    pub id: String,
    /// The range of its facts in the plan.
    pub facts: Range<usize>,
    /// Measurements of the base.
    pub before: CaseMeasures,
    /// Measurements right after its own group was written, where later groups followed.
    pub right_after: Option<CaseMeasures>,
    /// Measurements of the last model; nothing where only one was measured.
    pub after: Option<CaseMeasures>,
}

/// Measurements of one model at the prompts of a case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CaseMeasures {
    /// Teacher-forced: the two targets of each prompt compared.
    pub scores: Measured,
    /// Decoded freely: facts that should be said.
    pub said: Vec<Said>,
    /// Decoded freely: erased answers, which should no longer be said.
    pub erased: Vec<Said>,
    /// Other subjects under the same prompts; nothing for the base.
    pub background: Option<Background>,
}

/// What is remembered of the passages that should be learnt, or of those that should be forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct PassageMeasures {
    /// Which of the two.
    pub verb: PassageVerb,
    /// Of the base.
    pub before: SetsMemory,
    /// Of the edited model, where there is one.
    pub after: Option<SetsMemory>,
    /// What models that never saw the passages say of them.
    pub references: Vec<ReferenceOutcome>,
    /// NLL of what was never seen: that of the references or of the hold-out.
    pub goal: Option<f64>,
    /// What became of what the base said of the subjects in its own words; nothing where it said nothing, or
    /// one model alone was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_words: Option<OwnWordsOutcome>,
}

/// What is remembered of passages, by whatever it was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remembered<'a> {
    pub(crate) verb: PassageVerb,
    /// They are the texts of a probe file.
    pub(crate) is_texts: bool,
    pub(crate) before: &'a SetsMemory,
    pub(crate) after: Option<&'a SetsMemory>,
    pub(crate) references: &'a [ReferenceOutcome],
    pub(crate) goal: Option<f64>,
    pub(crate) own_words: Option<OwnWordsOutcome>,
    /// The training that changed it, where this run trained.
    pub(crate) training: Option<&'a TrainingOutcome>,
}

impl<'a> From<&'a PassageMeasures> for Remembered<'a> {
    fn from(found: &'a PassageMeasures) -> Self {
        Self {
            verb: found.verb,
            is_texts: false,
            before: &found.before,
            after: found.after.as_ref(),
            references: &found.references,
            goal: found.goal,
            own_words: found.own_words,
            training: None,
        }
    }
}

impl<'a> From<&'a TrainingOutcome> for Remembered<'a> {
    fn from(training: &'a TrainingOutcome) -> Self {
        Self {
            verb: training.settings.verb,
            is_texts: false,
            before: &training.before,
            after: Some(&training.after),
            references: &training.references,
            goal: training.goal,
            own_words: training.own_words,
            training: Some(training),
        }
    }
}

impl Remembered<'_> {
    /// What the rows of its passages begin with.
    pub(crate) fn name(&self) -> &'static str {
        match self.verb {
            PassageVerb::Learn => "learn",
            PassageVerb::Forget => "forget",
        }
    }
}

/// The outcome of one group of facts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// The outcome of each fact.
    pub facts: Vec<FactOutcome>,
    /// The relative norm ‖ΔW‖/‖W‖, layer by layer.
    pub relative_norms: Vec<f64>,
    /// Mean share of the distance to its target that each fact's residual stream covered; of
    /// batches.
    pub reached: Option<f64>,
    /// Damage to general text in this group's model; of sequences and isolated groups.
    pub damage: Option<Damage>,
    /// The predicted price of all changes of this group's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Fluency of generated text: n-gram entropy in bits; of sequences.
    pub fluency: Option<f64>,
    /// Wall-clock seconds of values, keys and solves.
    pub seconds: f64,
}

/// The collapse of a model in a sequence of groups.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Collapse {
    /// The group after which the collapse was noticed, from 1.
    pub seen: usize,
    /// The group since which perplexity never recovered, from 1.
    pub began: usize,
    /// Perplexity on general text as a multiple of the base's.
    pub factor: f64,
}

impl fmt::Display for Collapse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, began, factor } = self;
        write!(
            f,
            "stopped after batch {seen}: perplexity on general text is {factor:.1} times what it \
             was; it began with batch {began}"
        )
    }
}

impl Collapse {
    /// A collapse at the last of these perplexities, each a multiple of the base's, if it is above
    /// `limit`.
    ///
    /// It began with the first group of the last run of factors above √limit.
    pub(super) fn of(factors: &[f64], limit: f64) -> Option<Self> {
        let last = *factors.last()?;
        // A perplexity that is NaN counts as a collapse.
        if last <= limit {
            return None;
        }
        let healthy = factors.iter().rposition(|factor| *factor <= limit.sqrt());
        let began = healthy.map_or(1, |at| at + 2).min(factors.len());
        Some(Self { seen: factors.len(), began, factor: last })
    }
}

impl Outcome {
    /// The patch of the change; `job` and `plan` are those that it was made for.
    ///
    /// Nothing where no single model holds the change.
    pub fn patch(
        &self,
        model: &Model,
        job: &Job,
        plan: &Plan,
    ) -> Result<Option<Patch>, PatchError> {
        let Some(change) = &self.change else { return Ok(None) };
        let names = change.delta.changes.keys().map(String::as_str);
        let mut recorded = json!(plan);
        let is_written = self.facts().map(|fact| fact.unwritten.is_none());
        if let Some(places) = left_out(&job.source, plan.edits(), is_written) {
            recorded[LEFT_OUT] = places;
        }
        let recipe = Recipe {
            schema: crate::patch::SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            spec: job.source.clone(),
            is_redacted: false,
            plan: recorded,
            model: self.model.clone(),
            base: BaseHashes::measure(&model.weights, names)?,
            seed: plan.seed(),
            metrics: self.metrics(),
            earlier: job.start.history.earlier.clone(),
            from: job.start.history.from.clone(),
        };
        let (delta, keys) = (change.delta.clone(), change.keys.clone());
        Ok(Some(Patch { delta, keys, recipe }))
    }

    /// The measurements that are stored in a patch: no times and no texts, so that the same run
    /// gives the same bytes.
    fn metrics(&self) -> Value {
        let scores = |measured: Vec<Measured>| match measured.as_slice() {
            [] => ProbeScores::default(),
            [one] => ProbeScores::of_one(one),
            all => ProbeScores::of_records(all),
        };
        let before = self.cases.iter().map(|case| case.before.scores.clone());
        let after = self.after().map(|after| after.scores.clone());
        let said = SaidShares::of(self.after().flat_map(|after| &after.said));
        let damage = self.damage.as_ref().map(|damage| {
            json!({
                "drift": damage.drift,
                "perplexity_before": damage.perplexity_before,
                "perplexity_after": damage.perplexity_after,
            })
        });
        let training = |training: &TrainingOutcome| {
            json!({
                "rate": training.rate, "stopped": training.stopped, "steps": training.path.len(),
                "nll_before": training.before.passages.as_ref().map(|set| set.nll),
                "nll_after": training.after.passages.as_ref().map(|set| set.nll),
            })
        };
        let mut metrics = json!({
            "verdict": self.verdict.as_ref().map(|verdict| verdict.state),
            "before": scores(before.collect()),
            "after": scores(after.collect()),
            "said": said,
            "damage": damage,
            "trainings": self.trainings.iter().map(training).collect::<Vec<_>>(),
        });
        if let Some(earlier) = &self.earlier {
            metrics["earlier"] = json!(earlier);
        }
        metrics
    }

    /// The last model's measurements at the prompts of the cases.
    pub(crate) fn after(&self) -> impl Iterator<Item = &CaseMeasures> {
        self.cases.iter().filter_map(|case| case.after.as_ref())
    }

    /// What is remembered of passages: one entry a training, or a verb of a spec that was probed.
    pub(crate) fn remembered(&self) -> impl Iterator<Item = Remembered<'_>> {
        self.trainings.iter().map(Remembered::from).chain(self.passages.iter().map(Into::into))
    }

    /// What is remembered of the probe file's texts.
    pub(crate) fn remembered_texts(&self) -> Option<Remembered<'_>> {
        self.texts.as_ref().map(|it| Remembered { is_texts: true, ..it.into() })
    }

    /// The same, where a probe file alone says what should be forgotten.
    pub(crate) fn judged_texts(&self) -> Option<Remembered<'_>> {
        let is_alone = self.fact_count() == 0 && self.remembered().next().is_none();
        let texts = self.remembered_texts().filter(|_| is_alone);
        texts.filter(|it| it.before.passages.is_some())
    }

    /// Number of facts that the cases are about and that should be said.
    pub(crate) fn inserts(&self) -> usize {
        self.fact_count().saturating_sub(self.leaks.len())
    }

    /// Number of facts that the cases are about.
    fn fact_count(&self) -> usize {
        self.cases.iter().map(|case| case.facts.len()).sum()
    }

    /// All facts, in the order of the plan.
    pub fn facts(&self) -> impl Iterator<Item = &FactOutcome> {
        self.groups.iter().flat_map(|group| &group.facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapse_began_where_perplexity_last_was_healthy() {
        let of = |factors: &[f64]| Collapse::of(factors, 4.);
        assert_eq!(of(&[1.1, 1.2, 3.9]), None);
        let found = |seen, began, factor| Some(Collapse { seen, began, factor });
        assert_eq!(of(&[1.1, 2.5, 1.5, 3., 4.1]), found(5, 4, 4.1));
        assert_eq!(of(&[5.]), found(1, 1, 5.));
        assert!(of(&[1.1, f64::NAN]).is_some_and(|c| c.seen == 2 && c.began == 2));
    }
}
