//! Completions of several prompts at once, greedy or sampled, over one cache.

use candle_core::{D, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use rayon::prelude::*;

use super::ModelError;
use super::batch::{Batch, KvCache};
use super::decoder::Decoder;
use crate::progress::Progress;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// The most probable token.
    Greedy,
    /// A draw from the distribution at this temperature, among the `k` most probable tokens.
    Sampled {
        /// Seed of the draws; sequence i of a call draws from seed + i.
        seed: u64,
        /// Temperature; 1 is the model's own distribution.
        temperature: f64,
        /// Tokens to draw from; `usize::MAX` for all.
        k: usize,
    },
}

/// Continues each prompt by up to `tokens` tokens; stops a sequence at any token of `stop`.
pub fn generate<S: AsRef<[u32]>>(
    decoder: &Decoder,
    prompts: &[S],
    tokens: usize,
    choice: Choice,
    stop: &[u32],
    progress: &dyn Progress,
) -> Result<Vec<Vec<u32>>, ModelError> {
    generate_while(decoder, prompts, tokens, choice, stop, &mut |_, _| true, progress)
}

/// As [`generate`], but also ends sequence i as soon as `goes_on(i, what was written)` is false.
pub fn generate_while<S: AsRef<[u32]>>(
    decoder: &Decoder,
    prompts: &[S],
    tokens: usize,
    choice: Choice,
    stop: &[u32],
    goes_on: &mut dyn FnMut(usize, &[u32]) -> bool,
    progress: &dyn Progress,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let mut samplers: Vec<LogitsProcessor> =
        (0..prompts.len() as u64).map(|i| sampler(choice, i)).collect();
    let mut slots = Slots::new(prompts, tokens, decoder.config().position.reencoded_beyond());
    let cache = KvCache::new(decoder.config(), slots.rows(), decoder.device())?;
    let mut written: Vec<Vec<u32>> = vec![Vec::new(); prompts.len()];
    let mut active: Vec<usize> = (0..prompts.len()).collect();
    let mut batch = slots.prompts(prompts);
    for step in 0..tokens {
        progress.check()?;
        let hidden = decoder.forward(&batch, Some(&cache))?;
        let logits = decoder.logits(&hidden, &batch.last_rows())?;
        let chosen = choose(&logits, choice, &active, &mut samplers)?;
        for (sequence, id) in active.iter().zip(&chosen) {
            if !stop.contains(id) {
                written[*sequence].push(*id);
            }
        }
        active.retain(|&sequence| {
            let written = &written[sequence];
            written.len() == step + 1 && goes_on(sequence, written)
        });
        if active.is_empty() {
            break;
        }
        batch = slots.next(&active, prompts, &written);
    }
    Ok(written)
}

fn sampler(choice: Choice, sequence: u64) -> LogitsProcessor {
    match choice {
        Choice::Greedy => LogitsProcessor::from_sampling(0, Sampling::ArgMax),
        Choice::Sampled { seed, temperature, k } => {
            // The whole vocabulary needs no sorting.
            let sampling = if k == usize::MAX {
                Sampling::All { temperature }
            } else {
                Sampling::TopK { k, temperature }
            };
            LogitsProcessor::from_sampling(seed.wrapping_add(sequence), sampling)
        }
    }
}

fn choose(
    logits: &Tensor,
    choice: Choice,
    active: &[usize],
    samplers: &mut [LogitsProcessor],
) -> candle_core::Result<Vec<u32>> {
    if choice == Choice::Greedy {
        return logits.argmax(D::Minus1)?.to_vec1();
    }
    let mut rows = active.iter().enumerate().peekable();
    let chosen: Vec<(usize, &mut LogitsProcessor)> = samplers
        .iter_mut()
        .enumerate()
        .filter_map(|(i, sampler)| {
            rows.next_if(|(_, sequence)| **sequence == i).map(|(row, _)| (row, sampler))
        })
        .collect();
    chosen.into_par_iter().map(|(row, sampler)| sampler.sample(&logits.get(row)?)).collect()
}

/// Which rows of the cache belong to which sequence.
struct Slots {
    starts: Vec<usize>,
    lengths: Vec<usize>,
    rows: usize,
    /// The length beyond which all positions of a sequence are encoded anew.
    reencoded_beyond: Option<usize>,
}

impl Slots {
    fn new<S: AsRef<[u32]>>(prompts: &[S], tokens: usize, reencoded_beyond: Option<usize>) -> Self {
        let mut rows = 0;
        let starts = prompts.iter().map(|prompt| {
            let start = rows;
            rows += prompt.as_ref().len() + tokens;
            start
        });
        let starts = starts.collect();
        let lengths = prompts.iter().map(|prompt| prompt.as_ref().len()).collect();
        Self { starts, lengths, rows, reencoded_beyond }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn prompts<S: AsRef<[u32]>>(&self, prompts: &[S]) -> Batch {
        let mut batch = Batch::default();
        for (ids, start) in prompts.iter().zip(&self.starts) {
            batch.push(ids.as_ref(), 0..0, Some(*start));
        }
        batch
    }

    /// The last token of each active sequence, after what its slot holds; all of one whose slot no
    /// longer holds the right keys.
    fn next<S: AsRef<[u32]>>(
        &mut self,
        active: &[usize],
        prompts: &[S],
        written: &[Vec<u32>],
    ) -> Batch {
        let mut batch = Batch::default();
        for &sequence in active {
            let (start, length) = (self.starts[sequence], self.lengths[sequence]);
            let last = written[sequence].last().expect("an active sequence has a last token");
            if self.reencoded_beyond == Some(length) {
                let whole = [prompts[sequence].as_ref(), &written[sequence]].concat();
                batch.push(&whole, 0..0, Some(start));
            } else {
                batch.push(&[*last], start..start + length, Some(start + length));
            }
            self.lengths[sequence] += 1;
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::progress::Silent;
    use candle_core::Device;

    /// Beyond 64 tokens, this model encodes the positions of all tokens otherwise.
    #[test]
    fn a_continuation_is_what_the_whole_text_gives_at_any_length() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/phi3/model");
        let model = Model::open(folder.as_ref(), &Device::Cpu, &Silent).expect("a fixture");
        let decoder = &model.decoder;
        let prompt = |length: u32| (0..length).map(|i| 2 + (7 * i * i + 3 * i) % 300).collect();
        let prompts: [Vec<u32>; 3] = [prompt(60), prompt(63), prompt(70)];
        let written = generate(decoder, &prompts, 8, Choice::Greedy, &[], &Silent).expect("runs");
        for (prompt, written) in prompts.iter().zip(written) {
            let mut whole = prompt.clone();
            for id in written {
                let hidden = decoder.forward(&Batch::new(&[&whole]), None).expect("runs");
                let logits = decoder.logits(&hidden, &[whole.len() - 1]).expect("runs");
                let best = logits.argmax(D::Minus1).and_then(|best| best.to_vec1::<u32>());
                assert_eq!(best.expect("an index"), [id], "after {} tokens", whole.len());
                whole.push(id);
            }
        }
    }
}
