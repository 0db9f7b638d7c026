//! Qwen 2, with biases in attention, and Qwen 3, with norms of queries and keys instead.

use super::super::family::{GgufFamily, Stored};
use super::super::order::Order::Same;
use super::super::sizes::Size::Head;
use super::standard::{self, Names, tensor, with_bias};
use crate::model::Role;

const BEFORE: &[Stored] = &[standard::EMBEDDING, standard::ATTENTION_NORM];
const AFTER: &[Stored] =
    &[standard::OUTPUT, standard::MLP_NORM, standard::FINAL_NORM, standard::HEAD];

pub(super) static QWEN2: GgufFamily = GgufFamily {
    architecture: "qwen2",
    model_types: &["qwen2"],
    keys: standard::KEYS,
    paired: &[],
    tensors: &[
        BEFORE,
        &{
            let [query, key, value] = standard::projections(Same);
            [with_bias(query), with_bias(key), with_bias(value)]
        },
        standard::GATED,
        AFTER,
    ],
    config: |header, model| {
        let names = Names { class: "Qwen2ForCausalLM", ..standard::LLAMA };
        standard::config(header, model, &names)
    },
    pre_tokenizer: None,
};

pub(super) static QWEN3: GgufFamily = GgufFamily {
    architecture: "qwen3",
    model_types: &["qwen3"],
    keys: standard::KEYS,
    paired: &[],
    tensors: &[
        BEFORE,
        &standard::projections(Same),
        &[
            tensor(Role::QueryNorm, "blk.{}.attn_q_norm", &[Head], Same),
            tensor(Role::KeyNorm, "blk.{}.attn_k_norm", &[Head], Same),
        ],
        standard::GATED,
        AFTER,
    ],
    config: |header, model| {
        let names = Names { class: "Qwen3ForCausalLM", ..standard::LLAMA };
        let mut config = standard::config(header, model, &names)?;
        config.insert("attention_bias".into(), false.into());
        Ok(config)
    },
    pre_tokenizer: None,
};
