//! Phi 3 and 4: llama with fused matrices, and rotation of a part of each head.

use serde_json::json;

use super::{Family, Fusion, TensorNames, standard};
use crate::model::config::{ConfigError, ConfigReader, DecoderConfig};
use crate::model::role::Role;
use crate::ops::WeightLayout;

/// The layer for editing is not swept.
pub(super) const FAMILY: Family = Family {
    model_types: &["phi3"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[
            &[
                (Role::Query, "layers.{}.self_attn.qkv_proj"),
                (Role::Key, "layers.{}.self_attn.qkv_proj"),
                (Role::Value, "layers.{}.self_attn.qkv_proj"),
                (Role::Gate, "layers.{}.mlp.gate_up_proj"),
                (Role::Up, "layers.{}.mlp.gate_up_proj"),
            ],
            standard::STEMS,
        ],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    for key in ["interpolate_factor", "full_attn_mod"] {
        config.only(key, json!(1))?;
    }
    for key in ["attention_bias", "mlp_bias", "lm_head_bias"] {
        config.only(key, json!(false))?;
    }
    let decoder = standard::read(config, "hidden_act")?;
    let sight = standard::sight(config, decoder.layers, |_| true)?;
    Ok(DecoderConfig { sight, ..decoder })
}
