//! Families of models, as data: how `config.json` reads and what the tensors are called.

mod gpt2;
mod llama;

use serde_json::{Map, Value};

use super::config::{ConfigError, ConfigReader, DecoderConfig};
use crate::ops::WeightLayout;

/// One family.
pub struct Family {
    /// The `model_type`s that it accepts.
    pub model_types: &'static [&'static str],
    /// How its `config.json` becomes a [`DecoderConfig`].
    read_config: fn(&mut ConfigReader<'_>) -> Result<DecoderConfig, ConfigError>,
    /// What its tensors are called.
    pub names: TensorNames,
    /// The layer in which rank-one edits work best, as a share of the depth.
    pub editing_depth: f64,
}

/// Tensor names by role; `{}` stands for the layer.
pub struct TensorNames {
    /// Prefixes under which files are found, tried in order.
    pub prefixes: &'static [&'static str],
    /// [vocabulary, hidden].
    pub embedding: &'static str,
    /// [context, hidden], for learned positions.
    pub position: &'static str,
    /// Stem of the norm before attention.
    pub attention_norm: &'static str,
    /// Query, key and value projections.
    pub query_key_value: QueryKeyValue,
    /// Stem of the attention's output projection.
    pub output: &'static str,
    /// Stem of the norm before the MLP.
    pub mlp_norm: &'static str,
    /// Stem of the gate projection, for gated MLPs.
    pub gate: &'static str,
    /// Stem of the up projection.
    pub up: &'static str,
    /// Stem of the down projection: the matrix that edits write to.
    pub down: &'static str,
    /// Stem of the last norm.
    pub final_norm: &'static str,
    /// The untied head, without prefix.
    pub head: &'static str,
    /// How the matrices of the layers are stored.
    pub layout: WeightLayout,
}

/// Names of the attention's input projections.
pub enum QueryKeyValue {
    /// Three tensors.
    Split([&'static str; 3]),
    /// One tensor, queries first, then keys, then values along the output.
    Fused(&'static str),
}

impl TensorNames {
    /// Module path of a layer's linear map, from the stored name of its matrix.
    ///
    /// Files may leave the first prefix out; the path in the Hugging Face model has it.
    pub(super) fn linear_module(&self, tensor: &str) -> Option<String> {
        let stem = tensor.strip_suffix(".weight")?;
        let stem = self.prefixes.iter().find_map(|prefix| stem.strip_prefix(prefix))?;
        let inputs = match &self.query_key_value {
            QueryKeyValue::Split(names) => names.as_slice(),
            QueryKeyValue::Fused(name) => std::slice::from_ref(name),
        };
        let roles = inputs.iter().chain([&self.output, &self.gate, &self.up, &self.down]);
        let is_layer = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_of = |role: &&str| {
            let Some((head, tail)) = role.split_once("{}") else { return false };
            let layer = stem.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
            layer.is_some_and(is_layer)
        };
        let is_linear = roles.copied().any(|role| is_of(&role));
        is_linear.then(|| format!("{}{stem}", self.prefixes[0]))
    }
}

const FAMILIES: &[&Family] = &[&llama::FAMILY, &gpt2::FAMILY];

impl Family {
    /// The family that reads this `config.json`, and what it read.
    pub fn recognise(
        config: &Map<String, Value>,
    ) -> Result<(&'static Family, DecoderConfig), ConfigError> {
        let found = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let Some(family) = FAMILIES.iter().find(|family| family.model_types.contains(&found))
        else {
            let supported: Vec<&str> =
                FAMILIES.iter().flat_map(|family| family.model_types.iter().copied()).collect();
            let supported = supported.join(", ");
            return Err(ConfigError::UnknownModelType { found: found.into(), supported });
        };
        let mut reader = ConfigReader::new(config);
        let decoder = (family.read_config)(&mut reader)?;
        reader.finish()?;
        check(&decoder)?;
        Ok((family, decoder))
    }
}

fn check(config: &DecoderConfig) -> Result<(), ConfigError> {
    let attention = config.attention;
    if !attention.heads.is_multiple_of(attention.kv_heads) {
        return Err(ConfigError::Inconsistent(format!(
            "{} attention heads cannot share {} key-value heads",
            attention.heads, attention.kv_heads
        )));
    }
    if !attention.head_dim.is_multiple_of(2) {
        let message = format!("head_dim {} is odd", attention.head_dim);
        return Err(ConfigError::Inconsistent(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn llama() -> Map<String, Value> {
        let config = json!({
            "model_type": "llama", "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10,
            "hidden_act": "silu", "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
        });
        config.as_object().expect("an object").clone()
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let rows: &[(&str, Value, &str)] = &[
            ("sliding_window", json!(128), "sliding_window = 128 is not supported"),
            ("hidden_act", json!("gelu"), "hidden_act = \"gelu\" is not supported"),
            ("rope_scaling", json!({"rope_type": "yarn"}), "rope_scaling = "),
            ("model_type", json!("mamba"), "model_type \"mamba\" is not supported"),
            ("hidden_size", json!(-1), "key \"hidden_size\" is missing or is not"),
            ("num_key_value_heads", json!(3), "2 attention heads cannot share 3"),
            ("quantization_config", json!({"bits": 4}), "quantization_config = "),
        ];
        for (key, value, expected) in rows {
            let mut config = llama();
            config.insert((*key).into(), value.clone());
            let error = Family::recognise(&config).err().expect("refused").to_string();
            assert!(error.contains(expected), "{key}: {error}");
        }
    }

    #[test]
    fn modules_are_told_from_other_tensors() {
        let rows = [
            (
                &llama::FAMILY,
                "model.layers.12.mlp.down_proj.weight",
                Some("model.layers.12.mlp.down_proj"),
            ),
            (
                &llama::FAMILY,
                "model.layers.0.self_attn.q_proj.weight",
                Some("model.layers.0.self_attn.q_proj"),
            ),
            (&llama::FAMILY, "model.embed_tokens.weight", None),
            (&llama::FAMILY, "model.layers.0.input_layernorm.weight", None),
            (&gpt2::FAMILY, "h.3.mlp.c_proj.weight", Some("transformer.h.3.mlp.c_proj")),
            (
                &gpt2::FAMILY,
                "transformer.h.3.attn.c_attn.weight",
                Some("transformer.h.3.attn.c_attn"),
            ),
            (&gpt2::FAMILY, "h.3.mlp.c_proj.bias", None),
            (&gpt2::FAMILY, "wpe.weight", None),
        ];
        for (family, tensor, expected) in rows {
            assert_eq!(family.names.linear_module(tensor).as_deref(), expected, "{tensor}");
        }
    }

    #[test]
    fn harmless_keys_and_switched_off_ones_pass() {
        let mut config = llama();
        config.insert("attention_dropout".into(), json!(0.1));
        config.insert("use_sliding_window".into(), json!(false));
        config.insert("torch_dtype".into(), json!("bfloat16"));
        let (_, decoder) = Family::recognise(&config).expect("understood");
        assert_eq!((decoder.attention.head_dim, decoder.attention.kv_heads), (4, 2));
    }
}
