//! The loop of a run: write a group, measure it; train; measure the result.

mod measuring;
mod writing;

use super::attack::Attack;
use super::general::Forgotten;
use super::identity::identity;
use super::job::Job;
use super::layer_norms::layer_norms;
use super::measure::{AskedCase, ask_all};
use super::outcome::{CaseMeasures, Collapse, GroupOutcome, ModelChange, Outcome, WriteSummary};
use super::plan::{Plan, Step};
use super::price::{Price, PriceAgreement};
use super::references::measure_references;
use super::ripples::without_ripples;
use super::tools::Tools;
use super::train::{TrainedModel, TrainingOutcome, remembered, train};
use super::train_plan::TrainPlan;
use super::{RunError, earlier, general, judge, recall};
use crate::delta::Keys;
use crate::files::Sha256;
use crate::gradient::PassageSets;
use crate::model::Model;
use crate::probe::{
    BaseText, Damage, Leak, PromptKind, Said, SecretLeak, completions, drift, probability_text,
};
use crate::progress::{Inner, Progress};
use crate::rank_one::{Edited, Prices};

pub(super) use measuring::SHARE_TOKENS;

/// Executes `plan` and measures its effects; `job` is the job that the plan was made for.
///
/// # Errors
///
/// [`RunError`] where a fact cannot be written within the limits of its settings, where a training
/// fails, or where the user stops the run. A sequence that breaks the model is not an error: the
/// outcome names the batch, and holds no change.
pub fn execute(
    model: &Model,
    job: &Job,
    plan: &Plan,
    tools: &Tools<'_>,
) -> Result<Outcome, RunError> {
    if tools.checkpoint.is_some() && plan.trainings().count() > 1 {
        return Err(RunError::TwoTrainings);
    }
    let ranks = tools.ranks.size();
    let mut shares = plan.trainings().map(|training| training.settings.shares);
    if let Some(shares) = shares.find(|shares| !shares.is_multiple_of(ranks)) {
        return Err(RunError::Shares { shares, ranks });
    }
    let mut run = Run::new(model, job, plan, tools)?;
    for step in &plan.steps {
        match step {
            Step::Write(write) => run.write(write)?,
            Step::Train(training) => run.train(training)?,
        }
    }
    run.finish()
}

struct Run<'a> {
    model: &'a Model,
    job: &'a Job,
    plan: &'a Plan,
    tools: &'a Tools<'a>,
    /// Names what is done, among all that ranks and journals know.
    identity: Sha256,
    general: BaseText<'a>,
    cases: Vec<AskedCase>,
    right_after: Vec<Option<CaseMeasures>>,
    leaks: Vec<Leak>,
    groups: Vec<GroupOutcome>,
    trainings: Vec<TrainingOutcome>,
    secrets: Vec<SecretLeak>,
    attack: Option<Attack>,
    from_cache: usize,
    fluency_before: Option<f64>,
    collapse: Option<Collapse>,
    /// What prices the changes of facts, where that is known.
    prices: Option<Prices>,
    /// The sets that the last training reports on.
    reported: Option<PassageSets>,
    /// The result of all steps so far; of isolated groups, that of the last one.
    left: Edited,
}

impl<'a> Run<'a> {
    fn new(
        model: &'a Model,
        job: &'a Job,
        plan: &'a Plan,
        tools: &'a Tools<'a>,
    ) -> Result<Self, RunError> {
        let progress = tools.progress;
        let identity = identity(model, job, "edit")?;
        let general = tools.ranks.first_on_rank_0(progress, || {
            general::reported(model, plan.seed(), &Forgotten::by(plan.trainings()), tools)
        })?;
        let general = BaseText::new(&model.decoder, &general, &Inner(progress))?;
        let cases = ask_all(model, &job.cases, (plan.edits(), identity), tools)?;
        if plan.write().is_some() {
            warn_known(&cases, progress);
        }
        Ok(Self {
            model,
            job,
            plan,
            tools,
            identity,
            general,
            right_after: cases.iter().map(|_| None).collect(),
            cases,
            leaks: Vec::new(),
            groups: Vec::new(),
            trainings: Vec::new(),
            secrets: Vec::new(),
            attack: None,
            from_cache: 0,
            fluency_before: None,
            collapse: None,
            prices: None,
            reported: None,
            left: job.start.edited(model)?,
        })
    }

    fn train(&mut self, training: &TrainPlan) -> Result<(), RunError> {
        let mut training = training.clone();
        let (ranks, progress) = (self.tools.ranks, self.tools.progress);
        let references = ranks.first_on_rank_0(progress, || {
            general::ready(self.model, &self.left.decoder, &mut training, self.tools)?;
            measure_references(self.model, &mut training, self.tools)
        })?;
        let TrainedModel { outcome, delta, decoder, reported } = train(
            self.model,
            &self.left.decoder,
            &training,
            references,
            self.tools.checkpoint,
            (ranks, progress),
        )?;
        // What is trained afterwards moves the values of the facts' keys.
        let delta = self.left.delta.clone().plus(&delta)?;
        self.left = Edited { delta, keys: Keys::default(), decoder };
        self.trainings.push(outcome);
        self.reported = Some(reported);
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome, RunError> {
        let is_isolated = !self.plan.is_one_model();
        let (decoder, rounding) = self.as_stored()?;
        if let (Some(_), Some(sets)) = (&rounding, &self.reported)
            && let Some(last) = self.trainings.last_mut()
        {
            last.after = remembered(self.model, &decoder, sets, self.tools.progress)?;
        }
        let cases = self.case_outcomes(&decoder, is_isolated)?;
        let bleed = self.bleed(&cases)?;
        if !is_isolated {
            self.leaks = self.leaks_of(&decoder, self.plan.edits(), 0)?;
            self.ask_secrets(&decoder)?;
        }
        let damage = match is_isolated {
            true => {
                Damage::over_edits(self.groups.iter().filter_map(|group| group.damage.as_ref()))
            }
            false => self.damage_of_group(&decoder, None)?,
        };
        let prices = self.groups.iter().filter_map(|group| group.price);
        let price = match is_isolated {
            true => Price::mean(&prices.collect::<Vec<_>>()),
            false => self.price(&self.left.delta)?,
        };
        let priced = self
            .groups
            .iter()
            .filter_map(|group| Some((group.price?, group.damage.as_ref()?.drift.mean)));
        let price_agreement = PriceAgreement::of(&priced.collect::<Vec<_>>());
        let is_changed = self.is_changed();
        let mut outcome = Outcome {
            model: self.plan.model.clone(),
            write: self.summary(),
            bleed,
            cases,
            groups: self.groups,
            trainings: self.trainings,
            leaks: self.leaks,
            secrets: self.secrets,
            attack: self.attack,
            damage,
            price,
            price_agreement,
            fluency_before: self.fluency_before,
            collapse: self.collapse,
            rounding,
            left_out: self.job.left_out.clone(),
            ..Outcome::default()
        };
        if !is_isolated {
            let prompts = &self.job.cases[0].prompts;
            let (model, progress) = (self.model, self.tools.progress);
            let base = &model.decoder;
            outcome.retain = drift(base, &decoder, &model.tokenizer, &prompts.retain, progress)?;
            outcome.texts = recall::texts(model, prompts, Some(&decoder), progress)?;
            outcome.completions =
                completions(model, Some(&decoder), &prompts.generation, progress)?;
            let start = self.job.start.edited(model)?.decoder;
            outcome.earlier =
                earlier::measure(model, &self.job.start, [&start, &decoder], progress)?;
            outcome.without_ripples = without_ripples(model, self.job, self.plan, self.tools)?;
        }
        if !is_isolated && outcome.collapse.is_none() && is_changed {
            let Edited { delta, keys, decoder } = self.left;
            outcome.layer_norms = layer_norms(self.model, &delta)?;
            outcome.change = Some(ModelChange { delta, keys, decoder });
        }
        outcome.verdict = Some(judge::verdict(&outcome, &self.plan.thresholds));
        Ok(outcome)
    }

    /// Whether anything was written or trained: a budget may leave out all facts.
    fn is_changed(&self) -> bool {
        let mut facts = self.groups.iter().flat_map(|group| &group.facts);
        !self.trainings.is_empty() || facts.any(|fact| fact.unwritten.is_none())
    }

    fn summary(&self) -> Option<WriteSummary> {
        let write = self.plan.write()?;
        let facts = self.groups.iter().flat_map(|group| &group.facts);
        let mut seconds: Vec<f64> = match self.plan.groups.iter().all(|size| *size == 1) {
            true => self.groups.iter().map(|group| group.seconds).collect(),
            false => {
                let n = facts.count().max(1) as f64;
                vec![self.groups.iter().map(|group| group.seconds).sum::<f64>() / n]
            }
        };
        seconds.sort_by(f64::total_cmp);
        let mut toward = write.edits.iter().filter_map(|edit| edit.erase.as_ref());
        let first = toward.next().map(|erase| erase.toward.text());
        Some(WriteSummary {
            method: write.method,
            layers: write.layers.clone(),
            lambda: write.batch.lambda,
            grouping: self.plan.grouping,
            toward: first
                .filter(|first| toward.all(|erase| erase.toward.text() == *first))
                .map(str::to_owned),
            seconds_per_fact: seconds.get(seconds.len() / 2).copied().unwrap_or(0.),
            values_from_cache: self.from_cache,
        })
    }
}

/// Warns of facts that the model already knows.
fn warn_known(cases: &[AskedCase], progress: &dyn Progress) {
    /// Facts that are named where there are many.
    const SHOWN: usize = 3;
    let is_known = |case: &AskedCase, said: &Said| {
        let mut scores = case.before.scores.prompts.iter();
        said.is_said || scores.any(|score| score.prompt == said.prompt && score.new_is_argmax)
    };
    let known = cases.iter().flat_map(|case| {
        let own = case.before.said.iter().filter(|said| said.kind == PromptKind::Rewrite);
        own.filter(|said| is_known(case, said))
    });
    let known: Vec<&Said> = known.collect();
    for said in known.iter().take(SHOWN) {
        progress.warn(&format!(
            "{:?}: the model already says {:?} (P {}); there is nothing to edit",
            said.prompt,
            said.target,
            probability_text(said.probability)
        ));
    }
    if let Some(rest @ 1..) = known.len().checked_sub(SHOWN) {
        progress.warn(&format!("more such warnings: {rest}"));
    }
}
