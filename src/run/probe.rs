//! Measures without changing anything: one model, or two for comparison.

use super::execute::GENERAL_TOKENS;
use super::job::Case;
use super::measure::{AskedCase, AskedFact, CaseQuestions, TOGETHER, ask_base, ask_edited, size};
use super::outcome::{CaseMeasures, CaseOutcome, Outcome};
use super::tools::Tools;
use super::trim::Trimmer;
use super::{RunError, judge};
use crate::model::{Decoder, Model};
use crate::probe::{GeneralUse, TextSets, completions, damage, drift, general_text};
use crate::progress::Inner;
use crate::spec::{Fact, Insert, PromptSet, Record};
use crate::verdict::Thresholds;

/// Notes that are shown.
const NOTED: usize = 3;

/// What is measured: a prompt file, or records.
pub struct Probe {
    cases: Vec<(Case, Vec<Insert>)>,
    /// What the user should know of how it was read.
    notes: Vec<String>,
}

impl Probe {
    /// The prompts of one file.
    pub fn of_prompts(name: &str, prompts: PromptSet) -> Self {
        let case = Case { id: name.to_owned(), facts: 0..0, asked: Vec::new(), prompts };
        Self::trimmed(vec![(case, Vec::new())])
    }

    /// Records, one case each.
    pub fn of_records(records: &[Record]) -> Self {
        let case = |(at, record): (usize, &Record)| {
            let (id, prompts) = (record.id.clone(), record.prompts.clone());
            (Case { id, facts: at..at + 1, asked: vec![at], prompts }, vec![record.insert.clone()])
        };
        Self::trimmed(records.iter().enumerate().map(case).collect())
    }

    fn trimmed(mut cases: Vec<(Case, Vec<Insert>)>) -> Self {
        let mut trimmer = Trimmer::default();
        for (case, inserts) in &mut cases {
            for insert in inserts {
                let mut fact = Fact::from(insert.clone());
                trimmer.fact(&mut fact);
                if let Fact::Insert(trimmed) = fact {
                    *insert = trimmed;
                }
            }
            trimmer.prompts(&mut case.prompts);
        }
        trimmer.notes.dedup();
        Self { cases, notes: trimmer.notes }
    }

    /// Measures the base and, where there is one, another model with its tokens.
    pub fn measure(
        &self,
        model: &Model,
        name: &str,
        other: Option<&Decoder>,
        tools: &Tools<'_>,
    ) -> Result<Outcome, RunError> {
        let progress = tools.progress;
        self.notes.iter().take(NOTED).for_each(|note| progress.warn(note));
        let questions = self.cases.iter().enumerate().map(|(i, (case, inserts))| {
            let facts: Vec<AskedFact> = inserts.iter().map(AskedFact::from).collect();
            CaseQuestions::new(model, &case.prompts, &facts, size(i, self.cases.len()))
        });
        let mut questions = questions.collect::<Result<Vec<_>, RunError>>()?;
        let skipped: usize = questions.iter().map(CaseQuestions::skipped).sum();
        let what = if self.cases.len() == 1 { "prompts" } else { "records" };
        progress.phase(what, Some(self.cases.len() as u64));
        let mut cases = Vec::with_capacity(self.cases.len());
        for some in self.cases.chunks(TOGETHER) {
            progress.check()?;
            progress.advance(cases.len() as u64, "");
            let later = questions.split_off(some.len());
            let asked = ask_base(model, questions, &Inner(progress))?;
            questions = later;
            let mut after: Vec<Option<CaseMeasures>> = asked.iter().map(|_| None).collect();
            if let Some(other) = other {
                let all: Vec<&AskedCase> = asked.iter().collect();
                let measures = ask_edited(model, other, &all, &Inner(progress))?;
                after = measures.into_iter().map(Some).collect();
            }
            for (((case, _), asked), after) in some.iter().zip(asked).zip(after) {
                let (id, facts) = (case.id.clone(), case.facts.clone());
                let (before, right_after) = (asked.before, None);
                cases.push(CaseOutcome { id, facts, before, right_after, after });
            }
        }
        if skipped > 0 {
            progress.warn(&format!(
                "{skipped} prompts have no pair of targets, so that only what is said was \
                 measured; give target_new and target_true in the file for the scores of papers"
            ));
        }
        let mut outcome = Outcome { model: name.to_owned(), cases, ..Outcome::default() };
        self.compare(model, other, tools, &mut outcome)?;
        Ok(outcome)
    }

    fn compare(
        &self,
        model: &Model,
        other: Option<&Decoder>,
        tools: &Tools<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), RunError> {
        let (base, progress) = (&model.decoder, tools.progress);
        if let [(case, _)] = self.cases.as_slice() {
            let prompts = &case.prompts;
            outcome.completions = completions(model, other, &prompts.generation, progress)?;
            outcome.texts = TextSets::measure(model, other, prompts, progress)?;
            if let Some(other) = other {
                let texts = &prompts.retain;
                outcome.retain = drift(base, other, &model.tokenizer, texts, progress)?;
            }
        }
        if let Some(other) = other {
            let text = general_text(
                model,
                tools.cache,
                GeneralUse::Reported,
                0,
                GENERAL_TOKENS,
                progress,
            )?;
            outcome.damage = damage(base, other, &text, &model.tokenizer, &Inner(progress))?;
            outcome.verdict = Some(judge::verdict(outcome, &Thresholds::default()));
        }
        Ok(())
    }
}
