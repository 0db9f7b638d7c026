//! The names and keys of llama, which most families share.

use serde_json::Value;

use super::rope;
use crate::model::config::{
    Before, Biases, ConfigError, ConfigReader, DecoderConfig, Mlp, Norm, Position, Sight,
    unsupported,
};
use crate::model::role::Role;
use crate::ops::{AttentionRule, AttentionShape, LogitRule};

/// Stems of tensors.
pub(super) const STEMS: &[(Role, &str)] = &[
    (Role::Embedding, "embed_tokens"),
    (Role::AttentionNorm, "layers.{}.input_layernorm"),
    (Role::Query, "layers.{}.self_attn.q_proj"),
    (Role::Key, "layers.{}.self_attn.k_proj"),
    (Role::Value, "layers.{}.self_attn.v_proj"),
    (Role::Output, "layers.{}.self_attn.o_proj"),
    (Role::MlpNorm, "layers.{}.post_attention_layernorm"),
    (Role::Gate, "layers.{}.mlp.gate_proj"),
    (Role::Up, "layers.{}.mlp.up_proj"),
    (Role::Down, "layers.{}.mlp.down_proj"),
    (Role::FinalNorm, "norm"),
    (Role::Head, "lm_head"),
];

/// Stems of the norms of queries and keys.
pub(super) const QUERY_KEY_NORMS: &[(Role, &str)] = &[
    (Role::QueryNorm, "layers.{}.self_attn.q_norm"),
    (Role::KeyNorm, "layers.{}.self_attn.k_norm"),
];

/// A decoder of llama's kind, without biases, as the usual keys describe it; the nonlinearity is
/// that which `activation` names.
pub(super) fn read(
    config: &mut ConfigReader<'_>,
    activation: &str,
) -> Result<DecoderConfig, ConfigError> {
    let hidden = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let head_dim = config.optional_size("head_dim")?.unwrap_or(hidden / heads);
    let kv_heads = config.optional_size("num_key_value_heads")?.unwrap_or(heads);
    let layers = config.size("num_hidden_layers")?;
    let context = config.size("max_position_embeddings")?;
    let rotation = rope::read(config, rope::FULL, rope::Head { width: head_dim, context })?;
    let shape = AttentionShape { heads, kv_heads, head_dim };
    Ok(DecoderConfig {
        model_type: config.model_type().to_owned(),
        layers,
        hidden,
        intermediate: config.size("intermediate_size")?,
        vocabulary: config.size("vocab_size")?,
        context,
        norm: Norm::Rms(config.number("rms_norm_eps", 1e-6)?),
        position: Position::Rotary(vec![rotation]),
        sight: vec![Sight { window: None, rotation: Some(0) }; layers],
        mlp: Mlp::Gated,
        activation: config.activation(activation)?,
        is_tied: config.flag("tie_word_embeddings", false)?,
        ..plain(shape)
    })
}

/// A sequential decoder with one norm before each branch, and nothing else that a family may add.
/// Sizes are left to the caller.
pub(super) fn plain(shape: AttentionShape) -> DecoderConfig {
    DecoderConfig {
        model_type: String::new(),
        layers: 0,
        hidden: 0,
        intermediate: 0,
        vocabulary: 0,
        context: 0,
        attention: shape,
        score_scale: AttentionRule::from(shape).scale,
        score_cap: None,
        sight: Vec::new(),
        query_key_norm: None,
        norm: Norm::Rms(0.),
        before: Before::Each,
        has_post_norms: false,
        is_parallel: false,
        position: Position::Learned,
        mlp: Mlp::Gated,
        activation: crate::ops::Activation::Silu,
        biases: Biases::default(),
        embedding_scale: 1.,
        residual_scale: 1.,
        logits: LogitRule::default(),
        is_tied: false,
    }
}

/// Biases in all attention projections, and in the MLP, as two keys of most families state.
pub(super) fn biases(config: &mut ConfigReader<'_>) -> Result<Biases, ConfigError> {
    let attention = config.flag("attention_bias", false)?;
    let mlp = config.flag("mlp_bias", false)?;
    Ok(Biases { query_key_value: attention, output: attention, mlp, head: false })
}

/// What attention sees in each of `layers`: the `sliding_window` where `layer_types` says so, or,
/// where that is absent, in the layers that `slides` names.
pub(super) fn sight(
    config: &mut ConfigReader<'_>,
    layers: usize,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Sight>, ConfigError> {
    let window = config.optional_size("sliding_window")?;
    let types = types(config, layers)?;
    let slides = |layer: usize| types.as_ref().map_or_else(|| slides(layer), |of| of[layer]);
    let sight = |layer| Sight { window: window.filter(|_| slides(layer)), rotation: Some(0) };
    Ok((0..layers).map(sight).collect())
}

/// For each layer, whether `layer_types` calls it a sliding one; nothing where the key is absent.
pub(super) fn types(
    config: &mut ConfigReader<'_>,
    layers: usize,
) -> Result<Option<Vec<bool>>, ConfigError> {
    const KEY: &str = "layer_types";
    let Some(found) = config.optional(KEY) else { return Ok(None) };
    let types = found.as_array().filter(|types| types.len() == layers);
    let types = types.ok_or(ConfigError::Key { key: KEY.into(), expected: "a type a layer" })?;
    let is_sliding = |kind: &Value| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(unsupported(KEY, kind, Some("full_attention or sliding_attention"))),
    };
    types.iter().map(is_sliding).collect::<Result<_, _>>().map(Some)
}
