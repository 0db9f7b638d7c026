//! Membership inference: whether scores of the passages tell them from passages that were never seen.
//!
//! Two-sided, because a hole is a trace, too: passages that are *less* probable than what was never
//! seen show that something was removed. The literature calls that side forgetting detection (FUMA,
//! EMNLP 2025).
//!
//! | attack | score |
//! |---|---|
//! | LOSS | mean log p |
//! | zlib | Σ log p over the bytes that zlib packs the text into (Carlini et al. 2021) |
//! | Min-K% | mean of the lowest fifth of log p (arXiv 2310.16789) |
//! | Min-K%++ | the same of standardised log p (arXiv 2404.02936) |

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;

use super::compared::relative_auc;
use super::scores::{Scored, lowest_mean, score};
use super::subject::Subject;
use crate::gradient::Example;
use crate::math::{Interval, auc, bootstrap, true_positive_rate};
use crate::model::{Decoder, ModelError};
use crate::run::RunError;

/// Share of the tokens that Min-K% looks at.
const LOWEST: f64 = 0.2;
/// The rate of false positives at which true ones are reported.
const FALSE_POSITIVES: f64 = 0.01;

/// A score by which members are told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Inference {
    /// Mean log p.
    Loss,
    /// log p over the length of the compressed text.
    Zlib,
    /// Mean of the lowest fifth of log p.
    MinK,
    /// Mean of the lowest fifth of standardised log p.
    MinKPlusPlus,
}

impl Inference {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Loss, Self::Zlib, Self::MinK, Self::MinKPlusPlus];

    /// Its published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "LOSS",
            Self::Zlib => "zlib",
            Self::MinK => "Min-K%",
            Self::MinKPlusPlus => "Min-K%++",
        }
    }

    fn score(self, scored: &Scored, packed: usize) -> f64 {
        match self {
            Self::Loss => -scored.nll(),
            Self::Zlib => scored.log_p.iter().sum::<f64>() / packed as f64,
            Self::MinK => lowest_mean(&scored.log_p, LOWEST),
            Self::MinKPlusPlus => lowest_mean(&scored.z, LOWEST),
        }
    }
}

/// How well one score tells the passages from the hold-out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Membership {
    /// The score.
    pub inference: Inference,
    /// Area under the ROC curve: one half says nothing, more that the passages are remembered, less
    /// that they are a hole. The interval is a bootstrap by passage.
    pub auc: Interval,
    /// Share of the passages above a cut that 1 % of the hold-out exceeds.
    pub remembered: Interval,
    /// Share of the passages below a cut that 1 % of the hold-out falls short of.
    pub hole: Interval,
    /// The area under each model that never saw the passages.
    pub references: Vec<f64>,
    /// Passages of the hold-out.
    pub holdout: usize,
}

impl Membership {
    /// The area relative to models that never saw the passages, whose own area counts as one half.
    pub fn relative_auc(&self) -> f64 {
        relative_auc(self.auc.mean, &self.references)
    }
}

/// The scores of both sets by one model, one list for each inference.
struct Sets([[Vec<f64>; 2]; 4]);

fn sets(subject: &Subject<'_>, decoder: &Decoder) -> Result<Sets, RunError> {
    let progress = subject.tools.progress;
    let packed = |example: &Example| -> Result<usize, RunError> {
        let targets = &example.ids[example.first_target..];
        Ok(packed(&subject.models.model.tokenizer.decode(targets).map_err(ModelError::from)?))
    };
    let of = |set: &[Example]| -> Result<Vec<(Scored, usize)>, RunError> {
        let scored = score(decoder, set, progress)?;
        scored.into_iter().zip(set).map(|(scored, it)| Ok((scored, packed(it)?))).collect()
    };
    let both = [of(subject.passages())?, of(subject.holdout())?];
    let by = |inference: Inference| {
        both.each_ref().map(|set| set.iter().map(|(it, n)| inference.score(it, *n)).collect())
    };
    Ok(Sets(Inference::ALL.map(by)))
}

/// Bytes into which zlib packs a text at its default level, as Python's `zlib.compress` does.
fn packed(text: &str) -> usize {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("memory takes all bytes").len()
}

/// Every inference on the audited model; nothing without a hold-out.
pub(super) fn membership(subject: &Subject<'_>) -> Result<Vec<Membership>, RunError> {
    if subject.passages().is_empty() || subject.holdout().is_empty() {
        return Ok(Vec::new());
    }
    subject.tools.progress.phase("membership", None);
    let Sets(own) = sets(subject, subject.models.decoder)?;
    let mut references: [Vec<f64>; 4] = Default::default();
    for name in subject.references() {
        let Sets(found) = sets(subject, &subject.reference(name)?)?;
        for (all, [members, outsiders]) in references.iter_mut().zip(&found) {
            all.push(auc(members, outsiders));
        }
    }
    let all = Inference::ALL.into_iter().zip(own).zip(references);
    Ok(all.map(|((it, [own, others]), rest)| told(it, &own, &others, rest, subject.seed)).collect())
}

fn told(
    inference: Inference,
    members: &[f64],
    outsiders: &[f64],
    references: Vec<f64>,
    seed: u64,
) -> Membership {
    let negative = |set: &[f64]| set.iter().map(|score| -score).collect::<Vec<f64>>();
    let rate =
        |[members, outsiders]: [&[f64]; 2]| true_positive_rate(members, outsiders, FALSE_POSITIVES);
    let (turned, turned_outsiders) = (negative(members), negative(outsiders));
    Membership {
        inference,
        auc: bootstrap([members, outsiders], seed, |[a, b]| auc(a, b)),
        remembered: bootstrap([members, outsiders], seed, rate),
        hole: bootstrap([&turned, &turned_outsiders], seed, rate),
        references,
        holdout: outsiders.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(log_p: &[f64]) -> Scored {
        let z = log_p.iter().map(|it| 2. * it).collect();
        Scored { log_p: log_p.to_vec(), z, extraction: 0., recital: 0. }
    }

    #[test]
    fn scores_by_hand() {
        let passage = scored(&[-1., -2., -3., -4., -5.]);
        for (inference, expected) in [
            (Inference::Loss, -3.),
            (Inference::Zlib, -15. / 30.),
            (Inference::MinK, -5.),
            (Inference::MinKPlusPlus, -10.),
        ] {
            assert_eq!(inference.score(&passage, 30), expected, "{inference:?}");
        }
        // Python's zlib.compress gives 11 bytes for both.
        assert_eq!(packed("abc"), 11);
        assert!((11..=12).contains(&packed(&"a".repeat(32))));
    }

    #[test]
    fn both_sides_are_seen() {
        let low: Vec<f64> = (0..20).map(f64::from).collect();
        let high: Vec<f64> = (30..50).map(f64::from).collect();
        let of = |members: &[f64], outsiders: &[f64], references| {
            told(Inference::Loss, members, outsiders, references, 0)
        };
        let remembered = of(&high, &low, Vec::new());
        assert_eq!((remembered.auc.mean, remembered.remembered.mean), (1., 1.));
        assert_eq!(remembered.hole.mean, 0.);
        let hole = of(&low, &high, Vec::new());
        assert_eq!((hole.auc.mean, hole.hole.mean, hole.remembered.mean), (0., 1., 0.));
        // Passages that are easy for everybody are no members.
        assert_eq!(of(&high, &low, vec![1., 1.]).relative_auc(), 0.5);
        assert_eq!(hole.relative_auc(), 0.);
    }
}
