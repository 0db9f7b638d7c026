//! NLL of several targets after one prompt, which is run once.

use candle_core::{D, Result};

use crate::model::{Batch, Decoder, KvCache};
use crate::ops::token_nll;

/// A prompt and the continuations to score.
#[derive(Debug, Clone)]
pub struct Query {
    /// Tokens of the prompt.
    pub prompt: Vec<u32>,
    /// Tokens of each target.
    pub targets: Vec<Vec<u32>>,
}

/// The likelihood of a target.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TargetScore {
    /// Mean negative log-likelihood of the target's tokens, nats.
    pub nll: f64,
    /// Whether each of the target's tokens is the most probable one.
    pub is_argmax: bool,
}

/// Prompt tokens that one forward pass takes.
const BATCH_ROWS: usize = 768;

/// Scores in the order of the queries and of their targets.
pub fn likelihoods(decoder: &Decoder, queries: &[Query]) -> Result<Vec<Vec<TargetScore>>> {
    let mut scores = Vec::with_capacity(queries.len());
    let mut rest = queries;
    while !rest.is_empty() {
        let mut rows = 0;
        let fits = |query: &&Query| {
            rows += query.prompt.len();
            rows <= BATCH_ROWS
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (group, later) = rest.split_at(count);
        scores.extend(score_group(decoder, group)?);
        rest = later;
    }
    Ok(scores)
}

fn score_group(decoder: &Decoder, queries: &[Query]) -> Result<Vec<Vec<TargetScore>>> {
    let prompts: Vec<&[u32]> = queries.iter().map(|query| query.prompt.as_slice()).collect();
    let batch = Batch::filling(&prompts);
    let cache = KvCache::new(decoder.config(), batch.rows(), decoder.device())?;
    let hidden = decoder.forward(&batch, Some(&cache))?;
    let mut tokens = Tokens::default();
    let mut tails = Batch::default();
    let (mut last_rows, mut tail_rows, mut tail_targets) = (Vec::new(), Vec::new(), Vec::new());
    let mut first_targets = Vec::new();
    for (query, span) in queries.iter().zip(&batch.spans) {
        for target in &query.targets {
            let (first, others) = target.split_first().expect("a target has a token");
            last_rows.push(span.rows.end - 1);
            first_targets.push(*first);
            if !others.is_empty() {
                tail_rows.extend(tails.rows()..tails.rows() + others.len());
                tails.push(&target[..others.len()], span.rows.clone(), None);
                tail_targets.extend_from_slice(others);
            }
        }
    }
    tokens.first = rows_scores(decoder, &hidden, &last_rows, &first_targets)?;
    if tails.rows() > 0 {
        let hidden = decoder.forward(&tails, Some(&cache))?;
        tokens.others = rows_scores(decoder, &hidden, &tail_rows, &tail_targets)?;
    }
    Ok(tokens.gather(queries))
}

/// NLL of each scored token, and whether it is the argmax.
#[derive(Default)]
struct Tokens {
    first: Vec<(f32, bool)>,
    others: Vec<(f32, bool)>,
}

impl Tokens {
    fn gather(self, queries: &[Query]) -> Vec<Vec<TargetScore>> {
        let (mut first, mut others) = (self.first.into_iter(), self.others.into_iter());
        let mut score = |target: &Vec<u32>| {
            let first = first.next().expect("one score a target");
            let tokens = std::iter::once(first).chain(others.by_ref().take(target.len() - 1));
            let (nll, is_argmax) = tokens.fold((0., true), |(sum, all), (nll, is_argmax)| {
                (sum + f64::from(nll), all && is_argmax)
            });
            TargetScore { nll: nll / target.len() as f64, is_argmax }
        };
        queries.iter().map(|query| query.targets.iter().map(&mut score).collect()).collect()
    }
}

fn rows_scores(
    decoder: &Decoder,
    hidden: &candle_core::Tensor,
    rows: &[usize],
    targets: &[u32],
) -> Result<Vec<(f32, bool)>> {
    /// Rows of logits held at once: with 49,152 columns they take 25 MB.
    const HEAD_ROWS: usize = 128;
    let mut scores = Vec::with_capacity(rows.len());
    for (rows, targets) in rows.chunks(HEAD_ROWS).zip(targets.chunks(HEAD_ROWS)) {
        let logits = decoder.logits(hidden, rows)?;
        let nll = token_nll(&logits, targets)?.to_vec1::<f32>()?;
        let best = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let agrees = best.iter().zip(targets).map(|(best, target)| best == target);
        scores.extend(nll.into_iter().zip(agrees));
    }
    Ok(scores)
}
/// Below this a probability is written by its order of magnitude.
const IMPROBABLE: f64 = 1e-4;

/// A probability as text: four decimals, or of a small one its order of magnitude.
pub fn probability_text(p: f64) -> String {
    if p > 0. && p < IMPROBABLE { format!("{p:.0e}") } else { format!("{p:.4}") }
}
