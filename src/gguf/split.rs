//! A model that is split into files, `NAME-00001-of-00003.gguf` and so on: all are read as one.

use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::error::{GgufError, GgufFault};
use super::header::GgufHeader;
use super::map;

/// The files of one model, mapped.
pub(super) struct Files(Vec<Mmap>);

impl Files {
    /// The file, and the others where it is the first of several.
    pub(super) fn open(first: &Path) -> Result<Self, GgufError> {
        Ok(Self(parts(first)?.iter().map(|path| map(path)).collect::<Result<_, _>>()?))
    }

    pub(super) fn header(&self) -> Result<GgufHeader<'_>, GgufFault> {
        GgufHeader::joined(&self.0.iter().map(|map| &map[..]).collect::<Vec<_>>())
    }
}

/// The files of the model whose first one is given, by their names; only this one where it is whole.
///
/// # Errors
///
/// Where the file says that it is a later part, or that there are others, and its name does not.
pub(crate) fn parts(first: &Path) -> Result<Vec<PathBuf>, GgufError> {
    let bytes = map(first)?;
    let in_file = |source| GgufError::Malformed { path: first.to_owned(), source };
    let header = GgufHeader::parse(&bytes).map_err(in_file)?;
    let all = header.split_count().map_err(in_file)?;
    if all == 1 {
        return Ok(vec![first.to_owned()]);
    }
    let number = header.metadata.unsigned("split.no").map_err(in_file)?.unwrap_or(0);
    let stem = first.file_stem().unwrap_or_default().to_string_lossy();
    let name = |part: u64| format!("-{part:05}-of-{all:05}");
    match stem.strip_suffix(&name(number + 1)) {
        Some(stem) if number == 0 => {
            let path = |part| first.with_file_name(format!("{stem}{}.gguf", name(part)));
            Ok((1..=all).map(path).collect())
        }
        Some(stem) => {
            let first = format!("{stem}{}.gguf", name(1));
            Err(in_file(GgufFault::LaterPart { number: number + 1, all, first }))
        }
        None => Err(in_file(GgufFault::Split { all, found: 1 })),
    }
}
