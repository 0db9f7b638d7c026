//! Damage: how far a model moved on general text, which no edit is about.
//!
//! drift = mean over tokens of KL(base ‖ edited), in nats; perplexity = exp of the mean NLL a
//! token, before and after. The text is by default the base's own: seeded samples, other ones than
//! those from which the second moment is collected, because an edit is solved so as to spare those.

use std::path::Path;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::files::Sha256;
use crate::math::{Interval, Random, mean_interval};
use crate::model::{Batch, Decoder, Model, ModelError, Opening, SampleGroup, Tokenizer, samples};
use crate::ops::{divergence, log_sum_exp};
use crate::progress::Progress;

/// Tokens of one sample.
const SEQUENCE: usize = 128;
/// Tokens that one forward pass takes.
const BATCH_ROWS: usize = 512;
/// Rows of logits that are held at once, of each model: 49,152 columns of them are 12.6 MB.
const HEAD_ROWS: usize = 64;
/// Texts that are named.
const WORST: usize = 3;

/// The use of general text; each use has samples of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneralUse {
    /// Drift is reported on the text, so that no training may hold it.
    Reported,
    /// As [`Reported`](Self::Reported), but text that begins as prose does.
    ReportedProse,
    /// A training holds the model's output on the text.
    Held,
    /// As [`Held`](Self::Held), but text that begins as prose does.
    HeldProse,
}

impl GeneralUse {
    fn name(self) -> &'static str {
        match self {
            Self::Reported => "general text",
            Self::ReportedProse => "prose",
            Self::Held => "held general text",
            Self::HeldProse => "held prose",
        }
    }

    fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::HeldProse)
    }

    fn opening(self) -> Opening {
        match self {
            Self::Reported | Self::Held => Opening::Bare,
            Self::ReportedProse | Self::HeldProse => Opening::Prose,
        }
    }
}

/// About `tokens` tokens of the model's own samples, kept in `cache`.
///
/// A seed gives other samples to each use, and others again to the second moment. They are read as any
/// text is, after what the tokenizer puts before one, and every other one that a training holds after the
/// start token. Many tokenizers put nothing there, and a model that is held after the start token alone
/// says other things without it.
pub fn general_text(
    model: &Model,
    cache: &Path,
    text: GeneralUse,
    seed: u64,
    tokens: usize,
    progress: &dyn Progress,
) -> Result<Vec<Vec<u32>>, ModelError> {
    // Where it cannot be made, the samples cannot be kept, which is said then.
    std::fs::create_dir_all(cache).ok();
    let length = SEQUENCE.min(model.decoder.config().context - 1);
    let group = SampleGroup {
        seed: Random::named(seed, text.name()).bits(),
        sequences: tokens.div_ceil(length).max(1),
        tokens: length,
        opening: text.opening(),
    };
    let weights = model.weights_hash()?;
    let base = format!("{weights} {} {}", model.config_hash, model.tokenizer.hash());
    let file = cache.join(format!("general-{}.json", Sha256::of(format!("{base} {group:?}"))));
    progress.phase(text.name(), Some((group.sequences * group.tokens) as u64));
    let mut sequences = samples(model, group, &file, progress)?;
    let usual = model.tokenizer.before_text()?;
    for (place, ids) in sequences.iter_mut().enumerate() {
        let is_document = text.is_held() && place % 2 == 0;
        let before = if is_document { vec![model.start_token()] } else { usual.clone() };
        ids.splice(0..0, before);
    }
    Ok(sequences)
}

/// The effect of a change on general text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Damage {
    /// Mean KL(base ‖ edited) a token, nats; n counts tokens.
    pub drift: Interval,
    /// Perplexity under the base, exp of the mean NLL a token.
    pub perplexity_before: f64,
    /// Perplexity under the edited model, exp of the mean NLL a token.
    pub perplexity_after: f64,
    /// Number of tokens that were predicted.
    pub tokens: usize,
    /// The texts that drifted most.
    pub worst: Vec<WorstText>,
}

/// A text and how far the model moved on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstText {
    /// Number of the text among all texts.
    pub index: usize,
    /// The text, decoded.
    pub text: String,
    /// Mean KL(base ‖ edited) a token, nats.
    pub kl: f64,
    /// Perplexity under the base.
    pub perplexity_before: f64,
    /// Perplexity under the edited model.
    pub perplexity_after: f64,
}

/// Texts with the base's residual streams, with which every edited model is compared.
pub struct BaseText<'a> {
    base: &'a Decoder,
    texts: Vec<Text>,
}

struct Text {
    ids: Vec<u32>,
    /// The base's final residual stream at every token but the last, [tokens − 1, hidden].
    hidden: Tensor,
}

/// One predicted token.
#[derive(Debug, Clone, Copy)]
struct Predicted {
    kl: f64,
    nll_before: f64,
    nll_after: f64,
}

impl<'a> BaseText<'a> {
    /// Runs the base over the sequences; those without two tokens are left out.
    pub fn new(
        base: &'a Decoder,
        sequences: &[Vec<u32>],
        progress: &dyn Progress,
    ) -> Result<Self, ModelError> {
        let mut texts = Vec::with_capacity(sequences.len());
        let usable: Vec<&[u32]> =
            sequences.iter().map(Vec::as_slice).filter(|ids| ids.len() > 1).collect();
        for group in groups(&usable, |ids| ids.len() - 1) {
            progress.check()?;
            let batch = read_batch(group.iter().copied());
            let hidden = base.forward(&batch, None)?;
            for (ids, span) in group.iter().zip(&batch.spans) {
                // A copy, so that the texts do not keep each other's rows alive.
                let hidden = hidden.narrow(0, span.rows.start, span.rows.len())?.copy()?;
                texts.push(Text { ids: ids.to_vec(), hidden });
            }
        }
        Ok(Self { base, texts })
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The texts that run `run` of `runs` measures: about `tokens` tokens, and more where so few
    /// would leave some text to no run.
    pub fn share(&self, run: usize, runs: usize, tokens: usize) -> Vec<usize> {
        let all = self.texts.len();
        let mean = self.texts.iter().map(|text| text.ids.len()).sum::<usize>() / all.max(1);
        let count = tokens.div_ceil(mean.max(1)).max(all.div_ceil(runs.max(1))).min(all);
        (0..count).map(|place| (run * count + place) % all).collect()
    }

    /// The indices of all texts.
    pub fn all(&self) -> Vec<usize> {
        (0..self.texts.len()).collect()
    }

    /// Damage on the chosen texts; nothing where none is chosen.
    pub fn damage(
        &self,
        edited: &Decoder,
        chosen: &[usize],
        tokenizer: &Tokenizer,
        progress: &dyn Progress,
    ) -> Result<Option<Damage>, ModelError> {
        let mut texts = Vec::with_capacity(chosen.len());
        for group in groups(chosen, |index| self.texts[*index].ids.len() - 1) {
            progress.check()?;
            let group: Vec<&Text> = group.iter().map(|index| &self.texts[*index]).collect();
            texts.extend(self.predicted(edited, &group)?);
        }
        let tokens: Vec<Predicted> = texts.iter().flatten().copied().collect();
        let divergences: Vec<f64> = tokens.iter().map(|it| it.kl).collect();
        let Some(drift) = mean_interval(&divergences) else { return Ok(None) };
        let (perplexity_before, perplexity_after) = perplexities(&tokens);
        Ok(Some(Damage {
            drift: Interval { low: drift.low.max(0.), ..drift },
            perplexity_before,
            perplexity_after,
            tokens: tokens.len(),
            worst: self.worst(chosen, &texts, tokenizer)?,
        }))
    }

    /// Every token of some texts under both models.
    fn predicted(
        &self,
        edited: &Decoder,
        group: &[&Text],
    ) -> candle_core::Result<Vec<Vec<Predicted>>> {
        let after = edited.forward(&read_batch(group.iter().map(|it| it.ids.as_slice())), None)?;
        let before = group.iter().map(|text| &text.hidden).collect::<Vec<_>>();
        let before = Tensor::cat(&before, 0)?;
        let targets: Vec<u32> = group.iter().flat_map(|it| it.ids[1..].iter().copied()).collect();
        let mut tokens = Vec::with_capacity(targets.len());
        for (piece, targets) in targets.chunks(HEAD_ROWS).enumerate() {
            let logits = |decoder: &Decoder, hidden: &Tensor| {
                let rows = hidden.narrow(0, piece * HEAD_ROWS, targets.len())?;
                decoder.head_logits(&rows)?.flatten_all()?.to_vec1::<f32>()
            };
            let (p, q) = (logits(self.base, &before)?, logits(edited, &after)?);
            let vocabulary = p.len() / targets.len();
            let rows = p.par_chunks(vocabulary).zip(q.par_chunks(vocabulary)).zip(targets);
            tokens.par_extend(rows.map(|((p, q), target)| predicted(p, q, *target as usize)));
        }
        let mut tokens = tokens.into_iter();
        Ok(group.iter().map(|it| tokens.by_ref().take(it.ids.len() - 1).collect()).collect())
    }

    fn worst(
        &self,
        chosen: &[usize],
        texts: &[Vec<Predicted>],
        tokenizer: &Tokenizer,
    ) -> Result<Vec<WorstText>, ModelError> {
        let mean =
            |tokens: &[Predicted]| tokens.iter().map(|it| it.kl).sum::<f64>() / tokens.len() as f64;
        let mut order: Vec<(f64, usize)> =
            texts.iter().enumerate().map(|(at, tokens)| (mean(tokens), at)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let worst = order.into_iter().take(WORST).map(|(kl, at)| {
            let index = chosen[at];
            let (perplexity_before, perplexity_after) = perplexities(&texts[at]);
            let text = tokenizer.decode(&self.texts[index].ids)?;
            Ok(WorstText { index, text, kl, perplexity_before, perplexity_after })
        });
        worst.collect()
    }
}

impl Damage {
    /// Several edits, each measured separately: means over the edits, with their interval.
    pub fn over_edits<'d>(edits: impl IntoIterator<Item = &'d Self>) -> Option<Self> {
        let edits: Vec<&Self> = edits.into_iter().collect();
        let drifts: Vec<f64> = edits.iter().map(|it| it.drift.mean).collect();
        let drift = mean_interval(&drifts)?;
        let mean = |perplexity: fn(&Self) -> f64| {
            let logarithms = edits.iter().map(|it| perplexity(it).ln());
            (logarithms.sum::<f64>() / edits.len() as f64).exp()
        };
        let mut worst: Vec<WorstText> =
            edits.iter().flat_map(|it| it.worst.iter().cloned()).collect();
        worst.sort_by(|a, b| b.kl.total_cmp(&a.kl));
        worst.truncate(WORST);
        Some(Self {
            drift: Interval { low: drift.low.max(0.), ..drift },
            perplexity_before: mean(|it| it.perplexity_before),
            perplexity_after: mean(|it| it.perplexity_after),
            tokens: edits.iter().map(|it| it.tokens).sum(),
            worst,
        })
    }
}

/// Damage on all sequences, for a single edited model; nothing where all have fewer than two
/// tokens.
pub fn damage(
    base: &Decoder,
    edited: &Decoder,
    sequences: &[Vec<u32>],
    tokenizer: &Tokenizer,
    progress: &dyn Progress,
) -> Result<Option<Damage>, ModelError> {
    let text = BaseText::new(base, sequences, progress)?;
    text.damage(edited, &text.all(), tokenizer, progress)
}

/// All but the last token of each sequence, which nothing follows.
fn read_batch<'t>(sequences: impl Iterator<Item = &'t [u32]>) -> Batch {
    Batch::new(&sequences.map(|ids| &ids[..ids.len() - 1]).collect::<Vec<_>>())
}

/// Splits into runs of at most [`BATCH_ROWS`] rows, or of a single item that has more.
fn groups<T>(items: &[T], rows_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut rows = 0;
    let mut starts = vec![0];
    for (at, item) in items.iter().enumerate() {
        rows += rows_of(item);
        if rows > BATCH_ROWS && at > starts[starts.len() - 1] {
            starts.push(at);
            rows = rows_of(item);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([items.len()]);
    let groups = starts.iter().zip(ends).map(|(start, end)| &items[*start..end]);
    groups.filter(|group| !group.is_empty()).collect()
}

fn predicted(p: &[f32], q: &[f32], target: usize) -> Predicted {
    Predicted {
        kl: divergence(p, q),
        nll_before: f64::from(log_sum_exp(p) - p[target]),
        nll_after: f64::from(log_sum_exp(q) - q[target]),
    }
}

fn perplexities(tokens: &[Predicted]) -> (f64, f64) {
    let perplexity = |nll: fn(&Predicted) -> f64| {
        (tokens.iter().map(nll).sum::<f64>() / tokens.len() as f64).exp()
    };
    (perplexity(|it| it.nll_before), perplexity(|it| it.nll_after))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::progress::Silent;

    fn fixture(name: &str) -> Model {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let folder = fixtures.join(name).join("model");
        Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
    }

    fn tiny() -> Model {
        fixture("llama")
    }

    fn text(model: &Model) -> Vec<Vec<u32>> {
        let cache = tempfile::tempdir().expect("a folder");
        general_text(model, cache.path(), GeneralUse::Reported, 0, 300, &Silent).expect("samples")
    }

    #[test]
    fn an_unedited_model_has_no_damage_and_another_one_has_what_its_logits_say() {
        let model = tiny();
        let (sequences, base) = (text(&model), &model.decoder);
        let (down, _) = base.down_projection(0);
        let other =
            base.with_down_projection(0, (down.tensor().expect("f32") * 1.5).expect("scaled"));
        let measure = |edited| {
            damage(base, edited, &sequences, &model.tokenizer, &Silent).expect("run").expect("text")
        };
        let none = measure(base);
        assert_eq!((none.drift.mean, none.drift.high), (0., 0.));
        assert_eq!(none.perplexity_before, none.perplexity_after);
        let some = measure(&other);
        assert_eq!(some.tokens, sequences.iter().map(|ids| ids.len() - 1).sum::<usize>());
        assert!(some.worst.is_sorted_by(|a, b| a.kl >= b.kl) && some.worst.len() == 3);
        // As published: Σ p (log p − log q), each text separately.
        let log = |decoder: &Decoder, ids: &[u32]| {
            let hidden = decoder.forward(&Batch::new(&[&ids[..ids.len() - 1]]), None)?;
            candle_nn::ops::log_softmax(&decoder.head_logits(&hidden)?, 1)
        };
        let mut sum = 0.;
        for ids in &sequences {
            let (p, q) = (log(base, ids).expect("p"), log(&other, ids).expect("q"));
            let kl = (p.exp().expect("p") * (p - q).expect("a ratio")).expect("terms");
            sum += f64::from(kl.sum_all().expect("a sum").to_scalar::<f32>().expect("f32"));
        }
        let expected = sum / some.tokens as f64;
        assert!((some.drift.mean - expected).abs() < 1e-5 * (1. + expected), "{some:?} {expected}");
    }

    #[test]
    fn text_is_read_after_what_the_tokenizer_puts_before_it_and_held_after_the_start_token_too() {
        for (name, puts_bos) in [("llama", true), ("gpt2", false)] {
            let model = fixture(name);
            let cache = tempfile::tempdir().expect("a folder");
            let usual = model.tokenizer.before_text().expect("tokens");
            assert_eq!(usual.first() == Some(&model.start_token()), puts_bos, "{name}");
            let start = [model.start_token()];
            let drawn = |text| {
                let found = general_text(&model, cache.path(), text, 0, 400, &Silent);
                found.expect("samples")
            };
            let tokens = drawn(GeneralUse::Reported)[0].len() - usual.len();
            for text in [GeneralUse::Reported, GeneralUse::ReportedProse] {
                for ids in drawn(text) {
                    assert_eq!(
                        (ids.len() - tokens, &ids[..usual.len()]),
                        (usual.len(), &usual[..])
                    );
                }
            }
            for text in [GeneralUse::Held, GeneralUse::HeldProse] {
                for (place, ids) in drawn(text).iter().enumerate() {
                    let before = if place % 2 == 0 { &start[..] } else { &usual };
                    let found = (ids.len() - tokens, &ids[..before.len()]);
                    assert_eq!(found, (before.len(), before), "{name}, {place}");
                }
            }
        }
    }

    #[test]
    fn shares_of_all_runs_cover_all_texts() {
        let model = tiny();
        let text = BaseText::new(&model.decoder, &text(&model), &Silent).expect("run");
        for (runs, tokens) in [(1, 10), (2, 64), (7, 100), (100, 128)] {
            let mut seen: Vec<usize> =
                (0..runs).flat_map(|run| text.share(run, runs, tokens)).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, text.all(), "{runs} runs of {tokens}");
        }
    }

    #[test]
    fn groups_hold_what_fits() {
        let sizes = |rows: &[usize]| {
            groups(rows, |rows| *rows).iter().map(|group| group.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[200, 200, 200, 600, 100]), [2, 1, 1, 1]);
        assert_eq!(sizes(&[600]), [1]);
        assert!(groups(&[0usize; 0], |rows| *rows).is_empty());
    }
}
