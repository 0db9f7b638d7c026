//! The `[[forget]]` and `[[holdout]]` texts of a probe file: how well each model remembers them.

use serde::Serialize;

use crate::gradient::{Memory, TrainError, examples, memory};
use crate::model::{Decoder, Model};
use crate::progress::Progress;
use crate::spec::{Passage, PromptSet};

/// Tokens of a text that are read at once.
const CHUNK: usize = 256;

/// Memory of the texts of a probe file in two models.
#[derive(Debug, Clone, Serialize)]
pub struct TextSets {
    /// Memory of the `[[forget]]` texts.
    pub forget: Option<TextSet>,
    /// Memory of the `[[holdout]]` texts.
    pub holdout: Option<TextSet>,
}

/// Memory of one set of texts in two models.
#[derive(Debug, Clone, Serialize)]
pub struct TextSet {
    /// Memory of the base.
    pub before: Memory,
    /// Memory of the edited model, where there is one.
    pub after: Option<Memory>,
}

impl TextSets {
    /// Measures both sets; nothing where the file has neither.
    pub fn measure(
        model: &Model,
        edited: Option<&Decoder>,
        prompts: &PromptSet,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, TrainError> {
        let forget = set(model, edited, &prompts.forget, progress)?;
        let holdout = set(model, edited, &prompts.holdout, progress)?;
        Ok((forget.is_some() || holdout.is_some()).then_some(Self { forget, holdout }))
    }
}

fn set(
    model: &Model,
    edited: Option<&Decoder>,
    texts: &[String],
    progress: &dyn Progress,
) -> Result<Option<TextSet>, TrainError> {
    let passage = |text: &String| Passage { question: None, text: text.clone() };
    let passages: Vec<Passage> = texts.iter().map(passage).collect();
    let examples = examples(model, &passages, CHUNK)?;
    let Some(before) = memory(&model.decoder, &examples, progress)? else { return Ok(None) };
    let after = edited.map(|decoder| memory(decoder, &examples, progress)).transpose()?;
    Ok(Some(TextSet { before, after: after.flatten() }))
}
