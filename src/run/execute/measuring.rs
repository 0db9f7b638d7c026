//! Measurements of the models that a run makes: general text, erased answers, secrets, cases.

use super::Run;
use crate::checkpoint::{self, Rounding};
use crate::model::Decoder;
use crate::plan::PlannedEdit;
use crate::probe::{Damage, Leak, fluency};
use crate::progress::Inner;
use crate::run::attack::{ReferenceCurves, attack};
use crate::run::bleed::{Bleed, bleed};
use crate::run::job::Case;
use crate::run::measure::{AskedCase, ask_edited, each_together};
use crate::run::outcome::{CaseMeasures, CaseOutcome};
use crate::run::train_plan::TrainPlan;
use crate::run::{RunError, recall};

/// Tokens of general text for each of many isolated groups.
pub(in crate::run) const SHARE_TOKENS: usize = 256;
/// Facts whose prompts are continued for fluency.
const WRITTEN: usize = 16;

impl Run<'_> {
    /// Isolated groups take turns on shares of the text, which together cover it; `turn` is that of
    /// such a group.
    pub(super) fn damage_of_group(
        &self,
        decoder: &Decoder,
        turn: Option<usize>,
    ) -> Result<Option<Damage>, RunError> {
        let groups = self.plan.groups.len();
        let chosen = match turn {
            Some(turn) => self.general.share(turn, groups, SHARE_TOKENS),
            None => self.general.all(),
        };
        let progress = Inner(self.tools.progress);
        Ok(self.general.damage(decoder, &chosen, &self.model.tokenizer, &progress)?)
    }

    /// Prompts whose continuations show the damage of a sequence: those about a subject.
    pub(super) fn fluency_prompts(&self) -> Vec<String> {
        let edits = self.plan.edits();
        let prompt = |case: &Case| {
            let given = case.prompts.generation.first().cloned();
            given.or_else(|| edits.get(case.facts.start).map(|edit| edit.subject.clone()))
        };
        self.job.cases.iter().take(WRITTEN).filter_map(prompt).collect()
    }

    pub(super) fn fluency(
        &self,
        decoder: &Decoder,
        prompts: &[String],
    ) -> Result<Option<f64>, RunError> {
        let progress = Inner(self.tools.progress);
        Ok(fluency(decoder, &self.model.tokenizer, prompts, &progress)?)
    }

    /// What is recoverable from `decoder` about each erased fact of `edits`, which begin at
    /// `first`.
    pub(super) fn leaks_of(
        &self,
        decoder: &Decoder,
        edits: &[PlannedEdit],
        first: usize,
    ) -> Result<Vec<Leak>, RunError> {
        let asked = (decoder, self.plan.seed());
        let (cases, progress) = (&self.job.cases, self.tools.progress);
        recall::leaks(self.model, cases, (edits, first), asked, progress)
    }

    /// Asks `decoder` for the secrets, and attacks it where that is planned.
    pub(super) fn ask_secrets(&mut self, decoder: &Decoder) -> Result<(), RunError> {
        let (model, plan, tools) = (self.model, self.plan, self.tools);
        let trainings: Vec<&TrainPlan> = plan.trainings().collect();
        let asked = (trainings.as_slice(), plan.seed());
        let questions = recall::secret_questions(model, self.job, asked)?;
        self.secrets = recall::secrets(model, &questions, Some(decoder), tools.progress)?;
        if let Some(attack_plan) = &plan.attack {
            let references = ReferenceCurves::new(model, attack_plan, tools)?;
            let asked = (&references, questions.as_slice(), self.secrets.as_mut_slice());
            self.attack = attack(model, decoder, attack_plan, asked, tools)?;
        }
        Ok(())
    }

    /// The model as it will be read back, where it is going to be stored.
    pub(super) fn as_stored(&self) -> Result<(Decoder, Option<Rounding>), RunError> {
        match self.tools.stored_as {
            Some(stored_as) => {
                let (decoder, rounding) =
                    checkpoint::as_written(self.model, &self.left.delta, stored_as)?;
                Ok((decoder, Some(rounding)))
            }
            None => Ok((self.left.decoder.clone(), None)),
        }
    }

    pub(super) fn case_outcomes(
        &mut self,
        decoder: &Decoder,
        is_isolated: bool,
    ) -> Result<Vec<CaseOutcome>, RunError> {
        let written: usize = self.groups.iter().map(|group| group.facts.len()).sum();
        // A sequence that broke the model never came to the later cases.
        let reached = self.job.cases.iter().take_while(|case| case.facts.end <= written).count();
        let after: Vec<CaseMeasures> = match is_isolated {
            true => self.right_after.iter_mut().map_while(Option::take).collect(),
            false => self.ask_reached(decoder, reached)?,
        };
        let cases = self.job.cases.iter().zip(&self.cases).zip(&mut self.right_after).zip(after);
        let outcome = |(((case, asked), right_after), after): (_, CaseMeasures)| {
            let (case, asked): (&Case, &AskedCase) = (case, asked);
            let right_after: &mut Option<CaseMeasures> = right_after;
            CaseOutcome {
                id: case.id.clone(),
                facts: case.facts.clone(),
                before: asked.before.clone(),
                right_after: right_after.take(),
                after: Some(after),
            }
        };
        Ok(cases.map(outcome).collect())
    }

    /// How alike the keys of other subjects are, where the run has one case and writes facts.
    pub(super) fn bleed(&self, outcomes: &[CaseOutcome]) -> Result<Vec<Bleed>, RunError> {
        let (Some(write), [case], [asked]) =
            (self.plan.write(), self.job.cases.as_slice(), self.cases.as_slice())
        else {
            return Ok(Vec::new());
        };
        let after = outcomes.first().and_then(|outcome| outcome.after.as_ref());
        let Some(background) = after.and_then(|after| after.background.as_ref()) else {
            return Ok(Vec::new());
        };
        let others: Vec<_> = asked.other_keys().collect();
        bleed(self.model, write, &case.asked, &others, background)
    }

    /// Measurements of the last model on the first `reached` cases.
    fn ask_reached(
        &self,
        decoder: &Decoder,
        reached: usize,
    ) -> Result<Vec<CaseMeasures>, RunError> {
        let progress = self.tools.progress;
        progress.phase("after", Some(reached as u64));
        // The margins of the background are in no report, but are read below.
        let with_margins = |measures: CaseMeasures| {
            let margins = measures.background.as_ref().map(|it| it.margins.clone());
            (measures, margins.unwrap_or_default())
        };
        let after = each_together(reached, ("after", self.identity), self.tools, |range| {
            let cases: Vec<&AskedCase> = self.cases[range].iter().collect();
            let found = ask_edited(self.model, decoder, &cases, &Inner(progress))?;
            Ok(found.into_iter().map(with_margins).collect())
        })?;
        let whole = after.into_iter().map(|(mut measures, margins): (CaseMeasures, _)| {
            measures.background.iter_mut().for_each(|it| it.margins.clone_from(&margins));
            measures
        });
        Ok(whole.collect())
    }
}
