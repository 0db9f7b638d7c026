//! The table of each architecture, and which of them a file declares.

use super::{
    config,
    error::{DraftError, GgufFault},
    family::{GgufFamily, Stored, at_layer},
    metadata::{Metadata, required},
    order::Order::{self, RotaryPairs, Same, Transposed},
    sizes::Size::{
        self, Context, FusedHeads, HalfHead, Head, Hidden, Intermediate, Keys, Queries, Vocabulary,
    },
};
use crate::model::config::DecoderConfig;
use crate::model::{Role, Slot};

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

/// The family as which a model is written, by the `model_type` of its folder.
pub(super) fn of_model(config: &DecoderConfig) -> Result<&'static GgufFamily, DraftError> {
    let name = match config.model_type.as_str() {
        // The same arithmetic; llama.cpp has one name for both.
        "mistral" => LLAMA.architecture,
        other => other,
    };
    let known = || FAMILIES.iter().map(|family| family.architecture).collect::<Vec<_>>().join(", ");
    FAMILIES
        .iter()
        .find(|family| family.architecture == name)
        .copied()
        .ok_or_else(|| DraftError::Family { model_type: config.model_type.clone(), known: known() })
}

/// What llama.cpp calls the families without a table here, whose down projections have the usual
/// names.
const OTHERS: &[(&str, &str)] = &[
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3_text", "gemma3"),
    ("phi3", "phi3"),
    ("olmo2", "olmo2"),
    ("olmo3", "olmo2"),
    ("granite", "granite"),
    ("smollm3", "smollm3"),
    ("starcoder2", "starcoder2"),
    ("stablelm", "stablelm"),
    ("gpt_neox", "gptneox"),
    ("gptj", "gptj"),
];

/// Where a file has a linear map of a model: the architecture, the tensor's name, and its order.
/// Of families without a table here, the down projections alone are known.
pub(super) fn place_of(
    config: &DecoderConfig,
    slot: &Slot,
) -> Result<(&'static str, String, Order), DraftError> {
    let named = |stem: &str| format!("{}.weight", at_layer(stem, slot.layer.unwrap_or_default()));
    let other = OTHERS.iter().find(|(known, _)| *known == config.model_type);
    if let (Some((_, architecture)), Role::Down) = (other, slot.role) {
        return Ok((architecture, named("blk.{}.ffn_down"), Same));
    }
    let family = of_model(config)?;
    let mut stored = family.parts(1).map(|(stored, ..)| stored);
    match stored.find(|stored| stored.role == Some(slot.role)) {
        Some(stored) => Ok((family.architecture, named(stored.stem), stored.order)),
        None => Err(DraftError::NoPlace {
            what: format!("tensor {:?}", slot.name),
            architecture: family.architecture,
        }),
    }
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
