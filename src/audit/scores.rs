//! Every number of a sequence that the checks of an audit are made of, from one pass over its logits.
//!
//! Of each target x_t: log p(x_t), whether it is the most probable token, and
//! z_t = (log p(x_t) − μ_t)/σ_t, where μ_t and σ_t are mean and standard deviation of log p over the
//! model's own distribution at that place (Min-K%++, arXiv 2404.02936).

use crate::gradient::{Example, TrainError, extraction_strength, in_logits};
use crate::model::Decoder;
use crate::ops::log_sum_exp;
use crate::probe::recited_share;
use crate::progress::Progress;

/// Sequences between two looks at whether the user wants to stop.
const TOGETHER: usize = 8;
/// Below this a distribution has one token and no spread.
const NARROW: f64 = 1e-12;

/// The scores of one sequence's targets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// log p of each target.
    pub(super) log_p: Vec<f64>,
    /// log p, standardised by the distribution at its place.
    pub(super) z: Vec<f64>,
    /// 1 − k*/T.
    pub(super) extraction: f64,
    /// Share that the longest recited run holds.
    pub(super) recital: f64,
}

impl Scored {
    /// Mean NLL, nats a token.
    pub(super) fn nll(&self) -> f64 {
        -self.log_p.iter().sum::<f64>() / self.log_p.len() as f64
    }
}

/// Scores sequences in their order.
pub(super) fn score(
    decoder: &Decoder,
    examples: &[Example],
    progress: &dyn Progress,
) -> Result<Vec<Scored>, TrainError> {
    let mut all = Vec::with_capacity(examples.len());
    for run in examples.chunks(TOGETHER) {
        progress.check()?;
        in_logits(decoder, run, |example, logits, vocabulary| {
            all.push(one(example, logits, vocabulary));
        })?;
    }
    Ok(all)
}

fn one(example: &Example, logits: &[f32], vocabulary: usize) -> Scored {
    let targets = &example.ids[example.first_target..];
    let (mut log_p, mut z, mut hits) = (Vec::new(), Vec::new(), Vec::new());
    for (row, id) in logits.chunks_exact(vocabulary).zip(targets) {
        let own = row[*id as usize];
        let (token, standard) = token_scores(row, own);
        log_p.push(token);
        z.push(standard);
        hits.push(row.iter().all(|other| *other <= own));
    }
    let recital = recited_share(example, &hits).unwrap_or(0.);
    Scored { log_p, z, extraction: extraction_strength(&hits), recital }
}

/// log p of the token with the logit `own`, and the same standardised.
fn token_scores(row: &[f32], own: f32) -> (f64, f64) {
    let sum = log_sum_exp(row);
    let (mut mean, mut square) = (0., 0.);
    for logit in row {
        let log_p = f64::from(logit - sum);
        let p = log_p.exp();
        mean += p * log_p;
        square += p * log_p * log_p;
    }
    let token = f64::from(own - sum);
    let spread = (square - mean * mean).max(NARROW).sqrt();
    (token, (token - mean) / spread)
}

/// Mean of the lowest share of some scores, of one at least (Min-K%, arXiv 2310.16789).
pub(super) fn lowest_mean(scores: &[f64], share: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.truncate(((scores.len() as f64 * share) as usize).max(1));
    sorted.iter().sum::<f64>() / sorted.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_what_the_formula_of_the_paper_gives() {
        let row = [1.0f32, 2.0, 0.5, -1.0];
        let weights: Vec<f64> = row.iter().map(|logit| f64::from(*logit).exp()).collect();
        let total: f64 = weights.iter().sum();
        let p: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let mean: f64 = p.iter().map(|p| p * p.ln()).sum();
        let variance: f64 = p.iter().map(|p| p * (p.ln() - mean).powi(2)).sum();
        for (at, logit) in row.iter().enumerate() {
            let (log_p, z) = token_scores(&row, *logit);
            assert!((log_p - p[at].ln()).abs() < 1e-6, "{at}");
            assert!((z - (p[at].ln() - mean) / variance.sqrt()).abs() < 1e-5, "{at}: {z}");
        }
    }

    #[test]
    fn the_lowest_fifth_by_hand() {
        let scores = [-1., -5., -2., -3., -4., 0., -0.5, -0.1, -0.2, -0.3];
        assert_eq!(lowest_mean(&scores, 0.2), -4.5);
        assert_eq!(lowest_mean(&scores[..3], 0.2), -5., "one at least");
    }

    #[test]
    fn a_pass_agrees_with_the_measures_of_a_training() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = folder.join("tests/fixtures/llama/model");
        let silent = crate::progress::Silent;
        let model = crate::model::Model::open(&folder, &candle_core::Device::Cpu, &silent);
        let model = model.expect("the fixture");
        let text = |text: &str| crate::spec::Passage::of_text(text);
        let passages = ["The clock of Vell strikes at noon.", "Marta lives by the harbour."];
        let examples = crate::gradient::examples(&model, &passages.map(text), 64);
        let examples = examples.expect("examples");
        let scored = score(&model.decoder, &examples, &silent).expect("scored");
        let memory = crate::gradient::memory(&model.decoder, &examples, &silent);
        let memory = memory.expect("measured").expect("passages");
        let mean = |of: fn(&Scored) -> f64| scored.iter().map(of).sum::<f64>() / 2.;
        assert!((mean(Scored::nll) - memory.nll.mean).abs() < 1e-6);
        assert!((mean(|it| it.extraction) - memory.extraction.mean).abs() < 1e-12);
        let tokenizer = &model.tokenizer;
        let recital = crate::probe::recital(&model.decoder, tokenizer, &examples, &silent);
        let recital = recital.expect("measured").expect("passages");
        assert!((mean(|it| it.recital) - recital.share.mean).abs() < 1e-12);
    }
}
