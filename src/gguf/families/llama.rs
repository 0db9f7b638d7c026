//! Llama, and what shares its arithmetic: Mistral, Granite with its factors, SmolLM3 with layers
//! that do not rotate.

use serde_json::json;

use super::super::error::GgufFault;
use super::super::family::{Described, GgufFamily, Object, Paired, Stored};
use super::super::header::GgufHeader;
use super::super::order::Order::RotaryPairs;
use super::standard::{self, Names};

const TENSORS: &[&[Stored]] = &[
    &[standard::EMBEDDING, standard::ATTENTION_NORM],
    &{
        let [query, key, value] = standard::projections(RotaryPairs);
        [
            standard::with_optional_bias(query),
            standard::with_optional_bias(key),
            standard::with_optional_bias(value),
            standard::with_optional_bias(standard::OUTPUT),
            standard::MLP_NORM,
        ]
    },
    standard::GATED,
    &[standard::FINAL_NORM, standard::HEAD],
    &[standard::factors("rope_freqs")],
];

const LLAMA: GgufFamily = GgufFamily {
    architecture: "llama",
    // llama.cpp has one name for both.
    model_types: &["llama", "mistral"],
    keys: standard::KEYS,
    paired: &[],
    tensors: TENSORS,
    config: |header, model| with_flags(header, model, &standard::LLAMA),
    pre_tokenizer: None,
};

pub(super) static FAMILY: GgufFamily = LLAMA;

pub(super) static GRANITE: GgufFamily = GgufFamily {
    architecture: "granite",
    model_types: &["granite"],
    paired: &[
        Paired::real("embedding_scale", "embedding_multiplier"),
        Paired::real("residual_scale", "residual_multiplier"),
        Paired::real("attention.scale", "attention_multiplier"),
        Paired::real("logit_scale", "logits_scaling"),
    ],
    config: |header, model| {
        let names = Names { class: "GraniteForCausalLM", ..standard::LLAMA };
        with_flags(header, model, &names)
    },
    ..LLAMA
};

pub(super) static SMOLLM3: GgufFamily = GgufFamily {
    architecture: "smollm3",
    model_types: &["smollm3"],
    config: |header, model| {
        let names = Names { class: "SmolLM3ForCausalLM", ..standard::LLAMA };
        with_flags(header, model, &names)
    },
    ..LLAMA
};

fn with_flags(
    header: &GgufHeader<'_>,
    model: &Described<'_>,
    names: &Names,
) -> Result<Object, GgufFault> {
    let mut config = standard::config(header, model, names)?;
    config.insert("attention_bias".into(), model.has_biases.into());
    config.insert("mlp_bias".into(), json!(false));
    Ok(config)
}
