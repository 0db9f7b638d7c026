//! GPT-J: one layer norm for both branches, rotation of neighboring numbers, a head with a bias.

use super::{Family, Fusion, TensorNames, rope, standard};
use crate::model::config::{
    Before, Biases, ConfigError, ConfigReader, DecoderConfig, Mlp, Norm, Position, Sight,
};
use crate::model::role::Role;
use crate::ops::{AttentionShape, Pairing, Rotation, WeightLayout};

/// The layer for editing: 5 of 28, as published with ROME; not swept here.
pub(super) const FAMILY: Family = Family {
    model_types: &["gptj"],
    wrappers: &[],
    defaults: &[],
    read_config,
    names: TensorNames {
        prefixes: &["transformer.", ""],
        stems: &[&[
            (Role::Embedding, "wte"),
            (Role::AttentionNorm, "h.{}.ln_1"),
            (Role::Query, "h.{}.attn.q_proj"),
            (Role::Key, "h.{}.attn.k_proj"),
            (Role::Value, "h.{}.attn.v_proj"),
            (Role::Output, "h.{}.attn.out_proj"),
            (Role::Up, "h.{}.mlp.fc_in"),
            (Role::Down, "h.{}.mlp.fc_out"),
            (Role::FinalNorm, "ln_f"),
            (Role::Head, "lm_head"),
        ]],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.185,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    config.only("rotary", true.into())?;
    config.only("scale_attn_weights", true.into())?;
    let (hidden, heads) = (config.size("n_embd")?, config.size("n_head")?);
    let (layers, head_dim) = (config.size("n_layer")?, hidden / heads);
    let context = config.size("n_positions")?;
    let rotated = config.size("rotary_dim")?;
    let fraction = rotated as f64 / head_dim as f64;
    let head = rope::Head { width: head_dim, context };
    let usual = rope::Usual { theta: 10_000., fraction };
    let rotation = rope::read_with(config, rope::FULL, head, usual)?;
    let rotation = Rotation { pairing: Pairing::Neighbors, ..rotation };
    Ok(DecoderConfig {
        model_type: "gptj".into(),
        layers,
        hidden,
        intermediate: config.optional_size("n_inner")?.unwrap_or(4 * hidden),
        vocabulary: config.size("vocab_size")?,
        context,
        sight: vec![Sight { window: None, rotation: Some(0) }; layers],
        norm: Norm::Layer(config.number("layer_norm_epsilon", 1e-5)?),
        before: Before::Shared,
        is_parallel: true,
        position: Position::Rotary(vec![rotation]),
        mlp: Mlp::Plain,
        activation: config.activation("activation_function")?,
        biases: Biases { mlp: true, head: true, ..Biases::default() },
        is_tied: config.flag("tie_word_embeddings", false)?,
        ..standard::plain(AttentionShape { heads, kv_heads: heads, head_dim })
    })
}
