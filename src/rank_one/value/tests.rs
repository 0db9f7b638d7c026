//! The two forms of the objective against each other, and against the model that is written.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::*;
use crate::model::{AddToRows, Batch, Model, Recorder, Site};
use crate::objective::lens::{Lens, LensRow};
use crate::ops::token_nll;
use crate::plan::{Ends, Located};
use crate::progress::Silent;
use crate::rank_one::solve::rank_one;
use crate::rank_one::{Asked, Factored};

/// One fixture of each family.
const FAMILIES: [&str; 16] = include!("../../../tests/fixtures/families.rs");

/// f32 sums of two layers in another order, relative to the largest entry.
const TOLERANCE: f64 = 2e-5;

fn settings(parity: bool) -> Settings {
    Settings {
        parity,
        contexts: 2,
        context_tokens: 10,
        steps: 20,
        learning_rate: 0.5,
        clamp: 4.,
        weight_decay: 0.,
        kl_weight: 0.5,
        end_weight: 0.3,
        stop_loss: 0.,
        neighbor_weight: 0.,
        near_weight: 0.,
        wordings: 0,
        lens_weight: 0.,
        scatter_weight: 0.,
        second_moment_tokens: 0,
        ridge: 0.,
        max_delta: f64::INFINITY,
        seed: 0,
    }
}

/// Three contexts of one target, of which the first and last also read where it ends.
fn contexts(decoder: &Decoder) -> Result<EditContexts> {
    let located = |ids: &[u32], lookup| Located { ids: ids.to_vec(), lookup };
    let prompts =
        [located(&[3, 14, 15, 9], 1), located(&[2, 6, 5, 3, 14, 15, 9], 4), located(&[8, 9], 0)];
    let asked = |(i, context)| Asked { context, target: &[26, 5], reads_end: i != 1 };
    let asked: Vec<Asked<'_>> = prompts.iter().enumerate().map(asked).collect();
    let essence = located(&[3, 14, 35, 8], 1);
    let mut contexts = EditContexts::of_each(decoder, 0, &asked, &essence)?;
    contexts.ends = Some(Arc::new(Ends::of_ids((7..30).collect())));
    // Two rows between layers, where there are any: one above its share, and one far below.
    let layers = 1..decoder.config().layers.saturating_sub(1);
    let rows =
        layers.flat_map(|layer| [LensRow::new(layer, 1, 5, 1e-4), LensRow::new(layer, 4, 9, 1.)]);
    contexts.lens = Lens::new(0.7, rows.collect());
    Ok(contexts)
}

fn fixture(name: &str) -> Decoder {
    let folder = format!("{}/tests/fixtures/{name}/model", env!("CARGO_MANIFEST_DIR"));
    Model::open(Path::new(&folder), &Device::Cpu, &Silent).expect("a fixture").decoder
}

/// One fixture of each family: with norms and factors between values and stream, with windows, with
/// limits, parallel.
fn decoders() -> impl Iterator<Item = (&'static str, Decoder)> {
    FAMILIES.into_iter().map(|name| (name, fixture(name)))
}

#[test]
fn direct_and_tracked_gradients_agree() -> Result<()> {
    for (name, decoder) in decoders() {
        let decoder = &decoder;
        let contexts = contexts(decoder)?;
        let delta: Vec<f32> =
            (0..decoder.config().hidden).map(|i| (i as f32 * 0.61).sin()).collect();
        for parity in [false, true] {
            let settings = settings(parity);
            let mut direct = Direct::new(decoder, &contexts, &settings)?;
            let mut tracked = Tracked::new(decoder, &contexts, &settings)?;
            for delta in [vec![0.; delta.len()], delta.clone()] {
                let (ours, candle) = (direct.evaluate(&delta)?, tracked.evaluate(&delta)?);
                for (ours, candle) in [
                    (ours.nll, candle.nll),
                    (ours.kl, candle.kl),
                    (ours.end, candle.end),
                    (ours.lens, candle.lens),
                ] {
                    let error = (ours - candle).abs();
                    assert!(error < TOLERANCE, "{name} parity {parity}: {ours} against {candle}");
                }
                let (ours, candle) = (direct.gradient()?, tracked.gradient()?);
                let largest = candle.iter().fold(0f32, |most, g| most.max(g.abs()));
                assert!(largest > 0., "{name}: a gradient");
                for (i, (ours, candle)) in ours.iter().zip(&candle).enumerate() {
                    let error = f64::from((ours - candle).abs() / largest);
                    assert!(
                        error < TOLERANCE,
                        "{name} parity {parity}, entry {i}: {ours} against {candle}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// What W' gives at k*, and what the written model says, against δ at the value site.
#[test]
fn a_written_value_is_the_one_that_was_optimised() -> Result<()> {
    for (name, decoder) in decoders() {
        let decoder = &decoder;
        // With no other token, there is no other key that the written model would meet.
        let prompt = Located { ids: vec![14], lookup: 0 };
        let essence = Located { ids: vec![14, 35, 8], lookup: 0 };
        let contexts =
            EditContexts::new(decoder, 0, std::slice::from_ref(&prompt), &[26], &essence)?;
        let settings = Settings { steps: 8, ..settings(false) };
        let found = optimise(decoder, &contexts, &settings, &Silent).expect("a value");
        assert!(found.steps[7].nll < found.steps[0].nll - 0.3, "{name}: {:?}", found.steps);
        let key = contexts.keys.get(0)?.to_vec1::<f32>()?;
        let (weight, layout) = decoder.down_projection(0);
        let weight = &weight.tensor()?;
        let width = key.len();
        let unit = (0..width * width).map(|at| f64::from(u8::from(at % (width + 1) == 0)));
        let factored = Factored::new(unit.collect(), width, 0., 0).expect("definite");
        let change =
            rank_one(&factored, (&[key], &[]), &found.delta, weight, layout).expect("a change");
        let edited = decoder.with_down_projection(0, change.change.add_to(weight)?);

        let delta = Tensor::new(found.delta, &Device::Cpu)?;
        let batch = Batch::new(&[prompt.ids]);
        let mut recorder = Recorder::of([(0, Site::Value)]);
        let hidden = edited.observe(&batch, None, &mut recorder)?.expect("not stopped");
        let mut add = AddToRows::new((0, Site::Value), &[0], batch.rows(), &delta)?;
        let substituted = decoder.observe(&batch, None, &mut add)?.expect("not stopped");
        let value = recorder.take(0, Site::Value)?.get(0)?;
        let wanted = (contexts.values.get(0)? + &delta)?;
        let said = (edited.logits(&hidden, &[0])?, decoder.logits(&substituted, &[0])?);
        for (what, found, wanted) in [("value", &value, &wanted), ("logits", &said.0, &said.1)] {
            let numbers = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
            let (found, wanted) = (numbers(found)?, numbers(wanted)?);
            let largest = wanted.iter().fold(0f32, |most, x| most.max(x.abs()));
            for (found, wanted) in found.iter().zip(wanted) {
                let error = f64::from((found - wanted).abs() / largest);
                assert!(error < TOLERANCE, "{name}, {what}: {found} for {wanted}");
            }
        }
        let nll = token_nll(&said.0, &[26])?.mean_all()?.to_scalar::<f32>()?;
        let last = found.steps[7].nll;
        assert!((f64::from(nll) - last).abs() < TOLERANCE, "{name}: {nll}, optimised {last}");
    }
    Ok(())
}
