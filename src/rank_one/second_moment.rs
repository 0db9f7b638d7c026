//! The second moment C = E[k kᵀ] over a corpus, uncentred; papers also call it the covariance of
//! the keys.
//!
//! Accumulated in f64, group by group of sequences. The first token of a sequence is left out:
//! it is an attention sink whose key has a different scale. Two to ten times d_k tokens are enough
//! (arXiv 2506.04226).

use rayon::prelude::*;

use crate::math::add_gram;
use crate::model::{Batch, Decoder, ModelError, Recorder, Site};
use crate::progress::Progress;

/// The sum Σ k kᵀ and the number of keys in it.
#[derive(Debug, Clone, PartialEq)]
pub struct SecondMoment {
    /// The sum, [d, d], row-major, symmetric.
    pub sum: Vec<f64>,
    /// Width d_k of a key.
    pub width: usize,
    /// Number of keys summed.
    pub tokens: usize,
}

impl SecondMoment {
    /// The empty sum, before any key is added.
    pub fn empty(width: usize) -> Self {
        Self { sum: vec![0.; width * width], width, tokens: 0 }
    }

    /// Adds keys [n, d], row-major.
    pub fn add(&mut self, keys: &[f32]) {
        let rows = keys.len() / self.width;
        add_gram(&mut self.sum, keys, rows, self.width);
        self.tokens += rows;
    }

    /// Adds another sum of keys, which counts none.
    pub(super) fn plus(&mut self, sum: &[f64]) {
        self.sum.par_iter_mut().zip(sum).for_each(|(own, other)| *own += other);
    }

    /// The second moment C, [d, d], in the place of the sum.
    pub fn into_mean(self) -> Vec<f64> {
        let tokens = self.tokens.max(1) as f64;
        let mut mean = self.sum;
        mean.par_iter_mut().for_each(|entry| *entry /= tokens);
        mean
    }
}

/// Rows of one forward pass: enough for the matrix product to run at full rate, and few
/// enough for what passes between two products to stay in the cache.
const BATCH_ROWS: usize = 512;
/// Keys that are added to the sums at once, which are read and written each time.
const SUMMED_ROWS: usize = 2048;

/// Adds the keys of `sequences` at `layer` to `moment`; the model runs no further than that layer.
pub fn accumulate(
    decoder: &Decoder,
    layer: usize,
    sequences: &[Vec<u32>],
    moment: &mut SecondMoment,
    progress: &dyn Progress,
) -> Result<(), ModelError> {
    let (width, mut kept) = (moment.width, Vec::new());
    for group in batches(sequences, BATCH_ROWS) {
        progress.check()?;
        let batch = Batch::new(group);
        let mut recorder = Recorder::only([(layer, Site::Key)]);
        decoder.observe(&batch, None, &mut recorder)?;
        let keys = recorder.take(layer, Site::Key)?.flatten_all()?.to_vec1::<f32>()?;
        for span in &batch.spans {
            kept.extend_from_slice(&keys[(span.rows.start + 1) * width..span.rows.end * width]);
        }
        if kept.len() >= SUMMED_ROWS * width {
            moment.add(&kept);
            kept.clear();
        }
        let tokens = moment.tokens + kept.len() / width;
        progress.advance(tokens as u64, "");
    }
    moment.add(&kept);
    Ok(())
}

/// Runs of sequences of at most `most` tokens, or of a single one that has more.
pub(super) fn batches(sequences: &[Vec<u32>], most: usize) -> Vec<&[Vec<u32>]> {
    let mut groups = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (at, sequence) in sequences.iter().enumerate() {
        if rows > 0 && rows + sequence.len() > most {
            groups.push(&sequences[start..at]);
            (start, rows) = (at, 0);
        }
        rows += sequence.len();
    }
    if start < sequences.len() {
        groups.push(&sequences[start..]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_corpus_gives_the_same_sums() {
        let keys: Vec<f32> = (0..60).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut whole = SecondMoment::empty(6);
        whole.add(&keys);
        let mut parts = SecondMoment::empty(6);
        parts.add(&keys[..24]);
        parts.add(&keys[24..]);
        assert_eq!((parts.tokens, whole.tokens), (10, 10));
        for (a, b) in parts.sum.iter().zip(&whole.sum) {
            assert!((a - b).abs() < 1e-5, "{a} against {b}");
        }
        let by_hand: f64 =
            (0..10).map(|row| f64::from(keys[row * 6 + 1] * keys[row * 6 + 4])).sum();
        assert!((whole.sum[10] - by_hand).abs() < 1e-5);
    }

    #[test]
    fn groups_are_filled_but_not_beyond_a_batch() {
        let sequences: Vec<Vec<u32>> = [600, 400, 100, 2000, 5].map(|n| vec![0; n]).to_vec();
        let lengths: Vec<usize> =
            batches(&sequences, BATCH_ROWS).iter().map(|group| group.len()).collect();
        assert_eq!(lengths, [1, 2, 1, 1]);
    }
}
