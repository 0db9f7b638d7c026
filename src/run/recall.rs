//! What is recoverable from a model: erased facts, secrets, passages and texts.
//!
//! Asked by every run of the models that it makes, and by a probe of the models that it is given.

use super::job::{Case, Job};
use super::outcome::PassageMeasures;
use super::plan::Plan;
use super::references::measure_references;
use super::tools::Tools;
use super::train::{OwnWordsOutcome, SetsMemory, remembered};
use super::train_plan::TrainPlan;
use super::{RunError, general};
use crate::gradient::{PassageSets, examples, goal};
use crate::model::{Decoder, Model, ModelError};
use crate::plan::PlannedEdit;
use crate::probe::{Leak, LeakQuestion, SecretLeak, SecretQuestion};
use crate::progress::{Inner, Progress};
use crate::spec::{Fact, Passage, PassageVerb, PromptSet, RateChoice, find_secrets};

/// Tokens of a probe file's text that are read at once.
const CHUNK: usize = 256;

/// What is recoverable from `decoder` about each erased fact of `edits`, which begin at `first`.
pub(super) fn leaks(
    model: &Model,
    cases: &[Case],
    (edits, first): (&[PlannedEdit], usize),
    (decoder, seed): (&Decoder, u64),
    progress: &dyn Progress,
) -> Result<Vec<Leak>, RunError> {
    let (tokenizer, base) = (&model.tokenizer, &model.decoder);
    let mut leaks = Vec::new();
    for (at, edit) in (first..).zip(edits).filter(|(_, edit)| edit.erase.is_some()) {
        let own = own_paraphrases(cases, at, edit);
        if let Some(question) = LeakQuestion::new(tokenizer, edit, &own, seed)? {
            leaks.push(question.ask((base, decoder), tokenizer, &Inner(progress))?);
        }
    }
    Ok(leaks)
}

/// The other wordings of one fact of a case.
///
/// With several facts, a wording belongs to the one whose subject it names.
fn own_paraphrases(cases: &[Case], at: usize, edit: &PlannedEdit) -> Vec<String> {
    let Some(case) = cases.iter().find(|case| case.facts.contains(&at)) else { return Vec::new() };
    let subject = edit.subject.to_lowercase();
    let is_own = |text: &String| case.facts.len() == 1 || text.to_lowercase().contains(&subject);
    let paraphrases = case.prompts.paraphrase.iter().map(|it| it.prompt.clone());
    paraphrases.filter(is_own).collect()
}

/// The questions for each secret of a job.
pub(crate) fn secret_questions(
    model: &Model,
    job: &Job,
    (trainings, seed): (&[&TrainPlan], u64),
) -> Result<Vec<SecretQuestion>, RunError> {
    let mut questions: Vec<SecretQuestion> =
        trainings.iter().flat_map(|training| training.secrets.clone()).collect();
    for fact in &job.facts {
        let Fact::Erase(erase) = fact else { continue };
        let (prompt, answer) = (erase.rendered(), &erase.target_true);
        for secret in &erase.secrets {
            let question = SecretQuestion::of_erase(model, &prompt, answer, secret, seed);
            questions.push(question.map_err(ModelError::from)?);
        }
    }
    for question in secrets_of_texts(model, &job.cases, seed)? {
        // A spec and its probe file may name the same one.
        if !questions.iter().any(|known| known.is_same(&question)) {
            questions.push(question);
        }
    }
    Ok(questions)
}

/// How near each secret is to coming out of the base and of `decoder`.
pub(crate) fn secrets(
    model: &Model,
    questions: &[SecretQuestion],
    decoder: Option<&Decoder>,
    progress: &dyn Progress,
) -> Result<Vec<SecretLeak>, RunError> {
    let ask = |question: &SecretQuestion| Ok(question.ask(model, decoder, &Inner(progress))?);
    questions.iter().map(ask).collect()
}

/// The secrets that probe files name in their `[[forget]]` texts.
fn secrets_of_texts(
    model: &Model,
    cases: &[Case],
    seed: u64,
) -> Result<Vec<SecretQuestion>, RunError> {
    let mut questions = Vec::new();
    for PromptSet { forget, secrets, .. } in cases.iter().map(|case| &case.prompts) {
        let passages = passages(forget);
        let places = find_secrets(&passages, secrets)?;
        let found = SecretQuestion::of_passages(model, &passages, &places, seed);
        questions.extend(found.map_err(ModelError::from)?);
    }
    Ok(questions)
}

fn passages(texts: &[String]) -> Vec<Passage> {
    texts.iter().map(|text| Passage::of_text(text.clone())).collect()
}

/// What both models remember of a probe file's `[[forget]]`, `[[retain]]` and `[[holdout]]` texts; nothing
/// where it has none.
pub(super) fn texts(
    model: &Model,
    prompts: &PromptSet,
    decoder: Option<&Decoder>,
    progress: &dyn Progress,
) -> Result<Option<PassageMeasures>, RunError> {
    let set = |texts: &[String]| examples(model, &passages(texts), CHUNK);
    let sets = PassageSets {
        passages: set(&prompts.forget)?,
        // With two models, what is retained is compared token by token.
        retain: if decoder.is_none() { set(&prompts.retain)? } else { Vec::new() },
        holdout: set(&prompts.holdout)?,
        ..PassageSets::default()
    };
    if [&sets.passages, &sets.retain, &sets.holdout].iter().all(|set| set.is_empty()) {
        return Ok(None);
    }
    let before = remembered(model, &model.decoder, &sets, progress)?;
    let after = decoder.map(|decoder| remembered(model, decoder, &sets, progress)).transpose()?;
    let goal = holdout_nll(&before);
    let (verb, references) = (PassageVerb::Forget, Vec::new());
    Ok(Some(PassageMeasures { verb, before, after, references, goal, own_words: None }))
}

fn holdout_nll(sets: &SetsMemory) -> Option<f64> {
    sets.holdout.as_ref().map(|set| set.nll.mean)
}

/// What both models remember of the passages of a plan, where nothing is trained.
///
/// As a training does, the rest is measured where one half of the passages is for choosing a rate.
pub(super) fn passages_of(
    model: &Model,
    plan: &Plan,
    decoder: Option<&Decoder>,
    tools: &Tools<'_>,
) -> Result<Vec<PassageMeasures>, RunError> {
    let one = |training: &TrainPlan| {
        let mut training = training.clone();
        if training.settings.own_words && decoder.is_some() {
            training.sets.own = general::own_words(model, &model.decoder, &training, tools)?;
        }
        let references = measure_references(model, &mut training, tools)?;
        let (verb, sets) = (training.settings.verb, &training.sets);
        let reported = match training.settings.rate {
            RateChoice::Auto => sets.halves().1,
            RateChoice::Given(_) => sets.clone(),
        };
        let before = remembered(model, &model.decoder, &reported, tools.progress)?;
        let after = decoder.map(|it| remembered(model, it, &reported, tools.progress));
        let goal = goal(verb, sets, holdout_nll(&before)).map(|(nll, _)| nll);
        let own_words = match decoder {
            Some(decoder) => OwnWordsOutcome::of(decoder, &sets.own, tools.progress)?,
            None => None,
        };
        let after = after.transpose()?;
        Ok(PassageMeasures { verb, before, after, references, goal, own_words })
    };
    plan.trainings().map(one).collect()
}
