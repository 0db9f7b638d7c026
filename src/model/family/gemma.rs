//! Gemma 1 to 3: norms by 1 + weight, a scaled embedding; from 2 on norms after the branches too.

use super::{Family, Fusion, TEXT_PART, TEXT_PART_MODULE, TensorNames, rope, standard};
use crate::model::config::{
    ConfigError, ConfigReader, DecoderConfig, Norm, Position, QueryKeyNorm, Sight,
};
use crate::model::role::Role;
use crate::ops::{Activation, LogitRule, WeightLayout};

/// The layer for editing is not swept.
pub(super) const GEMMA: Family = Family {
    model_types: &["gemma"],
    wrappers: &[],
    defaults: &[],
    read_config: read_gemma,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[standard::STEMS],
        fusion: Fusion::Blocks,
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

/// Alternating windows, limits of scores and logits.
pub(super) const GEMMA2: Family = Family {
    model_types: &["gemma2"],
    read_config: read_gemma2,
    names: TensorNames { stems: &[FOUR_NORMS, standard::STEMS], ..GEMMA.names },
    ..GEMMA
};

/// Norms of queries and keys in place of the limits, and two rotary encodings. Larger models have a
/// vision part beside this one.
pub(super) const GEMMA3: Family = Family {
    model_types: &["gemma3_text"],
    wrappers: &["gemma3"],
    defaults: &[
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 256),
        ("vocab_size", 262_208),
        ("max_position_embeddings", 131_072),
    ],
    read_config: read_gemma3,
    names: TensorNames {
        prefixes: &["model.", TEXT_PART, TEXT_PART_MODULE],
        stems: &[FOUR_NORMS, standard::QUERY_KEY_NORMS, standard::STEMS],
        ..GEMMA.names
    },
    ..GEMMA
};

const FOUR_NORMS: &[(Role, &str)] = &[
    (Role::PostAttentionNorm, "layers.{}.post_attention_layernorm"),
    (Role::MlpNorm, "layers.{}.pre_feedforward_layernorm"),
    (Role::PostMlpNorm, "layers.{}.post_feedforward_layernorm"),
];

fn read_gemma(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let newer = config.optional("hidden_activation").is_some();
    let activation = if newer { "hidden_activation" } else { "hidden_act" };
    config.optional("hidden_act");
    let biases = standard::biases(config)?;
    let is_tied = config.flag("tie_word_embeddings", true)?;
    let epsilon = config.number("rms_norm_eps", 1e-6)?;
    let decoder = standard::read(config, activation)?;
    let activation = match decoder.activation {
        // The first configs say gelu where the models were trained with its approximation.
        Activation::Gelu => Activation::GeluTanh,
        other => other,
    };
    Ok(DecoderConfig {
        biases,
        is_tied,
        activation,
        norm: Norm::RmsFromOne(epsilon),
        embedding_scale: (decoder.hidden as f32).sqrt(),
        ..decoder
    })
}

fn read_gemma2(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = read_gemma(config)?;
    let sight = standard::sight(config, decoder.layers, |layer| layer % 2 == 0)?;
    let head_dim = decoder.attention.head_dim as f64;
    let scalar = config.number("query_pre_attn_scalar", head_dim)?;
    let mut cap = |key| Ok(Some(config.number(key, 0.)? as f32).filter(|cap| *cap > 0.));
    Ok(DecoderConfig {
        sight,
        has_post_norms: true,
        score_scale: scalar.powf(-0.5) as f32,
        score_cap: cap("attn_logit_softcapping")?,
        logits: LogitRule { scale: 1., cap: cap("final_logit_softcapping")? },
        ..decoder
    })
}

fn read_gemma3(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let decoder = read_gemma2(config)?;
    let mut pattern = |key| config.optional_size(key);
    let old = pattern("sliding_window_pattern")?;
    let pattern = old.or(pattern("_sliding_window_pattern")?).unwrap_or(6);
    let mut sight = standard::sight(config, decoder.layers, |layer| (layer + 1) % pattern != 0)?;
    let local = |sight: &mut Sight| sight.rotation = Some(usize::from(sight.window.is_some()));
    sight.iter_mut().for_each(local);
    let head = rope::Head { width: decoder.attention.head_dim, context: decoder.context };
    let theta = Some(config.number("rope_local_base_freq", 10_000.)?);
    let usual = |theta| rope::Usual { theta, fraction: 1. };
    let position = Position::Rotary(vec![
        rope::read_with(config, rope::FULL, head, usual(1e6))?,
        rope::read_local(config, head, theta)?,
    ]);
    Ok(DecoderConfig { sight, position, query_key_norm: Some(QueryKeyNorm::Head), ..decoder })
}
