//! What a decoder computes: the closed choices in which families differ, as data.

mod harmless;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::ops::{
    Activation, AttentionRule, AttentionShape, LogitRule, RotaryTable, Rotation, Span,
};

/// Everything that decides the arithmetic of a decoder.
#[derive(Debug, Clone, Serialize)]
pub struct DecoderConfig {
    /// `model_type` of the config file.
    pub model_type: String,
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream, d_v.
    pub hidden: usize,
    /// Width of a key (input of the down projection), d_k.
    pub intermediate: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Longest sequence.
    pub context: usize,
    /// Heads.
    pub attention: AttentionShape,
    /// Factor of attention's scores.
    pub score_scale: f32,
    /// Soft limit of attention's scores.
    pub score_cap: Option<f32>,
    /// What attention sees in each layer.
    pub sight: Vec<Sight>,
    /// Norm of queries and keys, each for itself.
    pub query_key_norm: Option<QueryKeyNorm>,
    /// Row normalisation.
    pub norm: Norm,
    /// Norms before the two branches of a layer.
    pub before: Before,
    /// Norms between the two branches of a layer and the residual stream.
    pub has_post_norms: bool,
    /// The MLP reads the stream before the layer, as attention does, not the one after it.
    pub is_parallel: bool,
    /// How a token knows its place.
    pub position: Position,
    /// Kind of MLP.
    pub mlp: Mlp,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
    /// Which linear maps have biases.
    pub biases: Biases,
    /// Factor of the embedding.
    pub embedding_scale: f32,
    /// Factor of what a branch adds to the residual stream.
    pub residual_scale: f32,
    /// From the products of the head to logits.
    pub logits: LogitRule,
    /// The output head is the embedding.
    pub is_tied: bool,
}

impl DecoderConfig {
    /// The keys, as data, in which another config computes something else; names and frequencies
    /// that differ by rounding do not count.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let data = |config: &Self| match serde_json::to_value(config) {
            Ok(Value::Object(data)) => data,
            _ => Map::new(),
        };
        let (own, other_data) = (data(self), data(other));
        let differs = |(key, value): &(&String, &Value)| {
            !["model_type", "position"].contains(&key.as_str())
                && other_data.get(*key) != Some(value)
        };
        let mut names: Vec<String> =
            own.iter().filter(differs).map(|(key, _)| key.clone()).collect();
        if !self.position.is_close_to(&other.position) {
            names.push("rotary positions".to_owned());
        }
        names
    }

    /// How a layer's attention computes scores and which rows it sees.
    pub(super) fn attention_rule(&self, layer: usize) -> AttentionRule {
        let (scale, cap, window) = (self.score_scale, self.score_cap, self.sight[layer].window);
        AttentionRule { shape: self.attention, scale, cap, window }
    }
}

/// What attention sees in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sight {
    /// Rows that a query sees; all that came before where there is no window.
    pub window: Option<usize>,
    /// Which of the rotary encodings turns queries and keys.
    pub rotation: Option<usize>,
}

/// Norms before the two branches of a layer, attention and MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Each has its own.
    Each,
    /// Both read the output of one.
    Shared,
    /// Both read the stream as it is.
    Neither,
}

/// What a norm of queries and keys spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryKeyNorm {
    /// One head; all heads share the weights.
    Head,
    /// All heads together.
    Whole,
}

/// Which linear maps have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Biases {
    /// Query, key and value projections.
    pub query_key_value: bool,
    /// Output projection of attention.
    pub output: bool,
    /// Maps of the MLP.
    pub mlp: bool,
    /// The head.
    pub head: bool,
}

/// Row normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Mean and variance, with a bias; the number is ε.
    Layer(f64),
    /// Root mean square; the number is ε.
    Rms(f64),
    /// Root mean square with 1 + w in place of the weights w; the number is ε.
    RmsFromOne(f64),
}

impl Norm {
    pub(super) fn has_bias(self) -> bool {
        matches!(self, Self::Layer(_))
    }
}

/// How positions are encoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// A learned vector a position, added to the embedding.
    Learned,
    /// Rotation of queries and keys; each layer uses one of these, or none.
    Rotary(#[serde(skip)] Vec<Rotation>),
}

impl Position {
    /// Whether both encode positions alike, up to the rounding of frequencies.
    fn is_close_to(&self, other: &Self) -> bool {
        const SAME: f32 = 1e-5;
        let close = |a: &[f32], b: &[f32]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME * a.abs())
        };
        let alike = |(a, b): (&Rotation, &Rotation)| {
            let beyond = match (&a.beyond, &b.beyond) {
                (None, None) => true,
                (Some((at, a)), Some((end, b))) => at == end && close(a, b),
                _ => false,
            };
            let shape = |it: &Rotation| (it.head_dim, it.pairing);
            beyond
                && shape(a) == shape(b)
                && (a.magnitude - b.magnitude).abs() <= SAME
                && close(&a.inverse_frequencies, &b.inverse_frequencies)
        };
        match (self, other) {
            (Self::Learned, Self::Learned) => true,
            (Self::Rotary(a), Self::Rotary(b)) => a.len() == b.len() && a.iter().zip(b).all(alike),
            _ => false,
        }
    }

    /// The length beyond which positions are encoded otherwise, if there is one.
    pub(super) fn reencoded_beyond(&self) -> Option<usize> {
        let Self::Rotary(all) = self else { return None };
        all.iter().find_map(|rotation| rotation.beyond.as_ref().map(|(length, _)| *length))
    }

    /// Cosines and sines of each rotary encoding for the rows of a batch.
    pub(super) fn tables(&self, spans: &[Span]) -> candle_core::Result<Vec<RotaryTable>> {
        match self {
            Self::Learned => Ok(Vec::new()),
            Self::Rotary(all) => all.iter().map(|one| RotaryTable::new(spans, one)).collect(),
        }
    }
}

/// The kind of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mlp {
    /// A plain MLP: down(φ(up x)).
    Plain,
    /// A gated MLP: down(φ(gate x) · up x).
    Gated,
}

/// `config.json` does not describe a decoder that this program computes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No family has this model type.
    #[error("model_type {found:?} is not supported; supported are {supported}")]
    UnknownModelType {
        /// The model type in the file.
        found: String,
        /// The model types that are known.
        supported: String,
    },
    /// A kind of model of which a part is not implemented.
    #[error("model_type {found:?} is {missing}; supported are {supported}")]
    MissingPart {
        /// The model type in the file.
        found: String,
        /// What kind of model it is, and which part of it is missing.
        missing: &'static str,
        /// The model types that are known.
        supported: String,
    },
    /// A required key is absent or of another type.
    #[error("config.json: key {key:?} is missing or is not {expected}")]
    Key {
        /// The key.
        key: String,
        /// What the value should be.
        expected: &'static str,
    },
    /// A key that is no size.
    #[error("config.json: {key} is {found}, expected a whole number from 1 to 16,777,215")]
    Size {
        /// The key.
        key: String,
        /// Its value as JSON.
        found: String,
    },
    /// A key whose value changes the mathematics in a way that is not implemented.
    #[error("config.json: {key} = {value} is not supported{}", .expected.map(|e| format!(" (expected {e})")).unwrap_or_default())]
    Unsupported {
        /// The key.
        key: String,
        /// Its value as JSON.
        value: String,
        /// The value that would be supported.
        expected: Option<&'static str>,
    },
    /// Keys that are not known, or whose values would change what is computed.
    #[error("config.json: {} not supported", listed(.keys))]
    UnsupportedKeys {
        /// Each key and its value as JSON.
        keys: Vec<(String, String)>,
    },
    /// Widths that do not fit each other.
    #[error("config.json: {0}")]
    Inconsistent(String),
}

/// Reads `config.json` and remembers which keys were understood.
pub(super) struct ConfigReader<'a> {
    keys: &'a Map<String, Value>,
    unread: BTreeMap<&'a str, &'a Value>,
    /// Keys with a value for which the decoder would be wrong.
    refused: BTreeMap<&'a str, &'a Value>,
}

impl<'a> ConfigReader<'a> {
    pub(super) fn new(keys: &'a Map<String, Value>) -> Self {
        let unread = keys.iter().filter(|(key, value)| !harmless::is_harmless(key, value));
        let unread = unread.map(|(key, value)| (key.as_str(), value)).collect();
        Self { keys, unread, refused: BTreeMap::new() }
    }

    fn take(&mut self, key: &str) -> Option<&'a Value> {
        self.unread.remove(key);
        self.keys.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn optional(&mut self, key: &str) -> Option<&'a Value> {
        self.take(key)
    }

    pub(super) fn size(&mut self, key: &str) -> Result<usize, ConfigError> {
        self.optional_size(key)?
            .ok_or_else(|| ConfigError::Key { key: key.into(), expected: "a whole number" })
    }

    pub(super) fn optional_size(&mut self, key: &str) -> Result<Option<usize>, ConfigError> {
        /// Larger than any width in use, small enough that products of two cannot overflow.
        const LIMIT: u64 = 1 << 24;
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_u64() {
            Some(size @ 1..LIMIT) => Ok(Some(size as usize)),
            _ => Err(ConfigError::Size { key: key.into(), found: value.to_string() }),
        }
    }

    pub(super) fn number(&mut self, key: &str, default: f64) -> Result<f64, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| ConfigError::Key { key: key.into(), expected: "a number" }),
        }
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| ConfigError::Key { key: key.into(), expected: "true or false" }),
        }
    }

    pub(super) fn model_type(&self) -> &'a str {
        self.keys.get("model_type").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        self.take(key).and_then(Value::as_str)
    }

    /// Accepts a key only with the one value for which the decoder is right; [`finish`](Self::finish)
    /// refuses any other.
    pub(super) fn only(&mut self, key: &str, value: Value) -> Result<(), ConfigError> {
        if self.take(key).is_some_and(|found| *found != value) {
            self.refused.extend(self.keys.get_key_value(key).map(|(key, it)| (key.as_str(), it)));
        }
        Ok(())
    }

    pub(super) fn activation(&mut self, key: &str) -> Result<Activation, ConfigError> {
        match self.text(key) {
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("gelu") => Ok(Activation::Gelu),
            Some("relu") => Ok(Activation::Relu),
            Some(other) => {
                let expected = Some("silu, gelu, gelu_new, gelu_pytorch_tanh or relu");
                Err(unsupported(key, &Value::from(other), expected))
            }
            None => Err(ConfigError::Key { key: key.into(), expected: "an activation's name" }),
        }
    }

    /// Refuses, all at once, the keys that nobody asked for and those of a wrong value.
    pub(super) fn finish(mut self) -> Result<(), ConfigError> {
        self.refused.append(&mut self.unread);
        if self.refused.is_empty() {
            return Ok(());
        }
        let keys = self.refused.into_iter();
        let keys = keys.map(|(key, value)| (key.to_owned(), shortened(value))).collect();
        Err(ConfigError::UnsupportedKeys { keys })
    }
}

/// A value as JSON, cut where a person no longer reads on.
fn shortened(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// `a = 1, b = 2 and c = 3 are`, for a sentence about them.
fn listed(keys: &[(String, String)]) -> String {
    let shown: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    match shown.as_slice() {
        [one] => format!("{one} is"),
        [first @ .., last] => format!("{} and {last} are", first.join(", ")),
        [] => String::new(),
    }
}

/// A `config.json` without the keys that its user wants ignored, also in its text part.
pub fn without_keys(mut config: Map<String, Value>, ignored: &[String]) -> Map<String, Value> {
    let text = config.get_mut("text_config").and_then(Value::as_object_mut);
    if let Some(text) = text {
        text.retain(|key, _| !ignored.contains(key));
    }
    config.retain(|key, _| !ignored.contains(key));
    config
}

pub(super) fn unsupported(key: &str, value: &Value, expected: Option<&'static str>) -> ConfigError {
    ConfigError::Unsupported { key: key.into(), value: value.to_string(), expected }
}
