//! GPT-2: learned positions, biases, and matrices that Hugging Face stores [in, out].

use serde_json::json;

use super::super::family::{GgufFamily, Stored};
use super::super::order::Order::{Same, Transposed};
use super::super::sizes::Size::{Context, FusedHeads, Hidden, Intermediate};
use super::standard::{self, tensor, with_bias};
use crate::model::Role;

const TENSORS: &[Stored] = &[
    standard::EMBEDDING,
    tensor(Role::Positions, "position_embd", &[Context, Hidden], Same),
    with_bias(standard::ATTENTION_NORM),
    // The first of the three roles that share it.
    with_bias(tensor(Role::Query, "blk.{}.attn_qkv", &[FusedHeads, Hidden], Transposed)),
    with_bias(tensor(Role::Output, "blk.{}.attn_output", &[Hidden, Hidden], Transposed)),
    with_bias(standard::MLP_NORM),
    with_bias(tensor(Role::Up, "blk.{}.ffn_up", &[Intermediate, Hidden], Transposed)),
    with_bias(tensor(Role::Down, "blk.{}.ffn_down", &[Hidden, Intermediate], Transposed)),
    with_bias(standard::FINAL_NORM),
    standard::HEAD,
];

pub(super) static FAMILY: GgufFamily = GgufFamily {
    architecture: "gpt2",
    model_types: &["gpt2"],
    keys: &[&[
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "vocab_size",
        "attention.head_count",
        "attention.layer_norm_epsilon",
    ]],
    paired: &[],
    tensors: &[TENSORS],
    config: |header, model| {
        let sizes = model.sizes;
        Ok(standard::object(json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": sizes.vocabulary,
            "n_positions": sizes.context,
            "n_embd": sizes.hidden,
            "n_inner": sizes.intermediate,
            "n_layer": sizes.layers,
            "n_head": sizes.heads,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": standard::epsilon(header, model.family)?,
            "tie_word_embeddings": model.is_tied,
        })))
    },
    pre_tokenizer: Some("gpt-2"),
};
