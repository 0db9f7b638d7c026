//! The patch file: a change of weights alone, small and exact, with the recipe that made it.
//!
//! It is a safetensors file. For each edited tensor `T` it holds `T.left`
//! [rows, r] and `T.right` [r, columns], or `T.dense`, all f32 and in the
//! orientation in which `T` is stored, and `T.keys` [n, d_k] where the change
//! was solved for keys; its metadata entry `rescribe` is the [`Recipe`] as JSON.
//! A further entry holds the digest of the whole file, which is checked when it is read. A patch
//! names its base by hashes and is refused on another one; leaving it out undoes it. Several patches
//! can share a file ([`Composed`]), and a patch can hold the edits that it started from
//! ([`Earlier`]).

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod base;
mod composed;
mod earlier;
mod facts;
mod format;
mod redact;
mod rewrite;
mod seal;
mod verify;

pub use base::{BaseHashes, Difference};
pub use composed::Composed;
pub use earlier::{Earlier, EditRecord, History};
pub use facts::{HeldFact, LEFT_OUT, is_left_out, without_facts};
pub use format::Malformed;
pub use redact::{Redactor, TEXTS};
pub use seal::Broken;

use crate::delta::{Keys, WeightDelta};
use crate::files::{self, FileError, Kind, Overwrite, Sha256, Sha256Hasher};
use crate::model::weights::{self, Weights, WeightsError};

/// Version of the recipe's form that this program writes and reads.
pub const SCHEMA: u32 = 2;

/// Patch files as output: only a regular file that is marked as one is ever replaced.
pub const PATCH_FILE: Kind =
    Kind { name: "a rescribe patch", is_folder: false, is_ours: format::is_patch };

/// A change of weights and how it was made.
#[derive(Debug, Clone)]
pub struct Patch {
    /// The changes of tensors; all f32.
    pub delta: WeightDelta,
    /// Name of an edited tensor → the keys k* that its change was solved for, [n, d_k].
    ///
    /// They are kept to measure the cost of rounding at them; applying the patch does not need
    /// them.
    pub keys: Keys,
    /// How the change was made and what it applies to.
    pub recipe: Recipe,
}

/// Everything that is needed to make a patch again, and to know whether it fits a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the recipe's form, [`SCHEMA`].
    pub schema: u32,
    /// Version of the program that made it.
    pub version: String,
    /// The spec as resolved; with digests in place of texts where the recipe is redacted.
    pub spec: String,
    /// Whether the texts of what was removed are taken out ([`Recipe::redacted`]).
    #[serde(default)]
    pub is_redacted: bool,
    /// The resolved plan.
    pub plan: Value,
    /// The base model as its user named it.
    pub model: String,
    /// Hashes of the base that the patch applies to.
    pub base: BaseHashes,
    /// The seed that the plan was executed with.
    pub seed: u64,
    /// Measurements before and after.
    pub metrics: Value,
    /// The edits that the patch holds in addition to its own, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// Places in `earlier` of the edits from whose sum its own started; none: from the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<usize>,
}

/// Why a patch could not be read, written, applied or combined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// Opening or mapping failed.
    #[error("cannot read patch {}", path.display())]
    Read {
        /// The patch file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is not a patch, or is damaged.
    #[error("{} is not a valid patch", path.display())]
    Malformed {
        /// The patch file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Malformed>,
    },
    /// The patch in memory cannot be stored.
    #[error("the patch cannot be written")]
    Unwritable(#[source] Box<Malformed>),
    /// A file could not be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// A tensor of the base could not be read.
    #[error("{0}")]
    Weights(#[from] WeightsError),
    /// The patch was made for another model.
    #[error(
        "the patch was made for another base than {}: {}",
        folder.display(),
        base::sentence(differences)
    )]
    OtherBase {
        /// Folder of the model at hand.
        folder: PathBuf,
        /// Everything that differs.
        differences: Vec<Difference>,
    },
    /// Two patches were made for different models.
    #[error(
        "patches {first} and {second} were made for different bases: {}",
        base::sentence(differences)
    )]
    DifferentBases {
        /// Digest of one patch.
        first: Sha256,
        /// Digest of the other.
        second: Sha256,
        /// Everything that differs.
        differences: Vec<Difference>,
    },
    /// One patch was given more than once, alone or inside a composed one.
    #[error("patch {0} is given twice; it would be added twice")]
    Twice(Sha256),
    /// Two patches have one that both started from, or one of them is that of the other.
    #[error("patches {first} and {second} both hold {held}, which would be added twice")]
    HeldTwice {
        /// Digest of one patch.
        first: Sha256,
        /// Digest of the other.
        second: Sha256,
        /// Digest of the patch that both hold.
        held: Sha256,
    },
    /// A part to be taken out of a composed patch is not in it.
    #[error("patch {part} is not a part of {whole}; its parts are {}", composed::list(parts))]
    NotAPart {
        /// Digest of the part to be taken out.
        part: Sha256,
        /// Digest of the composed patch.
        whole: Sha256,
        /// Digests of the parts that it has.
        parts: Vec<Sha256>,
    },
    /// Nothing would be left of a composed patch.
    #[error("nothing would be left of patch {0}; to undo it, leave the file out")]
    NothingLeft(Sha256),
    /// Adding changes failed, for instance for lack of memory.
    #[error("cannot add the changes of several patches")]
    Compute(#[source] Box<candle_core::Error>),
}

impl Patch {
    /// Reads and checks a patch file. Memory is bounded by a small multiple of its length.
    pub fn read(path: &Path) -> Result<Self, PatchError> {
        let map = weights::map_file(path)
            .map_err(|source| PatchError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&map)
            .map_err(|e| PatchError::Malformed { path: path.to_owned(), source: e.into() })
    }

    /// Reads and checks the contents of a patch file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        format::read(bytes)
    }

    /// Writes the patch whole or not at all; only a patch is ever replaced. Equal patches give
    /// equal bytes.
    pub fn write(&self, path: &Path, overwrite: Overwrite) -> Result<(), PatchError> {
        let layout = format::lay_out(self).map_err(|e| PatchError::Unwritable(e.into()))?;
        files::check_target(path, overwrite, &PATCH_FILE, &[])?;
        files::write_atomically(path, overwrite, |out| layout.write_to(out))?;
        Ok(())
    }

    /// The contents of the patch file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        let mut bytes = Vec::new();
        let layout = format::lay_out(self)?;
        layout.write_to(&mut bytes).expect("f32 tensors can be copied to the host");
        Ok(bytes)
    }

    /// The digest of the patch: of its recipe, its changes and its keys.
    ///
    /// # Panics
    ///
    /// Where a tensor is not f32, which no patch that can be written has.
    pub fn sha256(&self) -> Sha256 {
        let mut hasher = Sha256Hasher::default();
        hasher.update(format::recipe_text(&self.recipe).expect("a recipe is plain data"));
        for (name, tensor) in format::all_parts(self) {
            hasher.update(format!("\n{name:?} {:?}\n", tensor.dims()));
            hasher.update(format::bytes_of(tensor).expect("f32 tensors can be copied to the host"));
        }
        hasher.finish()
    }

    /// Checks that a model is the one that the patch was made for.
    ///
    /// `tokenizer` and `config` are the digests of its `tokenizer.json` and
    /// `config.json`. Only the tensors that the patch changes are hashed.
    pub fn check_base(
        &self,
        weights: &Weights,
        tokenizer: &Sha256,
        config: &Sha256,
    ) -> Result<(), PatchError> {
        let differences = base::compare(self, weights, tokenizer, config)?;
        if differences.is_empty() {
            return Ok(());
        }
        Err(PatchError::OtherBase { folder: weights.folder().to_owned(), differences })
    }

    /// How a model differs from the patch's base, as a sentence; nothing where it is that
    /// base.
    pub fn misfit(
        &self,
        weights: &Weights,
        tokenizer: &Sha256,
        config: &Sha256,
    ) -> Result<Option<String>, PatchError> {
        let differences = base::compare(self, weights, tokenizer, config)?;
        Ok((!differences.is_empty()).then(|| base::sentence(&differences)))
    }
}

/// The sum of patches for one base, in the order of their digests, so that it
/// does not depend on the order given.
pub fn compose(patches: &[Patch]) -> Result<WeightDelta, PatchError> {
    let mut sorted: Vec<(Sha256, &Patch)> = patches.iter().map(|p| (p.sha256(), p)).collect();
    sorted.sort_by_key(|(digest, _)| *digest);
    let mut sum = WeightDelta::default();
    check_together(&sorted)?;
    for (_, patch) in sorted {
        sum = sum.plus(&patch.delta).map_err(|e| PatchError::Compute(e.into()))?;
    }
    Ok(sum)
}

/// Checks that patches, sorted by digest, have one base as far as their hashes show, and that none
/// occurs twice.
fn check_together(sorted: &[(Sha256, &Patch)]) -> Result<(), PatchError> {
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(PatchError::Twice(pair[0].0));
    }
    for (index, (second, patch)) in sorted.iter().enumerate() {
        for (first, earlier) in &sorted[..index] {
            if let Some(held) = held_twice(&(*first, earlier), &(*second, patch)) {
                let (first, second) = (*first, *second);
                return Err(PatchError::HeldTwice { first, second, held });
            }
            let differences = base::conflicts(earlier, patch);
            if !differences.is_empty() {
                let (first, second) = (*first, *second);
                return Err(PatchError::DifferentBases { first, second, differences });
            }
        }
    }
    Ok(())
}

/// A patch that two others hold: one that both started from, or the one that the other started from.
fn held_twice(first: &(Sha256, &Patch), second: &(Sha256, &Patch)) -> Option<Sha256> {
    let held = |(own, patch): &(Sha256, &Patch)| -> Vec<Sha256> {
        [*own].into_iter().chain(patch.recipe.earlier.iter().map(|it| it.patch)).collect()
    };
    let of_second = held(second);
    held(first).into_iter().find(|digest| of_second.contains(digest))
}

#[cfg(test)]
mod tests;
