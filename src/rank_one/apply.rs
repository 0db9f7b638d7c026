//! A planned fact, or several about one subject, from contexts to the changed weight.

use std::collections::HashSet;

use candle_core::Tensor;

use super::error::RankOneError;
use super::key::{bare_and_mean, deviations, keys_at, mean_key};
use super::metric::{Expected, Factored, sharing};
use super::solve::{RankOneChange, rank_one};
use super::targets::contexts;
use super::value::{OptimisedValue, optimise};
use crate::model::Decoder;
use crate::plan::{Located, PlannedEdit, WritePlan};
use crate::progress::Progress;

/// A fact that was written.
pub struct WrittenFact {
    /// The keys that got δ, `[d_k]` each: k*, and that of the bare prompt.
    pub keys: Vec<Vec<f32>>,
    /// δ and how it was found.
    pub value: OptimisedValue,
    /// The change of the weight, ΔW.
    pub change: RankOneChange,
}

/// Finds ΔW of a fact, or of several about one subject, on `decoder` and applies it.
pub fn write_fact(
    decoder: &Decoder,
    plan: &WritePlan,
    group: &[&PlannedEdit],
    factored: &Factored,
    progress: &dyn Progress,
) -> Result<(WrittenFact, Decoder), RankOneError> {
    let contexts = contexts(decoder, plan, group)?;
    let own = keys_by_prompt(group, &contexts.keys)?;
    let mut keys = Vec::new();
    for (edit, own) in &own {
        keys.extend(match plan.settings.parity {
            true => vec![mean_key(own)?],
            false => bare_and_mean(own, edit.has_bare())?,
        });
    }
    let value = optimise(decoder, &contexts, &plan.settings, progress)?;
    let (weight, layout) = decoder.down_projection(plan.layer);
    let expected = expected(decoder, plan, group, &own)?;
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

/// The keys of each prompt of a fact group, [contexts, d_k]; prompts that agree up to the lookup
/// token have the same keys, and count once.
fn keys_by_prompt<'a>(
    group: &[&'a PlannedEdit],
    keys: &Tensor,
) -> candle_core::Result<Vec<(&'a PlannedEdit, Tensor)>> {
    let (mut seen, mut first, mut found) = (HashSet::new(), 0, Vec::new());
    for edit in group {
        let contexts = edit.counted().into_iter().map(Located::up_to_lookup);
        let contexts: Vec<Vec<u32>> = contexts.map(|context| context.ids).collect();
        let own = keys.narrow(0, first, contexts.len())?;
        first += contexts.len();
        if seen.insert(contexts) {
            found.push((*edit, own));
        }
    }
    Ok(found)
}

/// Keys that the group's own prompts are likely to meet, in addition to those of the second moment:
/// other names in the subject's place; and how the subject's key varies from context to context,
/// so that all of them get the same.
fn expected(
    decoder: &Decoder,
    plan: &WritePlan,
    group: &[&PlannedEdit],
    own: &[(&PlannedEdit, Tensor)],
) -> candle_core::Result<Vec<Expected>> {
    let settings = &plan.settings;
    let neighbors = keys_at(decoder, plan.layer, &plan.background_of(group))?;
    let mut scatter = Vec::new();
    for (_, own) in own.iter().filter(|_| settings.scatter_weight > 0.) {
        scatter.extend(deviations(own)?);
    }
    let mut expected = sharing(neighbors, settings.neighbor_weight);
    expected.extend(sharing(scatter, settings.scatter_weight));
    Ok(expected)
}
