//! What is asked of a model about each case: before anything is changed, and afterwards.

use super::RunError;
use super::job::Case;
use super::outcome::CaseMeasures;
use crate::model::{Decoder, Model};
use crate::plan::PlannedEdit;
use crate::probe::{
    BackgroundFact, BackgroundQuestions, BackgroundSize, BaseAnswers, Measured, PromptKind, Questions, SAID_TOKENS, SaidQuestions, measure,
    said,
};
use crate::progress::{Inner, Progress};
use crate::spec::{Comparison, PromptSet};

/// Other subjects of each kind that all cases of a run are asked about together, at most; the cases
/// take turns.
const OTHERS: usize = 640;
/// Fewest of them for one case.
const FEWEST: usize = 8;

/// The questions of one case, tokenised.
pub(super) struct CaseQuestions {
    id: String,
    scores: Questions,
    said: SaidQuestions,
    erased: SaidQuestions,
    background: BackgroundQuestions,
}

/// The questions of a case, and what the base answers.
pub(super) struct AskedCase {
    questions: CaseQuestions,
    base: BaseAnswers,
    /// Measured on the base.
    pub(super) before: CaseMeasures,
}

impl CaseQuestions {
    /// The questions of `case`, of whose run all facts are `edits`.
    pub(super) fn new(
        model: &Model,
        case: &Case,
        edits: &[PlannedEdit],
        size: BackgroundSize,
    ) -> Result<Self, RunError> {
        let tokenizer = &model.tokenizer;
        let own: Vec<&PlannedEdit> = case.asked.iter().map(|at| &edits[*at]).collect();
        let own = own.as_slice();
        let prompts = with_rewrites(&case.prompts, own);
        let first = own.first();
        let new = first.map(|edit| edit.target_new.as_str());
        let old = first.and_then(|edit| edit.target_true.as_deref());
        let scores = Questions::new(tokenizer, &prompts, new, old)
            .map_err(crate::model::ModelError::from)?;
        let (should, should_not) = free_questions(&prompts, own, new);
        let said = |questions: &[(PromptKind, String, String)]| {
            SaidQuestions::new(tokenizer, questions).map_err(crate::model::ModelError::from)
        };
        let neighborhood: Vec<String> =
            prompts.neighborhood.iter().map(|it| it.prompt.clone()).collect();
        let fact = |(at, edit): (usize, &&'_ PlannedEdit)| BackgroundFact {
            subject: &edit.subject,
            prompt: &edit.prompt,
            own_prompts: if at == 0 { &neighborhood } else { &[] },
        };
        let facts: Vec<BackgroundFact<'_>> = own.iter().enumerate().map(fact).collect();
        let background = BackgroundQuestions::new(tokenizer, &facts, size)
            .map_err(crate::model::ModelError::from)?;
        Ok(Self {
            id: case.id.clone(),
            scores,
            said: said(&should)?,
            erased: said(&should_not)?,
            background,
        })
    }

    /// Asks the base.
    pub(super) fn ask(
        self,
        model: &Model,
        progress: &dyn Progress,
    ) -> Result<AskedCase, RunError> {
        let before = self.measures(model, &model.decoder, progress)?;
        let base = self.background.base(&model.decoder, progress)?;
        Ok(AskedCase { questions: self, base, before })
    }

    /// The teacher-forced scores alone.
    pub(super) fn scores(&self, decoder: &Decoder) -> Result<Measured, RunError> {
        Ok(measure(decoder, &self.scores)?)
    }

    fn measures(
        &self,
        model: &Model,
        decoder: &Decoder,
        progress: &dyn Progress,
    ) -> Result<CaseMeasures, RunError> {
        let free = |questions| said(model, decoder, questions, SAID_TOKENS, progress);
        Ok(CaseMeasures {
            scores: self.scores(decoder)?,
            said: free(&self.said)?,
            erased: free(&self.erased)?,
            background: None,
        })
    }
}

impl AskedCase {
    /// The record's number, or the spec's name.
    pub(super) fn id(&self) -> &str {
        &self.questions.id
    }

    /// Asks an edited model.
    pub(super) fn after(
        &self,
        model: &Model,
        decoder: &Decoder,
        progress: &dyn Progress,
    ) -> Result<CaseMeasures, RunError> {
        let measures = self.questions.measures(model, decoder, progress)?;
        let questions = &self.questions.background;
        let background = questions.compare(&self.base, decoder, &model.tokenizer, progress)?;
        Ok(CaseMeasures { background: Some(background), ..measures })
    }
}

/// Asks the base about every case.
pub(super) fn ask_all(
    model: &Model,
    cases: &[Case],
    edits: &[PlannedEdit],
    progress: &dyn Progress,
) -> Result<Vec<AskedCase>, RunError> {
    progress.phase("before", Some(cases.len() as u64));
    let mut asked = Vec::with_capacity(cases.len());
    for (i, case) in cases.iter().enumerate() {
        progress.check()?;
        progress.advance(i as u64, "");
        let questions = CaseQuestions::new(model, case, edits, size(i, cases.len()))?;
        asked.push(questions.ask(model, &Inner(progress))?);
    }
    Ok(asked)
}

/// How many other subjects the case at a place is asked about.
pub(super) fn size(turn: usize, cases: usize) -> BackgroundSize {
    let all = BackgroundSize::default().most;
    BackgroundSize { most: (OTHERS / cases.max(1)).clamp(FEWEST, all), turn }
}

/// The prompts; without rewrite prompts, the facts themselves are asked for.
fn with_rewrites(prompts: &PromptSet, edits: &[&PlannedEdit]) -> PromptSet {
    let mut prompts = prompts.clone();
    if prompts.rewrite.is_empty() {
        let rewrite = |edit: &&PlannedEdit| Comparison {
            prompt: edit.contexts[0].text.clone(),
            target_new: Some(edit.target_new.clone()),
            target_true: edit.target_true.clone(),
        };
        prompts.rewrite = edits.iter().map(rewrite).collect();
    }
    prompts
}

type Free = Vec<(PromptKind, String, String)>;

/// What should be said after each prompt, and what should no longer be said.
///
/// Each fact is asked for by its own prompt, whatever prompts there are besides.
fn free_questions(prompts: &PromptSet, edits: &[&PlannedEdit], new: Option<&str>) -> (Free, Free) {
    let (mut should, mut should_not) = (Free::new(), Free::new());
    for edit in edits {
        let prompt = edit.contexts[0].text.clone();
        match (&edit.erase, &edit.target_true) {
            (Some(_), Some(old)) => should_not.push((PromptKind::Rewrite, prompt, old.clone())),
            _ => should.push((PromptKind::Rewrite, prompt, edit.target_new.clone())),
        }
    }
    let is_known = |all: &Free, prompt: &str| all.iter().any(|(_, known, _)| known == prompt);
    let only_erases = !should_not.is_empty() && should.is_empty();
    for (kind, set) in
        [(PromptKind::Rewrite, &prompts.rewrite), (PromptKind::Paraphrase, &prompts.paraphrase)]
    {
        for Comparison { prompt, target_new, target_true } in set {
            if is_known(&should, prompt) || is_known(&should_not, prompt) {
                continue;
            }
            let erased = edits.iter().find(|edit| edit.erase.is_some() && only_erases);
            let old = target_true.as_ref().or(erased.and_then(|edit| edit.target_true.as_ref()));
            match (only_erases, old, target_new.as_deref().or(new)) {
                (true, Some(old), _) => should_not.push((kind, prompt.clone(), old.clone())),
                (false, _, Some(new)) => should.push((kind, prompt.clone(), new.to_owned())),
                _ => {}
            }
        }
    }
    (should, should_not)
}
