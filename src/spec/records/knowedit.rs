//! Records of KnowEdit and of EasyEdit: an edit, with groups of prompts that follow or stay.

use serde_json::Value;

use super::values::{
    first_other, first_text, insert, kind, neighbor, new_or_true, ripple, text, text_or_texts,
    with_slot,
};
use super::{Comparison, Parts, PromptSet};

pub(super) fn read(value: &Value) -> Result<Parts, String> {
    let subject = text(value, "subject")?;
    let target_new = first_text(&value["target_new"], &|_| true);
    let of = |key: &str| match target_new {
        Some(new) => first_other(value.get(key), new),
        None => first_text(value.get(key)?, &|_| true),
    };
    let target_true = of("ground_truth").or_else(|| of("target_true"));
    let target_new = target_new.ok_or_else(|| "has no text at `target_new`".to_owned());
    let target_new = new_or_true(target_new, target_true)?;
    let prompt = with_slot(text(value, "prompt")?, subject, "prompt")?;
    let insert = insert(subject, prompt, target_new, target_true)?;
    let paraphrase =
        ["rephrase", "rephrase_prompt"].into_iter().find(|key| value.get(key).is_some());
    let paraphrase = paraphrase.map(|key| text_or_texts(value, key)).transpose()?;
    let prompts = PromptSet {
        paraphrase: paraphrase.into_iter().flatten().map(Comparison::of_edit).collect(),
        neighborhood: locality(value)?,
        ripple: portability(value)?,
        ..PromptSet::default()
    };
    Ok((vec![insert], prompts))
}

/// `locality`, in groups, or as one prompt with its answer.
fn locality(value: &Value) -> Result<Vec<Comparison>, String> {
    let mut all = grouped(value, "locality", &|prompt, answer| neighbor(prompt, answer))?;
    if let (Ok(prompt), Some(answer)) =
        (text(value, "locality_prompt"), value.get("locality_ground_truth"))
    {
        all.extend(first_text(answer, &|_| true).map(|answer| neighbor(prompt, answer)));
    }
    Ok(all)
}

/// `portability`, in groups, or as the one new question of MEND's zsRE.
pub(super) fn portability(value: &Value) -> Result<Vec<Comparison>, String> {
    let mut all = grouped(value, "portability", &|prompt, answer| ripple(prompt, answer, None))?;
    let new = |key: &str| text(value.get("portability")?, key).ok();
    all.extend(
        new("New Question")
            .zip(new("New Answer"))
            .map(|(prompt, answer)| ripple(prompt, answer, None)),
    );
    if let (Ok(prompt), Some(answer)) =
        (text(value, "portability_prompt"), value.get("portability_ground_truth"))
    {
        all.extend(first_text(answer, &|_| true).map(|answer| ripple(prompt, answer, None)));
    }
    Ok(all)
}

/// The prompts of named groups, each with the first of its accepted answers; one without an answer
/// cannot be measured.
fn grouped(
    value: &Value,
    key: &str,
    make: &dyn Fn(&str, &str) -> Comparison,
) -> Result<Vec<Comparison>, String> {
    let groups = match value.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(groups)) => groups.values().filter_map(Value::as_array).flatten(),
        Some(other) => {
            return Err(format!("has {} at `{key}`, expected groups of prompts", kind(other)));
        }
    };
    let one = |item: &Value| {
        let answer = first_text(item.get("ground_truth")?, &|_| true)?;
        Some(make(item.get("prompt")?.as_str()?, answer))
    };
    Ok(groups.filter_map(one).collect())
}
