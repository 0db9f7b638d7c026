//! GPT-NeoX and Pythia: layer norms, both branches read the same stream, fused heads.

use super::{Family, Fusion, TensorNames, rope, standard};
use crate::model::config::{Biases, ConfigError, ConfigReader, DecoderConfig, Mlp, Norm, Position};
use crate::model::role::Role;
use crate::ops::WeightLayout;

/// The layer for editing: 10 of 44, the last of those in MEMIT's settings for GPT-NeoX 20B; not
/// swept here.
pub(super) const FAMILY: Family = Family {
    model_types: &["gpt_neox"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["gpt_neox."],
        stems: &[&[
            (Role::Embedding, "embed_in"),
            (Role::AttentionNorm, "layers.{}.input_layernorm"),
            (Role::Query, "layers.{}.attention.query_key_value"),
            (Role::Key, "layers.{}.attention.query_key_value"),
            (Role::Value, "layers.{}.attention.query_key_value"),
            (Role::Output, "layers.{}.attention.dense"),
            (Role::MlpNorm, "layers.{}.post_attention_layernorm"),
            (Role::Up, "layers.{}.mlp.dense_h_to_4h"),
            (Role::Down, "layers.{}.mlp.dense_4h_to_h"),
            (Role::FinalNorm, "final_layer_norm"),
            (Role::Head, "embed_out"),
        ]],
        fusion: Fusion::Heads,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.23,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let fraction = config.number("rotary_pct", 0.25)?;
    let theta = config.number("rotary_emb_base", 10_000.)?;
    let attention = config.flag("attention_bias", true)?;
    let norm = Norm::Layer(config.number("layer_norm_eps", 1e-5)?);
    let is_parallel = config.flag("use_parallel_residual", true)?;
    let decoder = standard::read(config, "hidden_act")?;
    let head = rope::Head { width: decoder.attention.head_dim, context: decoder.context };
    let rotation = rope::read_with(config, rope::FULL, head, rope::Usual { theta, fraction })?;
    Ok(DecoderConfig {
        norm,
        is_parallel,
        position: Position::Rotary(vec![rotation]),
        mlp: Mlp::Plain,
        biases: Biases { query_key_value: attention, output: attention, mlp: true, head: false },
        ..decoder
    })
}
