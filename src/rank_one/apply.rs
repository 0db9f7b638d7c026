//! One planned fact, from contexts to the changed weight.

use candle_core::Tensor;

use super::key::{bare_and_mean, deviations, keys_at, mean_key};
use super::metric::{Expected, Factored, sharing};
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
    let contexts = contexts(decoder, plan, &vec![edit])?;
    let keys = match plan.settings.parity {
        true => vec![mean_key(&contexts.keys)?],
        false => bare_and_mean(&contexts.keys, edit.contexts[0].lookup > 0)?,
    };
    let value = optimise(decoder, &contexts, &plan.settings, progress)?;
    let (weight, layout) = decoder.down_projection(plan.layer);
    let expected = expected(decoder, plan, edit, &contexts.keys)?;
    let factored = factored
        .expecting(&expected)
        .map_err(|source| RankOneError::SecondMoment { layer: plan.layer, source })?;
    let change = rank_one(&factored, &keys, &value.delta, weight, layout)?;
    if !change.relative_norm.is_finite() || change.relative_norm > plan.settings.max_delta {
        let (found, limit) = (change.relative_norm, plan.settings.max_delta);
        return Err(RankOneError::TooLarge { found, limit });
    }
    let dense = change.change.to_dense()?.to_device(weight.device())?;
    let edited = decoder.with_down_projection(plan.layer, (weight + dense)?);
    Ok((WrittenFact { keys, value, change }, edited))
}

/// Keys that the fact's own prompt is likely to meet, beside those of the second moment: other names
/// in the subject's place; and how the subject's key differs from context to context, so that all of
/// them get the same.
fn expected(
    decoder: &Decoder,
    plan: &Plan,
    edit: &PlannedEdit,
    own: &Tensor,
) -> candle_core::Result<Vec<Expected>> {
    let settings = &plan.settings;
    let neighbors = keys_at(decoder, plan.layer, &plan.neighbors_of(&[edit]))?;
    let deviations = if settings.scatter_weight > 0. { deviations(own)? } else { Vec::new() };
    let mut expected = sharing(neighbors, settings.neighbor_weight);
    expected.extend(sharing(deviations, settings.scatter_weight));
    Ok(expected)
}
