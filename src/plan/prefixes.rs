//! Prefixes: short texts sampled from the model itself, after which a prompt is also optimised.

use super::PlanError;
use super::Settings;
use crate::model::{Choice, Model, TokenizerError, generate};
use crate::progress::Progress;

/// Words that the sampled prefixes begin with, in turn. From the start token alone many models
/// write lists and code, after which a subject is not read as it is in prose.
const OPENINGS: [&str; 16] = [
    "The",
    "In",
    "He",
    "It",
    "After",
    "This",
    "Because",
    "They",
    "A",
    "She",
    "Therefore",
    "When",
    "As",
    "I",
    "You",
    "Some",
];

/// Short texts sampled from the model itself, after which the prompt is also optimised.
pub(super) fn sampled(
    model: &Model,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Vec<String>, PlanError> {
    if settings.contexts == 0 {
        return Ok(Vec::new());
    }
    // Twice as many as needed, because a sample may come out blank.
    let opening = |word: &&str| {
        let mut ids = model.tokenizer.encode(word)?.ids;
        if ids.first() != Some(&model.start_token()) {
            ids.insert(0, model.start_token());
        }
        Ok(ids)
    };
    let words = OPENINGS.iter().cycle().take(2 * settings.contexts);
    let starts: Vec<Vec<u32>> = words.map(opening).collect::<Result<_, TokenizerError>>()?;
    let choice = Choice::Sampled { seed: settings.seed, temperature: 1., k: 5 };
    let tokens = settings.context_tokens;
    let sampled = generate(&model.decoder, &starts, tokens, choice, &model.stop_tokens, progress)?;
    let mut prefixes = Vec::new();
    for (start, ids) in starts.into_iter().zip(sampled) {
        if ids.is_empty() || prefixes.len() == settings.contexts {
            continue;
        }
        let text = model.tokenizer.decode(&[start, ids].concat())?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        prefixes.push(text.replace(['{', '}'], "").trim_end_matches(['.', ' ']).to_owned());
    }
    Ok(prefixes)
}
