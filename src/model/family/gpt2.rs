//! GPT-2: learned positions, layer norm, biases, a plain MLP, and matrices stored `[in, out]`.

use serde_json::json;

use super::{Family, Fusion, TensorNames, standard};
use crate::model::config::{
    Biases, ConfigError, ConfigReader, DecoderConfig, Mlp, Norm, Position, Sight,
};
use crate::model::role::Role;
use crate::ops::{AttentionShape, WeightLayout};

pub(super) const FAMILY: Family = Family {
    model_types: &["gpt2"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["transformer.", ""],
        stems: &[&[
            (Role::Embedding, "wte"),
            (Role::Positions, "wpe"),
            (Role::AttentionNorm, "h.{}.ln_1"),
            (Role::Query, "h.{}.attn.c_attn"),
            (Role::Key, "h.{}.attn.c_attn"),
            (Role::Value, "h.{}.attn.c_attn"),
            (Role::Output, "h.{}.attn.c_proj"),
            (Role::MlpNorm, "h.{}.ln_2"),
            (Role::Up, "h.{}.mlp.c_fc"),
            (Role::Down, "h.{}.mlp.c_proj"),
            (Role::FinalNorm, "ln_f"),
            (Role::Head, "lm_head"),
        ]],
        fusion: Fusion::Blocks,
        layout: WeightLayout::InOut,
    },
    editing_depth: 0.35,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let hidden = config.size("n_embd")?;
    let heads = config.size("n_head")?;
    for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        config.only(key, json!(false))?;
    }
    config.only("scale_attn_weights", json!(true))?;
    let layers = config.size("n_layer")?;
    Ok(DecoderConfig {
        model_type: "gpt2".into(),
        layers,
        hidden,
        intermediate: config.optional_size("n_inner")?.unwrap_or(4 * hidden),
        vocabulary: config.size("vocab_size")?,
        context: config.size("n_positions")?,
        sight: vec![Sight::default(); layers],
        norm: Norm::Layer(config.number("layer_norm_epsilon", 1e-5)?),
        position: Position::Learned,
        mlp: Mlp::Plain,
        activation: config.activation("activation_function")?,
        biases: Biases { query_key_value: true, output: true, mlp: true, head: false },
        is_tied: config.flag("tie_word_embeddings", true)?,
        ..standard::plain(AttentionShape { heads, kv_heads: heads, head_dim: hidden / heads })
    })
}
