//! Truth ratio: how much more probable the true word of a passage is than others of its kind.
//!
//! A word is left out of each passage, and the words left out of others are offered in its place:
//! ln R = mean NLL of the wrong words − NLL of the true one, as in TOFU (arXiv 2401.06121). A model
//! that knows nothing of the passage has ln R near that of passages that it never saw.

use serde::Serialize;

use super::compared::{excess, mean};
use super::forms::cloze;
use super::subject::Subject;
use crate::gradient::Example;
use crate::math::Interval;
use crate::model::{Model, ModelError};
use crate::probe::{Query, likelihoods};
use crate::run::RunError;

/// Wrong words that stand in for a true one.
const WRONG: usize = 4;

/// ln R of each passage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TruthRatio {
    /// The passages that should have been forgotten.
    pub forgotten: Vec<f64>,
    /// Passages that were never seen.
    pub holdout: Vec<f64>,
}

impl TruthRatio {
    /// How far the passages lie above what was never seen.
    pub fn excess(&self, seed: u64) -> Option<Interval> {
        excess(&self.forgotten, &self.holdout, seed)
    }
}

/// Measures both sets.
pub(super) fn truth_ratio(subject: &Subject<'_>) -> Result<TruthRatio, RunError> {
    Ok(TruthRatio {
        forgotten: of(subject, subject.passages())?,
        holdout: of(subject, subject.holdout())?,
    })
}

fn of(subject: &Subject<'_>, passages: &[Example]) -> Result<Vec<f64>, RunError> {
    let model = subject.models.model;
    let queries = queries(model, passages)?;
    let scores = likelihoods(subject.models.decoder, &queries)?;
    let one = |scores: &Vec<crate::probe::TargetScore>| {
        let (own, wrong) = scores.split_first()?;
        Some(mean(&wrong.iter().map(|it| it.nll).collect::<Vec<_>>())? - own.nll)
    };
    Ok(scores.iter().filter_map(one).collect())
}

/// A question for each passage that has a word to leave out, its own word first.
fn queries(model: &Model, passages: &[Example]) -> Result<Vec<Query>, ModelError> {
    let mut asked = Vec::new();
    for passage in passages {
        let text = model.tokenizer.decode(&passage.ids)?;
        asked.extend(cloze(text.trim()));
    }
    let context = model.decoder.config().context;
    let mut queries = Vec::new();
    for (at, (given, answer)) in asked.iter().enumerate() {
        let others = asked[at + 1..].iter().chain(&asked[..at]).map(|(_, word)| word);
        let wrong = others.filter(|word| *word != answer).take(WRONG);
        let given = given.trim_end();
        let targets = std::iter::once(answer).chain(wrong);
        let targets = targets.map(|word| model.tokenizer.continuation(given, word));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let prompt = model.tokenizer.encode(given)?.ids;
        let longest = targets.iter().map(Vec::len).max().unwrap_or(0);
        if targets.len() > 1 && prompt.len() + longest <= context {
            queries.push(Query { prompt, targets });
        }
    }
    Ok(queries)
}
