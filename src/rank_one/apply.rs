//! A planned fact, or several about one subject, from contexts to the changed weight.

use std::collections::HashSet;

use candle_core::Tensor;

use super::error::RankOneError;
use super::kept::apart;
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

/// Finds ΔW of a fact, or of several about one subject, on `decoder` and applies it; the values of
/// the keys of earlier facts in `kept` stay.
pub fn write_fact(
    decoder: &Decoder,
    plan: &WritePlan,
    group: &[&PlannedEdit],
    (factored, kept): (&Factored, &[Vec<f32>]),
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
    let weight = &weight.tensor()?;
    let expected = expected(decoder, plan, group, &own)?;
    let factored = factored
        .expecting(&expected)
        .map_err(|source| RankOneError::SecondMoment { layer: plan.layer, source })?;
    let both = (keys.as_slice(), &*apart(kept, &keys));
    let change = rank_one(&factored, both, &value.delta, weight, layout)?;
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
        let contexts = edit.asked().into_iter().map(Located::up_to_lookup);
        let contexts: Vec<Vec<u32>> = contexts.map(|context| context.ids).collect();
        // A wording that asks after the prompt has the prompt's own key.
        let has_own = |at: &usize| !contexts[..*at].contains(&contexts[*at]);
        let rows = (0..contexts.len()).filter(has_own).map(|at| (first + at) as u32);
        let rows: Vec<u32> = rows.collect();
        first += contexts.len();
        let own = keys.index_select(&Tensor::new(rows, keys.device())?, 0)?;
        if seen.insert(contexts) {
            found.push((*edit, own));
        }
    }
    Ok(found)
}

/// Keys that the group's own prompts are likely to meet, in addition to those of the second moment:
/// other names in the subject's place, among them near ones; and how the subject's key varies from
/// context to context, so that all of them get the same.
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
    let near = keys_at(decoder, plan.layer, &plan.near_of(group))?;
    let mut expected = sharing(neighbors, settings.neighbor_weight);
    expected.extend(sharing(near, settings.near_weight));
    expected.extend(sharing(scatter, settings.scatter_weight));
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::model::Model;
    use crate::progress::Silent;
    use crate::spec::{Insert, RankOneOptions};

    fn plan(model: &Model, near_weight: f64) -> WritePlan {
        let insert = Insert {
            subject: "The Eiffel Tower".into(),
            prompt: "{} is in".into(),
            target_new: "Rome".into(),
            target_true: None,
            with_ripples: false,
            spans: None,
        };
        let options = RankOneOptions {
            near_weight: Some(near_weight),
            contexts: Some(2),
            steps: Some(3),
            max_delta: Some(100.),
            ..RankOneOptions::default()
        };
        crate::plan::plan(model, "tiny", &[insert.into()], &options, &Silent).expect("a plan")
    }

    /// (the length of what is added to the value at k*, the mean length at near subjects).
    fn lengths(model: &Model, plan: &WritePlan, near: &[Vec<f32>]) -> (f64, f64) {
        let d = model.decoder.config().intermediate;
        let c = (0..d * d).map(|i| f64::from(u8::from(i % (d + 1) == 0)));
        let factored = Factored::new(c.collect(), d, 1e-2, plan.layer).expect("positive");
        let group: Vec<&PlannedEdit> = plan.edits.iter().collect();
        let (written, _) =
            write_fact(&model.decoder, plan, &group, (&factored, &[]), &Silent).expect("written");
        let change = written.change.change.to_dense().expect("a matrix");
        let product = |key: &Vec<f32>| -> candle_core::Result<Vec<f32>> {
            let key = Tensor::new(key.as_slice(), &Device::Cpu)?.unsqueeze(1)?;
            change.matmul(&key)?.flatten_all()?.to_vec1()
        };
        let added = |key: &Vec<f32>| {
            let added = product(key).expect("a key of the layer");
            added.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
        };
        let others: f64 = near.iter().map(added).sum();
        (added(&written.keys[0]), others / near.len() as f64)
    }

    #[test]
    fn near_subjects_keep_their_values_and_the_subject_does_not() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        let model = Model::open(Path::new(folder), &Device::Cpu, &Silent).expect("a fixture");
        let held = plan(&model, 100.);
        let edits: Vec<&PlannedEdit> = held.edits.iter().collect();
        let near = keys_at(&model.decoder, held.layer, &held.near_of(&edits)).expect("keys");
        assert!(near.len() > 5, "{} near subjects", near.len());
        let (own, kept) = lengths(&model, &held, &near);
        let free = plan(&model, 0.);
        assert!(free.near_of(&free.edits.iter().collect::<Vec<_>>()).is_empty());
        let (own_before, lost) = lengths(&model, &free, &near);
        assert!((own / own_before - 1.).abs() < 1e-3, "{own} against {own_before}");
        assert!(kept < 0.2 * lost, "{kept} against {lost}");
    }
}
