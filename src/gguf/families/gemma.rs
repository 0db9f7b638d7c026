//! Gemma, Gemma 2 and Gemma 3: norms that multiply by 1 + w, of which a GGUF file holds the sum.

use super::super::error::GgufFault;
use super::super::family::{Described, GgufFamily, Object, Paired, Stored};
use super::super::header::GgufHeader;
use super::super::order::Order::{OneMore, Same};
use super::super::sizes::Size::{Head, Hidden};
use super::standard::{self, Names, tensor};
use crate::model::Role;

const NORMS: &[Stored] = &[
    tensor(Role::AttentionNorm, "blk.{}.attn_norm", &[Hidden], OneMore),
    tensor(Role::MlpNorm, "blk.{}.ffn_norm", &[Hidden], OneMore),
    tensor(Role::FinalNorm, "output_norm", &[Hidden], OneMore),
];
const POST_NORMS: &[Stored] = &[
    tensor(Role::PostAttentionNorm, "blk.{}.post_attention_norm", &[Hidden], OneMore),
    tensor(Role::PostMlpNorm, "blk.{}.post_ffw_norm", &[Hidden], OneMore),
];
const HEAD_NORMS: &[Stored] = &[
    tensor(Role::QueryNorm, "blk.{}.attn_q_norm", &[Head], OneMore),
    tensor(Role::KeyNorm, "blk.{}.attn_k_norm", &[Head], OneMore),
];
const MATRICES: &[Stored] = &[standard::EMBEDDING, standard::OUTPUT, standard::HEAD];
const PROJECTIONS: &[Stored] = &standard::projections(Same);

const WINDOW: Paired = Paired::size("attention.sliding_window", "sliding_window");
const CAPS: [Paired; 2] = [
    Paired::real("attn_logit_softcapping", "attn_logit_softcapping"),
    Paired::real("final_logit_softcapping", "final_logit_softcapping"),
];

const FIRST: GgufFamily = GgufFamily {
    architecture: "gemma",
    model_types: &["gemma"],
    keys: standard::KEYS,
    paired: &[],
    tensors: &[MATRICES, NORMS, PROJECTIONS, standard::GATED],
    config: |header, model| config(header, model, "GemmaForCausalLM", None),
    pre_tokenizer: None,
};

pub(super) static GEMMA: GgufFamily = FIRST;

pub(super) static GEMMA2: GgufFamily = GgufFamily {
    architecture: "gemma2",
    model_types: &["gemma2"],
    paired: &[CAPS[0], CAPS[1], WINDOW],
    tensors: &[MATRICES, NORMS, POST_NORMS, PROJECTIONS, standard::GATED],
    // Gemma 2 of 27 billion weights, the only one of 46 layers, divides by the root of a smaller
    // number than the width of its heads.
    config: |header, model| config(header, model, "Gemma2ForCausalLM", Some(46)),
    ..FIRST
};

pub(super) static GEMMA3: GgufFamily = GgufFamily {
    architecture: "gemma3",
    model_types: &["gemma3_text"],
    paired: &[CAPS[1], WINDOW, Paired::real("rope.freq_base_swa", "rope_local_base_freq")],
    tensors: &[MATRICES, NORMS, POST_NORMS, HEAD_NORMS, PROJECTIONS, standard::GATED],
    // As Gemma 2 of 46 layers, Gemma 3 of 62.
    config: |header, model| config(header, model, "Gemma3ForCausalLM", Some(62)),
    ..FIRST
};

/// `largest` is the number of layers of the model whose scores have a scale of their own: llama.cpp
/// tells it by this number.
fn config(
    header: &GgufHeader<'_>,
    model: &Described<'_>,
    class: &'static str,
    largest: Option<usize>,
) -> Result<Object, GgufFault> {
    const ACTIVATION: &str = "gelu_pytorch_tanh";
    let sizes = model.sizes;
    let names = Names { class, activation: ACTIVATION, ..standard::LLAMA };
    let mut config = standard::config(header, model, &names)?;
    config.insert("hidden_activation".into(), ACTIVATION.into());
    config.insert("attention_bias".into(), false.into());
    if let Some(largest) = largest {
        let is_largest = sizes.layers == largest;
        let scalar = if is_largest { sizes.hidden / sizes.heads } else { sizes.head };
        config.insert("query_pre_attn_scalar".into(), scalar.into());
        // Where a file leaves these out, llama.cpp has none.
        for cap in &CAPS {
            config.insert(cap.config.into(), serde_json::Value::Null);
        }
    }
    Ok(config)
}
