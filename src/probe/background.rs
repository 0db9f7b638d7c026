//! The background of an edit: answers to the same prompt about other subjects.
//!
//! A subject's answer is the most probable token after the prompt about it. It stays where the base
//! and the edited model give the same one. Three kinds of subjects are kept apart, because an edit
//! reaches them differently: 64 well-known names that no write holds, near subjects that share the last
//! tokens of this one, and the subjects of the spec's own neighborhood prompts.

use std::collections::BTreeSet;

use candle_core::D;
use serde::{Deserialize, Serialize};

use crate::math::{Interval, share_interval};
use crate::model::{Batch, Decoder, ModelError, Tokenizer, TokenizerError};
use crate::plan::{NameUse, background_subjects, near_subjects, overlap};
use crate::progress::Progress;

/// Prompt tokens that one forward pass takes.
const BATCH_ROWS: usize = 768;
/// Most answers that moved which are named.
const NAMED: usize = 10;

/// A kind of other subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundKind {
    /// Well-known names, none of which a write holds.
    Others,
    /// Subjects that end as the edited one does.
    Near,
    /// The neighborhood prompts of the spec.
    OwnPrompts,
}

/// A fact that was edited, as far as its background depends on it.
#[derive(Debug, Clone, Copy)]
pub struct BackgroundFact<'a> {
    /// The subject of the fact.
    pub subject: &'a str,
    /// The prompt with `{}`; without it, only the own prompts are asked.
    pub prompt: &'a str,
    /// Complete prompts about subjects that should keep their answers.
    pub own_prompts: &'a [String],
}

/// Prompts about other subjects, tokenised.
#[derive(Debug, Clone, Default)]
pub struct BackgroundQuestions {
    questions: Vec<Question>,
}

#[derive(Debug, Clone)]
struct Question {
    kind: BackgroundKind,
    subject: Option<String>,
    prompt: String,
    ids: Vec<u32>,
    /// Index of the fact whose prompt it is, and the subject's last token.
    key: Option<(usize, usize)>,
}

/// A prompt about another subject, up to the token where a fact about it is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OtherKey<'a> {
    /// Index of the question.
    pub(crate) question: usize,
    /// Index of the fact whose prompt it is.
    pub(crate) fact: usize,
    /// Tokens up to the subject's last one.
    pub(crate) ids: &'a [u32],
}

/// The base's most probable token after each prompt, with which every edited model is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaseAnswers(Vec<Answer>);

/// A token, and its lead over the most probable other one in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Answer {
    token: u32,
    margin: f64,
}

/// The lead of the base's answer over the most probable other one, in both models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MarginShift {
    /// In the base, in nats.
    pub before: f64,
    /// In the edited model; negative where another answer leads.
    pub after: f64,
}

/// The number of prompts of each kind, and where their choice begins.
#[derive(Debug, Clone, Copy)]
pub struct BackgroundSize {
    /// Most prompts of each kind, taken evenly over facts and subjects.
    pub most: usize,
    /// Where the choice begins; runs that measure one edit each take turns by it.
    pub turn: usize,
}

impl Default for BackgroundSize {
    fn default() -> Self {
        Self { most: background_subjects(NameUse::Measured).len(), turn: 0 }
    }
}

impl BackgroundQuestions {
    /// The prompts of facts that are written together, about subjects of none of them.
    pub fn new(
        tokenizer: &Tokenizer,
        facts: &[BackgroundFact<'_>],
        size: BackgroundSize,
    ) -> Result<Self, TokenizerError> {
        let subjects = facts.iter().map(|fact| fact.subject.to_lowercase());
        let subjects: Vec<String> = subjects.filter(|subject| !subject.is_empty()).collect();
        let is_other = |name: &&str| !is_about(&subjects, name);
        let names: Vec<&str> =
            background_subjects(NameUse::Measured).iter().copied().filter(is_other).collect();
        let (mut others, mut near, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (at, fact) in facts.iter().enumerate() {
            let plain =
                |prompt: &String| Asked { subject: None, prompt: prompt.clone(), key: None };
            own.extend(fact.own_prompts.iter().map(plain));
            let Some(start) = fact.prompt.find("{}") else { continue };
            let about = |name: &str| Asked {
                subject: Some(name.to_owned()),
                prompt: fact.prompt.replacen("{}", name, 1),
                key: Some((at, start + name.len())),
            };
            others.extend(names.iter().map(|name| about(name)));
            let others = near_subjects(fact.subject, NameUse::Measured);
            let is_free = |name: &&String| !subjects.contains(&name.to_lowercase());
            near.extend(others.iter().filter(is_free).map(|name| about(name)));
        }
        let mut questions = Self::default();
        for (kind, prompts) in [
            (BackgroundKind::Others, others),
            (BackgroundKind::Near, near),
            (BackgroundKind::OwnPrompts, own),
        ] {
            questions.take(tokenizer, kind, &prompts, size)?;
        }
        Ok(questions)
    }

    /// Adds some prompts of a kind, each text once.
    fn take(
        &mut self,
        tokenizer: &Tokenizer,
        kind: BackgroundKind,
        prompts: &[Asked],
        size: BackgroundSize,
    ) -> Result<(), TokenizerError> {
        let (all, most) = (prompts.len(), size.most.min(prompts.len()));
        let mut seen = BTreeSet::new();
        for place in 0..most {
            let Asked { subject, prompt, key } = &prompts[(place * all / most + size.turn) % all];
            if seen.insert(prompt) {
                let encoded = tokenizer.encode(prompt)?;
                let key = key
                    .and_then(|(fact, end)| Some((fact, Tokenizer::lookup_token(&encoded, end)?)));
                let (subject, prompt) = (subject.clone(), prompt.clone());
                self.questions.push(Question { kind, subject, prompt, ids: encoded.ids, key });
            }
        }
        Ok(())
    }

    /// Number of prompts.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// The prompts that are about another subject, up to its last token.
    pub(crate) fn keys(&self) -> impl Iterator<Item = OtherKey<'_>> {
        self.questions.iter().enumerate().filter_map(|(question, it)| {
            let (fact, lookup) = it.key?;
            Some(OtherKey { question, fact, ids: &it.ids[..=lookup] })
        })
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The answers of the base.
    pub fn base(&self, base: &Decoder, progress: &dyn Progress) -> Result<BaseAnswers, ModelError> {
        Ok(BaseAnswers(self.answers(base, None, progress)?))
    }

    /// The shares of the base's answers that an edited model keeps.
    pub fn compare(
        &self,
        base: &BaseAnswers,
        edited: &Decoder,
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Background, ModelError> {
        let shown = self.answers(edited, Some(&base.0), progress)?;
        let after: Vec<u32> = shown.iter().map(|it| it.token).collect();
        let answers = || base.0.iter().map(|it| &it.token).zip(&after);
        let share = |kind| {
            let asked = self.questions.iter().zip(answers()).filter(|(it, _)| it.kind == kind);
            let kept = asked.clone().filter(|(_, (before, after))| before == after).count();
            share_interval(kept, asked.count())
        };
        let moved = self.questions.iter().zip(answers()).filter(|(_, (old, new))| old != new);
        let moved = moved.map(|(question, (before, after))| Moved {
            kind: question.kind,
            subject: question.subject.clone(),
            prompt: question.prompt.clone(),
            before: tokenizer.piece(*before),
            after: tokenizer.piece(*after),
        });
        Ok(Background {
            others: share(BackgroundKind::Others),
            near: share(BackgroundKind::Near),
            own_prompts: share(BackgroundKind::OwnPrompts),
            moved: first_of_each(moved.collect()),
            margins: base.0.iter().zip(&shown).map(MarginShift::of).collect(),
        })
    }

    /// The most probable token after each prompt, with its own lead or that of the answer `known`.
    fn answers(
        &self,
        decoder: &Decoder,
        known: Option<&[Answer]>,
        progress: &dyn Progress,
    ) -> Result<Vec<Answer>, ModelError> {
        let mut answers: Vec<Answer> = Vec::with_capacity(self.questions.len());
        let mut rest = self.questions.as_slice();
        while !rest.is_empty() {
            progress.check()?;
            let mut rows = 0;
            let fits = |question: &&Question| {
                rows += question.ids.len();
                rows <= BATCH_ROWS
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (group, later) = rest.split_at(count);
            let batch = Batch::new(&group.iter().map(|it| &it.ids).collect::<Vec<_>>());
            let logits = decoder.logits(&decoder.forward(&batch, None)?, &batch.last_rows())?;
            let tokens = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
            for (token, row) in tokens.into_iter().zip(logits.to_vec2::<f32>()?) {
                let of = known.map_or(token, |known| known[answers.len()].token);
                answers.push(Answer { token, margin: margin(&row, of as usize) });
            }
            rest = later;
        }
        Ok(answers)
    }
}

/// A prompt that may be asked: the subject, and the fact and the end of the subject's last byte.
struct Asked {
    subject: Option<String>,
    prompt: String,
    key: Option<(usize, usize)>,
}

/// The lead of a token over the most probable other one: log-probabilities differ as logits do.
fn margin(logits: &[f32], token: usize) -> f64 {
    let others = logits.iter().enumerate().filter(|(at, _)| *at != token).map(|(_, it)| *it);
    f64::from(logits[token]) - f64::from(others.fold(f32::NEG_INFINITY, f32::max))
}

impl MarginShift {
    fn of((before, after): (&Answer, &Answer)) -> Self {
        Self { before: before.margin, after: after.margin }
    }
}

/// An answer that changed with the edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The kind of the other subject.
    pub kind: BackgroundKind,
    /// The other subject; nothing for a neighborhood prompt of the spec.
    pub subject: Option<String>,
    /// The prompt about the other subject.
    pub prompt: String,
    /// The base's most probable token.
    pub before: String,
    /// The edited model's most probable token.
    pub after: String,
}

/// Shares of other subjects whose top answer stays, with 95 % intervals; n counts prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// Share of the well-known names.
    pub others: Option<Interval>,
    /// Share of the subjects that end as the edited one does.
    pub near: Option<Interval>,
    /// Share of the spec's own neighborhood prompts.
    pub own_prompts: Option<Interval>,
    /// Some of the answers that moved, of each kind in turn.
    pub moved: Vec<Moved>,
    /// The lead of each answer, prompt by prompt; empty where several edits are pooled.
    #[serde(skip)]
    pub margins: Vec<MarginShift>,
}

impl Background {
    /// Pools several edits that were measured separately: every prompt counts alike.
    pub fn pooled(all: &[Self]) -> Self {
        let pool = |share: fn(&Self) -> Option<Interval>| {
            let shares = || all.iter().filter_map(share);
            let kept = shares().map(|it| (it.mean * it.n as f64).round() as usize).sum();
            share_interval(kept, shares().map(|it| it.n).sum())
        };
        let moved = all.iter().flat_map(|it| &it.moved).cloned().collect();
        Self {
            others: pool(|it| it.others),
            near: pool(|it| it.near),
            own_prompts: pool(|it| it.own_prompts),
            moved: first_of_each(moved),
            margins: Vec::new(),
        }
    }
}

/// The first few answers that moved; the kinds take turns so that each is shown.
fn first_of_each(moved: Vec<Moved>) -> Vec<Moved> {
    let mut counts = [0; 3];
    let mut ranked: Vec<(usize, Moved)> = Vec::with_capacity(moved.len());
    for it in moved {
        let count = &mut counts[it.kind as usize];
        ranked.push((*count, it));
        *count += 1;
    }
    ranked.sort_by_key(|(turn, it)| (*turn, it.kind));
    ranked.truncate(NAMED);
    ranked.into_iter().map(|(_, it)| it).collect()
}

/// Whether a name is one of `subjects` or part of one, or has one as a part.
fn is_about(subjects: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    subjects.iter().any(|subject| overlap(subject, &name))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::model::Model;
    use crate::progress::Silent;

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
    }

    fn questions(model: &Model, size: BackgroundSize) -> BackgroundQuestions {
        let own = ["The home of Marie is".to_owned(), "The home of Bert is".to_owned()];
        let fact = BackgroundFact {
            subject: "Marie Curie",
            prompt: "The home of {} is",
            own_prompts: &own,
        };
        BackgroundQuestions::new(&model.tokenizer, &[fact], size).expect("tokenised")
    }

    #[test]
    fn an_unedited_model_keeps_every_answer_and_another_one_does_not() {
        let model = tiny();
        let questions = questions(&model, BackgroundSize::default());
        let base = questions.base(&model.decoder, &Silent).expect("answers");
        let compare = |decoder| questions.compare(&base, decoder, &model.tokenizer, &Silent);
        let same = compare(&model.decoder).expect("compared");
        let n = background_subjects(NameUse::Measured).len() - 1;
        assert_eq!(same.others.map(|it| (it.mean, it.n)), Some((1., n)));
        assert_eq!(same.near.map(|it| (it.mean, it.n)), Some((1., 12)));
        assert_eq!(same.own_prompts.map(|it| (it.mean, it.n)), Some((1., 2)));
        assert!(same.moved.is_empty());
        let (down, _) = model.decoder.down_projection(1);
        let other = model
            .decoder
            .with_down_projection(1, (down.tensor().expect("f32") * -30.).expect("scaled"));
        let moved = compare(&other).expect("compared");
        assert!(moved.others.expect("names").mean < 1. && !moved.moved.is_empty());
        assert!(moved.moved.iter().all(|it| it.before != it.after));
        let pooled = Background::pooled(&[same, moved.clone()]).others.expect("names");
        let expected = (1. + moved.others.expect("names").mean) / 2.;
        assert!((pooled.mean - expected).abs() < 1e-12 && pooled.n == 2 * n);
    }

    #[test]
    fn an_answer_leads_until_it_moves() {
        assert_eq!(margin(&[1., 3.5, 2.], 1), 1.5);
        assert_eq!(margin(&[1., 3.5, 2.], 0), -2.5);
        let model = tiny();
        let questions = questions(&model, BackgroundSize::default());
        let base = questions.base(&model.decoder, &Silent).expect("answers");
        let same = questions.compare(&base, &model.decoder, &model.tokenizer, &Silent);
        let margins = same.expect("compared").margins;
        assert_eq!(margins.len(), questions.len());
        assert!(margins.iter().all(|it| it.before >= 0. && it.before == it.after));
        let keys: Vec<_> = questions.keys().collect();
        assert_eq!(keys.len(), questions.len() - 2, "but for the two own prompts");
        assert!(keys.iter().all(|key| key.fact == 0 && !key.ids.is_empty()));
    }

    #[test]
    fn runs_that_take_turns_cover_all_names() {
        let model = tiny();
        let mut seen = BTreeSet::new();
        for turn in 0..8 {
            let some = questions(&model, BackgroundSize { most: 8, turn });
            let others = some.questions.iter().filter(|it| it.kind == BackgroundKind::Others);
            seen.extend(others.filter_map(|it| it.subject.clone()));
        }
        assert_eq!(seen.len(), background_subjects(NameUse::Measured).len() - 1);
    }
}
