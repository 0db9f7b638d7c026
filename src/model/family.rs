//! Families of models, as data: how `config.json` reads and what the tensors are called.

mod gpt2;
mod llama;

use serde_json::{Map, Value};

use super::config::{ConfigError, ConfigReader, DecoderConfig};
use super::role::Role;
use crate::ops::WeightLayout;

/// One family of models.
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

/// What a family's tensors are called.
pub struct TensorNames {
    /// Prefixes under which files are found, tried in order.
    pub prefixes: &'static [&'static str],
    /// The stem of each role's tensors, without prefix, with `{}` for the layer. Roles with the
    /// same stem share one tensor, in this order along its output.
    pub stems: &'static [(Role, &'static str)],
    /// How the matrices of the layers are stored.
    pub layout: WeightLayout,
}

impl TensorNames {
    /// The stem of a role's tensors.
    pub(super) fn stem(&self, role: Role) -> &'static str {
        let own = self.stems.iter().find(|(known, _)| *known == role);
        own.expect("a family names every role that its config has").1
    }

    /// The stored name of a role's weight or bias, with the first prefix.
    pub fn stored(&self, role: Role, is_bias: bool, layer: Option<usize>) -> String {
        self.stored_under(self.prefixes[0], role, is_bias, layer)
    }

    /// The stored name of a role's weight or bias, in files with this prefix.
    pub(super) fn stored_under(
        &self,
        prefix: &str,
        role: Role,
        is_bias: bool,
        layer: Option<usize>,
    ) -> String {
        let stem = self.stem(role).replace("{}", &layer.unwrap_or_default().to_string());
        let part = if is_bias { "bias" } else { "weight" };
        // The head is outside the model that the prefix names.
        let prefix = if role == Role::Head { "" } else { prefix };
        format!("{prefix}{stem}.{part}")
    }

    /// The roles that share a role's tensors, itself included.
    pub(super) fn sharing(&self, role: Role) -> impl Iterator<Item = Role> {
        let own = self.stem(role);
        self.stems.iter().filter(move |(_, stem)| *stem == own).map(|(role, _)| *role)
    }
}

const FAMILIES: &[&Family] = &[&llama::FAMILY, &gpt2::FAMILY];

impl Family {
    /// The `model_type`s of all families, separated by commas.
    pub fn supported() -> String {
        let types = FAMILIES.iter().flat_map(|family| family.model_types.iter().copied());
        types.collect::<Vec<_>>().join(", ")
    }

    /// The family of a `model_type`.
    pub fn named(model_type: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.model_types.contains(&model_type)).copied()
    }

    /// The family that a `config.json` belongs to, and the configuration read from it.
    pub fn recognise(
        config: &Map<String, Value>,
    ) -> Result<(&'static Family, DecoderConfig), ConfigError> {
        let found = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let Some(family) = Self::named(found) else {
            let supported = Self::supported();
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
    fn harmless_keys_and_switched_off_ones_pass() {
        let mut config = llama();
        config.insert("attention_dropout".into(), json!(0.1));
        config.insert("use_sliding_window".into(), json!(false));
        config.insert("torch_dtype".into(), json!("bfloat16"));
        let (_, decoder) = Family::recognise(&config).expect("understood");
        assert_eq!((decoder.attention.head_dim, decoder.attention.kv_heads), (4, 2));
    }
}
