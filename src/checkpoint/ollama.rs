//! A folder for Ollama: a Modelfile, and the GGUF file that it names.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::gguf::{GgufOptions, GgufSummary, export_gguf};
use super::record::{self, record_of};
use super::transfer::put_file;
use super::{CheckpointError, MODEL, MODELFILE, folder};
use crate::files::{Building, FileError, Overwrite};
use crate::model::Model;
use crate::patch::Patch;
use crate::progress::Progress;

/// Writes the model with the patches applied to the folder `out`, for `ollama create`.
///
/// # Errors
///
/// As [`export_gguf`], and where `out` is a folder with anything but an export in it.
pub fn export_ollama(
    model: &Model,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    options: &GgufOptions<'_>,
    progress: &dyn Progress,
) -> Result<GgufSummary, CheckpointError> {
    let out = folder::destination(&model.folder, out, overwrite)?;
    let temporary = Building::beside(&out)?;
    let file = temporary.path().join(MODEL);
    let summary = export_gguf(model, patches, &file, Overwrite::Refuse, options, progress)?;
    put_file(&temporary.path().join(MODELFILE), format!("FROM ./{MODEL}\n").as_bytes())?;
    // The record of the file becomes that of the folder.
    let alone = record_of(&file);
    let recipes = fs::read(&alone).map_err(FileError::reading(&alone))?;
    let recipes: Value = serde_json::from_slice(&recipes).unwrap_or_default();
    fs::remove_file(&alone).map_err(FileError::writing(&alone))?;
    record::write(temporary.path(), recipes, progress)?;
    temporary.publish(&out, overwrite)?;
    Ok(GgufSummary { out, ..summary })
}
