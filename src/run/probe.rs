//! Measures without changing anything: one model, or two for comparison.

use super::attack::{ReferenceCurves, attack};
use super::general::Forgotten;
use super::identity::identity;
use super::job::{Case, Job};
use super::measure::{
    AskedCase, AskedFact, CaseQuestions, ask_base, ask_edited, each_together, size,
};
use super::outcome::{CaseMeasures, CaseOutcome, Outcome};
use super::plan::Plan;
use super::tools::Tools;
use super::train_plan::TrainPlan;
use super::{Grouping, RunError, general, judge, recall};
use crate::model::{Decoder, Model};
use crate::probe::{completions, damage, drift};
use crate::progress::{Inner, counted};
use crate::spec::Fact;

/// Notes that are shown.
const NOTED: usize = 3;

/// Measures the base and, where there is one, another model with its tokens: what a run that was
/// asked for `job` would measure of what it made.
///
/// # Errors
///
/// [`RunError`] where a file that the job names cannot be read, or the user stops it.
pub fn probe(
    model: &Model,
    name: &str,
    job: &Job,
    other: Option<&Decoder>,
    tools: &Tools<'_>,
) -> Result<Outcome, RunError> {
    let probe = Probe::new(model, name, job, tools)?;
    let cases = probe.cases(other)?;
    let (model_name, left_out) = (name.to_owned(), job.left_out.clone());
    let mut outcome = Outcome { model: model_name, cases, left_out, ..Outcome::default() };
    probe.recall(other, &mut outcome)?;
    probe.whole(other, &mut outcome)?;
    if other.is_some() {
        outcome.verdict = Some(judge::verdict(&outcome, &job.thresholds));
    }
    Ok(outcome)
}

struct Probe<'a> {
    model: &'a Model,
    job: &'a Job,
    /// Of a spec: where an edit finds what it needs to know of the facts and passages.
    plan: Option<Plan>,
    tools: &'a Tools<'a>,
}

impl<'a> Probe<'a> {
    fn new(
        model: &'a Model,
        name: &str,
        job: &'a Job,
        tools: &'a Tools<'a>,
    ) -> Result<Self, RunError> {
        let progress = tools.progress;
        let is_spec = !job.passages.is_empty() || !job.facts.is_empty();
        let plan = match is_spec && job.grouping != Grouping::Isolated {
            true => Some(Plan::new(model, name, job, progress)?),
            false => None,
        };
        job.notes.iter().take(NOTED).for_each(|note| progress.warn(note));
        Ok(Self { model, job, plan, tools })
    }

    fn seed(&self) -> u64 {
        self.plan.as_ref().map_or(0, Plan::seed)
    }

    fn asked(&self, case: &Case) -> Vec<AskedFact> {
        let fact = |at: &usize| match (&self.plan, &self.job.facts[*at]) {
            (Some(plan), _) => Some(AskedFact::from(&plan.edits()[*at])),
            (None, Fact::Insert(insert)) => Some(AskedFact::from(insert)),
            (None, Fact::Erase(_)) => None,
        };
        case.asked.iter().filter_map(fact).collect()
    }

    /// What both models say about each case.
    fn cases(&self, other: Option<&Decoder>) -> Result<Vec<CaseOutcome>, RunError> {
        let (model, progress, all) = (self.model, self.tools.progress, &self.job.cases);
        let questions = all.iter().enumerate().map(|(i, case)| {
            CaseQuestions::new(model, &case.prompts, &self.asked(case), size(i, all.len()))
        });
        let questions = questions.collect::<Result<Vec<_>, RunError>>()?;
        let skipped: usize = questions.iter().map(CaseQuestions::skipped).sum();
        let what = if all.len() == 1 { "prompts" } else { "records" };
        progress.phase(what, Some(all.len() as u64));
        let job = identity(model, self.job, "probe")?;
        let mut questions: Vec<Option<CaseQuestions>> = questions.into_iter().map(Some).collect();
        let cases = each_together(all.len(), (what, job), self.tools, |range| {
            let questions = questions[range.clone()].iter_mut().filter_map(Option::take).collect();
            let asked = ask_base(model, questions, &Inner(progress))?;
            let after = self.after(&asked, other)?;
            let outcome = |((case, asked), after): ((&Case, AskedCase), _)| {
                let (id, facts) = (case.id.clone(), case.facts.clone());
                CaseOutcome { id, facts, before: asked.before, right_after: None, after }
            };
            Ok(all[range].iter().zip(asked).zip(after).map(outcome).collect())
        })?;
        if skipped > 0 {
            let have = if skipped == 1 { "has" } else { "have" };
            progress.warn(&format!(
                "{} {have} no pair of targets: with target_new in the file, what is said after a \
                 prompt is measured, and with target_true as well the scores of papers",
                counted(skipped, "prompt")
            ));
        }
        Ok(cases)
    }

    fn after(
        &self,
        asked: &[AskedCase],
        other: Option<&Decoder>,
    ) -> Result<Vec<Option<CaseMeasures>>, RunError> {
        let Some(other) = other else { return Ok(asked.iter().map(|_| None).collect()) };
        let all: Vec<&AskedCase> = asked.iter().collect();
        let measures = ask_edited(self.model, other, &all, &Inner(self.tools.progress))?;
        Ok(measures.into_iter().map(Some).collect())
    }

    /// What is recoverable of erased facts, secrets and passages.
    fn recall(&self, other: Option<&Decoder>, outcome: &mut Outcome) -> Result<(), RunError> {
        let (model, job, progress) = (self.model, self.job, self.tools.progress);
        if let (Some(plan), Some(other)) = (&self.plan, other) {
            let (edits, asked) = ((plan.edits(), 0), (other, self.seed()));
            outcome.leaks = recall::leaks(model, &job.cases, edits, asked, progress)?;
        }
        let plan = self.plan.as_ref();
        let trainings: Vec<&TrainPlan> = plan.into_iter().flat_map(Plan::trainings).collect();
        let asked = (trainings.as_slice(), self.seed());
        let questions = recall::secret_questions(model, job, asked)?;
        outcome.secrets = recall::secrets(model, &questions, other, progress)?;
        // One model alone is attacked where that was asked for.
        let is_attacked = other.is_some() || job.gradient.attack == Some(true);
        let attack_plan = plan.and_then(|plan| plan.attack.as_ref());
        if let Some(attack_plan) = attack_plan.filter(|_| is_attacked) {
            let references = ReferenceCurves::new(model, attack_plan, self.tools)?;
            let asked = (&references, questions.as_slice(), outcome.secrets.as_mut_slice());
            let attacked = other.unwrap_or(&model.decoder);
            outcome.attack = attack(model, attacked, attack_plan, asked, self.tools)?;
        }
        if let Some(plan) = plan {
            outcome.passages = recall::passages_of(model, plan, other, self.tools)?;
        }
        Ok(())
    }

    /// Free continuations, the probe file's own texts, and general text.
    fn whole(&self, other: Option<&Decoder>, outcome: &mut Outcome) -> Result<(), RunError> {
        let (model, base, progress) = (self.model, &self.model.decoder, self.tools.progress);
        if let [case] = self.job.cases.as_slice() {
            let prompts = &case.prompts;
            outcome.completions = completions(model, other, &prompts.generation, progress)?;
            outcome.texts = recall::texts(model, prompts, other, progress)?;
            if let Some(other) = other {
                let texts = &prompts.retain;
                outcome.retain = drift(base, other, &model.tokenizer, texts, progress)?;
            }
        }
        if let Some(other) = other {
            let trainings = self.plan.iter().flat_map(Plan::trainings);
            let forgotten = Forgotten::by(trainings);
            let text = general::reported(model, self.seed(), &forgotten, self.tools)?;
            outcome.damage = damage(base, other, &text, &model.tokenizer, &Inner(progress))?;
        }
        Ok(())
    }
}
