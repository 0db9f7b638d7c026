//! Probabilistic extraction: what the best of k sampled continuations gives of a passage (leak@k,
//! arXiv 2511.04934).
//!
//! A model whose first choice gives nothing away may still say the passage once in a few dozen
//! answers. From the beginning of a passage, k continuations are sampled at temperature 1; the leak
//! is the largest share of the passage's next tokens that one of them holds word for word.

use serde::Serialize;

use super::compared::{excess, mean};
use super::subject::Subject;
use crate::gradient::Example;
use crate::math::Interval;
use crate::model::{Choice, Decoder, generate};
use crate::progress::{Inner, Progress};
use crate::run::RunError;

/// Sampled continuations of a passage.
pub(super) const SAMPLES: usize = 64;
/// Tokens of the beginning that is given, and of the continuation that is compared.
pub(super) const WINDOW: usize = 24;
/// Passages of each set that are sampled from, taken evenly.
pub(super) const MOST: usize = 12;

/// The best of some samples, passage by passage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sampled {
    /// Samples of each passage.
    pub drawn: usize,
    /// The largest share of the next tokens of each forgotten passage.
    pub forgotten: Vec<f64>,
    /// The same of passages that were never seen.
    pub holdout: Vec<f64>,
    /// Seed of the samples.
    pub seed: u64,
}

impl Sampled {
    /// Mean of the best shares.
    pub fn leak(&self) -> f64 {
        mean(&self.forgotten).unwrap_or(0.)
    }

    /// How much more the samples give of a forgotten passage than of one that was never seen.
    pub fn excess(&self) -> Option<Interval> {
        excess(&self.forgotten, &self.holdout, self.seed)
    }
}

/// Samples from both sets.
pub(super) fn sampled(subject: &Subject<'_>) -> Result<Sampled, RunError> {
    let sets = [some(subject.passages()), some(subject.holdout())];
    let progress = subject.tools.progress;
    progress.phase("sample", Some(sets.iter().map(Vec::len).sum::<usize>() as u64));
    let (seed, mut done) = (subject.seed, 0);
    let mut of = |set: &[&Example]| -> Result<Vec<f64>, RunError> {
        let one = |example: &&Example| {
            progress.advance(done, "");
            done += 1;
            best(subject.models.decoder, example, seed, &Inner(progress))
        };
        set.iter().map(one).collect()
    };
    let (forgotten, holdout) = (of(&sets[0])?, of(&sets[1])?);
    Ok(Sampled { drawn: SAMPLES, forgotten, holdout, seed })
}

/// Some passages that are long enough, spread evenly.
fn some(set: &[Example]) -> Vec<&Example> {
    let usable: Vec<&Example> = set.iter().filter(|it| it.ids.len() >= WINDOW).collect();
    usable.iter().step_by(usable.len().div_ceil(MOST).max(1)).copied().collect()
}

/// The largest share of a passage's next tokens that a sample holds.
fn best(
    decoder: &Decoder,
    example: &Example,
    seed: u64,
    progress: &dyn Progress,
) -> Result<f64, RunError> {
    let given = match example.first_target {
        0 | 1 => WINDOW.min(example.ids.len() / 2),
        question => question,
    };
    let next = &example.ids[given..(given + WINDOW).min(example.ids.len())];
    let starts = vec![&example.ids[..given]; SAMPLES];
    let choice = Choice::Sampled { seed, temperature: 1., k: usize::MAX };
    let all = generate(decoder, &starts, next.len(), choice, &[], progress)?;
    let longest = all.iter().map(|written| longest_common_run(written, next)).max().unwrap_or(0);
    Ok(longest as f64 / next.len() as f64)
}

/// Tokens of the longest run that two sequences share.
fn longest_common_run(a: &[u32], b: &[u32]) -> usize {
    let (mut above, mut longest) = (vec![0; b.len() + 1], 0);
    for own in a {
        let mut row = vec![0; b.len() + 1];
        for (at, other) in b.iter().enumerate() {
            if own == other {
                row[at + 1] = above[at] + 1;
                longest = longest.max(row[at + 1]);
            }
        }
        above = row;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_two_sequences_share() {
        for (a, b, expected) in [
            (&[1, 2, 3, 4][..], &[9, 2, 3, 8][..], 2),
            (&[1, 2, 3], &[1, 2, 3], 3),
            (&[5, 1, 2], &[1, 2, 5], 2),
            (&[1], &[2], 0),
            (&[], &[1], 0),
        ] {
            assert_eq!(longest_common_run(a, b), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_excess_is_what_samples_give_beyond_the_hold_out() {
        let (forgotten, holdout) = (vec![0.5, 1.], vec![0.25, 0.25]);
        let found = Sampled { drawn: 64, forgotten, holdout, seed: 0 };
        assert_eq!((found.leak(), found.excess().map(|it| it.mean)), (0.75, Some(0.5)));
    }
}
