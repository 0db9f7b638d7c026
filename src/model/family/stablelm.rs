//! StableLM 2 and 3B: llama with layer norms and rotation of a part of each head.

use serde_json::json;

use super::{Family, Fusion, TensorNames, rope, standard};
use crate::model::config::{
    Before, Biases, ConfigError, ConfigReader, DecoderConfig, Norm, Position,
};
use crate::ops::WeightLayout;

/// The layer for editing is not swept.
pub(super) const FAMILY: Family = Family {
    model_types: &["stablelm"],
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
    config.only("qk_layernorm", json!(false))?;
    let query_key_value = config.flag("use_qkv_bias", false)?;
    let is_parallel = config.flag("use_parallel_residual", false)?;
    let norm = Norm::Layer(config.number("layer_norm_eps", 1e-5)?);
    let decoder = standard::read(config, "hidden_act")?;
    let head = rope::Head { width: decoder.attention.head_dim, context: decoder.context };
    let usual = rope::Usual { theta: 10_000., fraction: 0.25 };
    let rotation = rope::read_with(config, rope::FULL, head, usual)?;
    Ok(DecoderConfig {
        norm,
        is_parallel,
        before: if is_parallel { Before::Shared } else { Before::Each },
        position: Position::Rotary(vec![rotation]),
        biases: Biases { query_key_value, ..Biases::default() },
        ..decoder
    })
}
