//! What the families of llama's kind share: keys, tensors, and what `config.json` makes of them.

use serde_json::{Map, Value, json};

use super::super::error::GgufFault;
use super::super::family::{Described, GgufFamily, Object, Stored};
use super::super::header::GgufHeader;
use super::super::metadata::required;
use super::super::order::Order::{self, Same};
use super::super::rope;
use super::super::sizes::Size::{self, Hidden, Intermediate, Queries, Vocabulary};
use crate::model::Role;

/// The keys of most families.
pub(super) const KEYS: &[&[&str]] = &[SIZES];
/// Sizes, and the encoding of positions.
pub(super) const SIZES: &[&str] = &[
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "expert_count",
    "expert_used_count",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.attn_factor",
    "rope.scale_linear",
];

pub(super) const EMBEDDING: Stored =
    tensor(Role::Embedding, "token_embd", &[Vocabulary, Hidden], Same);
pub(super) const ATTENTION_NORM: Stored =
    tensor(Role::AttentionNorm, "blk.{}.attn_norm", &[Hidden], Same);
pub(super) const OUTPUT: Stored =
    tensor(Role::Output, "blk.{}.attn_output", &[Hidden, Queries], Same);
pub(super) const MLP_NORM: Stored = tensor(Role::MlpNorm, "blk.{}.ffn_norm", &[Hidden], Same);
pub(super) const UP: Stored = tensor(Role::Up, "blk.{}.ffn_up", &[Intermediate, Hidden], Same);
pub(super) const DOWN: Stored =
    tensor(Role::Down, "blk.{}.ffn_down", &[Hidden, Intermediate], Same);
pub(super) const FINAL_NORM: Stored = tensor(Role::FinalNorm, "output_norm", &[Hidden], Same);
pub(super) const HEAD: Stored = tensor(Role::Head, "output", &[Vocabulary, Hidden], Same);
pub(super) const GATE: Stored =
    tensor(Role::Gate, "blk.{}.ffn_gate", &[Intermediate, Hidden], Same);
/// A gated MLP.
pub(super) const GATED: &[Stored] = &[GATE, UP, DOWN];

pub(super) const fn tensor(
    role: Role,
    stem: &'static str,
    shape: &'static [Size],
    order: Order,
) -> Stored {
    Stored { role: Some(role), stem, shape, order, has_bias: false, has_optional_bias: false }
}

/// The projections of queries, keys and values, rows of rotated heads in some order.
pub(super) const fn projections(rotated: Order) -> [Stored; 3] {
    [
        tensor(Role::Query, "blk.{}.attn_q", &[Queries, Hidden], rotated),
        tensor(Role::Key, "blk.{}.attn_k", &[Size::Keys, Hidden], rotated),
        tensor(Role::Value, "blk.{}.attn_v", &[Size::Keys, Hidden], Same),
    ]
}

/// Factors of frequencies, which `config.json` states in words.
pub(super) const fn factors(stem: &'static str) -> Stored {
    Stored {
        role: None,
        stem,
        shape: &[Size::Pairs],
        order: Same,
        has_bias: false,
        has_optional_bias: false,
    }
}

pub(super) const fn with_bias(tensor: Stored) -> Stored {
    Stored { has_bias: true, ..tensor }
}

/// A bias that some models of the family have.
pub(super) const fn with_optional_bias(tensor: Stored) -> Stored {
    Stored { has_optional_bias: true, ..tensor }
}

/// The names that a family's `config.json` has for what most call alike.
pub(super) struct Names {
    /// The model class of transformers.
    pub(super) class: &'static str,
    /// The key of the norms' ε.
    pub(super) epsilon: &'static str,
    /// The key of the share of a head that rotates, where it may be less than all.
    pub(super) rotated: Option<&'static str>,
    /// The nonlinearity.
    pub(super) activation: &'static str,
}

/// Names as llama has them.
pub(super) const LLAMA: Names =
    Names { class: "LlamaForCausalLM", epsilon: "rms_norm_eps", rotated: None, activation: "silu" };

/// The keys of `config.json` that the families of llama's kind share.
pub(super) fn config(
    header: &GgufHeader<'_>,
    model: &Described<'_>,
    names: &Names,
) -> Result<Object, GgufFault> {
    let (metadata, sizes, family) = (&header.metadata, model.sizes, model.family);
    for name in ["expert_count", "expert_used_count"] {
        let key = family.key(name);
        if metadata.unsigned(&key)?.is_some_and(|experts| experts > 0) {
            return Err(family.unsupported(metadata, key));
        }
    }
    let theta = family.key("rope.freq_base");
    let theta = positive(&theta, metadata.real(&theta)?.unwrap_or(10_000.0))?;
    let mut config = object(json!({
        "architectures": [names.class],
        "model_type": family.model_types[0],
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_heads,
        "head_dim": sizes.head,
        "hidden_act": names.activation,
        "max_position_embeddings": sizes.context,
    }));
    // Patches name the bytes of this file, in which keys keep their order.
    config.insert(names.epsilon.into(), epsilon(header, family)?.into());
    config.insert("rope_theta".into(), theta.into());
    config.insert("rope_scaling".into(), rope::scaling(header, model, theta)?);
    config.insert("tie_word_embeddings".into(), model.is_tied.into());
    if config["rope_scaling"]["rope_type"] == "longrope"
        && let Some(original) = rope::original_context(header, model)?
    {
        config.insert("original_max_position_embeddings".into(), original.into());
    }
    let key = family.key("rope.dimension_count");
    let rotated = metadata.unsigned(&key)?.unwrap_or(sizes.head as u64);
    match names.rotated {
        Some(name) => {
            config.insert(name.into(), (rotated as f64 / sizes.head as f64).into());
        }
        None if rotated != sizes.head as u64 => return Err(family.unsupported(metadata, key)),
        None => {}
    }
    Ok(config)
}

/// The ε of the norms, of either kind.
pub(super) fn epsilon(header: &GgufHeader<'_>, family: &GgufFamily) -> Result<f64, GgufFault> {
    let [root, layer] = ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"]
        .map(|name| family.key(name));
    let found = header.metadata.real(&root)?;
    match found.or(header.metadata.real(&layer)?) {
        Some(epsilon) => positive(&root, epsilon),
        None => required(&root, None),
    }
}

fn positive(key: &str, value: f64) -> Result<f64, GgufFault> {
    if value > 0.0 {
        return Ok(value);
    }
    Err(GgufFault::invalid(format!("key {key:?}"), value, "above 0"))
}

pub(super) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
