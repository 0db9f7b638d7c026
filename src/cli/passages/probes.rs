//! The prompts of a spec with passages, before everything and after everything.

use crate::cli::edit;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use rescribe::model::Decoder;
use rescribe::plan::WritePlan;
use rescribe::probe::{Measured, ProbeScores, Questions, measure};
use rescribe::report::{EditReport, FactReport};
use rescribe::spec::PromptSet;

/// The prompts of the spec, measured before anything is done.
pub struct Probes {
    prompts: PromptSet,
    questions: Questions,
    before: Measured,
    facts: usize,
}

impl Probes {
    pub fn new(
        session: &Session,
        facts: Option<&WritePlan>,
        prompts: PromptSet,
    ) -> anyhow::Result<Self> {
        let first = facts.and_then(|plan| plan.edits.first());
        let new = first.map(|edit| edit.target_new.as_str());
        let old = first.and_then(|edit| edit.target_true.as_deref());
        let questions = Questions::new(&session.model.tokenizer, &prompts, new, old)?;
        let before = measure(&session.model.decoder, &questions)?;
        let facts = facts.map_or(0, |plan| plan.edits.len());
        Ok(Self { prompts, questions, before, facts })
    }

    pub fn report(
        self,
        session: &Session,
        facts: Option<&WritePlan>,
        edits: Vec<FactReport>,
        after: &Decoder,
        ui: &Ui,
    ) -> anyhow::Result<EditReport> {
        let model = &session.model;
        let measured = measure(after, &self.questions)?;
        let paraphrases = &self.prompts.paraphrase;
        let leaks = facts.map(|plan| edit::leaks(session, plan, after, paraphrases, ui));
        Ok(EditReport {
            schema: 1,
            model: session.name.clone(),
            n: self.facts,
            layer: None,
            before: ProbeScores::of_one(&self.before),
            after: Some(ProbeScores::of_one(&measured)),
            without_ripples: None,
            drift: edit::drift_of(model, after, &self.prompts.retain, ui)?,
            leaks: leaks.transpose()?.unwrap_or_default(),
            completions: edit::completions(model, Some(after), &self.prompts.generation, ui)?,
            edits,
            seconds_per_edit: None,
            prompts_before: vec![self.before],
            prompts_after: vec![measured],
        })
    }
}
