//! The table of each architecture, and which of them a file declares.

mod gemma;
mod gpt2;
mod llama;
mod olmo;
mod others;
mod qwen;
mod standard;

use super::error::{DraftError, GgufFault};
use super::family::{GgufFamily, at_layer};
use super::metadata::{Metadata, required};
use super::order::Order;
use crate::model::Slot;
use crate::model::config::DecoderConfig;

static FAMILIES: [&GgufFamily; 14] = [
    &llama::FAMILY,
    &llama::GRANITE,
    &llama::SMOLLM3,
    &gpt2::FAMILY,
    &qwen::QWEN2,
    &qwen::QWEN3,
    &gemma::GEMMA,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
    &olmo::OLMO2,
    &others::PHI3,
    &others::STARCODER2,
    &others::STABLELM,
    &others::GPT_NEOX,
];

/// The family as which a model is written, by the `model_type` of its folder.
pub(super) fn of_model(config: &DecoderConfig) -> Result<&'static GgufFamily, DraftError> {
    let name = config.model_type.as_str();
    if name == "gptj" {
        return Err(DraftError::NoProgram { model_type: name.to_owned() });
    }
    let family = FAMILIES.iter().find(|family| family.model_types.contains(&name));
    family.copied().ok_or_else(|| {
        let known = FAMILIES.iter().flat_map(|family| family.model_types).copied();
        DraftError::Family {
            model_type: config.model_type.clone(),
            known: known.collect::<Vec<_>>().join(", "),
        }
    })
}

/// Where a file has a linear map of a model: the architecture, the tensor's name, and its order.
pub(super) fn place_of(
    config: &DecoderConfig,
    slot: &Slot,
) -> Result<(&'static str, String, Order), DraftError> {
    let named = |stem: &str| format!("{}.weight", at_layer(stem, slot.layer.unwrap_or_default()));
    let family = of_model(config)?;
    let mut stored = family.parts(1).map(|(stored, ..)| stored);
    match stored.find(|stored| stored.role == Some(slot.role)) {
        Some(stored) => Ok((family.architecture, named(stored.stem), stored.order)),
        None => Err(DraftError::NoPlace {
            what: format!("tensor {:?}", slot.name),
            architecture: family.architecture,
        }),
    }
}

/// The family that a file declares; refuses keys of it that are not understood.
pub(super) fn declared(metadata: &Metadata<'_>) -> Result<&'static GgufFamily, GgufFault> {
    const KEY: &str = "general.architecture";
    let found = required(KEY, metadata.text(KEY)?)?;
    let Some(family) = FAMILIES.iter().find(|family| family.architecture == found) else {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.architecture).collect();
        return Err(GgufFault::Architecture { found: found.to_owned(), known: known.join(", ") });
    };
    family.refuse_unknown_keys(metadata)?;
    Ok(family)
}
