//! Checks before any work that a verb's output can be written without replacing what the run uses.

use std::path::{Path, PathBuf};

use super::args::{EditArgs, ExportArgs, Format};
use super::input::stem;
use rescribe::checkpoint::{EXPORT, check_gguf_target};
use rescribe::files::{FileError, Kind, Overwrite, check_target};
use rescribe::gradient::SAVED_TRAINING;
use rescribe::patch::PATCH_FILE;
use rescribe::spec::{EditSpec, PassageSource};

/// The meaning of `--force`.
pub fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Replace } else { Overwrite::Refuse }
}

/// The patch file of an edit, by default the spec's name in this folder, once it, `--out` and
/// `--checkpoint` can be written. `spec` is nothing where records are edited.
pub fn of_edit(args: &EditArgs, spec: Option<&EditSpec>) -> Result<PathBuf, FileError> {
    let stem = if args.erase.is_some() && args.input.file().is_none() {
        // The subject should not be found in the name of a file.
        "erased".to_owned()
    } else {
        stem(&args.input)
    };
    let patch = args.patch.clone();
    let patch = patch.unwrap_or_else(|| PathBuf::from(format!("{stem}.patch.safetensors")));
    let overwrite = overwrite(args.force);
    let inputs = inputs(args, spec);
    let mut uses: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    check_target(&patch, overwrite, &PATCH_FILE, &uses)?;
    uses.push(&patch);
    if let Some(checkpoint) = &args.checkpoint {
        check_target(checkpoint, Overwrite::Replace, &SAVED_TRAINING, &uses)?;
        uses.push(checkpoint);
    }
    if let Some(out) = &args.out {
        check_target(out, overwrite, &EXPORT, &uses)?;
    }
    Ok(patch)
}

/// Checks the folder or file of an export.
pub fn check_export(args: &ExportArgs, format: Format) -> Result<(), FileError> {
    let model = args.model.model.as_deref().map(Path::new);
    let uses: Vec<&Path> = args.patch.iter().map(PathBuf::as_path).chain(model).collect();
    let overwrite = overwrite(args.force);
    match format {
        Format::Gguf | Format::GgufLora => check_gguf_target(&args.out, overwrite, &uses),
        Format::Checkpoint | Format::Lora | Format::Ollama | Format::OllamaLora => {
            check_target(&args.out, overwrite, &EXPORT, &uses)
        }
    }
}

/// Specs and prompt files, which `--force` may replace.
const SPEC_FILE: Kind =
    Kind { name: "a spec or prompt file", is_folder: false, is_ours: is_named_spec };

fn is_named_spec(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "toml")
}

/// Checks a spec or prompt file that is to be written.
pub fn check_spec(out: &Path, force: bool) -> Result<(), FileError> {
    check_target(out, overwrite(force), &SPEC_FILE, &[])
}

/// Checks a patch file that is made of others.
pub fn check_patch(out: &Path, force: bool, parts: &[&Path]) -> Result<(), FileError> {
    check_target(out, overwrite(force), &PATCH_FILE, parts)
}

/// The files that an edit reads, and its base where that is on this disk.
pub fn inputs(args: &EditArgs, spec: Option<&EditSpec>) -> Vec<PathBuf> {
    let mut inputs: Vec<PathBuf> = args.input.spec.iter().cloned().collect();
    inputs.extend(args.from.iter().cloned());
    let named = ["corpus", "general"].into_iter().filter_map(|key| args.settings.text(key));
    inputs.extend(named.map(PathBuf::from));
    inputs.extend(args.model.model.as_ref().map(PathBuf::from));
    let Some(spec) = spec else { return inputs };
    inputs.extend(spec.model.as_ref().map(PathBuf::from));
    let files = [&spec.probe, &spec.rank_one.corpus, &spec.gradient.general];
    inputs.extend(files.into_iter().flatten().cloned());
    for operation in &spec.passages {
        let file = |(_, source): (&str, &PassageSource)| match source {
            PassageSource::File(file) => Some(file.clone()),
            PassageSource::Text(_) => None,
        };
        inputs.extend(operation.sources().filter_map(file));
        inputs.extend(operation.references.iter().map(PathBuf::from));
    }
    inputs
}
