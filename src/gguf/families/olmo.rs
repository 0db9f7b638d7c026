//! OLMo 2 and 3: norms after the branches, and of whole queries and keys.

use super::super::error::GgufFault;
use super::super::family::{Described, GgufFamily, Object, Paired};
use super::super::header::GgufHeader;
use super::super::order::Order::Same;
use super::super::sizes::Size::{Hidden, Keys, Queries};
use super::standard::{self, Names, tensor};
use crate::model::Role;

/// For each layer, whether it has the window.
const WINDOWED: &str = "attention.sliding_window_pattern";

pub(super) static OLMO2: GgufFamily = GgufFamily {
    architecture: "olmo2",
    model_types: &["olmo2", "olmo3"],
    keys: &[standard::SIZES, &[WINDOWED]],
    paired: &[Paired::size("attention.sliding_window", "sliding_window")],
    tensors: &[
        &[standard::EMBEDDING, standard::OUTPUT, standard::FINAL_NORM, standard::HEAD],
        &standard::projections(Same),
        &[
            tensor(Role::QueryNorm, "blk.{}.attn_q_norm", &[Queries], Same),
            tensor(Role::KeyNorm, "blk.{}.attn_k_norm", &[Keys], Same),
            tensor(Role::PostAttentionNorm, "blk.{}.post_attention_norm", &[Hidden], Same),
            tensor(Role::PostMlpNorm, "blk.{}.post_ffw_norm", &[Hidden], Same),
        ],
        standard::GATED,
    ],
    config: config_of,
    pre_tokenizer: None,
};

/// OLMo 3 is OLMo 2 with a window in all but every fourth layer, as llama.cpp tells them apart.
fn config_of(header: &GgufHeader<'_>, model: &Described<'_>) -> Result<Object, GgufFault> {
    let (metadata, family) = (&header.metadata, model.family);
    let window = metadata.unsigned(&family.key("attention.sliding_window"))?;
    let class = if window.is_some() { "Olmo3ForCausalLM" } else { "Olmo2ForCausalLM" };
    let mut config = standard::config(header, model, &Names { class, ..standard::LLAMA })?;
    config.insert("attention_bias".into(), false.into());
    if window.is_some() {
        config.insert("model_type".into(), "olmo3".into());
    }
    let key = family.key(WINDOWED);
    let windowed = metadata.flags(&key, model.sizes.layers)?;
    let usual = |(layer, windowed): (usize, &bool)| *windowed == ((layer + 1) % 4 != 0);
    match windowed.is_none_or(|windowed| windowed.iter().enumerate().all(usual)) {
        true => Ok(config),
        false => Err(family.unsupported(metadata, key)),
    }
}
