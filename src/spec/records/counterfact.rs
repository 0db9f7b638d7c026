//! Records of CounterFact: one rewrite, and prompts that share its targets.

use serde_json::Value;

use super::values::{comparisons, insert, target, text, texts};
use super::{Comparison, Parts, PromptSet};

pub(super) fn read(value: &Value) -> Result<Parts, String> {
    let target_true = match value.pointer("/requested_rewrite/target_true") {
        Some(_) => Some(target(value, "requested_rewrite.target_true")?),
        None => None,
    };
    let insert = insert(
        text(value, "requested_rewrite.subject")?,
        text(value, "requested_rewrite.prompt")?.to_owned(),
        target(value, "requested_rewrite.target_new")?,
        target_true,
    )?;
    let prompts = PromptSet {
        paraphrase: comparisons(value, "paraphrase_prompts")?,
        neighborhood: comparisons(value, "neighborhood_prompts")?,
        generation: texts(value, "generation_prompts")?,
        ripple: ripples(value)?,
        ..PromptSet::default()
    };
    Ok((vec![insert], prompts))
}

/// `ripple_prompts`, which the published collection does not have: facts that follow from the edit.
fn ripples(value: &Value) -> Result<Vec<Comparison>, String> {
    let Some(ripples) = value.get("ripple_prompts") else { return Ok(Vec::new()) };
    let ripples: Vec<Comparison> = serde_json::from_value(ripples.clone())
        .map_err(|error| format!("has `ripple_prompts` that cannot be read: {error}"))?;
    match ripples.iter().all(|ripple| ripple.target_new.is_some()) {
        true => Ok(ripples),
        false => Err("has a ripple prompt without `target_new`".to_owned()),
    }
}
