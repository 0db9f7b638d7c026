//! What candle-transformers leaves out of a config, and what it wants to find in one.

use serde_json::{Map, Value, json};

use crate::model::config::DecoderConfig;
use crate::ops::AttentionRule;

/// What the config asks for and candle-transformers leaves out.
pub(super) fn left_out(
    config: &Map<String, Value>,
    decoder: &DecoderConfig,
    prompts: &[Vec<u32>],
) -> Option<String> {
    let scaling = ["rope_scaling", "rope_parameters"].iter().filter_map(|key| config.get(*key));
    let is_llama = decoder.model_type == "llama";
    let is_scaled = |scaling: &Value| {
        let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
        let kind = kind.or(scaling.get("full_attention"));
        kind.is_some_and(|kind| *kind != "default" && !(is_llama && *kind == "llama3"))
    };
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let windows = decoder.sight.iter().filter_map(|sight| sight.window);
    let usual = AttentionRule::from(decoder.attention).scale;
    let part = if config.contains_key("text_config") {
        "reads no text part of a larger model"
    } else if scaling.into_iter().any(is_scaled) {
        "leaves out the scaling of positions"
    } else if windows.min().is_some_and(|window| longest > window) {
        "has other windows than this model, which the texts exceed"
    } else if config.contains_key("query_pre_attn_scalar") && decoder.score_scale != usual {
        "leaves out query_pre_attn_scalar"
    } else if decoder.model_type == "gemma3_text" && decoder.attention.kv_heads > 1 {
        "fails at more than one key head of Gemma 3"
    } else if decoder.is_parallel {
        "leaves out the parallel branches"
    } else {
        return None;
    };
    Some(format!("candle-transformers {part}"))
}

/// The config with what candle-transformers requires and files may leave out.
pub(super) fn completed(
    mut config: Map<String, Value>,
    decoder: &DecoderConfig,
    prompts: &[Vec<u32>],
) -> Map<String, Value> {
    let theta = config.get("rope_parameters").and_then(|all| all.get("rope_theta")).cloned();
    for (key, value) in [
        ("rope_theta", theta.unwrap_or(json!(10_000.))),
        ("rope_local_base_freq", json!(10_000.)),
        ("sliding_window", json!(decoder.context)),
        ("max_window_layers", json!(0)),
        ("use_sliding_window", json!(false)),
        ("attention_bias", json!(false)),
        ("tie_word_embeddings", json!(decoder.is_tied)),
        ("num_key_value_heads", json!(decoder.attention.kv_heads)),
        ("head_dim", json!(decoder.attention.head_dim)),
    ] {
        let entry = config.entry(key).or_insert(Value::Null);
        if entry.is_null() {
            *entry = value;
        }
    }
    if decoder.sight.iter().all(|sight| sight.window.is_none()) {
        config.insert("sliding_window".into(), json!(decoder.context));
    }
    // Some of them only read one of several stop tokens, and keep keys from prompt to prompt; all
    // make a table of every position, again for each layer.
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    for (key, value) in [
        ("use_cache", json!(false)),
        ("eos_token_id", Value::Null),
        ("max_position_embeddings", json!(longest)),
    ] {
        config.insert(key.into(), value);
    }
    config
}
