//! Rows of a table of facts, as people keep them in a spreadsheet.

use serde_json::Value;

use super::values::{insert, new_or_true, text, with_slot};
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
/// The columns that it must have; in place of the last, another target will do.
pub(super) const REQUIRED: [&str; 3] = ["subject", "prompt", "target_new"];
pub(super) const TARGETS: [&str; 2] = ["target_new", "target_true"];
/// What to do where one is missing.
pub(super) const HELP: &str = "the first line of a table of facts names its columns: subject, \
     prompt, target_new and, if known, target_true, id, paraphrases, neighborhood (several prompts in a \
     cell: with | between them, or as a JSON list)";

pub(super) fn read(row: &Value) -> Result<Parts, String> {
    let subject = text(row, "subject")?;
    let prompt = with_slot(text(row, "prompt")?, subject, "prompt")?;
    let target_true = text(row, "target_true").ok();
    let target_new = text(row, "target_new");
    let insert =
        insert(subject, prompt, new_or_true(target_new.clone(), target_true)?, target_true)?;
    if target_new.is_ok() && target_true.is_some_and(|old| old.trim() == insert.target_new) {
        return Err(format!("has {:?} as `target_new` and `target_true`", insert.target_new));
    }
    let prompts = |key: &str| -> Result<Vec<Comparison>, String> {
        let prompt = |prompt: String| Comparison::of_edit(prompt.replace(SLOT, &insert.subject));
        Ok(listed(text(row, key).unwrap_or_default(), key)?.into_iter().map(prompt).collect())
    };
    let (paraphrase, neighborhood) = (prompts("paraphrases")?, prompts("neighborhood")?);
    Ok((vec![insert], PromptSet { paraphrase, neighborhood, ..PromptSet::default() }))
}

/// The prompts in a cell: a JSON list, or texts between `|` or line breaks.
fn listed(cell: &str, key: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> = match cell.trim() {
        list if list.starts_with('[') && list.ends_with(']') => serde_json::from_str(list)
            .map_err(|_| format!("has a list in `{key}` that is no JSON list of texts: {list}"))?,
        texts => texts.split(['|', '\n']).map(str::to_owned).collect(),
    };
    let all = all.into_iter().map(|prompt| prompt.trim().to_owned());
    Ok(all.filter(|prompt| !prompt.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_a_cell_are_parted_by_bars_or_lines_or_a_list_of_json() {
        let texts = |cell: &str| listed(cell, "paraphrases");
        let two = Ok(vec!["A; is".to_owned(), "B is".to_owned()]);
        for cell in ["A; is | B is", "A; is\nB is\n", "[\"A; is\", \"B is\"]"] {
            assert_eq!(texts(cell), two, "{cell}");
        }
        assert_eq!(texts(""), Ok(Vec::new()));
        let error = texts("['A is', 'B is']").expect_err("Python's list is none of JSON");
        assert!(error.contains("`paraphrases` that is no JSON list"), "{error}");
    }
}
