//! Which files of the base go into the export.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use super::{CARD, CheckpointError, RECIPES};
use crate::files::FileError;
use crate::model::weights::{INDEX, Weights};

/// Endings of files that hold weights, or parts of them, in some format.
const WEIGHT_ENDINGS: &[&str] = &[
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "h5",
    "msgpack",
    "ot",
    "onnx",
    "onnx_data",
    "gguf",
    "ggml",
    "tflite",
    "mlmodel",
    "npz",
];

/// The role of a file in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileRole {
    /// A file with weights of the model.
    Shard,
    /// The model card.
    Card,
    /// The recipes of an earlier export.
    Recipes,
    /// Any other file.
    Plain,
}

/// A file that goes into the export.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path in the new folder, which is its path in the base before links are followed.
    pub(super) relative: PathBuf,
    /// Its path as [`Weights::shard_of`] gives it.
    pub(super) path: PathBuf,
    /// The path of its bytes, with links followed.
    pub(super) resolved: PathBuf,
    /// Length of the file in bytes.
    pub(super) length: u64,
    pub(super) role: FileRole,
}

/// The files of a model folder.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) files: Vec<Source>,
    pub(super) left_out: Vec<PathBuf>,
}

impl Listing {
    /// Lists the folder; follows links only inside it, or into the blobs of the same Hub cache
    /// entry.
    pub(super) fn of(folder: &Path, weights: &Weights) -> Result<Self, CheckpointError> {
        let mut walk = Walk {
            folder,
            allowed: allowed(folder)?,
            shards: weights.shards().filter_map(Path::file_name).map(PathBuf::from).collect(),
            listing: Self { files: Vec::new(), left_out: Vec::new() },
        };
        walk.visit(Path::new(""))?;
        Ok(walk.listing)
    }

    /// Total length of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }
}

struct Walk<'a> {
    folder: &'a Path,
    allowed: Vec<PathBuf>,
    shards: BTreeSet<PathBuf>,
    listing: Listing,
}

/// Folders into which links may lead.
fn allowed(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let base = fs::canonicalize(folder).map_err(FileError::reading(folder))?;
    let mut allowed = vec![base.clone()];
    // The Hub's cache: models--org--name/snapshots/<commit>/file links to ../../blobs/<hash>.
    if let Some(snapshots) = base.parent().filter(|parent| parent.ends_with("snapshots")) {
        allowed.push(snapshots.with_file_name("blobs"));
    }
    Ok(allowed)
}

impl Walk<'_> {
    fn visit(&mut self, inside: &Path) -> Result<(), CheckpointError> {
        let path = self.folder.join(inside);
        let entries = fs::read_dir(&path).map_err(FileError::reading(&path))?;
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(FileError::reading(&path))?;
        names.sort();
        names.into_iter().try_for_each(|name| self.take(inside.join(name)))
    }

    fn take(&mut self, relative: PathBuf) -> Result<(), CheckpointError> {
        let path = self.folder.join(&relative);
        let metadata = path.symlink_metadata().map_err(FileError::reading(&path))?;
        let is_hidden = relative.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if metadata.is_dir() && !is_hidden {
            return self.visit(&relative);
        }
        match self.source(&relative, path, &metadata)? {
            Some(source) => self.listing.files.push(source),
            None => self.listing.left_out.push(relative),
        }
        Ok(())
    }

    /// The file at `path`, or nothing where it is left out.
    fn source(
        &self,
        relative: &Path,
        path: PathBuf,
        metadata: &Metadata,
    ) -> Result<Option<Source>, CheckpointError> {
        let Some(role) = self.role(relative) else { return Ok(None) };
        let resolved = if metadata.is_symlink() { self.resolve(&path)? } else { path.clone() };
        let metadata = resolved.metadata().map_err(FileError::reading(&path))?;
        let (relative, length) = (relative.to_owned(), metadata.len());
        Ok(metadata.is_file().then_some(Source { relative, path, resolved, length, role }))
    }

    /// The role of a file, or nothing where it is left out.
    fn role(&self, relative: &Path) -> Option<FileRole> {
        if self.shards.contains(relative) {
            return Some(FileRole::Shard);
        }
        let name = relative.file_name()?.to_string_lossy();
        let stem = name.strip_suffix(".index.json").unwrap_or(&name);
        let is_our_index = relative == Path::new(INDEX) && self.shards.len() > 1;
        match relative.to_str() {
            Some(CARD) => Some(FileRole::Card),
            Some(RECIPES) => Some(FileRole::Recipes),
            _ if is_our_index => Some(FileRole::Plain),
            _ => match stem.rsplit_once('.') {
                Some((_, ending)) if WEIGHT_ENDINGS.contains(&ending) => None,
                _ => Some(FileRole::Plain),
            },
        }
    }

    fn resolve(&self, link: &Path) -> Result<PathBuf, CheckpointError> {
        let target = fs::canonicalize(link).map_err(FileError::reading(link))?;
        match self.allowed.iter().any(|folder| target.starts_with(folder)) {
            true => Ok(target),
            false => Err(CheckpointError::StrangeLink { link: link.to_owned(), target }),
        }
    }
}
