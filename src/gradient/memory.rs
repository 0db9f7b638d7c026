//! How well sequences are remembered: NLL and extraction strength.
//!
//! Extraction strength of T targets is 1 − k*/T, where k* ∈ 0..T is the length of the shortest prefix
//! of them after which the most probable token is the right one to the end.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::example::Example;
use super::head::in_logits;
use crate::math::{Interval, mean_interval, share_mean_interval};
use crate::model::Decoder;
use crate::ops::log_sum_exp;
use crate::progress::Progress;

/// What is remembered of a set of sequences.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Memory {
    /// Mean NLL of a sequence's targets, nats a token; n counts sequences.
    pub nll: Interval,
    /// Extraction strength.
    pub extraction: Interval,
}

/// 1 − k*/T for the hits of T targets.
pub fn extraction_strength(hits: &[bool]) -> f64 {
    let needed = hits.iter().rposition(|hit| !hit).map_or(0, |last| last + 1);
    1. - needed as f64 / hits.len() as f64
}

/// Measures each sequence; nothing where there is none.
pub fn memory(
    decoder: &Decoder,
    examples: &[Example],
    progress: &dyn Progress,
) -> Result<Option<Memory>, TrainError> {
    let (mut nll, mut strength) = (Vec::new(), Vec::new());
    for run in examples.chunks(8) {
        progress.check()?;
        in_logits(decoder, run, |example, logits, vocabulary| {
            let targets = &example.ids[example.first_target..];
            let (mut sum, mut hits) = (0., Vec::with_capacity(targets.len()));
            for (row, id) in logits.chunks_exact(vocabulary).zip(targets) {
                sum += f64::from(log_sum_exp(row) - row[*id as usize]);
                let own = row[*id as usize];
                hits.push(row.iter().all(|other| *other <= own));
            }
            nll.push(sum / targets.len() as f64);
            strength.push(extraction_strength(&hits));
        })?;
    }
    let both = mean_interval(&nll).zip(share_mean_interval(&strength));
    Ok(both.map(|(nll, extraction)| {
        let nll = Interval { low: nll.low.max(0.), ..nll };
        Memory { nll, extraction }
    }))
}

#[cfg(test)]
mod tests {
    use super::extraction_strength;

    #[test]
    fn strength_by_the_last_miss() {
        for (hits, expected) in [
            (&[true, true, true, true][..], 1.),
            (&[false, true, true, true], 0.75),
            (&[true, true, false, true], 0.25),
            (&[true, true, true, false], 0.),
            (&[false], 0.),
            (&[true], 1.),
        ] {
            assert_eq!(extraction_strength(hits), expected, "{hits:?}");
        }
    }
}
