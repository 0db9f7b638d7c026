//! One planned fact, from contexts to the changed weight.

use super::key::{bare_and_mean, mean_key};
use super::metric::Factored;
use super::solve::{RankOneChange, RankOneError, rank_one};
use super::targets::contexts;
use super::value::{OptimisedValue, optimise};
use crate::model::Decoder;
use crate::plan::{Plan, PlannedEdit};
use crate::progress::Progress;

/// A fact, written.
pub struct WrittenFact {
    /// The keys that got δ, `[d_k]` each: k*, and that of the bare prompt.
    pub keys: Vec<Vec<f32>>,
    /// δ and how it was found.
    pub value: OptimisedValue,
    /// ΔW.
    pub change: RankOneChange,
}

/// Finds ΔW of one fact on `decoder` and applies it.
pub fn write_fact(
    decoder: &Decoder,
    plan: &Plan,
    edit: &PlannedEdit,
    factored: &Factored,
    progress: &dyn Progress,
) -> Result<(WrittenFact, Decoder), RankOneError> {
    let contexts = contexts(decoder, plan.layer, &vec![edit])?;
    let keys = match plan.settings.parity {
        true => vec![mean_key(&contexts.keys)?],
        false => bare_and_mean(&contexts.keys, edit.contexts[0].lookup > 0)?,
    };
    let value = optimise(decoder, &contexts, &plan.settings, progress)?;
    let (weight, layout) = decoder.down_projection(plan.layer);
    let change = rank_one(factored, &keys, &value.delta, weight, layout)?;
    if !change.relative_norm.is_finite() || change.relative_norm > plan.settings.max_delta {
        let (found, limit) = (change.relative_norm, plan.settings.max_delta);
        return Err(RankOneError::TooLarge { found, limit });
    }
    let dense = change.change.to_dense()?.to_device(weight.device())?;
    let edited = decoder.with_down_projection(plan.layer, (weight + dense)?);
    Ok((WrittenFact { keys, value, change }, edited))
}
