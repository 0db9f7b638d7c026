//! Scores of prompt sets under a decoder, with n and intervals.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::likelihood::{Query, likelihoods};
use crate::math::{Interval, mean_interval, share_interval, share_mean_interval};
use crate::model::{Decoder, Tokenizer, TokenizerError};
use crate::spec::{Comparison, PromptSet};

/// The kind of a prompt.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// The edited statement.
    Rewrite,
    /// Another wording of it.
    Paraphrase,
    /// A statement that must stay.
    Neighborhood,
    /// A statement that follows from the edit.
    Ripple,
}

/// Tokenised prompts of one set.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    kinds: Vec<PromptKind>,
    prompts: Vec<String>,
    queries: Vec<Query>,
    skipped: usize,
}

impl Questions {
    /// Tokenises a set; prompts without targets of their own take the edit's.
    pub fn new(
        tokenizer: &Tokenizer,
        prompts: &PromptSet,
        target_new: Option<&str>,
        target_true: Option<&str>,
    ) -> std::result::Result<Self, TokenizerError> {
        let mut questions = Self::default();
        for (kind, set) in [
            (PromptKind::Rewrite, &prompts.rewrite),
            (PromptKind::Paraphrase, &prompts.paraphrase),
            (PromptKind::Neighborhood, &prompts.neighborhood),
            (PromptKind::Ripple, &prompts.ripple),
        ] {
            for Comparison { prompt, target_new: new, target_true: old } in set {
                // What follows from an edit has answers of its own.
                let own = kind == PromptKind::Ripple;
                let new = new.as_deref().or(target_new.filter(|_| !own));
                let old = old.as_deref().or(target_true.filter(|_| !own));
                let (Some(new), Some(old)) = (new, old) else {
                    questions.skipped += 1;
                    continue;
                };
                let target = |text: &str| tokenizer.continuation(prompt, text.trim());
                questions.kinds.push(kind);
                questions.prompts.push(prompt.clone());
                questions.queries.push(Query {
                    prompt: tokenizer.encode(prompt)?.ids,
                    targets: vec![target(new)?, target(old)?],
                });
            }
        }
        Ok(questions)
    }

    /// Prompts that have no pair of targets to compare.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Number of prompts to be scored.
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there is nothing to score.
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }
}

/// The outcome of one prompt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromptScore {
    /// The kind of the prompt.
    pub kind: PromptKind,
    /// The text of the prompt.
    pub prompt: String,
    /// NLL of the edit's target, nats a token.
    pub nll_new: f64,
    /// NLL of the true target, nats a token.
    pub nll_true: f64,
    /// Whether the whole new target is the argmax.
    pub new_is_argmax: bool,
    /// Whether the whole true target is the argmax.
    pub true_is_argmax: bool,
}

impl PromptScore {
    /// Whether the outcome is the one that the kind of prompt asks for.
    pub fn succeeds(&self) -> bool {
        match self.kind {
            PromptKind::Neighborhood => self.nll_true < self.nll_new,
            _ => self.nll_new < self.nll_true,
        }
    }

    /// Whether the whole wanted target is the argmax.
    pub fn is_exact(&self) -> bool {
        match self.kind {
            PromptKind::Neighborhood => self.true_is_argmax,
            _ => self.new_is_argmax,
        }
    }

    /// The difference P(new) − P(true), each a geometric mean over tokens.
    pub fn magnitude(&self) -> f64 {
        (-self.nll_new).exp() - (-self.nll_true).exp()
    }
}

/// All outcomes of one set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// One outcome for each prompt.
    pub prompts: Vec<PromptScore>,
}

/// Scores the questions.
pub fn measure(decoder: &Decoder, questions: &Questions) -> Result<Measured> {
    let scores = likelihoods(decoder, &questions.queries)?;
    let prompts = questions.kinds.iter().zip(&questions.prompts).zip(scores);
    let prompts = prompts.map(|((kind, prompt), score)| PromptScore {
        kind: *kind,
        prompt: prompt.clone(),
        nll_new: score[0].nll,
        nll_true: score[1].nll,
        new_is_argmax: score[0].is_argmax,
        true_is_argmax: score[1].is_argmax,
    });
    Ok(Measured { prompts: prompts.collect() })
}

/// The paper's table for one or many records; shares lie in 0..1.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProbeScores {
    /// Efficacy: NLL(new) < NLL(true) on rewrite prompts.
    pub efficacy: Option<f64>,
    /// Paraphrase score: NLL(new) < NLL(true) on paraphrases.
    pub paraphrase: Option<f64>,
    /// Neighborhood score: NLL(true) < NLL(new) on neighborhood prompts.
    pub neighborhood: Option<f64>,
    /// Ripple score: NLL(new) < NLL(true) on prompts that follow from the edit.
    pub ripple: Option<f64>,
    /// Score: harmonic mean of efficacy, paraphrase and neighborhood score.
    pub score: Option<f64>,
    /// Mean of P(new) − P(true) on rewrite prompts.
    pub magnitude: Option<f64>,
    /// Share of rewrite prompts whose whole new target is the argmax.
    pub exact_rewrite: Option<f64>,
    /// Share of paraphrases whose whole new target is the argmax.
    pub exact_paraphrase: Option<f64>,
    /// 95 % intervals, and n: prompts of one record, or records of a collection.
    pub intervals: Vec<(PromptKind, Interval)>,
}

impl ProbeScores {
    /// Scores of one record: the unit of observation is the prompt.
    pub fn of_one(measured: &Measured) -> Self {
        let kinds = [
            PromptKind::Rewrite,
            PromptKind::Paraphrase,
            PromptKind::Neighborhood,
            PromptKind::Ripple,
        ];
        let intervals = kinds.into_iter().filter_map(|kind| {
            let prompts = || measured.prompts.iter().filter(move |prompt| prompt.kind == kind);
            let successes = prompts().filter(|prompt| prompt.succeeds()).count();
            share_interval(successes, prompts().count()).map(|interval| (kind, interval))
        });
        Self::new(std::slice::from_ref(measured), intervals.collect())
    }

    /// Scores of many records: the unit is the record, whose score is the mean over its prompts.
    pub fn of_records(records: &[Measured]) -> Self {
        let kinds = [
            PromptKind::Rewrite,
            PromptKind::Paraphrase,
            PromptKind::Neighborhood,
            PromptKind::Ripple,
        ];
        let intervals = kinds.into_iter().filter_map(|kind| {
            let means = per_record(records, kind, |prompt| f64::from(prompt.succeeds()));
            share_mean_interval(&means).map(|interval| (kind, interval))
        });
        Self::new(records, intervals.collect())
    }

    fn new(records: &[Measured], intervals: Vec<(PromptKind, Interval)>) -> Self {
        let mean = |kind, value: fn(&PromptScore) -> f64| {
            mean_interval(&per_record(records, kind, value)).map(|interval| interval.mean)
        };
        let share = |kind| mean(kind, |prompt| f64::from(prompt.succeeds()));
        let exact = |kind| mean(kind, |prompt| f64::from(prompt.is_exact()));
        let (efficacy, paraphrase) = (share(PromptKind::Rewrite), share(PromptKind::Paraphrase));
        let neighborhood = share(PromptKind::Neighborhood);
        Self {
            efficacy,
            paraphrase,
            neighborhood,
            ripple: share(PromptKind::Ripple),
            score: harmonic_mean([efficacy, paraphrase, neighborhood]),
            magnitude: mean(PromptKind::Rewrite, PromptScore::magnitude),
            exact_rewrite: exact(PromptKind::Rewrite),
            exact_paraphrase: exact(PromptKind::Paraphrase),
            intervals,
        }
    }

    /// The interval of a kind of prompt.
    pub fn interval(&self, kind: PromptKind) -> Option<&Interval> {
        self.intervals.iter().find(|(found, _)| *found == kind).map(|(_, interval)| interval)
    }
}

/// The mean of `value` over the prompts of a kind, for each record that has any.
fn per_record(
    records: &[Measured],
    kind: PromptKind,
    value: impl Fn(&PromptScore) -> f64,
) -> Vec<f64> {
    let means = records.iter().filter_map(|record| {
        let values: Vec<f64> =
            record.prompts.iter().filter(|prompt| prompt.kind == kind).map(&value).collect();
        mean_interval(&values).map(|interval| interval.mean)
    });
    means.collect()
}

/// The harmonic mean 3 / Σ 1/x; zero if any is zero, nothing if any is missing.
fn harmonic_mean(parts: [Option<f64>; 3]) -> Option<f64> {
    let [Some(a), Some(b), Some(c)] = parts else { return None };
    let inverse = 1. / a + 1. / b + 1. / c;
    Some(if inverse.is_finite() { 3. / inverse } else { 0. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(kind: PromptKind, nll_new: f64, nll_true: f64) -> PromptScore {
        let (new_is_argmax, true_is_argmax) = (nll_new < 0.1, nll_true < 0.1);
        PromptScore {
            kind,
            prompt: String::new(),
            nll_new,
            nll_true,
            new_is_argmax,
            true_is_argmax,
        }
    }

    #[test]
    fn a_tie_is_a_failure_on_both_sides() {
        assert!(!prompt(PromptKind::Rewrite, 1., 1.).succeeds());
        assert!(!prompt(PromptKind::Neighborhood, 1., 1.).succeeds());
    }

    #[test]
    fn records_count_alike_whatever_their_number_of_prompts() {
        let (p, n) = (PromptKind::Paraphrase, PromptKind::Neighborhood);
        let one = Measured { prompts: vec![prompt(p, 0., 1.), prompt(n, 2., 1.)] };
        let many = Measured {
            prompts: vec![
                prompt(p, 2., 1.),
                prompt(p, 2., 1.),
                prompt(p, 0., 1.),
                prompt(n, 2., 1.),
            ],
        };
        let scores = ProbeScores::of_records(&[one, many]);
        assert_eq!(scores.paraphrase, Some((1. + 1. / 3.) / 2.));
        assert_eq!((scores.efficacy, scores.score), (None, None));
        assert_eq!(scores.interval(n).map(|interval| interval.n), Some(2));
    }

    #[test]
    fn score_is_the_harmonic_mean() {
        assert_eq!(harmonic_mean([Some(1.), Some(0.5), Some(0.5)]), Some(0.6));
        assert_eq!(harmonic_mean([Some(1.), Some(0.), Some(0.5)]), Some(0.));
        assert_eq!(harmonic_mean([Some(1.), None, Some(0.5)]), None);
    }
}
