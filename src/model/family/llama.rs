//! Llama 1 to 3.x and what shares its layout: SmolLM2, TinyLlama.

use serde_json::Value;

use super::{Family, TensorNames};
use crate::model::config::{
    ConfigError, ConfigReader, DecoderConfig, Mlp, Norm, Position, unsupported,
};
use crate::model::role::Role;
use crate::ops::{AttentionShape, WeightLayout};

pub(super) const FAMILY: Family = Family {
    model_types: &["llama"],
    read_config,
    names: TensorNames {
        prefixes: &["model."],
        stems: &[
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
        ],
        layout: WeightLayout::OutIn,
    },
    editing_depth: 0.17,
};

fn read_config(config: &mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError> {
    let hidden = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let head_dim = config.optional_size("head_dim")?.unwrap_or(hidden / heads);
    let kv_heads = config.optional_size("num_key_value_heads")?.unwrap_or(heads);
    Ok(DecoderConfig {
        model_type: "llama".into(),
        layers: config.size("num_hidden_layers")?,
        hidden,
        intermediate: config.size("intermediate_size")?,
        vocabulary: config.size("vocab_size")?,
        context: config.size("max_position_embeddings")?,
        attention: AttentionShape { heads, kv_heads, head_dim },
        norm: Norm::Rms(config.number("rms_norm_eps", 1e-6)?),
        position: Position::Rotary { inverse_frequencies: rotary(config, head_dim)? },
        mlp: Mlp::Gated,
        activation: config.activation("hidden_act")?,
        has_attention_bias: config.flag("attention_bias", false)?,
        has_mlp_bias: config.flag("mlp_bias", false)?,
        has_post_mlp_norm: false,
        is_tied: config.flag("tie_word_embeddings", false)?,
    })
}

/// Inverse frequencies θ^(−2i/d), scaled as given by `rope_scaling` (or `rope_parameters`).
fn rotary(config: &mut ConfigReader<'_>, head_dim: usize) -> Result<Vec<f32>, ConfigError> {
    let parameters = config.optional("rope_parameters");
    let scaling = config.optional("rope_scaling").or(parameters);
    let inner_theta = parameters.and_then(|p| p.get("rope_theta")).and_then(Value::as_f64);
    let theta = config.number("rope_theta", inner_theta.unwrap_or(10_000.))?;
    let plain = (0..head_dim / 2).map(|i| theta.powf(-2. * i as f64 / head_dim as f64));
    let Some(scaling) = scaling else { return Ok(plain.map(|f| f as f32).collect()) };
    let kind = scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(Value::as_str);
    let number = |key: &str| {
        let missing =
            || ConfigError::Key { key: format!("rope_scaling.{key}"), expected: "a number" };
        scaling.get(key).and_then(Value::as_f64).ok_or_else(missing)
    };
    match kind {
        Some("default") | None => Ok(plain.map(|f| f as f32).collect()),
        Some("linear") => {
            let factor = number("factor")?;
            Ok(plain.map(|f| (f / factor) as f32).collect())
        }
        Some("llama3") => {
            let scaled = Llama3 {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                context: number("original_max_position_embeddings")?,
            };
            Ok(plain.map(|f| scaled.apply(f) as f32).collect())
        }
        Some(_) => {
            Err(unsupported("rope_scaling", scaling, Some("type default, linear or llama3")))
        }
    }
}

/// Llama 3.1's scaling: long waves are stretched by `factor`, short ones kept, those between
/// blended.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    context: f64,
}

impl Llama3 {
    fn apply(&self, frequency: f64) -> f64 {
        let wavelength = 2. * std::f64::consts::PI / frequency;
        if wavelength < self.context / self.high {
            return frequency;
        }
        if wavelength > self.context / self.low {
            return frequency / self.factor;
        }
        let blend = (self.context / wavelength - self.low) / (self.high - self.low);
        (1. - blend) * frequency / self.factor + blend * frequency
    }
}
