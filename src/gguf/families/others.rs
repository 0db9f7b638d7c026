//! Families that differ from llama in their norms, biases or the order of their projections: Phi 3,
//! StarCoder 2, StableLM and GPT-NeoX.

use super::super::family::{GgufFamily, Paired, Stored};
use super::super::order::Order::{HeadsApart, Same};
use super::super::sizes::Size::{FusedHeads, Hidden, TwiceIntermediate};
use super::standard::{self, Names, tensor, with_bias, with_optional_bias};
use crate::model::Role;

pub(super) static PHI3: GgufFamily = GgufFamily {
    architecture: "phi3",
    model_types: &["phi3"],
    keys: standard::KEYS,
    paired: &[Paired::size("attention.sliding_window", "sliding_window")],
    tensors: &[&[
        standard::EMBEDDING,
        standard::ATTENTION_NORM,
        // The first of the roles that share it, here and below.
        tensor(Role::Query, "blk.{}.attn_qkv", &[FusedHeads, Hidden], Same),
        standard::OUTPUT,
        standard::MLP_NORM,
        tensor(Role::Gate, "blk.{}.ffn_up", &[TwiceIntermediate, Hidden], Same),
        standard::DOWN,
        standard::FINAL_NORM,
        standard::HEAD,
        standard::factors("rope_factors_long"),
        standard::factors("rope_factors_short"),
    ]],
    config: |header, model| {
        let rotated = Some("partial_rotary_factor");
        let names = Names { class: "Phi3ForCausalLM", rotated, ..standard::LLAMA };
        standard::config(header, model, &names)
    },
    pre_tokenizer: None,
};

/// Projections of attention with biases.
const BIASED: &[Stored] = &{
    let [query, key, value] = standard::projections(Same);
    [with_bias(query), with_bias(key), with_bias(value), with_bias(standard::OUTPUT)]
};

pub(super) static STARCODER2: GgufFamily = GgufFamily {
    architecture: "starcoder2",
    model_types: &["starcoder2"],
    keys: standard::KEYS,
    paired: &[],
    tensors: &[
        BIASED,
        &[
            standard::EMBEDDING,
            with_bias(standard::ATTENTION_NORM),
            with_bias(standard::MLP_NORM),
            with_bias(standard::UP),
            with_bias(standard::DOWN),
            with_bias(standard::FINAL_NORM),
            standard::HEAD,
        ],
    ],
    config: |header, model| {
        let names = Names {
            class: "Starcoder2ForCausalLM",
            epsilon: "norm_epsilon",
            rotated: None,
            activation: "gelu_pytorch_tanh",
        };
        let mut config = standard::config(header, model, &names)?;
        config.insert("use_bias".into(), true.into());
        Ok(config)
    },
    pre_tokenizer: None,
};

const PARALLEL: Paired = Paired::flag("use_parallel_residual", "use_parallel_residual");

pub(super) static STABLELM: GgufFamily = GgufFamily {
    architecture: "stablelm",
    model_types: &["stablelm"],
    keys: standard::KEYS,
    paired: &[PARALLEL],
    tensors: &[
        &{
            let [query, key, value] = standard::projections(Same);
            [with_optional_bias(query), with_optional_bias(key), with_optional_bias(value)]
        },
        standard::GATED,
        &[
            standard::EMBEDDING,
            with_bias(standard::ATTENTION_NORM),
            standard::OUTPUT,
            with_bias(standard::MLP_NORM),
            with_bias(standard::FINAL_NORM),
            standard::HEAD,
        ],
    ],
    config: |header, model| {
        let names = Names {
            class: "StableLmForCausalLM",
            epsilon: "layer_norm_eps",
            rotated: Some("partial_rotary_factor"),
            activation: "silu",
        };
        let mut config = standard::config(header, model, &names)?;
        config.insert("use_qkv_bias".into(), model.biases.query_key_value.into());
        Ok(config)
    },
    pre_tokenizer: None,
};

pub(super) static GPT_NEOX: GgufFamily = GgufFamily {
    architecture: "gptneox",
    model_types: &["gpt_neox"],
    keys: standard::KEYS,
    paired: &[PARALLEL],
    tensors: &[&[
        standard::EMBEDDING,
        with_bias(standard::ATTENTION_NORM),
        // Heads lie one after the other in the folder, each with its query, key and value.
        with_bias(tensor(Role::Query, "blk.{}.attn_qkv", &[FusedHeads, Hidden], HeadsApart)),
        with_bias(standard::OUTPUT),
        with_bias(standard::MLP_NORM),
        with_bias(standard::UP),
        with_bias(standard::DOWN),
        with_bias(standard::FINAL_NORM),
        standard::HEAD,
    ]],
    config: |header, model| {
        let names = Names {
            class: "GPTNeoXForCausalLM",
            epsilon: "layer_norm_eps",
            rotated: Some("rotary_pct"),
            activation: "gelu",
        };
        let mut config = standard::config(header, model, &names)?;
        let theta = config["rope_theta"].clone();
        config.insert("rotary_emb_base".into(), theta);
        config.insert("attention_bias".into(), true.into());
        Ok(config)
    },
    pre_tokenizer: Some("olmo"),
};
