//! Records of zsRE: a question, the same in other words, and one that is about something else.

use serde_json::Value;

use super::knowedit;
use super::values::{first_other, insert, neighbor, text, text_or_texts, with_slot};
use super::{Comparison, Parts, PromptSet};

pub(super) fn read(value: &Value) -> Result<Parts, String> {
    let subject = text(value, "subject")?;
    let target_new = text(value, "alt")?;
    let target_true = first_other(value.get("answers"), target_new);
    let prompt = with_slot(text(value, "src")?, subject, "src")?;
    let insert = insert(subject, prompt, target_new, target_true)?;
    // The unrelated question is lower case and bare in the collection; the published
    // evaluation puts the question mark back.
    let question = format!("{}?", text(value, "loc")?);
    let prompts = PromptSet {
        paraphrase: text_or_texts(value, "rephrase")?.map(Comparison::of_edit).collect(),
        neighborhood: vec![neighbor(&question, text(value, "loc_ans")?)],
        ripple: knowedit::portability(value)?,
        ..PromptSet::default()
    };
    Ok((vec![insert], prompts))
}
