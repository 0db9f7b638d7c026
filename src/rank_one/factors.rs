//! The second moment C of a layer, factored for solves, and kept on disk next to C itself.
//!
//! C's file is named by the digest of weights, tokenizer, corpus, layer and token count; the
//! factor's by that name and the kind of factor: a Cholesky factor with its ridge, or all
//! eigenvectors, from which a null space of any size is cut without computing them again. A Cholesky
//! factor stays in its file, mapped, so that those of many layers take no memory between solves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::SecondMoment;
use super::error::RankOneError;
use super::matrix_file::{bytes_of, in_file, numbers_in};
use super::metric::Factored;
use super::statistics::{Corpus, Obtained, StatisticsError, second_moment};
use crate::files::{Sealed, Sha256, keep_sealed, map_sealed};
use crate::math::{Cholesky, SymmetricEigen};
use crate::model::Model;
use crate::model::weights::header::Header;
use crate::plan::WritePlan;
use crate::progress::Progress;
use crate::spec::Method;

/// Why the second moment of a layer could not be factored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// The second moment could not be computed.
    #[error("{0}")]
    Statistics(#[from] StatisticsError),
    /// The second moment has no factor.
    #[error("{0}")]
    RankOne(#[from] RankOneError),
}

/// The factored second moment of a layer, and where it came from.
pub struct ReadyLayer {
    /// The factor, for solves.
    pub factored: Factored,
    /// Number of keys that C was computed from.
    pub tokens: usize,
    /// Whether both C and its factor came from the cache.
    pub was_cached: bool,
}

/// Factors C of `layer` for the plan's method; `cache` is a folder.
pub fn ready_layer(
    model: &Model,
    plan: &WritePlan,
    layer: usize,
    corpus: &Corpus,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<ReadyLayer, FactorError> {
    let Obtained { moment, file, was_cached } =
        second_moment(model, layer, corpus, cache, progress)?;
    let (tokens, width) = (moment.tokens, moment.width);
    let (factored, was_known) = if plan.method == Method::AlphaEdit {
        let (eigen, was_known) = eigen(moment, layer, &file, cache, progress)?;
        (Factored::null_space(&eigen, plan.batch.null_space), was_known)
    } else {
        let (cholesky, was_known) = cholesky(moment, plan, layer, &file, (cache, progress))?;
        (Factored::of_cholesky(cholesky, width), was_known)
    };
    Ok(ReadyLayer { factored, tokens, was_cached: was_cached && was_known })
}

fn cholesky(
    moment: SecondMoment,
    plan: &WritePlan,
    layer: usize,
    file: &Path,
    (cache, progress): (&Path, &dyn Progress),
) -> Result<(Cholesky, bool), FactorError> {
    let (width, ridge) = (moment.width, plan.settings.ridge);
    let kept = sibling(file, cache, &format!("cholesky ridge {ridge:e}"));
    if let Some(cholesky) = kept_cholesky(&kept, width, progress) {
        return Ok((cholesky, true));
    }
    let cholesky = Factored::cholesky(moment.into_mean(), width, ridge, layer)?;
    save(&kept, &[("lower", cholesky.lower())], progress);
    // From here on it lies in the file, where that could be written.
    let is_kept = kept.exists();
    let mapped = is_kept.then(|| kept_cholesky(&kept, width, progress)).flatten();
    Ok((mapped.unwrap_or(cholesky), false))
}

fn kept_cholesky(file: &Path, width: usize, progress: &dyn Progress) -> Option<Cholesky> {
    let (file, ranges) = open(file, &[("lower", width * width)], progress)?;
    let [range] = ranges.try_into().expect("one part was asked for");
    Cholesky::of_lower(in_file(file, range), width)
}

fn eigen(
    moment: SecondMoment,
    layer: usize,
    file: &Path,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<(SymmetricEigen, bool), FactorError> {
    let width = moment.width;
    // Another solver's would differ in the last bits, and so would every patch made with them.
    let kept = sibling(file, cache, "eigenvectors by faer");
    let known = load(&kept, &[("values", width), ("vectors", width * width)], progress);
    if let Some(parts) = known {
        let [values, vectors] = parts.try_into().expect("two parts were asked for");
        return Ok((SymmetricEigen { values, vectors }, true));
    }
    progress.phase("null space", None);
    let eigen = SymmetricEigen::new(moment.into_mean(), width)
        .map_err(|source| RankOneError::NullSpace { layer, source })?;
    save(&kept, &[("values", &eigen.values), ("vectors", &eigen.vectors)], progress);
    Ok((eigen, false))
}

/// The file of a factor of the C in `file`.
fn sibling(file: &Path, cache: &Path, what: &str) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    cache.join(format!("factor-{}.safetensors", Sha256::of(format!("{name} {what}"))))
}

fn save(file: &Path, parts: &[(&str, &[f64])], progress: &dyn Progress) {
    let shapes: Vec<[usize; 1]> = parts.iter().map(|(_, part)| [part.len()]).collect();
    let listed = parts.iter().zip(&shapes);
    let listed = listed.map(|((name, x), shape)| (*name, Dtype::F64, &shape[..], size_of_val(*x)));
    let header = Header::write(&BTreeMap::new(), listed);
    let bytes: Vec<_> = parts.iter().map(|(_, part)| bytes_of(part)).collect();
    let pieces: Vec<&[u8]> =
        std::iter::once(&header[..]).chain(bytes.iter().map(|bytes| &bytes[..])).collect();
    keep_sealed(file, &pieces, progress);
}

/// A file and the places of its parts, each with its expected length; nothing where it is absent or
/// another file.
fn open(
    file: &Path,
    parts: &[(&str, usize)],
    progress: &dyn Progress,
) -> Option<(Sealed, Vec<Range<usize>>)> {
    let bytes = map_sealed(file, progress)?;
    let header = Header::parse(&bytes).ok()?;
    let place = |(name, length): &(&str, usize)| {
        let entry = header.tensors.get(*name)?;
        let is_ours = entry.dtype == Dtype::F64 && entry.shape == [*length];
        is_ours.then(|| entry.range.clone())
    };
    let places = parts.iter().map(place).collect::<Option<_>>()?;
    Some((bytes, places))
}

/// The parts of a file, copied.
fn load(file: &Path, parts: &[(&str, usize)], progress: &dyn Progress) -> Option<Vec<Vec<f64>>> {
    let (bytes, places) = open(file, parts, progress)?;
    Some(places.into_iter().map(|place| numbers_in(&bytes[place])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn what_is_kept_comes_back_and_what_is_not_ours_does_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("f.safetensors");
        save(&file, &[("a", &[1.5, -0.]), ("b", &[f64::MIN_POSITIVE])], &Silent);
        let load = |parts: &[(&str, usize)]| load(&file, parts, &Silent);
        let both = load(&[("b", 1), ("a", 2)]);
        assert_eq!(both, Some(vec![vec![f64::MIN_POSITIVE], vec![1.5, -0.]]));
        assert_eq!(load(&[("a", 3)]), None, "another length");
        assert_eq!(load(&[("c", 2)]), None, "another name");
        std::fs::write(&file, b"no tensors").expect("a writable folder");
        assert_eq!(load(&[("a", 2)]), None);
        assert!(Cholesky::of_lower(std::sync::Arc::new(vec![1., 0., 3., 0.]), 2).is_none());
    }
}
