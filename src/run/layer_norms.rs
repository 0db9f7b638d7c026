//! The size of a change layer by layer, relative to the weights that it changes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::RunError;
use crate::delta::WeightDelta;
use crate::model::{Model, ModelError};

/// How much one layer changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LayerNorm {
    /// The layer, from 0.
    pub layer: usize,
    /// ‖ΔW‖/‖W‖ over its changed tensors together; zero where none changed.
    pub relative_norm: f64,
}

/// All layers in order; empty where nothing changed. Tensors outside of layers are not counted.
pub(super) fn layer_norms(model: &Model, delta: &WeightDelta) -> Result<Vec<LayerNorm>, RunError> {
    let slots = model.decoder.parameters();
    let mut squares: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
    for (name, change) in &delta.changes {
        let layer = slots.iter().find(|slot| slot.name == *name).and_then(|slot| slot.layer);
        let Some(layer) = layer else { continue };
        let [changes, weights] = squares.entry(layer).or_default();
        *changes += change.norm().map_err(ModelError::from)?.powi(2);
        *weights += square(model, name)?;
    }
    let relative = |layer: usize| match squares.get(&layer) {
        Some([change, weights]) if *weights > 0. => (change / weights).sqrt(),
        _ => 0.,
    };
    let layers = if squares.is_empty() { 0 } else { model.decoder.config().layers };
    let norm = |layer| LayerNorm { layer, relative_norm: relative(layer) };
    Ok((0..layers).map(norm).collect())
}

/// The squared Frobenius norm of a stored tensor.
fn square(model: &Model, name: &str) -> Result<f64, RunError> {
    let of_tensor = || -> Result<f64, ModelError> {
        let tensor = model.weights.load_f32(name, &candle_core::Device::Cpu)?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.iter().map(|value| f64::from(*value).powi(2)).sum())
    };
    Ok(of_tensor()?)
}
