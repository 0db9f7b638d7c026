//! Recital: how much of a passage a model recites from short prefixes of it.
//!
//! Given the first c tokens of a passage, greedy decoding gives its next n tokens exactly if and
//! only if each of them is the most probable token after the true ones before it. So one pass over
//! the passage shows the run that greedy decoding would recite from *every* cut c: the run of hits
//! that begins there. The longest of these is the longest verbatim run.
//!
//! Extraction strength is the longest *suffix* that is predicted right, so one late word hides a
//! number that is recited in full; the longest run shows it.

use candle_core::D;
use serde::{Deserialize, Serialize};

use crate::gradient::Example;
use crate::math::{Interval, mean_interval};
use crate::model::{Batch, Decoder, ModelError, Tokenizer};
use crate::progress::Progress;

/// Tokens of a text that are given at least; a question is given whole.
const FIRST_CUT: usize = 8;
/// Passages that one forward pass takes.
const TOGETHER: usize = 8;
/// Rows of logits that are held at once.
const HEAD_ROWS: usize = 128;
/// Tokens of a prefix that are shown before a run.
const SHOWN: usize = 12;

/// A verbatim run in one passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecitedRun {
    /// The end of the prefix from which it is recited.
    pub prefix: String,
    /// The recited text.
    pub text: String,
    /// Tokens of the prefix.
    pub cut: usize,
    /// Tokens that are recited.
    pub tokens: usize,
}

/// The recital of one passage by greedy decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassageRecital {
    /// Number of the passage in its set.
    pub passage: usize,
    /// Tokens that could be recited: those after the first cut.
    pub tokens: usize,
    /// The longest run from any cut.
    pub longest: RecitedRun,
    /// Share of the tokens after the first cut that lie in the longest run.
    pub share: f64,
    /// Share of the tokens after the first cut that follow from it without a miss: of a text, from
    /// its first eight tokens; of an answer, from its question.
    pub from_start: f64,
}

/// The recital of a set of passages by greedy decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recital {
    /// Mean share of a passage that its longest run holds; n counts passages.
    pub share: Interval,
    /// Mean length of a passage's longest run, tokens.
    pub tokens: Interval,
    /// Mean share of a passage that follows from its beginning.
    pub from_start: Interval,
    /// Number of the passage whose run is the longest of all.
    pub longest: usize,
    /// The recital of each passage.
    pub passages: Vec<PassageRecital>,
}

impl Recital {
    /// The longest run of all.
    pub fn longest_run(&self) -> &RecitedRun {
        let found = self.passages.iter().find(|it| it.passage == self.longest);
        &found.expect("the number of one of the passages").longest
    }
}

/// Measures a set of passages; nothing where none has a token after its first cut.
pub fn recital(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    passages: &[Example],
    progress: &dyn Progress,
) -> Result<Option<Recital>, ModelError> {
    let mut all = Vec::with_capacity(passages.len());
    let usable: Vec<(usize, &Example)> =
        passages.iter().enumerate().filter(|(_, it)| first_cut(it) < it.ids.len()).collect();
    for group in usable.chunks(TOGETHER) {
        progress.check()?;
        let fed: Vec<&[u32]> = group.iter().map(|(_, it)| &it.ids[..it.ids.len() - 1]).collect();
        for ((passage, example), hits) in group.iter().zip(hits(decoder, &fed, group)?) {
            all.push(one(tokenizer, *passage, example, &hits)?);
        }
    }
    let mean = |value: fn(&PassageRecital) -> f64| {
        mean_interval(&all.iter().map(value).collect::<Vec<_>>())
    };
    // The first of equally long runs.
    let longest = all.iter().rev().max_by_key(|it| it.longest.tokens).map(|it| it.passage);
    let share = |interval: Interval| Interval {
        low: interval.low.max(0.),
        high: interval.high.min(1.),
        ..interval
    };
    let (Some(of_run), Some(tokens), Some(from_start), Some(longest)) = (
        mean(|it| it.share),
        mean(|it| it.longest.tokens as f64),
        mean(|it| it.from_start),
        longest,
    ) else {
        return Ok(None);
    };
    Ok(Some(Recital {
        share: share(of_run),
        tokens: Interval { low: tokens.low.max(0.), ..tokens },
        from_start: share(from_start),
        longest,
        passages: all,
    }))
}

/// Share of a passage that its longest recited run holds, by the hits of its targets; nothing of a
/// passage that has no token after its first cut.
pub(crate) fn recited_share(example: &Example, hits: &[bool]) -> Option<f64> {
    let after = hits.get(first_cut(example) - example.first_target.max(1)..)?;
    let longest = longest_run(after).1;
    (!after.is_empty()).then(|| longest as f64 / after.len() as f64)
}

/// Where the first run may begin: after a question, or after the first tokens of a text, of which a
/// short one gives up a third.
fn first_cut(example: &Example) -> usize {
    match example.first_target {
        0 | 1 => FIRST_CUT.min(example.ids.len().div_ceil(3)).max(1),
        first => first,
    }
}

/// Whether each token from the first cut on is the most probable one.
fn hits(
    decoder: &Decoder,
    fed: &[&[u32]],
    group: &[(usize, &Example)],
) -> candle_core::Result<Vec<Vec<bool>>> {
    let batch = Batch::new(fed);
    let hidden = decoder.forward(&batch, None)?;
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for ((_, example), span) in group.iter().zip(&batch.spans) {
        let cut = first_cut(example);
        // The row of token c − 1 predicts token c.
        rows.extend(span.rows.start + cut - 1..span.rows.end);
        targets.extend_from_slice(&example.ids[cut..]);
    }
    let mut all = Vec::with_capacity(rows.len());
    for (rows, targets) in rows.chunks(HEAD_ROWS).zip(targets.chunks(HEAD_ROWS)) {
        let best = decoder.logits(&hidden, rows)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        all.extend(best.iter().zip(targets).map(|(best, target)| best == target));
    }
    let mut all = all.into_iter();
    let lengths = group.iter().map(|(_, example)| example.ids.len() - first_cut(example));
    Ok(lengths.map(|length| all.by_ref().take(length).collect()).collect())
}

fn one(
    tokenizer: &Tokenizer,
    passage: usize,
    example: &Example,
    hits: &[bool],
) -> Result<PassageRecital, ModelError> {
    let cut = first_cut(example);
    let (start, length) = longest_run(hits);
    let at = cut + start;
    let (before, tokens) = (&example.ids[at.saturating_sub(SHOWN)..at], hits.len());
    let from_start = hits.iter().take_while(|hit| **hit).count();
    Ok(PassageRecital {
        passage,
        tokens,
        longest: RecitedRun {
            prefix: tokenizer.decode(before)?,
            text: tokenizer.decode(&example.ids[at..at + length])?,
            cut: at,
            tokens: length,
        },
        share: length as f64 / tokens as f64,
        from_start: from_start as f64 / tokens as f64,
    })
}

/// Start and length of the longest run of hits, the first of several.
fn longest_run(hits: &[bool]) -> (usize, usize) {
    let (mut best, mut start) = ((0, 0), 0);
    for (at, hit) in hits.iter().enumerate() {
        if !hit {
            start = at + 1;
        } else if at + 1 - start > best.1 {
            best = (start, at + 1 - start);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::gradient::examples;
    use crate::model::{Choice, Model, generate};
    use crate::progress::Silent;
    use crate::spec::Passage;

    fn tiny() -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
        Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
    }

    /// A passage whose middle the model continues with itself, between words that it does not.
    fn passage(model: &Model) -> Example {
        let passages = [Passage::of_text("The harbour clock of Vell strikes at noon.")];
        let mut example = examples(model, &passages, 64).expect("an example").remove(0);
        let run = generate(&model.decoder, &[&example.ids], 6, Choice::Greedy, &[], &Silent);
        example.ids.extend(&run.expect("generated")[0]);
        let best = generate(&model.decoder, &[&example.ids], 1, Choice::Greedy, &[], &Silent);
        let other = (best.expect("generated")[0][0] + 1) % 50;
        example.ids.push(other);
        example
    }

    #[test]
    fn a_late_miss_does_not_hide_a_run_and_greedy_decoding_gives_it() {
        let model = tiny();
        let example = passage(&model);
        let (length, decoder) = (example.ids.len(), &model.decoder);
        let found = recital(decoder, &model.tokenizer, std::slice::from_ref(&example), &Silent);
        let found = found.expect("measured").expect("a passage");
        let run = found.longest_run();
        assert!(run.tokens >= 6 && run.cut + run.tokens < length, "{run:?}");
        assert_eq!(found.passages[0].share, run.tokens as f64 / found.passages[0].tokens as f64);
        let prefix = &example.ids[..run.cut];
        let said = generate(decoder, &[prefix], run.tokens + 1, Choice::Greedy, &[], &Silent);
        let said = said.expect("generated").remove(0);
        assert_eq!(said[..run.tokens], example.ids[run.cut..run.cut + run.tokens]);
        assert_ne!(said[run.tokens], example.ids[run.cut + run.tokens], "the run ends there");
        let memory = crate::gradient::memory(decoder, &[example], &Silent);
        let extraction = memory.expect("measured").expect("a passage").extraction.mean;
        assert_eq!(extraction, 0., "extraction strength sees nothing of it");
    }

    #[test]
    fn runs_of_hits_by_hand() {
        for (hits, expected) in [
            (&[true, true, false, true][..], (0, 2)),
            (&[false, true, true, true, false], (1, 3)),
            (&[true, false, true], (0, 1)),
            (&[false, false], (0, 0)),
            (&[], (0, 0)),
        ] {
            assert_eq!(longest_run(hits), expected, "{hits:?}");
        }
    }

    #[test]
    fn an_answer_is_recited_from_its_question() {
        let model = tiny();
        let pair = Passage::of_question("Who?", "Marta Quill.");
        let example = examples(&model, &[pair], 64).expect("an example").remove(0);
        assert_eq!(first_cut(&example), example.first_target);
        let empty = recital(&model.decoder, &model.tokenizer, &[], &Silent).expect("measured");
        assert!(empty.is_none());
    }
}
