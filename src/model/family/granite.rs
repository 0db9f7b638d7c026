//! Granite 3: llama with factors for the embedding, scores, branches and logits.

use super::{Family, Fusion, TensorNames, standard};
use crate::model::config::{ConfigError, ConfigReader, DecoderConfig};
use crate::ops::{LogitRule, WeightLayout};

/// The layer for editing is not swept.
pub(super) const FAMILY: Family = Family {
    model_types: &["granite"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[standard::STEMS],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let mut factor = |key| config.number(key, 1.).map(|factor| factor as f32);
    let (score_scale, logits) = (factor("attention_multiplier")?, factor("logits_scaling")?);
    let embedding_scale = factor("embedding_multiplier")?;
    let residual_scale = factor("residual_multiplier")?;
    let biases = standard::biases(config)?;
    Ok(DecoderConfig {
        biases,
        score_scale,
        embedding_scale,
        residual_scale,
        logits: LogitRule { scale: 1. / logits, cap: None },
        ..standard::read(config, "hidden_act")?
    })
}
