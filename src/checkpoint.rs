//! The exported checkpoint: a base model and patches become a Hugging Face folder that any loader
//! reads.
//!
//! Everything that the patches do not change is byte-identical to the base, and
//! an edited tensor keeps its dtype and its place in its file, unless it is to be
//! stored as f32: ΔW is added in f32 and rounded once. The folder is built next to its destination
//! under a hidden name and renamed when it is whole, so that a full disk or Ctrl-C leaves nothing;
//! the base is only read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

mod card;
mod cross_check;
mod edit;
pub(crate) mod folder;
mod front_matter;
mod gguf;
mod listing;
mod ollama;
pub(crate) mod record;
mod sums;
pub(crate) mod transfer;
mod widen;
mod written;

pub use cross_check::{Agreement, Judgement, cross_check, largest_difference};
pub use edit::StoredDtype;
pub use folder::EXPORT;
pub use front_matter::{CardKind, front_matter};
pub use gguf::{GGUF, GgufOptions, GgufSummary, check_gguf_target, export_gguf};
pub(crate) use gguf::{write_adapter, write_model};
pub use ollama::export_ollama;
pub use record::{Record, record_of};
pub use sums::EditedTensor;
pub use written::{Rounding, as_written};

use crate::files::{Building, FileError, Overwrite, Sha256};
use crate::gguf::{DraftError, GgufError, GgufFault};
use crate::model::ModelError;
use crate::model::weights::{INDEX, Weights, WeightsError};
use crate::patch::{self, Patch, PatchError};
use crate::progress::{Interrupted, Progress};
use listing::{FileRole, Listing};
use transfer::Transfer;

/// The file in an exported folder that holds the recipes of its patches.
pub const RECIPES: &str = "rescribe.json";
/// Key of [`RECIPES`] for the other files of the folder, so that a later export may replace them.
const FILES: &str = "files";
/// The model card of an exported folder.
pub const CARD: &str = "README.md";
/// The file of an exported folder that `ollama create` reads.
pub(crate) const MODELFILE: &str = "Modelfile";
/// The GGUF file next to it.
pub(crate) const MODEL: &str = "model.gguf";
/// The GGUF adapter next to an unedited one.
pub(crate) const ADAPTER: &str = "adapter.gguf";

/// Options of an export.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// What to do where the folder exists; only an empty or an exported folder is ever replaced.
    pub overwrite: Overwrite,
    /// Whether shards without an edited tensor are hard links to the base's files instead of
    /// copies. Whatever is later written into the one is then written into the other.
    pub hard_links: bool,
    /// Keys at which the effect of rounding is to be measured.
    pub keys: Vec<EditedKey>,
    /// How edited tensors are stored.
    pub dtype: StoredDtype,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            overwrite: Overwrite::Refuse,
            hard_links: false,
            keys: Vec::new(),
            dtype: StoredDtype::Stored,
        }
    }
}

/// A key k* of an edit.
#[derive(Debug, Clone)]
pub struct EditedKey {
    /// The edited tensor.
    pub tensor: String,
    /// The key, as long as the side of the tensor that it meets.
    pub key: Vec<f32>,
    /// The side of the tensor that the key meets.
    pub side: KeySide,
}

/// The side of a stored matrix T that is multiplied with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySide {
    /// Columns of a tensor T stored [out, in]: the value is T k.
    Columns,
    /// Rows of a tensor T stored [in, out]: the value is kᵀ T.
    Rows,
}

/// Summary of an export.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportSummary {
    /// The exported folder.
    pub out: PathBuf,
    /// Edited tensors, sorted by name.
    pub edited: Vec<EditedTensor>,
    /// Weight files that are hard links to the base's.
    pub linked: Vec<PathBuf>,
    /// Files copied as they are.
    pub copied: Vec<PathBuf>,
    /// Files of the base that were not taken over: weights in other formats, which would
    /// still be the unedited model, hidden folders, and anything but regular files.
    pub left_out: Vec<PathBuf>,
}

/// Why a checkpoint could not be exported. Nothing of it is left on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A link in the base leads out of the model.
    #[error("{} is a link to {}, expected a file of this model", link.display(), target.display())]
    StrangeLink {
        /// The link.
        link: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// An edited weight does not fit the dtype of its tensor.
    #[error(
        "tensor {tensor:?}: {bad} edited weights are too large for {dtype}; the largest is \
         {largest:e}"
    )]
    TooLarge {
        /// The edited tensor.
        tensor: String,
        /// The type in which the tensor is stored.
        dtype: String,
        /// Number of weights that do not fit.
        bad: usize,
        /// The largest magnitude, before rounding.
        largest: f32,
    },
    /// A key in the options has the wrong length.
    #[error("the key for tensor {tensor:?} has {found} numbers, expected {expected}")]
    KeyLength {
        /// The tensor that the key is for.
        tensor: String,
        /// Length of the key.
        found: usize,
        /// Length of the side that it meets.
        expected: usize,
    },
    /// A key in the options is for a tensor that is not an edited matrix.
    #[error("there is a key for tensor {tensor:?}, which is not a matrix that the patches edit")]
    NoSuchMatrix {
        /// The tensor that the key is for.
        tensor: String,
    },
    /// The record of an exported folder is not one.
    #[error("{} cannot be used: {reason}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The GGUF file that the model comes from cannot be read, or not be written again.
    #[error("cannot use {}", path.display())]
    Original {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufFault,
    },
    /// The GGUF file that the model comes from could not be opened.
    #[error("{0}")]
    Gguf(#[from] GgufError),
    /// The model has no form as a GGUF file.
    #[error("{0}")]
    Draft(#[from] DraftError),
    /// Arithmetic on a change failed, for instance for lack of memory.
    #[error("cannot compute the change of tensor {tensor:?}")]
    Compute {
        /// The tensor.
        tensor: String,
        /// The error of candle.
        source: Box<candle_core::Error>,
    },
    /// The patches do not fit the base, or each other.
    #[error("{0}")]
    Patch(#[from] PatchError),
    /// The changed decoder could not be made.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A tensor of the base could not be read.
    #[error("{0}")]
    Weights(#[from] WeightsError),
    /// The destination may not be replaced, the base cannot be read, or the export cannot be
    /// written, for instance because the disk is full.
    #[error("{0}")]
    File(#[from] FileError),
    /// The user asked to stop.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

/// Writes the base with the patches applied to the folder `out`.
///
/// `folder` is the base model and `weights` are its weights. Every file of the
/// base is taken over byte for byte, except the edited tensors and, where there
/// are patches, the model card and [`RECIPES`]; see [`ExportSummary::left_out`].
/// The patches are checked against the base first.
pub fn export(
    folder: &Path,
    weights: &Weights,
    patches: &[Patch],
    out: &Path,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<ExportSummary, CheckpointError> {
    let out = folder::destination(folder, out, options.overwrite)?;
    check_patches(folder, weights, patches, progress)?;
    let delta = patch::compose(patches)?;
    let edits = edit::by_shard(&delta, weights, &options.keys, options.dtype)?;
    let growth = widen::growth(&edits, weights)?;
    let listing = Listing::of(folder, weights)?;

    let temporary = Building::beside(&out)?;
    let mut transfer = Transfer::new(temporary.path(), listing.bytes(), progress);
    let mut summary = ExportSummary {
        out: out.clone(),
        edited: Vec::new(),
        linked: Vec::new(),
        copied: Vec::new(),
        left_out: listing.left_out,
    };
    for file in &listing.files {
        match (file.role, edits.get(&file.path)) {
            (FileRole::Shard, Some(edits)) if growth > 0 => {
                let edited = widen::write(&mut transfer, file, weights, edits, progress)?;
                summary.edited.extend(edited);
            }
            (FileRole::Shard, Some(edits)) => {
                let mut copy = transfer.copy(file)?;
                for edit in edits {
                    progress.check()?;
                    let start = weights.range(edit.name)?.start;
                    summary.edited.push(edit.write(&mut copy, start)?);
                }
                copy.finish()?;
            }
            (FileRole::Shard, None) if options.hard_links && transfer.link(file)? => {
                summary.linked.push(file.relative.clone());
            }
            (FileRole::Plain, _) if growth > 0 && file.relative == Path::new(INDEX) => {
                widen::write_index(temporary.path(), file, growth)?;
                transfer.skip(file);
            }
            (FileRole::Card | FileRole::Recipes, _) if !patches.is_empty() => transfer.skip(file),
            _ => {
                transfer.copy(file)?.finish()?;
                summary.copied.push(file.relative.clone());
            }
        }
    }
    summary.edited.sort_by(|a, b| a.name.cmp(&b.name));
    if !patches.is_empty() {
        card::write(temporary.path(), folder, patches, &summary, progress)?;
    }
    progress.check()?;
    temporary.publish(&out, options.overwrite)?;
    Ok(summary)
}

/// Checks that all patches were made for this base.
pub(crate) fn check_patches(
    folder: &Path,
    weights: &Weights,
    patches: &[Patch],
    progress: &dyn Progress,
) -> Result<(), CheckpointError> {
    if patches.is_empty() {
        return Ok(());
    }
    let tokenizer = Sha256::of_file(&folder.join("tokenizer.json"))?;
    let config = Sha256::of_file(&folder.join("config.json"))?;
    for patch in patches {
        progress.check()?;
        patch.check_base(weights, &tokenizer, &config)?;
    }
    Ok(())
}

/// Edits by the file that they go to.
type EditsByShard<'a> = BTreeMap<PathBuf, Vec<edit::Edit<'a>>>;

#[cfg(test)]
mod tests;
