//! A folder for Ollama: a Modelfile, and the GGUF file that it names.

use std::path::Path;

use super::gguf::{GgufOptions, GgufSummary, write_model};
use super::transfer::put_file;
use super::{CheckpointError, EXPORT, MODEL, MODELFILE, card, record};
use crate::files::{self, Building, Overwrite};
use crate::model::Model;
use crate::patch::Patch;
use crate::progress::Progress;

/// Writes the model with the patches applied to the folder `out`, for `ollama create`.
///
/// # Errors
///
/// As [`export_gguf`](super::export_gguf), and where `out` is a folder with anything but an export
/// in it.
pub fn export_ollama(
    model: &Model,
    patches: &[Patch],
    out: &Path,
    overwrite: Overwrite,
    options: &GgufOptions<'_>,
    progress: &dyn Progress,
) -> Result<GgufSummary, CheckpointError> {
    files::check_target(out, overwrite, &EXPORT, &options.uses(model))?;
    let out = files::resolved(out);
    let temporary = Building::beside(&out)?;
    let file = temporary.path().join(MODEL);
    let summary = write_model(model, patches, &file, Overwrite::Refuse, options, progress)?;
    put_file(&temporary.path().join(MODELFILE), format!("FROM ./{MODEL}\n").as_bytes())?;
    let recipes = card::recipes(&model.folder, patches, &summary.edited);
    record::write(temporary.path(), recipes, progress)?;
    temporary.publish(&out, overwrite)?;
    Ok(GgufSummary { out, ..summary })
}
