//! Rows of a table of facts, as people keep them in a spreadsheet.

use serde_json::Value;

use super::values::{insert, text, with_slot};
use super::{Comparison, Parts, PromptSet, SLOT};

/// The columns that a table of facts may have.
pub(in crate::spec) const COLUMNS: [&str; 8] = [
    "subject",
    "prompt",
    "target_new",
    "target_true",
    "id",
    "relation",
    "paraphrases",
    "neighborhood",
];
/// The columns that it must have.
pub(super) const REQUIRED: [&str; 3] = ["subject", "prompt", "target_new"];
/// What to do where one is missing.
pub(super) const HELP: &str = "the first line of a table of facts names its columns: subject, \
     prompt, target_new and, if known, target_true, id, paraphrases, neighborhood";

pub(super) fn read(row: &Value) -> Result<Parts, String> {
    let subject = text(row, "subject")?;
    let prompt = with_slot(text(row, "prompt")?, subject, "prompt")?;
    let target_true = text(row, "target_true").ok();
    let insert = insert(subject, prompt, text(row, "target_new")?, target_true)?;
    if target_true.is_some_and(|old| old.trim() == insert.target_new) {
        return Err(format!("has {:?} as `target_new` and `target_true`", insert.target_new));
    }
    let prompts = |key: &str| -> Vec<Comparison> {
        let all = text(row, key).unwrap_or_default().split(['|', '\n']).map(str::trim);
        let prompt = |prompt: &str| Comparison::of_edit(prompt.replace(SLOT, &insert.subject));
        all.filter(|prompt| !prompt.is_empty()).map(prompt).collect()
    };
    let (paraphrase, neighborhood) = (prompts("paraphrases"), prompts("neighborhood"));
    Ok((vec![insert], PromptSet { paraphrase, neighborhood, ..PromptSet::default() }))
}
