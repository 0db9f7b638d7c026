//! The two forms of the objective against each other.

use std::path::Path;

use candle_core::Device;

use super::*;
use crate::model::Model;
use crate::plan::Located;
use crate::progress::Silent;

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
        end_weight: 0.,
        stop_loss: 0.,
        neighbor_weight: 0.,
        scatter_weight: 0.,
        second_moment_tokens: 0,
        ridge: 0.,
        max_delta: f64::INFINITY,
        seed: 0,
    }
}

fn contexts(decoder: &Decoder) -> Result<EditContexts> {
    let located = |ids: &[u32], lookup| Located { ids: ids.to_vec(), lookup };
    let prompts =
        [located(&[3, 14, 15, 9], 1), located(&[2, 6, 5, 3, 14, 15, 9], 4), located(&[8, 9], 0)];
    EditContexts::new(decoder, 0, &prompts, &[26, 5], &located(&[3, 14, 35, 8], 1))
}

#[test]
fn direct_and_tracked_gradients_agree() -> Result<()> {
    for name in ["llama", "gpt2"] {
        let folder = format!("{}/tests/fixtures/{name}/model", env!("CARGO_MANIFEST_DIR"));
        let model = Model::open(Path::new(&folder), &Device::Cpu, &Silent).expect("a fixture");
        let decoder = &model.decoder;
        let contexts = contexts(decoder)?;
        let delta: Vec<f32> =
            (0..decoder.config().hidden).map(|i| (i as f32 * 0.61).sin()).collect();
        for parity in [false, true] {
            let settings = settings(parity);
            let mut direct = Direct::new(decoder, &contexts, &settings)?;
            let mut tracked = Tracked::new(decoder, &contexts, &settings)?;
            for delta in [vec![0.; delta.len()], delta.clone()] {
                let (ours, candle) = (direct.evaluate(&delta)?, tracked.evaluate(&delta)?);
                for (ours, candle) in [(ours.nll, candle.nll), (ours.kl, candle.kl)] {
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
