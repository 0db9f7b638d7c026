//! Llama, and what shares its arithmetic: Mistral, Granite with its factors, SmolLM3 with layers
//! that do not rotate.

use super::super::error::GgufFault;
use super::super::family::{Described, GgufFamily, Object, Paired, Stored};
use super::super::header::GgufHeader;
use super::super::order::Order::RotaryPairs;
use super::standard::{self, Names, with_optional_bias};

const BEFORE_MLP: &[Stored] = &{
    let [query, key, value] = standard::projections(RotaryPairs);
    [
        standard::EMBEDDING,
        standard::ATTENTION_NORM,
        with_optional_bias(query),
        with_optional_bias(key),
        with_optional_bias(value),
        with_optional_bias(standard::OUTPUT),
        standard::MLP_NORM,
    ]
};

const BIASED_MLP: &[Stored] = &[
    with_optional_bias(standard::GATE),
    with_optional_bias(standard::UP),
    with_optional_bias(standard::DOWN),
];

const AFTER_MLP: &[Stored] =
    &[standard::FINAL_NORM, standard::HEAD, standard::factors("rope_freqs")];

const LLAMA: GgufFamily = GgufFamily {
    architecture: "llama",
    // llama.cpp has one name for all.
    model_types: &["llama", "mistral", "ministral"],
    keys: standard::KEYS,
    paired: &[],
    tensors: &[BEFORE_MLP, BIASED_MLP, AFTER_MLP],
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
    // llama.cpp computes no biases in the MLP of this one.
    tensors: &[BEFORE_MLP, standard::GATED, AFTER_MLP],
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
    config.insert("attention_bias".into(), model.biases.query_key_value.into());
    config.insert("mlp_bias".into(), model.biases.mlp.into());
    Ok(config)
}
