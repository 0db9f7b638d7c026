//! Defaults for whatever the user left out of `[rank_one]`: settings, layers and the solve.

use super::PlanError;
use super::{BatchSettings, Settings};
use crate::model::Model;
use crate::spec::{LayerChoice, Method, RankOneOptions};

/// λ of MEMIT, relative to the mean of kᵀC⁻¹k.
const MEMIT_LAMBDA: f64 = 0.1;
/// λ of AlphaEdit, relative to the mean of kᵀPk.
const ALPHAEDIT_LAMBDA: f64 = 0.1;
/// Share of C's energy in what AlphaEdit calls its null space.
const NULL_SPACE: f64 = 0.5;
/// Largest ‖δ‖ as a multiple of the residual stream's length after the last layer. The published
/// 0.75 stops two facts in three before their loss does.
const STREAM_CLAMP: f64 = 1.;
/// Weight of near subjects. With it 231 of 288 keep their answer, 127 without, on 24 records that no
/// table reports; more weight moves other subjects and general text more.
const NEAR_WEIGHT: f64 = 0.003;
/// Weight of the end after the target. Without it three of four targets run on, and a name that the
/// tokenizer splits may not end at all, as in "Tessaly Creditworthiness" for "Tessaly Credit".
const END_WEIGHT: f64 = 0.3;
/// Sampled prefixes of the published program.
const PUBLISHED_CONTEXTS: usize = 20;

/// The settings, with defaults for whatever the user left out; `tokens` is that of the second
/// moment's, and `erases` whether facts are erased toward "unknown".
pub(super) fn settings(options: &RankOneOptions, tokens: usize, erases: bool) -> Settings {
    let parity = options.parity.unwrap_or(false);
    // The length of δ is measured against the value, or against the residual stream.
    let method = options.method.unwrap_or_default();
    let is_batched = method.is_batched();
    let (neighbor_weight, near_weight, scatter_weight) = match method {
        _ if parity => (0., 0., 0.),
        Method::Rome => (1., NEAR_WEIGHT, 0.1),
        // The null space of C already keeps what the corpus holds, including names.
        Method::AlphaEdit => (0., 0., 0.),
        Method::Emmet | Method::Memit => (1., NEAR_WEIGHT, 0.),
    };
    let clamp = if is_batched { STREAM_CLAMP } else { 4. };
    // A single fact can have more contexts and steps than each of hundreds.
    let (contexts, steps) = match (parity, is_batched) {
        (true, _) => (PUBLISHED_CONTEXTS, 20),
        (false, true) => (5, 20),
        (false, false) => (10, 25),
    };
    Settings {
        parity,
        contexts: options.contexts.unwrap_or(contexts),
        context_tokens: options.context_tokens.unwrap_or(10),
        steps: options.steps.unwrap_or(steps),
        learning_rate: options.learning_rate.unwrap_or(0.5),
        clamp: options.clamp.unwrap_or(clamp),
        weight_decay: options.weight_decay.unwrap_or(if parity { 0.5 } else { 0.003 }),
        kl_weight: options.kl_weight.unwrap_or(0.0625),
        end_weight: options.end_weight.unwrap_or(if parity { 0. } else { END_WEIGHT }),
        stop_loss: options.stop_loss.unwrap_or(0.05),
        neighbor_weight: options.neighbor_weight.unwrap_or(neighbor_weight),
        near_weight: options.near_weight.unwrap_or(near_weight),
        wordings: options.wordings.filter(|_| erases).unwrap_or(0),
        lens_weight: options.lens_weight.filter(|_| erases).unwrap_or(0.),
        scatter_weight: options.scatter_weight.unwrap_or(scatter_weight),
        second_moment_tokens: options.second_moment_tokens.unwrap_or(tokens),
        ridge: options.ridge.unwrap_or(1e-2),
        // Hundreds of facts change more than one does.
        max_delta: options.max_delta.unwrap_or(if is_batched { 1. } else { 0.5 }),
        seed: options.seed.unwrap_or(0),
    }
}

/// The options, with defaults that suit the model where the user left them out; published settings
/// stay as published.
pub(super) fn suited(model: &Model, options: &RankOneOptions) -> RankOneOptions {
    let mut options = options.clone();
    if let Some(editing) = model.editing.filter(|_| options.parity != Some(true)) {
        options.steps = options.steps.or(Some(editing.steps));
        options.weight_decay = options.weight_decay.or(Some(editing.weight_decay));
        options.max_delta = options.max_delta.or(Some(editing.max_delta));
        options.contexts = options.contexts.or(editing.contexts);
        // In a small world, names that are kept for ending alike take room from those that are in it.
        options.near_weight = options.near_weight.or(Some(0.));
    }
    options
}

/// Layers below and above the family's layer that a spread write takes.
const SPREAD: (usize, usize) = (2, 3);

/// The layers that `method` writes where `middle` takes facts best: that one, or several around it.
pub fn layers_around(model: &Model, method: Method, middle: usize) -> Vec<usize> {
    let last = model.decoder.config().layers - 1;
    // Where the model's folder names a layer, its neighbors are not known to hold facts.
    match method.is_batched() && model.editing.is_none() {
        true => {
            let (below, above) = SPREAD;
            (middle.saturating_sub(below)..=(middle + above).min(last)).collect()
        }
        false => vec![middle],
    }
}

/// The layers to write, ascending; all of them exist.
pub(super) fn layers(
    model: &Model,
    method: Method,
    options: &RankOneOptions,
) -> Result<Vec<usize>, PlanError> {
    let layers = match &options.layers {
        Some(LayerChoice::Given(layers)) if layers.len() > 1 && !method.is_batched() => {
            return Err(PlanError::SeveralLayers(layers.clone()));
        }
        Some(LayerChoice::Given(layers)) => layers.clone(),
        None | Some(LayerChoice::Auto | LayerChoice::Sweep) => {
            layers_around(model, method, model.editing_layer())
        }
    };
    layers.iter().try_for_each(|layer| model.check_layer(*layer))?;
    Ok(layers)
}

/// Settings of the solve for batches, with defaults filled in.
pub(super) fn batch_settings(options: &RankOneOptions, method: Method) -> BatchSettings {
    let lambda = match method {
        Method::Rome | Method::Emmet => 0.,
        Method::Memit => options.lambda.unwrap_or(MEMIT_LAMBDA),
        Method::AlphaEdit => options.lambda.unwrap_or(ALPHAEDIT_LAMBDA),
    };
    BatchSettings {
        lambda,
        null_space: options.null_space.unwrap_or(NULL_SPACE),
        sequential: options.sequential,
        max_perplexity: options.max_perplexity.unwrap_or(2.),
        max_drift: options.max_drift,
        price: options.price,
    }
}
