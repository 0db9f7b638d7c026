//! A model with patches as one GGUF file, for llama.cpp and what is built on it.
//!
//! From a GGUF file, every key and every tensor that the patches do not change is taken over byte by
//! byte. From a folder, all of the file is made: keys from `config.json`, tokens from
//! `tokenizer.json`. Next to the file stands its record, with the recipes of the patches and the
//! file's digest.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::edit::{Edit, StoredDtype};
use super::record::{self, Record, record_of};
use super::sums::{EditedTensor, Sums};
use super::{CheckpointError, EditedKey, card, check_patches};
use crate::delta::WeightDelta;
use crate::files::{FileError, Kind, Overwrite, check_target, write_atomically};
use crate::gguf::{Contents, Draft, DraftFailure, EditedAs, GgufFile, GgufType, Types};
use crate::model::Model;
use crate::patch::{self, Patch};
use crate::progress::{Progress, Silent};

/// A GGUF file as output: only one with its own record next to it is replaced.
pub const GGUF: Kind = Kind {
    name: "a GGUF file that rescribe wrote, with its record next to it",
    is_folder: false,
    is_ours: |path| {
        let record = Record::beside(path, &Silent).ok().flatten();
        record.is_some_and(|record| record.is_whole && record.changed.is_empty())
    },
};

/// The record next to a GGUF file as output: only one that is as it was written is replaced.
const RECORD: Kind = Kind {
    name: "the record of a GGUF file that rescribe wrote",
    is_folder: false,
    is_ours: |path| {
        let file = path.with_extension("").with_extension("");
        Record::beside(&file, &Silent).ok().flatten().is_some_and(|record| record.is_whole)
    },
};

/// Checks that a GGUF file and its record may be written.
pub fn check_gguf_target(
    out: &Path,
    overwrite: Overwrite,
    uses: &[&Path],
) -> Result<(), FileError> {
    check_target(out, overwrite, &GGUF, uses)?;
    check_target(&record_of(out), Overwrite::Replace, &RECORD, uses)
}

/// What a GGUF file is made of, and how.
#[derive(Debug, Clone, Default)]
pub struct GgufOptions<'a> {
    /// The GGUF file that the model was imported from, to be taken over but for the edits.
    pub original: Option<&'a Path>,
    /// What the model is called in a file that is made from a folder.
    pub name: &'a str,
    /// How a file that is made from a folder stores its matrices; as the folder does, where nothing
    /// is said.
    pub matrices: Option<GgufType>,
    /// How the edited matrices are stored.
    pub edited_as: EditedAs,
    /// Keys at which the effect of rounding is to be measured.
    pub keys: Vec<EditedKey>,
}

impl GgufOptions<'_> {
    /// What is read while the file is written.
    pub(crate) fn uses<'p>(&'p self, model: &'p Model) -> Vec<&'p Path> {
        [model.folder.as_path()].into_iter().chain(self.original).collect()
    }
}

/// Summary of a GGUF file that was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GgufSummary {
    /// The file.
    pub out: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Number of its tensors.
    pub tensors: usize,
    /// Edited tensors, by their names in the model's folder.
    pub edited: Vec<EditedTensor>,
}

/// Writes the model with the patches applied as one GGUF file.
///
/// # Errors
///
/// Where the patches are for another base, the file is no such model, or the model has something
/// that the form has no place for; nothing is written then.
pub fn export_gguf(
    model: &Model,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    options: &GgufOptions<'_>,
    progress: &dyn Progress,
) -> Result<GgufSummary, CheckpointError> {
    check_gguf_target(out, overwrite, &options.uses(model))?;
    let summary = write_model(model, patches, out, overwrite, options, progress)?;
    record::write_beside(out, card::recipes(&model.folder, patches, &summary.edited))?;
    Ok(summary)
}

/// Writes the file without its record.
pub(crate) fn write_model(
    model: &Model,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    options: &GgufOptions<'_>,
    progress: &dyn Progress,
) -> Result<GgufSummary, CheckpointError> {
    check_patches(&model.folder, &model.weights, patches, progress)?;
    let delta = patch::compose(patches)?;
    let mut changed =
        Changed { model, delta: &delta, keys: &options.keys, at_work: None, edited: Vec::new() };
    let names: Vec<&str> = delta.changes.keys().map(String::as_str).collect();
    let original =
        options.original.map(|path| Ok::<_, CheckpointError>((GgufFile::open(path)?, path)));
    let original = original.transpose()?;
    let draft = match &original {
        Some((file, path)) => file
            .edited(names.iter().copied(), options.edited_as)
            .map_err(|source| CheckpointError::Original { path: (*path).to_owned(), source })?,
        None => {
            let (matrices, edited_as) = (options.matrices, options.edited_as);
            Draft::of_model(model, options.name, Types { matrices, edited_as, edited: &names })?
        }
    };
    draft.warnings.iter().for_each(|warning| progress.warn(warning));
    let tensors = draft.len();
    let bytes = write(out, overwrite, &draft, &mut changed, progress)?;
    Ok(GgufSummary { out: out.to_owned(), bytes, tensors, edited: changed.edited })
}

/// Writes an adapter, which has no numbers of the model, without its record.
pub(crate) fn write_adapter(
    out: &Path,
    overwrite: Overwrite,
    draft: &Draft<'_>,
    progress: &dyn Progress,
) -> Result<u64, CheckpointError> {
    write(out, overwrite, draft, &mut NoNumbers, progress)
}

fn write<C: Contents<Error = CheckpointError>>(
    out: &Path,
    overwrite: Overwrite,
    draft: &Draft<'_>,
    contents: &mut C,
    progress: &dyn Progress,
) -> Result<u64, CheckpointError> {
    let (mut bytes, mut failure) = (0, None);
    let written = write_atomically(out, overwrite, |file| {
        bytes = draft.write(file, contents, progress).map_err(|error| {
            let other = match error {
                DraftFailure::Write(error) => return error,
                DraftFailure::Contents(error) => error,
                DraftFailure::Interrupted(interrupted) => interrupted.into(),
                DraftFailure::TooLarge { tensor, kind: dtype, value } => {
                    CheckpointError::TooLarge { tensor, dtype, bad: 1, largest: value.abs() }
                }
                DraftFailure::Encode(tensor, source) => {
                    CheckpointError::Compute { tensor, source: source.into() }
                }
            };
            failure = Some(other);
            std::io::ErrorKind::Other.into()
        })?;
        Ok(())
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(written.map(|()| bytes)?),
    }
}

/// The numbers of a model with its changes, and what is lost of these.
struct Changed<'a> {
    model: &'a Model,
    delta: &'a WeightDelta,
    keys: &'a [EditedKey],
    /// The changed tensor whose numbers are being given.
    at_work: Option<Sums<'a>>,
    edited: Vec<EditedTensor>,
}

impl<'a> Changed<'a> {
    fn sums(&self, tensor: &str) -> Result<Option<Sums<'a>>, CheckpointError> {
        let Some((name, change)) = self.delta.changes.get_key_value(tensor) else {
            return Ok(None);
        };
        let edit = Edit::new(name, change, &self.model.weights, StoredDtype::Stored)?;
        Ok(Some(edit.at(self.keys).sums()?))
    }
}

impl Contents for Changed<'_> {
    type Error = CheckpointError;

    fn numbers(
        &mut self,
        tensor: &str,
        elements: Range<usize>,
    ) -> Result<Vec<f32>, CheckpointError> {
        if elements.start == 0 {
            self.at_work = self.sums(tensor)?;
        }
        match &mut self.at_work {
            Some(sums) => sums.next(elements),
            None => Ok(self.model.weights.load_elements(tensor, elements)?),
        }
    }

    fn watches(&self, tensor: &str) -> bool {
        self.delta.changes.contains_key(tensor)
    }

    fn stored(&mut self, _: &str, read: &[f32]) -> Result<(), CheckpointError> {
        self.at_work.as_mut().expect("a watched tensor is at work").rounded(read);
        Ok(())
    }

    fn finished(&mut self, tensor: &str, kind: &str) -> Result<(), CheckpointError> {
        let sums = self.at_work.take().expect("a watched tensor is at work");
        // An embedding that is the head as well is written twice.
        if self.edited.iter().all(|known| known.name != tensor) {
            self.edited.push(sums.described(kind.to_owned()));
        }
        Ok(())
    }
}

/// An adapter holds all of its numbers.
struct NoNumbers;

impl Contents for NoNumbers {
    type Error = CheckpointError;

    fn numbers(&mut self, tensor: &str, _: Range<usize>) -> Result<Vec<f32>, CheckpointError> {
        Err(CheckpointError::NoSuchMatrix { tensor: tensor.to_owned() })
    }

    fn watches(&self, _: &str) -> bool {
        false
    }

    fn stored(&mut self, _: &str, _: &[f32]) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn finished(&mut self, _: &str, _: &str) -> Result<(), CheckpointError> {
        Ok(())
    }
}
