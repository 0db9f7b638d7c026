//! The second moments of the gradients at some layers' values, from the sequences of the keys.
//!
//! One pass gives those of all layers. They are kept layer by layer, so that another set of layers
//! needs only what is missing.

use std::path::{Path, PathBuf};

use super::{Corpus, Obtained, Source, StatisticsError, cut, header, load, no_sequence};
use crate::files::{keep_sealed, write_sealed};
use crate::math::Random;
use crate::model::Model;
use crate::progress::Progress;
use crate::rank_one::gradient_moment::accumulate_gradients;
use crate::rank_one::matrix_file::bytes_of;
use crate::rank_one::second_moment::SecondMoment;

/// Tokens that C and S of prices are collected from. With S from so many in place of 16,128, prices
/// of single edits of SmolLM2 differ by 6.5 % (standard deviation of their logarithms).
pub const GRADIENT_TOKENS: usize = 2048;

/// Part of every digest; another way to draw labels needs another number.
const LABELS: u32 = 1;

/// The file of a layer's moment.
fn file(source: &Source<'_>, layer: usize) -> PathBuf {
    let Corpus { tokens, seed, .. } = source.corpus;
    let what = format!("gradients {LABELS} layer {layer} tokens {tokens} labels {seed}");
    source.file("gradient-moment", &what)
}

/// The second moment of the gradients at a layer's value, where it is in the cache.
pub fn known_gradient_moment(
    model: &Model,
    layer: usize,
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Option<Obtained>, StatisticsError> {
    model.check_layer(layer)?;
    let file = file(&Source::new(model, corpus, cache)?, layer);
    let known = load(&file, model.decoder.config().hidden, progress);
    Ok(known.map(|(moment, _)| Obtained { moment, file, was_cached: true }))
}

/// Reads or computes the second moments of the gradients at the values of `layers`, in their order;
/// `cache` is a folder. Runs on the CPU.
pub fn gradient_moments(
    model: &Model,
    layers: &[usize],
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Vec<Obtained>, StatisticsError> {
    layers.iter().try_for_each(|layer| model.check_layer(*layer))?;
    let (source, width) = (Source::new(model, corpus, cache)?, model.decoder.config().hidden);
    let found = layers.iter().map(|layer| {
        let file = file(&source, *layer);
        let known = load(&file, width, progress).map(|(moment, _)| moment);
        (*layer, file, known)
    });
    let mut found: Vec<(usize, PathBuf, Option<SecondMoment>)> = found.collect();
    let missing = found.iter().filter(|(.., known)| known.is_none());
    let (missing, files): (Vec<usize>, Vec<PathBuf>) =
        missing.map(|(layer, file, _)| (*layer, file.clone())).unzip();
    let mut computed = compute(&source, &missing, &files, progress)?.into_iter();
    let obtained = found.iter_mut().filter_map(|(_, file, known)| {
        // One that is not removed costs disk space, nothing else; a killed process may have left one.
        std::fs::remove_file(file.with_extension("partial")).ok();
        let was_cached = known.is_some();
        let moment = known.take().or_else(|| computed.next())?;
        Some(Obtained { moment, file: std::mem::take(file), was_cached })
    });
    Ok(obtained.collect())
}

fn compute(
    source: &Source<'_>,
    layers: &[usize],
    files: &[PathBuf],
    progress: &dyn Progress,
) -> Result<Vec<SecondMoment>, StatisticsError> {
    if layers.is_empty() {
        return Ok(Vec::new());
    }
    let Source { model, corpus, .. } = *source;
    let partial: Vec<PathBuf> = files.iter().map(|file| file.with_extension("partial")).collect();
    let (mut moments, mut group) = interrupted(&partial, model.decoder.config().hidden, progress);
    let groups = source.groups()?;
    progress.phase("gradient moment", Some(corpus.tokens as u64));
    while moments[0].tokens < corpus.tokens {
        let done = moments[0].tokens;
        let Some(mut sequences) = groups.get(group, done, progress)? else { break };
        cut(&mut sequences, corpus.tokens - done);
        let label = |place: usize| {
            Random::named(corpus.seed, &format!("labels of sequence {place} of group {group}"))
        };
        let labelled = (sequences.as_slice(), label);
        accumulate_gradients(&model.decoder, layers, labelled, &mut moments, progress)?;
        group += 1;
        for (file, moment) in partial.iter().zip(&moments) {
            // A sum that cannot be kept has to be begun again after an interruption, nothing else.
            write_sealed(file, &[&header(moment, group), &bytes_of(&moment.sum)]).ok();
        }
    }
    if moments[0].tokens == 0 {
        return Err(no_sequence(corpus));
    }
    for (file, moment) in files.iter().zip(&moments) {
        keep_sealed(file, &[&header(moment, group), &bytes_of(&moment.sum)], progress);
    }
    Ok(moments)
}

/// The sums that an interrupted pass left, and the groups in them; empty ones, unless all of them
/// come from the same groups.
fn interrupted(
    partial: &[PathBuf],
    width: usize,
    progress: &dyn Progress,
) -> (Vec<SecondMoment>, usize) {
    let left: Option<Vec<_>> = partial.iter().map(|file| load(file, width, progress)).collect();
    let groups = left.iter().flatten().map(|(_, groups)| *groups).min().unwrap_or(0);
    match left.filter(|left| left.iter().all(|(_, own)| *own == groups)) {
        Some(left) => (left.into_iter().map(|(moment, _)| moment).collect(), groups),
        None => (vec![SecondMoment::empty(width); partial.len()], 0),
    }
}
