//! Families of models, as data: how `config.json` reads and what the tensors are called.
//!
//! A new family is one file with a [`Family`], one line in the list below, and one fixture. Most
//! share llama's names and keys (`standard.rs`) and state only what differs.

mod gemma;
mod gpt2;
mod gpt_neox;
mod gptj;
mod granite;
mod llama;
mod mistral;
mod olmo;
mod phi3;
mod qwen;
mod refused;
mod rope;
mod smollm3;
mod stablelm;
mod standard;
mod starcoder2;

use serde_json::{Map, Value};

use super::config::{ConfigError, ConfigReader, DecoderConfig, Position};
use super::role::Role;
use crate::ops::WeightLayout;

/// One family of models.
pub struct Family {
    /// The `model_type`s that it accepts.
    pub model_types: &'static [&'static str],
    /// `model_type`s of larger models whose `text_config` is one of this family: their text part.
    wrappers: &'static [&'static str],
    /// Sizes that such a `text_config` leaves out.
    defaults: &'static [(&'static str, u64)],
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
    /// The stem of each role's tensors, without prefix, with `{}` for the layer; of two that name a
    /// role, the first counts. Roles with the same stem share one tensor, in this order along its
    /// output.
    pub stems: &'static [&'static [(Role, &'static str)]],
    /// How roles follow each other in a tensor that they share.
    pub fusion: Fusion,
    /// How the matrices of the layers are stored.
    pub layout: WeightLayout,
}

/// How roles follow each other in a tensor that they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// The whole of one role, then the whole of the next.
    Blocks,
    /// The first head of each role, then the second head of each.
    Heads,
}

impl TensorNames {
    /// The stem of a role's tensors.
    pub(super) fn stem(&self, role: Role) -> &'static str {
        let own = self.stems.iter().copied().flatten().find(|(known, _)| *known == role);
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
        let prefix = match role {
            Role::Head => {
                let outer = prefix.strip_suffix(self.prefixes[0]).unwrap_or("");
                if outer.ends_with('.') { outer } else { "" }
            }
            _ => prefix,
        };
        format!("{prefix}{stem}.{part}")
    }

    /// Where the Hugging Face model has the modules of files with this prefix.
    pub(super) fn module_prefix(&self, prefix: &str) -> &'static str {
        let own = self.prefixes.iter().find(|own| **own == prefix && !own.is_empty());
        match prefix {
            TEXT_PART => TEXT_PART_MODULE,
            // Files that leave the prefix out, or wrap it as trainers do (`module.model.`).
            _ => own.unwrap_or(&self.prefixes[0]),
        }
    }

    /// The prefix of the files whose tensors have these names: one of the family's own, or whatever
    /// stands before the only embedding.
    pub(super) fn prefix_in<'n>(&self, names: impl Iterator<Item = &'n str>) -> &'n str
    where
        Self: 'n,
    {
        let embedding = self.stored_under("", Role::Embedding, false, None);
        let found: Vec<&str> = names.filter_map(|name| name.strip_suffix(&embedding)).collect();
        let own = self.prefixes.iter().find(|own| found.contains(*own)).copied();
        match (own, found.as_slice()) {
            (Some(own), _) => own,
            (None, [only]) if only.is_empty() || only.ends_with('.') => only,
            _ => self.prefixes[0],
        }
    }

    /// The roles that share a role's tensors, itself included.
    pub(super) fn sharing(&self, role: Role) -> impl Iterator<Item = Role> {
        let own = self.stem(role);
        let all = self.stems.iter().copied().flatten();
        all.filter(move |(role, stem)| *stem == own && self.stem(*role) == own).map(|it| it.0)
    }
}

/// Prefix of the text part of a larger model, in the files of transformers 4.
const TEXT_PART: &str = "language_model.model.";
/// The same part's place in the model, and its prefix in later files.
const TEXT_PART_MODULE: &str = "model.language_model.";

const FAMILIES: &[&Family] = &[
    &llama::FAMILY,
    &gpt2::FAMILY,
    &qwen::QWEN2,
    &qwen::QWEN3,
    &mistral::FAMILY,
    &phi3::FAMILY,
    &gemma::GEMMA,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
    &olmo::OLMO2,
    &olmo::OLMO3,
    &granite::FAMILY,
    &smollm3::FAMILY,
    &starcoder2::FAMILY,
    &stablelm::FAMILY,
    &gpt_neox::FAMILY,
    &gptj::FAMILY,
];

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
        let found = config.get("model_type").and_then(Value::as_str);
        let expected = "the name of a family";
        let found = found.ok_or_else(|| ConfigError::Key { key: "model_type".into(), expected })?;
        if let Some((family, text)) = Self::text_part(config) {
            return Ok((family, family.read(&text)?));
        }
        let supported = Self::supported();
        match (Self::named(found), refused::missing_part(found, config)) {
            (Some(family), None) => Ok((family, family.read(config)?)),
            (_, Some(missing)) => {
                Err(ConfigError::MissingPart { found: found.into(), missing, supported })
            }
            (None, None) => Err(ConfigError::UnknownModelType { found: found.into(), supported }),
        }
    }

    /// The text part of a larger model, such as one that also sees: its family and configuration.
    pub fn text_part(config: &Map<String, Value>) -> Option<(&'static Family, Map<String, Value>)> {
        let found = config.get("model_type")?.as_str()?;
        let mut text = config.get("text_config")?.as_object()?.clone();
        let family = Self::named(text.get("model_type")?.as_str()?)?;
        if !family.wrappers.contains(&found) {
            return None;
        }
        for key in ["tie_word_embeddings", "quantization_config"] {
            let outer = config.get(key).filter(|_| !text.contains_key(key));
            text.extend(outer.map(|value| (key.to_owned(), value.clone())));
        }
        for (key, size) in family.defaults {
            text.entry(*key).or_insert_with(|| (*size).into());
        }
        Some((family, text))
    }

    fn read(&self, config: &Map<String, Value>) -> Result<DecoderConfig, ConfigError> {
        let mut reader = ConfigReader::new(config);
        let decoder = (self.read_config)(&mut reader)?;
        reader.finish()?;
        check(&decoder)?;
        Ok(decoder)
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
    let Position::Rotary(rotations) = &config.position else { return Ok(()) };
    for rotated in rotations.iter().map(|rotation| 2 * rotation.inverse_frequencies.len()) {
        if !(2..=attention.head_dim).contains(&rotated) {
            let message = format!("{rotated} of {} numbers of a head rotate", attention.head_dim);
            return Err(ConfigError::Inconsistent(message));
        }
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
            ("hidden_act", json!("mish"), "hidden_act = \"mish\" is not supported"),
            ("rope_scaling", json!({"rope_type": "spiral"}), "rope_scaling = "),
            ("rope_scaling", json!({"rope_type": "yarn"}), "\"rope_scaling.factor\" is missing"),
            ("head_dim", json!(5), "head_dim 5 is odd"),
            ("model_type", json!("falcon"), "model_type \"falcon\" is not supported"),
            ("hidden_size", json!(-1), "hidden_size is -1, expected a whole number"),
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
