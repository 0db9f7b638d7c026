//! GGUF keys -> `config.json`.

use serde_json::{Value, json};

use super::{
    error::GgufFault,
    family::{Described, Object},
    header::GgufHeader,
    metadata::required,
    rope,
};

/// The `config.json` of `LlamaForCausalLM`.
pub(super) fn llama(header: &GgufHeader<'_>, model: &Described<'_>) -> Result<Object, GgufFault> {
    let mut config = standard(header, model, "LlamaForCausalLM")?;
    config.insert("attention_bias".into(), false.into());
    config.insert("mlp_bias".into(), false.into());
    Ok(config)
}

/// The `config.json` of `Qwen2ForCausalLM`.
pub(super) fn qwen2(header: &GgufHeader<'_>, model: &Described<'_>) -> Result<Object, GgufFault> {
    standard(header, model, "Qwen2ForCausalLM")
}

/// The `config.json` of `Qwen3ForCausalLM`.
pub(super) fn qwen3(header: &GgufHeader<'_>, model: &Described<'_>) -> Result<Object, GgufFault> {
    let mut config = standard(header, model, "Qwen3ForCausalLM")?;
    config.insert("attention_bias".into(), false.into());
    Ok(config)
}

/// The keys that the families of llama's kind share.
fn standard(
    header: &GgufHeader<'_>,
    model: &Described<'_>,
    class: &str,
) -> Result<Object, GgufFault> {
    let (metadata, sizes, family) = (&header.metadata, model.sizes, model.family);
    for name in ["expert_count", "expert_used_count"] {
        let key = family.key(name);
        if metadata.unsigned(&key)?.is_some_and(|experts| experts > 0) {
            return Err(family.unsupported(metadata, key));
        }
    }
    let key = family.key("rope.dimension_count");
    if metadata.unsigned(&key)?.is_some_and(|rotated| rotated != sizes.head as u64) {
        return Err(family.unsupported(metadata, key));
    }
    let theta = family.key("rope.freq_base");
    let theta = positive(&theta, metadata.real(&theta)?.unwrap_or(10_000.0))?;
    Ok(object(json!({
        "architectures": [class],
        "model_type": family.architecture,
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_heads,
        "head_dim": sizes.head,
        "hidden_act": "silu",
        "max_position_embeddings": sizes.context,
        "rms_norm_eps": epsilon(header, model, "attention.layer_norm_rms_epsilon")?,
        "rope_theta": theta,
        "rope_scaling": rope::scaling(header, model, theta)?,
        "tie_word_embeddings": model.is_tied,
    })))
}

/// The `config.json` of `GPT2LMHeadModel`.
pub(super) fn gpt2(header: &GgufHeader<'_>, model: &Described<'_>) -> Result<Object, GgufFault> {
    let sizes = model.sizes;
    Ok(object(json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": sizes.vocabulary,
        "n_positions": sizes.context,
        "n_embd": sizes.hidden,
        "n_inner": sizes.intermediate,
        "n_layer": sizes.layers,
        "n_head": sizes.heads,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": epsilon(header, model, "attention.layer_norm_epsilon")?,
        "tie_word_embeddings": model.is_tied,
    })))
}

fn epsilon(header: &GgufHeader<'_>, model: &Described<'_>, name: &str) -> Result<f64, GgufFault> {
    let key = model.family.key(name);
    positive(&key, required(&key, header.metadata.real(&key)?)?)
}

fn positive(key: &str, value: f64) -> Result<f64, GgufFault> {
    if value > 0.0 {
        return Ok(value);
    }
    Err(GgufFault::invalid(format!("key {key:?}"), value, "above 0"))
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => unreachable!("the literals above are objects"),
    }
}
