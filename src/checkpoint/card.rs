//! The model card and the recipes that travel with an exported folder.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::folder::within;
use super::front_matter::{CardKind, front_matter};
use super::transfer::put_file;
use super::{CARD, CheckpointError, EditedTensor, ExportSummary, FILES, RECIPES, record};
use crate::files::{FileError, read_regular};
use crate::patch::{Patch, Recipe};
use crate::progress::Progress;
use crate::spec::plain;

/// The longest model card or recipe of the base that is read.
const MAX_TEXT: u64 = 64 << 20;

/// Writes [`CARD`] and [`RECIPES`] into the new folder.
pub(super) fn write(
    new: &Path,
    base: &Path,
    patches: &[Patch],
    summary: &ExportSummary,
    progress: &dyn Progress,
) -> Result<(), CheckpointError> {
    let files = within(new, Path::new("")).map_err(FileError::reading(new))?;
    put_file(&new.join(CARD), card(base, patches, summary).as_bytes())?;
    let mut recipes = recipes(base, patches, &summary.edited);
    recipes[FILES] = json!(files);
    record::write(new, recipes, progress)
}

/// What is needed to make an export again: the recipes of its patches, and of those that its base
/// was made with.
pub(super) fn recipes(base: &Path, patches: &[Patch], edited: &[EditedTensor]) -> Value {
    let patches_name_removed = patches.iter().any(|patch| patch.recipe.names_removed());
    let patches: Vec<Value> = sorted(patches)
        .into_iter()
        .map(|patch| json!({ "sha256": patch.sha256(), "recipe": patch.recipe }))
        .collect();
    let mut recipes = json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "patches": patches,
        "edited": edited,
    });
    // A base that is itself an export has a history of its own.
    let earlier = read(&base.join(RECIPES));
    if let Some(mut earlier) = earlier.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
        if !patches_name_removed {
            redact(&mut earlier);
        }
        recipes["earlier"] = earlier;
    }
    recipes
}

/// Takes what was removed out of the recipes of a base that is itself an export; a recipe of
/// another form goes as a whole.
fn redact(recipes: &mut Value) {
    if let Some(earlier) = recipes.get_mut("earlier") {
        redact(earlier);
    }
    for patch in recipes.get_mut("patches").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(recipe) = patch.get_mut("recipe") else { continue };
        let known = serde_json::from_value::<Recipe>(recipe.take());
        *recipe = known.map_or(Value::Null, |known| json!(known.redacted()));
    }
}

/// Patches in the order in which they were summed, so that the folder does not depend on the order
/// given.
fn sorted(patches: &[Patch]) -> Vec<&Patch> {
    let mut sorted: Vec<&Patch> = patches.iter().collect();
    sorted.sort_by_cached_key(|patch| patch.sha256());
    sorted
}

fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_regular(path, MAX_TEXT).ok()?).ok()
}

fn card(base: &Path, patches: &[Patch], summary: &ExportSummary) -> String {
    let patches = sorted(patches);
    let model = &patches[0].recipe.model;
    let mut text = front_matter(base, model, CardKind::Checkpoint) + "\n";
    text += &format!("# {}, edited\n\n", plain(&single_line(model)));
    text += "The weights of this model were edited with rescribe. All tensors and files not named \
             here are byte-identical to those of the base model. ";
    text += &format!("`{RECIPES}` holds what is needed to make this folder again.\n\n");
    text += "| tensor | shape | dtype | change, \\|Δ\\|/\\|W\\| ";
    text += "| lost in rounding, \\|E\\|/\\|Δ\\| |\n";
    text += "|---|---|---|---|---|\n";
    for edited in &summary.edited {
        let (name, shape, dtype) = (plain(&edited.name), &edited.shape, &edited.dtype);
        let change = 100.0 * edited.relative_norm;
        let lost = edited.rounding_residual;
        let _ = writeln!(text, "| `{name}` | {shape:?} | {dtype} | {change:.2} % | {lost:.1e} |");
    }
    for patch in patches {
        let _ = write!(text, "\n## Patch {}\n", patch.sha256());
        for edit in patch.recipe.edits() {
            let spec = plain(edit.spec.trim_end());
            let fence = fence(&spec);
            let _ = write!(text, "\n{fence}toml\n{spec}\n{fence}\n");
        }
    }
    text
}

fn single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A code fence that does not occur in `text`.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_cannot_end_its_code_block() {
        assert_eq!(fence("text = '```'"), "````");
        assert_eq!(fence("plain"), "```");
    }
}
