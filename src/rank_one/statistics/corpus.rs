//! The text that statistics are collected over, as groups of sequences: a file's, or the model's own.

use std::path::{Path, PathBuf};

use super::StatisticsError;
use crate::files::{Sha256, mistaken_text, read_regular};
use crate::model::{Model, ModelError, Opening, SampleGroup, samples, text_pieces};
use crate::progress::{Progress, Recounted};
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

/// Sequences of one group of samples, and their length.
pub(super) const SAMPLES: (usize, usize) = (64, 64);
/// Longest sequence cut from a text.
const SEQUENCE: usize = 256;
/// Tokens after which the sum so far is written.
const GROUP: usize = 8192;

/// Shortens the last sequences so that `keys` keys remain; the first token of each gives none.
pub(super) fn cut(sequences: &mut Vec<Vec<u32>>, mut keys: usize) {
    for sequence in sequences.iter_mut() {
        sequence.truncate(keys + 1);
        keys -= sequence.len().saturating_sub(1).min(keys);
    }
    sequences.retain(|sequence| sequence.len() > 1);
}

/// No corpus needs more: a token takes about four bytes.
const LARGEST_CORPUS: u64 = 4 << 30;

pub(super) fn read(file: &Path) -> Result<String, StatisticsError> {
    let fail = |reason: String| StatisticsError::Corpus { file: file.to_owned(), reason };
    let bytes = read_regular(file, LARGEST_CORPUS).map_err(|error| fail(error.to_string()))?;
    if let Some(what) = mistaken_text(&bytes) {
        return Err(fail(what.into()));
    }
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
pub(super) enum Groups<'a> {
    Text(Vec<Vec<Vec<u32>>>),
    Samples { model: &'a Model, seed: u64, stem: PathBuf },
}

impl<'a> Groups<'a> {
    pub(super) fn new(
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

    /// Number of keys of each group, up to so many in all.
    pub(super) fn keys(&self, tokens: usize) -> Vec<usize> {
        let of_text =
            |group: &Vec<Vec<u32>>| -> usize { group.iter().map(|ids| ids.len() - 1).sum() };
        let all: Box<dyn Iterator<Item = usize> + '_> = match self {
            Self::Text(groups) => Box::new(groups.iter().map(of_text)),
            Self::Samples { .. } => Box::new(std::iter::repeat(SAMPLES.0 * (SAMPLES.1 - 1))),
        };
        let mut left = tokens;
        let keys = all.map_while(|own| {
            let taken = own.min(left);
            left -= taken;
            (taken > 0).then_some(taken)
        });
        keys.collect()
    }

    /// Whether the first sequences are the model's own and not drawn yet.
    pub(super) fn is_to_be_sampled(&self) -> bool {
        matches!(self, Self::Samples { stem, .. } if !group_file(stem, 0).exists())
    }

    pub(super) fn origin(&self) -> &'static str {
        match self {
            Self::Text(_) => "the corpus",
            Self::Samples { .. } => "the model's own text",
        }
    }

    /// Group `number`, or nothing after the last; `done` tokens are counted already.
    pub(super) fn get(
        &self,
        number: usize,
        done: usize,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Vec<u32>>>, StatisticsError> {
        match self {
            Self::Text(groups) => Ok(groups.get(number).cloned()),
            Self::Samples { model, seed, stem } => {
                let file = group_file(stem, number);
                let (sequences, tokens) = SAMPLES;
                let seed = seed.wrapping_add(((number + 1) * 1_000_003) as u64);
                let group = SampleGroup { seed, sequences, tokens, opening: Opening::Bare };
                let after = Recounted(progress, |now| done as u64 + now);
                Ok(Some(samples(model, group, &file, &after)?))
            }
        }
    }
}

/// The file of one group of samples.
fn group_file(stem: &Path, number: usize) -> PathBuf {
    PathBuf::from(format!("{}-{number}.json", stem.display()))
}
