//! What a GGUF file says of itself, whether it is a model that can be imported or not.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::GgufError;
use super::split::Files;

/// A GGUF file, by its header alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The architecture that it declares.
    pub architecture: String,
    /// The name that it declares.
    pub name: Option<String>,
    /// What it holds, such as `model` or `adapter`.
    pub kind: String,
    /// Number of its tensors.
    pub tensors: usize,
    /// Number of its weights.
    pub parameters: u64,
    /// How many tensors are stored in each type, by its name in GGUF.
    pub types: BTreeMap<String, usize>,
    /// The tensors of the base that an adapter changes, with the rank of each change.
    pub changed: BTreeMap<String, usize>,
}

/// Reads the header of a GGUF file.
///
/// # Errors
///
/// Where the file cannot be read, or is none.
pub fn describe(path: &Path) -> Result<Description, GgufError> {
    let in_file = |source| GgufError::Malformed { path: path.to_owned(), source };
    let files = Files::open(path)?;
    let header = files.header().map_err(in_file)?;
    let text = |key: &str| header.metadata.text(key).ok().flatten().map(str::to_owned);
    let mut types = BTreeMap::new();
    let (mut parameters, mut changed) = (0, BTreeMap::new());
    for (name, entry) in &header.tensors {
        *types.entry(entry.kind.name()).or_default() += 1;
        parameters += entry.shape.iter().map(|&size| size as u64).product::<u64>();
        if let Some(base) = name.strip_suffix(".lora_a") {
            changed.insert(base.to_owned(), entry.shape[0]);
        }
    }
    Ok(Description {
        architecture: text("general.architecture").unwrap_or_else(|| "unknown".into()),
        name: text("general.name"),
        kind: text("general.type").unwrap_or_else(|| "model".into()),
        tensors: header.tensors.len(),
        parameters,
        types,
        changed,
    })
}
