//! What is asked of a model about each case: before anything is changed, and afterwards.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RunError;
use super::job::Case;
use super::outcome::CaseMeasures;
use super::tools::Tools;
use crate::files::Sha256;
use crate::model::{Decoder, Model, ModelError};
use crate::plan::PlannedEdit;
use crate::probe::{
    BackgroundFact, BackgroundQuestions, BackgroundSize, BaseAnswers, Measured, OtherKey,
    PromptKind, Questions, SAID_TOKENS, SaidQuestions, measure, said,
};
use crate::progress::{Inner, Progress, Recounted};
use crate::ranks::Shared;
use crate::spec::{AboutSubject, Comparison, Insert, PromptSet};

/// A fact, as far as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskedFact {
    subject: String,
    /// With `{}`.
    prompt: String,
    /// With the subject in its place.
    rendered: String,
    target_new: String,
    target_true: Option<String>,
    is_erased: bool,
}

impl From<&PlannedEdit> for AskedFact {
    fn from(edit: &PlannedEdit) -> Self {
        Self {
            subject: edit.subject.clone(),
            prompt: edit.prompt.clone(),
            rendered: edit.contexts[0].text.clone(),
            target_new: edit.target_new.clone(),
            target_true: edit.target_true.clone(),
            is_erased: edit.erase.is_some(),
        }
    }
}

impl From<&Insert> for AskedFact {
    fn from(insert: &Insert) -> Self {
        Self {
            subject: insert.subject.clone(),
            prompt: insert.prompt.clone(),
            rendered: insert.rendered(),
            target_new: insert.target_new.clone(),
            target_true: insert.target_true.clone(),
            is_erased: false,
        }
    }
}

/// The questions of one case, tokenised.
pub(super) struct CaseQuestions {
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
    /// The questions about `facts` and the prompts of their case.
    pub(super) fn new(
        model: &Model,
        prompts: &PromptSet,
        facts: &[AskedFact],
        size: BackgroundSize,
    ) -> Result<Self, RunError> {
        let prompts = with_rewrites(prompts, facts);
        let own = || prompts.own_targets();
        let new = facts.first().map(|fact| fact.target_new.as_str()).or(own().map(|it| it.0));
        let old = match facts.first() {
            Some(fact) => fact.target_true.as_deref(),
            None => own().map(|it| it.1),
        };
        let (should, should_not) = free_questions(&prompts, facts, new);
        let neighborhood: Vec<String> =
            prompts.neighborhood.iter().map(|it| it.prompt.clone()).collect();
        let (tokenizer, about) = (&model.tokenizer, about(&prompts, facts));
        let questions = || {
            Ok(Self {
                scores: Questions::new(tokenizer, &prompts, new, old)?,
                said: SaidQuestions::new(tokenizer, &should)?,
                erased: SaidQuestions::new(tokenizer, &should_not)?,
                background: background(tokenizer, &about, &neighborhood, size)?,
            })
        };
        questions().map_err(|error: crate::model::TokenizerError| ModelError::from(error).into())
    }

    /// Prompts that have no pair of targets to compare.
    pub(super) fn skipped(&self) -> usize {
        self.scores.skipped()
    }

    /// The teacher-forced scores alone.
    pub(super) fn scores(&self, decoder: &Decoder) -> Result<Measured, RunError> {
        Ok(measure(decoder, &self.scores)?)
    }
}

impl AskedCase {
    /// The prompts about other subjects, up to their last token.
    pub(super) fn other_keys(&self) -> impl Iterator<Item = OtherKey<'_>> {
        self.questions.background.keys()
    }
}

/// What the base says about some cases.
fn base_says(
    model: &Model,
    questions: &[CaseQuestions],
    progress: &dyn Progress,
) -> Result<Vec<(BaseAnswers, CaseMeasures)>, RunError> {
    let all: Vec<&CaseQuestions> = questions.iter().collect();
    let before = measures(model, &model.decoder, &all, progress)?;
    let says = questions.iter().zip(before).map(|(questions, before)| {
        Ok((questions.background.base(&model.decoder, progress)?, before))
    });
    says.collect()
}

fn joined(
    questions: Vec<CaseQuestions>,
    says: impl IntoIterator<Item = (BaseAnswers, CaseMeasures)>,
) -> Vec<AskedCase> {
    let asked = questions.into_iter().zip(says);
    asked.map(|(questions, (base, before))| AskedCase { questions, base, before }).collect()
}

/// Asks the base about some cases.
pub(super) fn ask_base(
    model: &Model,
    questions: Vec<CaseQuestions>,
    progress: &dyn Progress,
) -> Result<Vec<AskedCase>, RunError> {
    let says = base_says(model, &questions, progress)?;
    Ok(joined(questions, says))
}

/// What a model says about some cases, whose prompts are decoded together; without the background.
fn measures(
    model: &Model,
    decoder: &Decoder,
    questions: &[&CaseQuestions],
    progress: &dyn Progress,
) -> Result<Vec<CaseMeasures>, RunError> {
    let free = |set: fn(&CaseQuestions) -> &SaidQuestions| {
        let joined = SaidQuestions::joined(questions.iter().map(|it| set(it)));
        said(model, decoder, &joined, SAID_TOKENS, progress)
    };
    let (mut said, mut erased) =
        (free(|it| &it.said)?.into_iter(), free(|it| &it.erased)?.into_iter());
    let measured = questions.iter().map(|it| {
        Ok(CaseMeasures {
            scores: it.scores(decoder)?,
            said: said.by_ref().take(it.said.len()).collect(),
            erased: erased.by_ref().take(it.erased.len()).collect(),
            background: None,
        })
    });
    measured.collect()
}

/// Asks an edited model about some cases.
pub(super) fn ask_edited(
    model: &Model,
    decoder: &Decoder,
    cases: &[&AskedCase],
    progress: &dyn Progress,
) -> Result<Vec<CaseMeasures>, RunError> {
    let questions: Vec<&CaseQuestions> = cases.iter().map(|case| &case.questions).collect();
    let measures = measures(model, decoder, &questions, progress)?;
    let with_background = measures.into_iter().zip(cases).map(|(measures, case)| {
        let questions = &case.questions.background;
        let background = questions.compare(&case.base, decoder, &model.tokenizer, progress)?;
        Ok(CaseMeasures { background: Some(background), ..measures })
    });
    with_background.collect()
}

/// Cases whose prompts are decoded together.
pub(super) const TOGETHER: usize = 16;

/// Asks the base about every case of the job with that digest; `edits` are the facts of all of them.
pub(super) fn ask_all(
    model: &Model,
    cases: &[Case],
    (edits, job): (&[PlannedEdit], Sha256),
    tools: &Tools<'_>,
) -> Result<Vec<AskedCase>, RunError> {
    let progress = tools.progress;
    progress.phase("before", Some(cases.len() as u64));
    let questions = cases.iter().enumerate().map(|(i, case)| {
        let facts: Vec<AskedFact> = case.asked.iter().map(|at| (&edits[*at]).into()).collect();
        CaseQuestions::new(model, &case.prompts, &facts, size(i, cases.len()))
    });
    let questions = questions.collect::<Result<Vec<_>, RunError>>()?;
    let says = each_together(cases.len(), ("before", job), tools, |range| {
        base_says(model, &questions[range], &Inner(progress))
    })?;
    Ok(joined(questions, says))
}

/// What `ask` finds of all cases, of [`TOGETHER`] at a time, by whichever rank is free.
pub(super) fn each_together<T: Serialize + DeserializeOwned>(
    cases: usize,
    (name, job): (&str, Sha256),
    tools: &Tools<'_>,
    mut ask: impl FnMut(Range<usize>) -> Result<Vec<T>, RunError>,
) -> Result<Vec<T>, RunError> {
    let (tasks, label) = (cases.div_ceil(TOGETHER), |_| String::new());
    let work = Shared { job, name, tasks, label: &label };
    // The bar counts cases, and the work tasks.
    let counted =
        Recounted(tools.progress, |tasks: u64| (tasks * TOGETHER as u64).min(cases as u64));
    let range = |task: usize| task * TOGETHER..cases.min((task + 1) * TOGETHER);
    let found = tools.ranks.share(&work, &counted, &mut |task| ask(range(task)))?;
    Ok(found.into_iter().flatten().collect())
}

/// Other subjects of each kind that all cases of a run are asked about together, at most; the cases
/// take turns.
const OTHERS: usize = 640;
/// Fewest of them for one case.
const FEWEST: usize = 8;

/// How many other subjects the case at a place is asked about.
pub(super) fn size(turn: usize, cases: usize) -> BackgroundSize {
    let all = BackgroundSize::default().most;
    BackgroundSize { most: (OTHERS / cases.max(1)).clamp(FEWEST, all), turn }
}

/// What is asked about other subjects, too: the facts or, without facts, what a file's rewrite
/// prompts say that they are about.
fn about(prompts: &PromptSet, facts: &[AskedFact]) -> Vec<AboutSubject> {
    let of_fact = |fact: &AskedFact| AboutSubject {
        subject: fact.subject.clone(),
        prompt: fact.prompt.clone(),
    };
    match facts.is_empty() {
        true => prompts.about.clone(),
        false => facts.iter().map(of_fact).collect(),
    }
}

/// Other subjects under the prompts of the facts, and the case's own neighborhood prompts once.
fn background(
    tokenizer: &crate::model::Tokenizer,
    about: &[AboutSubject],
    neighborhood: &[String],
    size: BackgroundSize,
) -> Result<BackgroundQuestions, crate::model::TokenizerError> {
    let own = BackgroundFact { subject: "", prompt: "", own_prompts: neighborhood };
    let mut all: Vec<BackgroundFact<'_>> = Vec::new();
    for AboutSubject { subject, prompt } in about {
        all.push(BackgroundFact { subject, prompt, own_prompts: &[] });
    }
    if !neighborhood.is_empty() {
        all.push(own);
    }
    BackgroundQuestions::new(tokenizer, &all, size)
}

/// The prompts; without rewrite prompts, the facts themselves are asked for.
fn with_rewrites(prompts: &PromptSet, facts: &[AskedFact]) -> PromptSet {
    let mut prompts = prompts.clone();
    if prompts.rewrite.is_empty() {
        let rewrite = |fact: &AskedFact| Comparison {
            prompt: fact.rendered.clone(),
            target_new: Some(fact.target_new.clone()),
            target_true: fact.target_true.clone(),
        };
        prompts.rewrite = facts.iter().map(rewrite).collect();
    }
    prompts
}

type Free = Vec<(PromptKind, String, String)>;

/// What should be said after each prompt, and what should no longer be said.
///
/// Each fact is asked for by its own prompt, whatever prompts there are besides. Where all facts are
/// erased, other wordings are asked for what was erased; else for what should be said.
fn free_questions(prompts: &PromptSet, facts: &[AskedFact], new: Option<&str>) -> (Free, Free) {
    let (mut should, mut should_not) = (Free::new(), Free::new());
    for fact in facts {
        let prompt = fact.rendered.clone();
        match fact.target_true.clone().filter(|_| fact.is_erased) {
            Some(old) => should_not.push((PromptKind::Rewrite, prompt, old)),
            None => should.push((PromptKind::Rewrite, prompt, fact.target_new.clone())),
        }
    }
    let erased = facts.first().filter(|_| facts.iter().all(|fact| fact.is_erased));
    for (kind, set) in
        [(PromptKind::Rewrite, &prompts.rewrite), (PromptKind::Paraphrase, &prompts.paraphrase)]
    {
        for Comparison { prompt, target_new, target_true } in set {
            if should.iter().chain(&should_not).any(|(_, known, _)| known == prompt) {
                continue;
            }
            let old = || target_true.clone().or(erased?.target_true.clone());
            let wanted = target_new.as_deref().or(new);
            match (erased.and_then(|_| old()), wanted) {
                (Some(old), _) => should_not.push((kind, prompt.clone(), old)),
                (None, Some(wanted)) => should.push((kind, prompt.clone(), wanted.to_owned())),
                (None, None) => {}
            }
        }
    }
    // A ripple without a true target is in no score of two targets.
    for Comparison { prompt, target_new, target_true } in &prompts.ripple {
        if let (Some(wanted), None) = (target_new, target_true) {
            should.push((PromptKind::Ripple, prompt.clone(), wanted.clone()));
        }
    }
    (should, should_not)
}
