//! What a model says of the subjects of passages in forms of its own.
//!
//! A passage is one wording of what a model knows. Where only the passages are forgotten, the answers
//! to questions about their subjects stay; where only passages are retained, answers about other subjects
//! of that kind get lost, as nothing holds them. So the model itself is asked for more wordings: its
//! samples hold sentences about names ("Question: What is the phone extension of ...? Answer:"); in the
//! place of the name, the subjects are put. A form tells something where the model is sure of the
//! next token, and of another one for other subjects. What it goes on to say there is a statement of its
//! own about each subject, to be forgotten or held.

mod subjects;

use std::collections::BTreeMap;

pub use subjects::Subjects;
use subjects::{Common, name_runs};

use super::TrainError;
use super::example::Example;
use super::head::{in_logits, measure};
use super::mean_nll::{mean, means};
use crate::model::{Choice, Decoder, Model, ModelError, generate, generate_while};
use crate::objective::TokenLoss;
use crate::ops::log_sum_exp;
use crate::progress::{Inner, Progress, counted};

/// What a model says of the subjects of each set, as sequences whose targets are the statements.
#[derive(Debug, Clone, Default)]
pub struct OwnWords {
    /// Forms in which it speaks of subjects.
    pub forms: usize,
    /// Of what is to be forgotten, where it is surer of it than of what was never seen.
    pub passages: Vec<Example>,
    /// The NLL at which each of these is forgotten, nats a token.
    pub goals: Vec<f64>,
    /// Of what is to stay.
    pub retain: Vec<Example>,
    /// Mean share of `passages` that models say as well which never saw what is to be forgotten.
    pub never_saw: Option<f64>,
}

/// Forms that are used, at most.
const FORMS: usize = 12;
/// Candidates for them, at most.
const CANDIDATES: usize = 128;
/// Subjects that are put into each candidate.
const TRIED: usize = 8;
/// What a form tells at least, nats.
const LEAST: f64 = 0.5;
/// Characters before the name.
const BEFORE: usize = 80;
/// Tokens after it.
const AFTER: usize = 16;
/// Context of a model that has room for forms.
const CONTEXT: usize = 64;
/// Tokens of a statement.
const STATEMENT: usize = 12;
/// NLL of a statement that the model is sure of, at most, nats a token.
const SURE: f64 = 0.5;

/// A sentence around a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    before: String,
    after: String,
}

/// A candidate up to where it tells something of the name.
struct Form {
    before: String,
    /// Tokens between the name and the statement.
    after: Vec<u32>,
    telling: f64,
}

impl OwnWords {
    /// Those of `start`, whose samples are given; without a hold-out, what is said of the subjects that
    /// are to be forgotten has no goal yet.
    pub fn new(
        model: &Model,
        start: &Decoder,
        subjects: &Subjects,
        samples: &[Example],
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let Subjects { passages, retain, holdout } = subjects;
        let has_room = model.decoder.config().context >= CONTEXT;
        if passages.is_empty() || passages.len() + retain.len() < 2 || !has_room {
            return Ok(Self::default());
        }
        progress.phase("own words", None);
        let forms = forms(model, start, subjects, samples, progress)?;
        let mut own = Self { forms: forms.len(), ..Self::default() };
        for form in &forms {
            let say = |names: &[String]| statements(model, start, form, names, progress);
            own.retain.extend(sure(start, say(retain)?)?);
            let forgotten = sure(start, say(passages)?)?;
            if holdout.is_empty() {
                own.passages.extend(forgotten);
                continue;
            }
            let unseen = means(&measure(start, &say(holdout)?)?);
            if unseen.is_empty() {
                continue;
            }
            let goal = mean(&unseen);
            for (statement, nll) in forgotten.iter().zip(means(&measure(start, &forgotten)?)) {
                if nll < goal {
                    own.passages.push(statement.clone());
                    own.goals.push(goal);
                }
            }
        }
        Ok(own)
    }

    /// One line about them.
    pub fn describe(&self) -> String {
        let (forms, forgotten) =
            (counted(self.forms, "form"), counted(self.passages.len(), "statement"));
        format!("{forms}: {forgotten} to be forgotten, {} to be held", self.retain.len())
    }
}

/// The forms that tell most of a subject, the most telling first.
fn forms(
    model: &Model,
    start: &Decoder,
    subjects: &Subjects,
    samples: &[Example],
    progress: &dyn Progress,
) -> Result<Vec<Form>, TrainError> {
    let names = tried(subjects);
    let mut candidates = named(model, start, &names, progress)?;
    candidates.extend(found(model, samples, subjects.are_long())?);
    candidates.truncate(CANDIDATES);
    let mut forms: Vec<Form> = Vec::new();
    for candidate in candidates {
        progress.check()?;
        if let Some(form) = form(model, start, candidate, &names)?
            && !forms.iter().any(|it| it.before == form.before && it.after == form.after)
        {
            forms.push(form);
        }
    }
    forms.sort_by(|a, b| b.telling.total_cmp(&a.telling));
    forms.truncate(FORMS);
    Ok(forms)
}

/// Some subjects of either kind, spread over all.
fn tried(subjects: &Subjects) -> Vec<String> {
    let some = |set: &[String], count: usize| -> Vec<String> {
        set.iter().step_by(set.len().div_ceil(count).max(1)).take(count).cloned().collect()
    };
    let mut names = some(&subjects.retain, TRIED / 2);
    // Sets that were drawn alike, name by name, are not to be read at the same places.
    let others: Vec<String> = subjects.passages.iter().rev().cloned().collect();
    names.extend(some(&others, TRIED - names.len()));
    names
}

/// Sentences that begin with a subject, as the model goes on from it.
fn named(
    model: &Model,
    start: &Decoder,
    names: &[String],
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, TrainError> {
    /// Continuations of each name.
    const EACH: usize = 6;
    let prompts = names.iter().map(|name| encode(model, name));
    let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_, _>>()?;
    let prompts: Vec<&Vec<u32>> = prompts.iter().flat_map(|it| [it; EACH]).collect();
    let choice = Choice::Sampled { seed: 0, temperature: 1., k: usize::MAX };
    let stop = &model.stop_tokens;
    let written = generate(start, &prompts, AFTER, choice, stop, &Inner(progress))?;
    let mut found = Vec::new();
    for ids in written {
        let after = sentence(&decode(model, &ids)?).to_owned();
        let candidate = Candidate { before: String::new(), after };
        if !candidate.after.is_empty() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    Ok(found)
}

/// Sentences around names in samples, those whose beginning is most frequent first.
fn found(model: &Model, samples: &[Example], are_long: bool) -> Result<Vec<Candidate>, TrainError> {
    /// Sentences with the same beginning.
    const ALIKE: usize = 2;
    let is_border = |id: &u32| *id == model.start_token() || model.stop_tokens.contains(id);
    let pieces = samples.iter().flat_map(|it| it.ids.split(is_border)).filter(|it| !it.is_empty());
    let texts = pieces.map(|ids| decode(model, ids)).collect::<Result<Vec<_>, _>>()?;
    let common = Common::of(texts.iter().map(String::as_str));
    let mut alike: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    for text in &texts {
        for run in name_runs(text, &common) {
            let before = &text[..run.start];
            let begin = before.rfind(['.', '!', '\n']).map_or(0, |at| at + 1);
            let before = before[begin..].trim_start();
            let after = sentence(&text[run.end..]);
            let is_usable =
                before.len() <= BEFORE && (!are_long || text[run.clone()].contains(' '));
            if !is_usable || after.trim().is_empty() {
                continue;
            }
            let (count, ends) = alike.entry(before.to_owned()).or_default();
            *count += 1;
            if ends.len() < ALIKE && !ends.iter().any(|end| end == after) {
                ends.push(after.to_owned());
            }
        }
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    alike.sort_by(|(a, (m, _)), (b, (n, _))| n.cmp(m).then(a.cmp(b)));
    let of = |(before, (_, ends)): (String, (usize, Vec<String>))| {
        ends.into_iter().map(move |after| Candidate { before: before.clone(), after })
    };
    Ok(alike.into_iter().flat_map(of).collect())
}

/// A text up to the end of its first sentence, which a question does not end: its answer follows.
fn sentence(text: &str) -> &str {
    let end = text.find(['.', '!', '\n', '。', '！']).unwrap_or(text.len());
    text[..end].trim_end()
}

/// A candidate as a form, if it tells enough.
fn form(
    model: &Model,
    start: &Decoder,
    candidate: Candidate,
    names: &[String],
) -> Result<Option<Form>, TrainError> {
    let Candidate { before, after } = candidate;
    let mut put: Vec<Example> = Vec::with_capacity(names.len());
    for name in names {
        let prompt = format!("{before}{name}");
        let (prompt, whole) =
            (encode(model, &prompt)?, encode(model, &format!("{prompt}{after}"))?);
        let is_short = whole.len() <= model.decoder.config().context;
        let Some(rest) = whole.strip_prefix(prompt.as_slice()).filter(|_| is_short) else {
            return Ok(None);
        };
        let rest = &rest[..rest.len().min(AFTER)];
        if rest.is_empty() || put.first().is_some_and(|it| &it.ids[it.first_target..] != rest) {
            return Ok(None);
        }
        put.push(sequence(prompt, rest));
    }
    let telling = telling(start, &put)?;
    let best = (0..telling.len()).max_by(|a, b| telling[*a].total_cmp(&telling[*b]));
    Ok(best.filter(|at| telling[*at] >= LEAST).map(|at| {
        let after = put[0].ids[put[0].first_target..][..at].to_vec();
        Form { before, after, telling: telling[at] }
    }))
}

/// How much each target's place tells of the sequence that is read, in nats: the mean over sequences of
/// p ln (p / q), where p is the probability of the most probable token there, and q its mean probability
/// after all sequences. The sequences have as many targets each.
pub(super) fn telling(decoder: &Decoder, sequences: &[Example]) -> Result<Vec<f64>, TrainError> {
    let targets = sequences[0].targets();
    let mut mixed: Vec<f32> = Vec::new();
    let mut best: Vec<(usize, usize, f32)> = Vec::new();
    let mut width = 0;
    let share = 1. / sequences.len() as f32;
    in_logits(decoder, sequences, |_, logits, vocabulary| {
        width = vocabulary;
        mixed.resize(targets * vocabulary, 0.);
        let rows = logits.chunks_exact(vocabulary).zip(mixed.chunks_exact_mut(vocabulary));
        for (at, (row, mixed)) in rows.enumerate() {
            let shift = log_sum_exp(row);
            let mut most = (at, 0, 0.);
            for (id, (logit, mixed)) in row.iter().zip(mixed).enumerate() {
                let p = (logit - shift).exp();
                *mixed += share * p;
                if p > most.2 {
                    most = (at, id, p);
                }
            }
            best.push(most);
        }
    })?;
    let mut telling = vec![0.; targets];
    for (at, id, p) in best {
        telling[at] += f64::from(share * p * (p / mixed[at * width + id]).ln());
    }
    Ok(telling)
}

/// What the model says of each subject in a form, to the end of the sentence.
fn statements(
    model: &Model,
    start: &Decoder,
    form: &Form,
    names: &[String],
    progress: &dyn Progress,
) -> Result<Vec<Example>, TrainError> {
    /// Sequences written at once.
    const TOGETHER: usize = 64;
    let context = model.decoder.config().context;
    let mut all = Vec::with_capacity(names.len());
    for names in names.chunks(TOGETHER) {
        let prompt = |name: &String| {
            let ids = encode(model, &format!("{}{name}", form.before))?;
            Ok([ids, form.after.clone()].concat())
        };
        let mut prompts = names.iter().map(prompt).collect::<Result<Vec<_>, TrainError>>()?;
        prompts.retain(|ids| ids.len() + STATEMENT <= context);
        if prompts.is_empty() {
            continue;
        }
        let ends = |written: &[u32]| decode(model, written).map_or(true, |text| has_end(&text));
        let written = generate_while(
            start,
            &prompts,
            STATEMENT,
            Choice::Greedy,
            &model.stop_tokens,
            &mut |_, written| !ends(written),
            &Inner(progress),
        )?;
        for (prompt, mut written) in prompts.into_iter().zip(written) {
            if ends(&written) {
                written.pop();
            }
            if !written.is_empty() {
                all.push(sequence(prompt, &written));
            }
        }
    }
    Ok(all)
}

/// Those of the statements that the model is sure of.
fn sure(start: &Decoder, statements: Vec<Example>) -> Result<Vec<Example>, TrainError> {
    let nll = means(&measure(start, &statements)?);
    Ok(statements.into_iter().zip(nll).filter(|(_, nll)| *nll <= SURE).map(|(it, _)| it).collect())
}

fn has_end(text: &str) -> bool {
    text.contains(['.', '!', '?', '\n', '。', '！', '？'])
}

fn sequence(mut ids: Vec<u32>, rest: &[u32]) -> Example {
    let first_target = ids.len();
    ids.extend(rest);
    Example { ids, first_target, loss: TokenLoss::Mean, scale: 1. }
}

fn encode(model: &Model, text: &str) -> Result<Vec<u32>, TrainError> {
    Ok(model.tokenizer.encode(text).map_err(ModelError::from)?.ids)
}

fn decode(model: &Model, ids: &[u32]) -> Result<String, TrainError> {
    Ok(model.tokenizer.decode(ids).map_err(ModelError::from)?)
}
