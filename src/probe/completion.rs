//! Prompts continued freely, by the base and by the edited model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Choice, Decoder, Model, ModelError, generate};
use crate::progress::Progress;

/// Number of tokens of a completion.
const TOKENS: usize = 18;

/// A prompt continued by both models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// The prompt that is continued.
    pub prompt: String,
    /// The base's continuation.
    pub before: String,
    /// The edited model's continuation.
    pub after: Option<String>,
}

/// Greedy continuations of both models.
pub fn completions(
    model: &Model,
    edited: Option<&Decoder>,
    prompts: &[String],
    progress: &dyn Progress,
) -> Result<Vec<Completion>, ModelError> {
    if prompts.is_empty() {
        return Ok(Vec::new());
    }
    let ids = prompts.iter().map(|prompt| Ok(model.tokenizer.encode(prompt)?.ids));
    let ids: Vec<Vec<u32>> = ids.collect::<Result<_, ModelError>>()?;
    let texts = |decoder: &Decoder| -> Result<Vec<String>, ModelError> {
        let stop = &model.stop_tokens;
        let written = generate(decoder, &ids, TOKENS, Choice::Greedy, stop, progress)?;
        written.iter().map(|ids| Ok(model.tokenizer.decode(ids)?)).collect()
    };
    let before = texts(&model.decoder)?;
    let after = edited.map(texts).transpose()?;
    let pairs = prompts.iter().zip(before).enumerate().map(|(i, (prompt, before))| Completion {
        prompt: prompt.clone(),
        before,
        after: after.as_ref().map(|after| after[i].clone()),
    });
    Ok(pairs.collect())
}
