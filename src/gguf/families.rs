//! The table of each architecture, and which of them a file declares.

use super::{
    config,
    error::GgufFault,
    family::{
        GgufFamily,
        Order::{self, RotaryPairs, Same, Transposed},
        Stored,
    },
    metadata::{Metadata, required},
    sizes::Size::{
        self, Context, FusedHeads, HalfHead, Head, Hidden, Intermediate, Keys, Queries, Vocabulary,
    },
};
use crate::model::Role;

const STANDARD_KEYS: &[&str] = &[
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
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scale_linear",
];

/// What llama and its relatives hold before the projections of attention, and after them.
const BEFORE_ATTENTION: &[Stored] = &[
    tensor(Role::Embedding, "token_embd", &[Vocabulary, Hidden], Same),
    tensor(Role::AttentionNorm, "blk.{}.attn_norm", &[Hidden], Same),
];
const AFTER_ATTENTION: &[Stored] = &[
    tensor(Role::Output, "blk.{}.attn_output", &[Hidden, Queries], Same),
    tensor(Role::MlpNorm, "blk.{}.ffn_norm", &[Hidden], Same),
    tensor(Role::Gate, "blk.{}.ffn_gate", &[Intermediate, Hidden], Same),
    tensor(Role::Up, "blk.{}.ffn_up", &[Intermediate, Hidden], Same),
    tensor(Role::Down, "blk.{}.ffn_down", &[Hidden, Intermediate], Same),
    tensor(Role::FinalNorm, "output_norm", &[Hidden], Same),
    tensor(Role::Head, "output", &[Vocabulary, Hidden], Same),
];

static LLAMA: GgufFamily = GgufFamily {
    architecture: "llama",
    keys: STANDARD_KEYS,
    tensors: &[
        BEFORE_ATTENTION,
        &[
            tensor(Role::Query, "blk.{}.attn_q", &[Queries, Hidden], RotaryPairs),
            tensor(Role::Key, "blk.{}.attn_k", &[Keys, Hidden], RotaryPairs),
            tensor(Role::Value, "blk.{}.attn_v", &[Keys, Hidden], Same),
        ],
        AFTER_ATTENTION,
        &[Stored {
            role: None,
            stem: "rope_freqs",
            shape: &[HalfHead],
            order: Same,
            has_bias: false,
        }],
    ],
    config: config::llama,
    pre_tokenizer: None,
};

static GPT2: GgufFamily = GgufFamily {
    architecture: "gpt2",
    keys: &[
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "vocab_size",
        "attention.head_count",
        "attention.layer_norm_epsilon",
    ],
    tensors: &[&[
        tensor(Role::Embedding, "token_embd", &[Vocabulary, Hidden], Same),
        tensor(Role::Positions, "position_embd", &[Context, Hidden], Same),
        with_bias(tensor(Role::AttentionNorm, "blk.{}.attn_norm", &[Hidden], Same)),
        // The first of the three roles that share it.
        with_bias(tensor(Role::Query, "blk.{}.attn_qkv", &[FusedHeads, Hidden], Transposed)),
        with_bias(tensor(Role::Output, "blk.{}.attn_output", &[Hidden, Hidden], Transposed)),
        with_bias(tensor(Role::MlpNorm, "blk.{}.ffn_norm", &[Hidden], Same)),
        with_bias(tensor(Role::Up, "blk.{}.ffn_up", &[Intermediate, Hidden], Transposed)),
        with_bias(tensor(Role::Down, "blk.{}.ffn_down", &[Hidden, Intermediate], Transposed)),
        with_bias(tensor(Role::FinalNorm, "output_norm", &[Hidden], Same)),
        tensor(Role::Head, "output", &[Vocabulary, Hidden], Same),
    ]],
    config: config::gpt2,
    pre_tokenizer: Some("gpt-2"),
};

static QWEN2: GgufFamily = GgufFamily {
    architecture: "qwen2",
    keys: STANDARD_KEYS,
    tensors: &[
        BEFORE_ATTENTION,
        &[
            with_bias(tensor(Role::Query, "blk.{}.attn_q", &[Queries, Hidden], Same)),
            with_bias(tensor(Role::Key, "blk.{}.attn_k", &[Keys, Hidden], Same)),
            with_bias(tensor(Role::Value, "blk.{}.attn_v", &[Keys, Hidden], Same)),
        ],
        AFTER_ATTENTION,
    ],
    config: config::qwen2,
    pre_tokenizer: None,
};

static QWEN3: GgufFamily = GgufFamily {
    architecture: "qwen3",
    keys: STANDARD_KEYS,
    tensors: &[
        BEFORE_ATTENTION,
        &[
            tensor(Role::Query, "blk.{}.attn_q", &[Queries, Hidden], Same),
            tensor(Role::Key, "blk.{}.attn_k", &[Keys, Hidden], Same),
            tensor(Role::Value, "blk.{}.attn_v", &[Keys, Hidden], Same),
            tensor(Role::QueryNorm, "blk.{}.attn_q_norm", &[Head], Same),
            tensor(Role::KeyNorm, "blk.{}.attn_k_norm", &[Head], Same),
        ],
        AFTER_ATTENTION,
    ],
    config: config::qwen3,
    pre_tokenizer: None,
};

static FAMILIES: [&GgufFamily; 4] = [&LLAMA, &GPT2, &QWEN2, &QWEN3];

const fn tensor(role: Role, stem: &'static str, shape: &'static [Size], order: Order) -> Stored {
    Stored { role: Some(role), stem, shape, order, has_bias: false }
}

const fn with_bias(tensor: Stored) -> Stored {
    Stored { has_bias: true, ..tensor }
}

/// The family that a file declares; refuses keys of it that are not understood.
pub(super) fn declared(metadata: &Metadata<'_>) -> Result<&'static GgufFamily, GgufFault> {
    const KEY: &str = "general.architecture";
    let found = required(KEY, metadata.text(KEY)?)?;
    let Some(family) = FAMILIES.iter().find(|family| family.architecture == found) else {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.architecture).collect();
        return Err(GgufFault::Architecture { found: found.to_owned(), known: known.join(", ") });
    };
    family.refuse_unknown_keys(metadata)?;
    Ok(family)
}
