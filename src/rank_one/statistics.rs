//! The second moment of a layer for a model and a corpus, computed once and kept on disk.
//!
//! The cache key is a digest of everything that goes in: all weights, tokenizer, corpus,
//! layer, token count, seed. Work is done in groups of sequences; after each group the sum so far
//! is written, so that an interrupted run goes on where it stopped.

mod corpus;
mod gradients;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::Dtype;

use super::matrix_file::{bytes_of, in_file, numbers_in};
use super::second_moment::{SecondMoment, accumulate};
use crate::files::{Sealed, Sha256, keep_sealed, map_sealed, write_sealed};
use crate::math::Entries;
use crate::model::weights::header::Header;
use crate::model::{Model, ModelError, OVERHEAD};
use crate::plan::MomentCost;
use crate::progress::{Progress, Recounted, counted, lasting};
use crate::ranks::{ALONE, RankError, Ranks};

pub use corpus::Corpus;
use corpus::{Groups, SAMPLES, cut, read};
pub use gradients::{GRADIENT_TOKENS, gradient_moments, known_gradient_moment};

/// Why a second moment could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// The model failed.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// The corpus cannot be read.
    #[error("corpus {}: {reason}", file.display())]
    Corpus {
        /// The corpus file.
        file: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Another rank failed.
    #[error("{0}")]
    Ranks(#[from] RankError),
    /// The cache folder cannot be created.
    #[error("cannot create the cache folder {}: {reason}", folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// A second moment and where it came from.
pub struct Obtained {
    /// The second moment as sums.
    pub moment: SecondMoment,
    /// The file of the second moment in the cache.
    pub file: PathBuf,
    /// Whether nothing had to be computed.
    pub was_cached: bool,
}

impl Obtained {
    /// The sum, in its file where it could be kept there: that of wide layers takes gigabytes.
    pub(super) fn into_entries(self, progress: &dyn Progress) -> Arc<dyn Entries> {
        match parse(&self.file, self.moment.width, progress) {
            Some(Parsed { file, range, .. }) => in_file(file, range),
            None => Arc::new(self.moment.sum),
        }
    }
}

/// Reads or computes the second moment of `layer`; `cache` is a folder.
pub fn second_moment(
    model: &Model,
    layer: usize,
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Obtained, StatisticsError> {
    second_moment_on(&ALONE, model, layer, corpus, cache, progress)
}

/// Part of every digest of a sum; another order of adding needs another number.
const SUMS: u32 = 2;

/// The same on all ranks, each of which takes some groups of the corpus. Each group is a sum of its
/// own, and the groups are added in order, so that the bits do not depend on the ranks.
pub fn second_moment_on(
    ranks: &Ranks,
    model: &Model,
    layer: usize,
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Obtained, StatisticsError> {
    model.check_layer(layer)?;
    let source = Source::new(model, corpus, cache)?;
    let what = format!("layer {layer} tokens {} sums {SUMS}", corpus.tokens);
    let file = source.file("second-moment", &what);
    let width = model.decoder.config().intermediate;
    let partial = file.with_extension("partial");
    // Rank 0 knows what is there already: the caches of other nodes may lack it.
    let known = load(&file, width, progress);
    let was_cached = known.is_some();
    let (moment, groups_done) = known
        .or_else(|| load(&partial, width, progress))
        .unwrap_or_else(|| (SecondMoment::empty(width), 0));
    let mut begun = vec![f64::from(u8::from(was_cached)), groups_done as f64, moment.tokens as f64];
    ranks.spread(&mut begun, progress)?;
    let (was_cached, first, tokens) = (begun[0] == 1., begun[1] as usize, begun[2] as usize);
    let mut moment = SecondMoment { tokens, ..moment };
    let groups = source.groups()?;
    let keys = groups.keys(corpus.tokens);
    let mut done = first;
    if !was_cached {
        announce(model, layer, corpus.tokens - tokens, &groups, progress);
        progress.phase("second moment", Some(corpus.tokens as u64));
        let part = &mut |group: usize| {
            let before = keys[..group].iter().sum();
            let mut sequences = groups.get(group, before, progress)?.unwrap_or_default();
            cut(&mut sequences, keys[group]);
            let mut own = SecondMoment::empty(width);
            let after = Recounted(progress, |now| before as u64 + now);
            accumulate(&model.decoder, layer, &sequences, &mut own, &after)?;
            Ok(own.sum)
        };
        let add = &mut |group: usize, sum: Vec<f64>| {
            moment.plus(&sum);
            moment.tokens += keys[group];
            done = group + 1;
            // A sum that cannot be kept has to be begun again after an interruption, nothing else.
            write_sealed(&partial, &[&header(&moment, done), &bytes_of(&moment.sum)]).ok();
            Ok::<_, StatisticsError>(())
        };
        ranks.in_order(first..keys.len(), progress, part, add)?;
        moment.tokens = keys.iter().sum();
    }
    if moment.tokens == 0 {
        return Err(no_sequence(corpus));
    }
    if ranks.is_first() && !was_cached {
        keep_sealed(&file, &[&header(&moment, done), &bytes_of(&moment.sum)], progress);
    }
    if ranks.is_first() {
        // One that is not removed costs disk space, nothing else; a killed process may have left one.
        std::fs::remove_file(&partial).ok();
    }
    if ranks.size() > 1 {
        ranks.spread(&mut moment.sum, progress)?;
        if !file.exists() {
            keep_sealed(&file, &[&header(&moment, keys.len()), &bytes_of(&moment.sum)], progress);
        }
    }
    Ok(Obtained { moment, file, was_cached })
}

fn no_sequence(corpus: &Corpus) -> StatisticsError {
    let file = corpus.file.clone().unwrap_or_default();
    StatisticsError::Corpus { file, reason: "has no sequence of 2 tokens".into() }
}

/// A corpus as one model reads it, and the folder in which its statistics are kept.
struct Source<'a> {
    model: &'a Model,
    corpus: &'a Corpus,
    text: Option<String>,
    /// Names the weights, the tokenizer and the corpus.
    base: String,
    cache: &'a Path,
}

impl<'a> Source<'a> {
    /// Creates the cache folder and reads the corpus.
    fn new(model: &'a Model, corpus: &'a Corpus, cache: &'a Path) -> Result<Self, StatisticsError> {
        std::fs::create_dir_all(cache).map_err(|error| StatisticsError::Cache {
            folder: cache.to_owned(),
            reason: error.to_string(),
        })?;
        let text = corpus.file.as_deref().map(read).transpose()?;
        let source = match &text {
            Some(text) => format!("text {}", Sha256::of(text)),
            None => format!("samples {SAMPLES:?} seed {}", corpus.seed),
        };
        let weights = model.weights_hash()?;
        let base = format!("{weights} {} {} {source}", model.config_hash, model.tokenizer.hash());
        Ok(Self { model, corpus, text, base, cache })
    }

    /// The file of a statistic of this corpus.
    fn file(&self, kind: &str, what: &str) -> PathBuf {
        let key = Sha256::of(format!("{} {what}", self.base));
        self.cache.join(format!("{kind}-{key}.safetensors"))
    }

    fn groups(&self) -> Result<Groups<'a>, StatisticsError> {
        let base = Sha256::of(&self.base);
        Groups::new(self.model, self.corpus, self.text.as_deref(), base, self.cache)
    }
}

/// Seconds from which on work is announced.
const WORTH_SAYING: f64 = 10.;

/// Says how long the keys will take, where that is worth a line.
fn announce(
    model: &Model,
    layer: usize,
    keys: usize,
    groups: &Groups<'_>,
    progress: &dyn Progress,
) {
    let is_sampled = groups.is_to_be_sampled();
    let cost = MomentCost::new(&model.decoder, layer, is_sampled);
    // Samples are drawn in whole groups.
    let taken = if is_sampled { keys.next_multiple_of(SAMPLES.0 * SAMPLES.1) } else { keys };
    let Some(rate) = model.decoder.operations_a_second(layer, progress) else { return };
    let seconds = OVERHEAD * cost.operations * taken as f64 / rate;
    if seconds >= WORTH_SAYING {
        let text = format!(
            "{} of layer {layer} from {}: about {}, once for this model",
            counted(keys, "key"),
            groups.origin(),
            lasting(seconds)
        );
        progress.note("moment", &text);
    }
}

/// The header of a file; the sum follows, and equal sums give equal bytes.
fn header(moment: &SecondMoment, groups: usize) -> Vec<u8> {
    let metadata = [("tokens", moment.tokens), ("groups", groups)];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_string()));
    let (shape, bytes) = ([moment.width, moment.width], size_of_val(&moment.sum[..]));
    Header::write(&metadata.into(), [("sum", Dtype::F64, &shape[..], bytes)])
}

/// A file of a sum.
struct Parsed {
    file: Sealed,
    range: Range<usize>,
    tokens: usize,
    groups: usize,
}

/// The parts of a file; nothing where it is absent or another file.
fn parse(file: &Path, width: usize, progress: &dyn Progress) -> Option<Parsed> {
    let file = map_sealed(file, progress)?;
    let header = Header::parse(&file).ok()?;
    let number = |key: &str| header.metadata.get(key)?.parse::<usize>().ok();
    let (tokens, groups) = (number("tokens")?, number("groups")?);
    let entry = header.tensors.get("sum")?;
    if entry.dtype != Dtype::F64 || entry.shape != [width, width] {
        return None;
    }
    let range = entry.range.clone();
    Some(Parsed { file, range, tokens, groups })
}

/// The moment and the number of groups in it; nothing where the file is absent or another file.
fn load(file: &Path, width: usize, progress: &dyn Progress) -> Option<(SecondMoment, usize)> {
    let Parsed { file, range, tokens, groups } = parse(file, width, progress)?;
    let sum = numbers_in(&file[range]);
    let is_finite = sum.iter().all(|value| value.is_finite());
    is_finite.then_some((SecondMoment { sum, width, tokens }, groups))
}

#[cfg(test)]
mod tests;
