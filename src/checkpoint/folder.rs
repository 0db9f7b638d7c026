//! The folder that an export is written to: which ones may be replaced, and what they hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ADAPTER, FILES, MODEL, MODELFILE, RECIPES};
use crate::files::{self, FileError, Kind, Overwrite};
use crate::model::TRAINING;
use serde_json::Value;

/// Longest record of an export that is read.
pub(super) const LONGEST_RECORD: u64 = 256 << 20;

/// Exports as output: only an empty folder or one that holds nothing but an export is replaced.
pub const EXPORT: Kind = Kind {
    name: "an empty folder, nor one with rescribe.json or atlas.json and only files of a model",
    is_folder: true,
    is_ours: is_replaceable,
};

/// Resolves `out` and refuses what must not be written to; `folder` is the base.
pub(crate) fn destination(
    folder: &Path,
    out: &Path,
    overwrite: Overwrite,
) -> Result<PathBuf, FileError> {
    files::check_target(out, overwrite, &EXPORT, &[folder])?;
    Ok(files::resolved(out))
}

/// Resolves `out` as [`destination`] does, for a folder that no base is copied to.
pub(crate) fn free_destination(out: &Path, overwrite: Overwrite) -> Result<PathBuf, FileError> {
    files::check_target(out, overwrite, &EXPORT, &[])?;
    Ok(files::resolved(out))
}

/// Usual files of a model or an adapter and of their documentation, in addition to numbered shards.
const USUAL: [&str; 19] = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "model.safetensors",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    MODEL,
    ADAPTER,
    MODELFILE,
    RECIPES,
    TRAINING,
];

/// Whether nothing of value is lost with the folder: a slip such as `--out ~` must not cost a home,
/// nor a new export the notes that its user kept next to the old one.
fn is_replaceable(out: &Path) -> bool {
    let Ok(found) = within(out, Path::new("")) else { return false };
    let has_notes = [RECIPES, TRAINING].iter().any(|notes| out.join(notes).is_file());
    let listed = listed(out);
    let is_shard = |name: &str| name.starts_with("model-") && name.ends_with(".safetensors");
    let is_known = |path: &PathBuf| {
        let name = path.to_string_lossy();
        USUAL.contains(&&*name) || is_shard(&name) || listed.contains(path)
    };
    found.is_empty() || has_notes && found.iter().all(is_known)
}

/// The other files that an export lists as written by it.
fn listed(out: &Path) -> Vec<PathBuf> {
    let recipes = files::read_regular(&out.join(RECIPES), LONGEST_RECORD).unwrap_or_default();
    let recipes: Value = serde_json::from_slice(&recipes).unwrap_or_default();
    let files = recipes[FILES].as_array().into_iter().flatten();
    files.filter_map(Value::as_str).map(PathBuf::from).collect()
}

/// Every file of the folder, relative to it; empty folders count as files.
pub(super) fn within(out: &Path, inside: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(out.join(inside))? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        let below = if entry.file_type()?.is_dir() { within(out, &path)? } else { Vec::new() };
        if below.is_empty() {
            found.push(path);
        } else {
            found.extend(below);
        }
    }
    Ok(found)
}
