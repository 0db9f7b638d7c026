//! General text that a training holds where it is, and keeps its budget on.

use super::RunError;
use super::tools::Tools;
use super::train_plan::TrainPlan;
use crate::gradient::{self, Example, GeneralText};
use crate::model::Model;
use crate::objective::TokenLoss;
use crate::probe::{GeneralUse, general_text};
use crate::spec::{PassageSource, PassageVerb};

/// Sequences that steps draw from, at most.
const TRAINED: usize = 256;
/// Sequences on which the budget is kept.
const CHECKED: usize = 16;
/// Tokens of a sequence.
const TOKENS: usize = 128;

/// Fills the general text of a plan: the user's, or samples of the base.
pub(super) fn ready(
    model: &Model,
    plan: &mut TrainPlan,
    tools: &Tools<'_>,
) -> Result<(), RunError> {
    let settings = &plan.settings;
    let drawn = settings.steps.saturating_mul(settings.general_batch as u64);
    let trained = TRAINED.min(usize::try_from(drawn).unwrap_or(TRAINED));
    let mut sequences = match &plan.general {
        Some(file) => {
            let passages = PassageSource::File(file.clone()).read()?;
            gradient::examples(model, &passages, TOKENS)?
        }
        None => {
            // The text should not depend on the seed of the draws.
            let tokens = (trained + CHECKED) * TOKENS;
            let ids =
                general_text(model, tools.cache, GeneralUse::Held, 0, tokens, tools.progress)?;
            ids.into_iter().map(example).collect()
        }
    };
    if settings.verb == PassageVerb::Forget {
        gradient::without_runs_of(&mut sequences, &plan.sets.passages);
    }
    let checked = CHECKED.min(sequences.len().div_ceil(8));
    let checked = sequences.split_off(sequences.len() - checked);
    sequences.truncate(trained);
    plan.sets.general = GeneralText { trained: sequences, checked };
    Ok(())
}

fn example(ids: Vec<u32>) -> Example {
    Example { ids, first_target: 1, loss: TokenLoss::Mean, scale: 1. }
}
