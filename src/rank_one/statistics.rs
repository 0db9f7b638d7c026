//! The second moment of a layer for a model and a corpus, computed once and kept on disk.
//!
//! The cache key is a digest of everything that goes in: all weights, tokenizer, corpus,
//! layer, token count, seed. Work is done in groups of sequences; after each group the sum so far
//! is written, so that an interrupted run goes on where it stopped.

use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::second_moment::{SecondMoment, accumulate};
use crate::files::{Sha256, keep_sealed, read_regular, read_sealed, write_sealed};
use crate::model::weights::header::Header;
use crate::model::{Model, ModelError, Opening, SampleGroup, samples, text_pieces};
use crate::progress::Progress;
use crate::spec::{SourceText, corpus_of_data};

/// The corpus that keys are collected over.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// A text file with blank lines between paragraphs; nothing: the model's own samples.
    pub file: Option<PathBuf>,
    /// Number of tokens to use.
    pub tokens: usize,
    /// Seed of the samples.
    pub seed: u64,
}

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

/// Sequences of one group of samples, and their length.
const SAMPLES: (usize, usize) = (64, 64);
/// Longest sequence cut from a text.
const SEQUENCE: usize = 256;
/// Tokens after which the sum so far is written.
const GROUP: usize = 8192;

/// Reads or computes the second moment of `layer`; `cache` is a folder.
pub fn second_moment(
    model: &Model,
    layer: usize,
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Obtained, StatisticsError> {
    model.check_layer(layer)?;
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
    let key = Sha256::of(format!("{base} layer {layer} tokens {}", corpus.tokens));
    let file = cache.join(format!("second-moment-{key}.safetensors"));
    let width = model.decoder.config().intermediate;
    if let Some((moment, _)) = load(&file, width, progress) {
        return Ok(Obtained { moment, file, was_cached: true });
    }
    let partial = file.with_extension("partial");
    let (mut moment, mut group) =
        load(&partial, width, progress).unwrap_or_else(|| (SecondMoment::empty(width), 0));
    let groups = Groups::new(model, corpus, text.as_deref(), Sha256::of(&base), cache)?;
    let total = corpus.tokens as u64;
    progress.phase("second moment", Some(total));
    while moment.tokens < corpus.tokens {
        let Some(mut sequences) = groups.get(group, moment.tokens, progress)? else { break };
        cut(&mut sequences, corpus.tokens - moment.tokens);
        accumulate(&model.decoder, layer, &sequences, &mut moment, progress)?;
        group += 1;
        // A sum that cannot be kept has to be begun again after an interruption, nothing else.
        write_sealed(&partial, &pieces(&moment, group).each_ref().map(Vec::as_slice)).ok();
    }
    if moment.tokens == 0 {
        let file = corpus.file.clone().unwrap_or_default();
        return Err(StatisticsError::Corpus { file, reason: "has no sequence of 2 tokens".into() });
    }
    keep_sealed(&file, &pieces(&moment, group).each_ref().map(Vec::as_slice), progress);
    // A partial sum that is not removed costs disk space, nothing else.
    std::fs::remove_file(&partial).ok();
    Ok(Obtained { moment, file, was_cached: false })
}

/// Shortens the last sequences so that `keys` keys remain; the first token of each gives none.
fn cut(sequences: &mut Vec<Vec<u32>>, mut keys: usize) {
    for sequence in sequences.iter_mut() {
        sequence.truncate(keys + 1);
        keys -= sequence.len().saturating_sub(1).min(keys);
    }
    sequences.retain(|sequence| sequence.len() > 1);
}

/// No corpus needs more: a token takes about four bytes.
const LARGEST_CORPUS: u64 = 4 << 30;

fn read(file: &Path) -> Result<String, StatisticsError> {
    let fail = |reason: String| StatisticsError::Corpus { file: file.to_owned(), reason };
    let bytes = read_regular(file, LARGEST_CORPUS).map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| fail(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())))?;
    let source = SourceText::new(&file.to_string_lossy(), &text);
    let passages = corpus_of_data(&source).map_err(|error| fail(error.to_string()))?;
    let text = passages.unwrap_or(text);
    // A blank line of a file from Windows is one as well.
    Ok(if text.contains('\r') { text.replace("\r\n", "\n") } else { text })
}

/// Paragraphs of a text, long ones in pieces: of more, only as much as is needed is tokenised.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(str::trim).flat_map(text_pieces)
}

/// The corpus, cut into groups of sequences.
enum Groups<'a> {
    Text(Vec<Vec<Vec<u32>>>),
    Samples { model: &'a Model, seed: u64, stem: PathBuf },
}

impl<'a> Groups<'a> {
    fn new(
        model: &'a Model,
        corpus: &Corpus,
        text: Option<&str>,
        base: Sha256,
        cache: &Path,
    ) -> Result<Self, StatisticsError> {
        let Some(text) = text else {
            let stem = cache.join(format!("samples-{base}"));
            return Ok(Self::Samples { model, seed: corpus.seed, stem });
        };
        let (mut groups, mut group, mut tokens) = (Vec::new(), Vec::new(), 0);
        let context = SEQUENCE.min(model.decoder.config().context);
        for paragraph in paragraphs(text) {
            let ids = model.tokenizer.encode(paragraph).map_err(ModelError::from)?.ids;
            let sequences: Vec<_> = ids.chunks(context).filter(|ids| ids.len() > 1).collect();
            tokens += sequences.iter().map(|ids| ids.len()).sum::<usize>();
            group.extend(sequences.into_iter().map(<[u32]>::to_vec));
            if tokens >= (groups.len() + 1) * GROUP {
                groups.push(std::mem::take(&mut group));
            }
            if tokens > corpus.tokens + 2 * GROUP + corpus.tokens / 8 {
                break;
            }
        }
        groups.push(group);
        Ok(Self::Text(groups))
    }

    /// Group `number`, or nothing after the last; `done` tokens are counted already.
    fn get(
        &self,
        number: usize,
        done: usize,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Vec<u32>>>, StatisticsError> {
        match self {
            Self::Text(groups) => Ok(groups.get(number).cloned()),
            Self::Samples { model, seed, stem } => {
                let file = PathBuf::from(format!("{}-{number}.json", stem.display()));
                let (sequences, tokens) = SAMPLES;
                let seed = seed.wrapping_add(((number + 1) * 1_000_003) as u64);
                let group = SampleGroup { seed, sequences, tokens, opening: Opening::Bare };
                Ok(Some(samples(model, group, &file, &After { progress, done })?))
            }
        }
    }
}

/// Counts work on top of what was done before.
struct After<'a> {
    progress: &'a dyn Progress,
    done: usize,
}

impl Progress for After<'_> {
    fn advance(&self, done: u64, note: &str) {
        self.progress.advance(self.done as u64 + done, note);
    }

    fn check(&self) -> Result<(), crate::progress::Interrupted> {
        self.progress.check()
    }
}

/// Header and numbers of a file; equal sums give equal bytes.
fn pieces(moment: &SecondMoment, groups: usize) -> [Vec<u8>; 2] {
    let mut bytes = vec![0; size_of_val(&moment.sum[..])];
    let (places, _) = bytes.as_chunks_mut();
    places.iter_mut().zip(&moment.sum).for_each(|(place, value)| *place = value.to_le_bytes());
    let metadata = [("tokens", moment.tokens), ("groups", groups)];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_string()));
    let shape = [moment.width, moment.width];
    let header = Header::write(&metadata.into(), [("sum", Dtype::F64, &shape[..], bytes.len())]);
    [header, bytes]
}

/// The moment and the number of groups in it; nothing where the file is absent or another file.
fn load(file: &Path, width: usize, progress: &dyn Progress) -> Option<(SecondMoment, usize)> {
    let bytes = read_sealed(file, progress)?;
    let header = Header::parse(&bytes).ok()?;
    let number = |key: &str| header.metadata.get(key)?.parse::<usize>().ok();
    let (tokens, groups) = (number("tokens")?, number("groups")?);
    let entry = header.tensors.get("sum")?;
    if entry.dtype != Dtype::F64 || entry.shape != [width, width] {
        return None;
    }
    let value = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let sum: Vec<f64> = bytes[entry.range.clone()].chunks_exact(8).map(value).collect();
    let is_finite = sum.iter().all(|value| value.is_finite());
    is_finite.then_some((SecondMoment { sum, width, tokens }, groups))
}

#[cfg(test)]
mod tests;
