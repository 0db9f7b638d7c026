//! The base model that a patch applies to, identified by its hashes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Patch, PatchError};
use crate::files::Sha256;
use crate::model::weights::{Weights, WeightsError};

/// Hashes of everything in a base model that a patch depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseHashes {
    /// Edited tensor → digest of its dtype, shape and bytes ([`Weights::sha256`]).
    pub tensors: BTreeMap<String, Sha256>,
    /// Digest of all weights ([`Weights::digest`]): what was measured holds for these alone, while
    /// the change applies wherever the edited tensors are equal.
    pub weights: Sha256,
    /// Digest of `tokenizer.json`.
    pub tokenizer: Sha256,
    /// Digest of `config.json`.
    pub config: Sha256,
}

impl BaseHashes {
    /// Hashes the named tensors, all weights, and the tokenizer and config in the folder of the weights.
    pub fn measure<'a>(
        weights: &Weights,
        tensors: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PatchError> {
        let hash = |name: &str| Ok((name.to_owned(), weights.sha256(name)?));
        let tensors = tensors.into_iter().map(hash).collect::<Result<_, WeightsError>>()?;
        let tokenizer = Sha256::of_file(&weights.folder().join("tokenizer.json"))?;
        let config = Sha256::of_file(&weights.folder().join("config.json"))?;
        Ok(Self { tensors, weights: weights.digest()?, tokenizer, config })
    }
}

/// One difference between a model and the base that a patch was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The model has no such tensor.
    Missing(String),
    /// The tensor has another shape than its change.
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// Shape of the tensor.
        found: Vec<usize>,
        /// Shape of the change.
        expected: Vec<usize>,
    },
    /// The tensor has other weights, or another dtype.
    Weights(String),
    /// The models differ in `tokenizer.json`.
    Tokenizer,
    /// The models differ in `config.json`.
    Config,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(tensor) => write!(f, "tensor {tensor:?} is missing"),
            Self::Shape { tensor, found, expected } => {
                write!(f, "tensor {tensor:?} is {found:?}, expected {expected:?}")
            }
            Self::Weights(tensor) => write!(f, "tensor {tensor:?} has other weights"),
            Self::Tokenizer => f.write_str("tokenizer.json differs"),
            Self::Config => f.write_str("config.json differs"),
        }
    }
}

/// The first few differences, and how many more there are.
pub(super) fn sentence(differences: &[Difference]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = differences.iter().take(SHOWN).map(ToString::to_string).collect();
    match differences.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// Everything in which a model differs from the base of `patch`.
pub(super) fn compare(
    patch: &Patch,
    weights: &Weights,
    tokenizer: &Sha256,
    config: &Sha256,
) -> Result<Vec<Difference>, WeightsError> {
    let base = &patch.recipe.base;
    let mut differences = Vec::new();
    if base.config != *config {
        differences.push(Difference::Config);
    }
    if base.tokenizer != *tokenizer {
        differences.push(Difference::Tokenizer);
    }
    for (name, change) in &patch.delta.changes {
        let tensor = name.clone();
        if !weights.contains(name) {
            differences.push(Difference::Missing(tensor));
        } else if weights.shape(name)? != change.shape() {
            let (found, expected) = (weights.shape(name)?.to_vec(), change.shape());
            differences.push(Difference::Shape { tensor, found, expected });
        } else if base.tensors.get(name) != Some(&weights.sha256(name)?) {
            differences.push(Difference::Weights(tensor));
        }
    }
    Ok(differences)
}

/// Everything in which the bases of two patches are known to differ.
pub(super) fn conflicts(first: &Patch, second: &Patch) -> Vec<Difference> {
    let (a, b) = (&first.recipe.base, &second.recipe.base);
    let mut differences = Vec::new();
    if a.config != b.config {
        differences.push(Difference::Config);
    }
    if a.tokenizer != b.tokenizer {
        differences.push(Difference::Tokenizer);
    }
    for (name, change) in &first.delta.changes {
        let Some(other) = second.delta.changes.get(name) else { continue };
        let tensor = name.clone();
        if change.shape() != other.shape() {
            let (found, expected) = (other.shape(), change.shape());
            differences.push(Difference::Shape { tensor, found, expected });
        } else if a.tensors.get(name) != b.tensors.get(name) {
            differences.push(Difference::Weights(tensor));
        }
    }
    differences
}
