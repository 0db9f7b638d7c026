//! The prompts of a spec with passages, before everything and after everything.

use crate::cli::edit;
use crate::cli::session::Session;
use crate::cli::ui::Ui;
use crate::model::Decoder;
use crate::probe::{Measured, ProbeScores, Questions, measure};
use crate::report::EditReport;
use crate::spec::{EditSpec, PromptSet};

/// The prompts of the spec, measured before anything is done.
pub struct Probes {
    prompts: PromptSet,
    questions: Questions,
    before: Measured,
    facts: usize,
}

impl Probes {
    pub fn new(session: &Session, spec: &EditSpec, prompts: PromptSet) -> anyhow::Result<Self> {
        let first = spec.inserts.first();
        let new = first.map(|insert| insert.target_new.as_str());
        let old = first.and_then(|insert| insert.target_true.as_deref());
        let questions = Questions::new(&session.model.tokenizer, &prompts, new, old)?;
        let before = measure(&session.model.decoder, &questions)?;
        Ok(Self { prompts, questions, before, facts: spec.inserts.len() })
    }

    pub fn report(self, session: &Session, after: &Decoder, ui: &Ui) -> anyhow::Result<EditReport> {
        let model = &session.model;
        let measured = measure(after, &self.questions)?;
        Ok(EditReport {
            schema: 1,
            model: session.name.clone(),
            n: self.facts,
            layer: None,
            before: ProbeScores::of_one(&self.before),
            after: Some(ProbeScores::of_one(&measured)),
            without_ripples: None,
            drift: edit::drift_of(model, after, &self.prompts.retain, ui)?,
            completions: edit::completions(model, Some(after), &self.prompts.generation, ui)?,
            edits: Vec::new(),
            seconds_per_edit: None,
            prompts_before: vec![self.before],
            prompts_after: vec![measured],
        })
    }
}
