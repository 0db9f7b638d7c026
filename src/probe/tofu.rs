//! TOFU's measures of a model that was made to forget invented authors (arXiv 2401.06121).
//!
//! For a question q with answer a, the answer in other words ã and wrong answers â_1 .. â_k, with
//! P(y) = exp(−ℓ(y)) and ℓ(y) the mean loss of y's tokens after q:
//!
//! - *probability*: P(a); for real authors and world facts P(a) / (P(a) + Σ P(â_i));
//! - *ROUGE-L*: recall of the greedy answer against a;
//! - *truth ratio* R = exp(mean ℓ(â_i) − ℓ(ã)), which is above 1 where the truth is the more
//!   probable. Over a forget set it counts as min(R, 1/R), over the others as max(0, 1 − 1/R).
//!
//! *Model utility* is the harmonic mean of these three over retain set, real authors and world
//! facts: nine numbers. *Forget quality* is the p of a two-sample Kolmogorov-Smirnov test between
//! the R of the forget set and those under a model that never saw it. It falls with n, and a high
//! one does not prove equivalence.

mod answers;
mod rouge;
mod stem;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::math::{Interval, KolmogorovSmirnov, kolmogorov_smirnov, share_mean_interval};
use crate::spec::{TofuLog, TofuScores, TofuSet};

pub use answers::evaluate;
pub use rouge::rouge_l_recall;

/// The three measures of one set, means over its items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TofuMeasures {
    /// Probability of the answer.
    pub probability: Interval,
    /// ROUGE-L recall of the greedy answer.
    pub rouge: Interval,
    /// Truth ratio, as counted for the set.
    pub truth_ratio: Interval,
}

/// A model's measures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TofuSummary {
    /// Measures by set.
    pub sets: BTreeMap<TofuSet, TofuMeasures>,
    /// Model utility, the harmonic mean of nine; nothing unless all three sets were measured.
    pub utility: Option<f64>,
}

impl TofuSummary {
    /// Summarises the scores of items.
    pub fn new(log: &TofuLog) -> Self {
        let sets = log.0.iter().filter_map(|(set, scores)| Some((*set, measures(*set, scores)?)));
        let sets: BTreeMap<TofuSet, TofuMeasures> = sets.collect();
        let parts = [TofuSet::Retain, TofuSet::RealAuthors, TofuSet::WorldFacts].map(|set| {
            let found = sets.get(&set)?;
            Some([found.probability.mean, found.rouge.mean, found.truth_ratio.mean])
        });
        let parts: Option<Vec<[f64; 3]>> = parts.into_iter().collect();
        Self { sets, utility: parts.map(|parts| harmonic_mean(&parts.concat())) }
    }
}

fn measures(set: TofuSet, scores: &[TofuScores]) -> Option<TofuMeasures> {
    let mean = |value: &dyn Fn(&TofuScores) -> f64| {
        share_mean_interval(&scores.iter().map(value).collect::<Vec<_>>())
    };
    let has_options = matches!(set, TofuSet::RealAuthors | TofuSet::WorldFacts);
    let probability = |item: &TofuScores| {
        let own = (-item.answer).exp();
        let others: f64 = item.perturbed.iter().map(|loss| (-loss).exp()).sum();
        if has_options { own / (own + others) } else { own }
    };
    let ratio = |item: &TofuScores| {
        let ratio = truth_ratio(item);
        if set == TofuSet::Forget { ratio.min(1. / ratio) } else { (1. - 1. / ratio).max(0.) }
    };
    Some(TofuMeasures {
        probability: mean(&probability)?,
        rouge: mean(&|item| item.rouge)?,
        truth_ratio: mean(&ratio)?,
    })
}

/// The truth ratio R = exp(mean loss of the wrong answers − loss of the answer in other words).
pub fn truth_ratio(item: &TofuScores) -> f64 {
    let wrong = item.perturbed.iter().sum::<f64>() / item.perturbed.len() as f64;
    (wrong - item.paraphrase).exp()
}

/// Compares the truth ratios of the forget set; nothing where one log has none.
pub fn forget_quality(log: &TofuLog, reference: &TofuLog) -> Option<KolmogorovSmirnov> {
    let ratios = |log: &TofuLog| -> Option<Vec<f64>> {
        Some(log.0.get(&TofuSet::Forget)?.iter().map(truth_ratio).collect())
    };
    kolmogorov_smirnov(&ratios(log)?, &ratios(reference)?)
}

fn harmonic_mean(values: &[f64]) -> f64 {
    let inverse: f64 = values.iter().map(|value| 1. / value).sum();
    if inverse.is_finite() { values.len() as f64 / inverse } else { 0. }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses whose exponentials are whole.
    fn item(answer: f64, paraphrase: f64, perturbed: &[f64], rouge: f64) -> TofuScores {
        let loss = |p: f64| -p.ln();
        let perturbed = perturbed.iter().map(|p| loss(*p)).collect();
        TofuScores { answer: loss(answer), paraphrase: loss(paraphrase), perturbed, rouge }
    }

    #[test]
    fn three_measures_of_each_set_by_hand() {
        // R = 0.5 / 0.25 = 2 and 0.125 / 0.5 = 1/4; the mean of wrong losses is the geometric mean.
        let items = vec![item(0.8, 0.5, &[0.5, 0.125], 1.), item(0.4, 0.125, &[0.5, 0.5], 0.5)];
        let sets = [TofuSet::Retain, TofuSet::RealAuthors, TofuSet::WorldFacts, TofuSet::Forget];
        let log = TofuLog(sets.into_iter().map(|set| (set, items.clone())).collect());
        let summary = TofuSummary::new(&log);
        let of = |set| summary.sets[&set];
        let options = (0.8 / 1.425 + 0.4 / 1.4) / 2.;
        for (set, probability, ratio) in [
            (TofuSet::Retain, 0.6, (0.5 + 0.) / 2.),
            (TofuSet::RealAuthors, options, 0.25),
            (TofuSet::WorldFacts, options, 0.25),
            (TofuSet::Forget, 0.6, (0.5 + 0.25) / 2.),
        ] {
            let found = of(set);
            assert!((found.probability.mean - probability).abs() < 1e-12, "{set:?}: {found:?}");
            assert!((found.truth_ratio.mean - ratio).abs() < 1e-12, "{set:?}: {found:?}");
            assert_eq!((found.rouge.mean, found.rouge.n), (0.75, 2));
        }
        let inverse = 1. / 0.6 + 2. / options + 3. / 0.75 + 3. / 0.25;
        let utility = summary.utility.expect("three sets");
        assert!((utility - 9. / inverse).abs() < 1e-12, "{utility}");
        let part = TofuLog([(TofuSet::Retain, items)].into());
        assert_eq!(TofuSummary::new(&part).utility, None);
        assert_eq!(forget_quality(&part, &log), None);
    }

    #[test]
    fn forget_quality_compares_truth_ratios() {
        let log = |ratios: &[f64]| {
            let items = ratios.iter().map(|r| item(0.5, 0.5, &[0.5 / r], 0.)).collect();
            TofuLog([(TofuSet::Forget, items)].into())
        };
        let found = forget_quality(&log(&[1., 2., 3.]), &log(&[4., 5., 6.])).expect("both");
        assert_eq!((found.distance, found.n), (1., [3, 3]));
        assert!((found.p - 0.1).abs() < 1e-12, "{found:?}");
    }
}
