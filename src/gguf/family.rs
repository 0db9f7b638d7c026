//! Architectures as data: which tensors a GGUF file holds, their Hugging Face names, shapes and order.

use super::{
    config,
    error::GgufFault,
    header::{Header, TensorEntry},
    metadata::Metadata,
    sizes::{Size, Sizes},
};

/// One architecture.
pub(super) struct Family {
    /// The value of `general.architecture`, and the prefix of its keys.
    pub(super) architecture: &'static str,
    /// Keys behind the prefix that are understood; any other key is refused.
    pub(super) keys: &'static [&'static str],
    /// All tensors it may hold; any other tensor is refused.
    pub(super) roles: &'static [Role],
    /// Writes `config.json`, without the token ids.
    pub(super) config: fn(&Header<'_>, &Described<'_>) -> Result<config::Object, GgufFault>,
    /// The pre-tokenizer of files from before `tokenizer.ggml.pre` was introduced.
    pub(super) pre_tokenizer: Option<&'static str>,
}

/// What is known of a model before its config is written.
pub(super) struct Described<'a> {
    pub(super) family: &'a Family,
    pub(super) sizes: &'a Sizes,
    pub(super) is_tied: bool,
}

/// One tensor of an architecture. `{}` in the names stands for the index of the layer.
pub(super) struct Role {
    gguf: &'static str,
    hugging_face: &'static str,
    /// As stored in the GGUF file, rows first.
    shape: &'static [Size],
    order: Order,
    need: Need,
}

/// How the stored rows and columns relate to those of the Hugging Face tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The same.
    Same,
    /// llama.cpp rotates neighbouring rows of a head, Hugging Face rotates row j
    /// with row j + d/2: stored row 2j + p of a head is row p·d/2 + j here.
    RotaryPairs,
    /// Rows are columns here (GPT-2 multiplies x·W with W [in, out]).
    Transposed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    /// The output head, which may share the embedding's weights.
    UnlessTied,
    /// Describes something that `config.json` says in words; it gets no tensor.
    ForConfig,
}

/// A tensor of the output, and where it comes from.
#[derive(Debug)]
pub(super) struct Planned<'a> {
    pub(super) name: String,
    /// Its name in the GGUF file.
    pub(super) source: &'a str,
    pub(super) entry: &'a TensorEntry,
    pub(super) shape: Vec<usize>,
    pub(super) order: Order,
}

impl Planned<'_> {
    /// How many numbers it has; the header has checked that the product fits.
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }
}

const fn role(
    gguf: &'static str,
    hugging_face: &'static str,
    shape: &'static [Size],
    order: Order,
) -> Role {
    Role { gguf, hugging_face, shape, order, need: Need::Always }
}

const HEAD: &str = "output.weight";
const EMBEDDING: &str = "token_embd.weight";
/// Frequency factors of Llama 3.1 and later.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

const fn head(hugging_face: &'static str) -> Role {
    Role {
        gguf: HEAD,
        hugging_face,
        shape: &[Size::Vocabulary, Size::Hidden],
        order: Order::Same,
        need: Need::UnlessTied,
    }
}

use Order::{RotaryPairs, Same, Transposed};
use Size::{Context, FusedHeads, HalfHead, Hidden, Intermediate, Keys, Queries, Vocabulary};

static LLAMA: Family = Family {
    architecture: "llama",
    keys: &[
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
    ],
    roles: &[
        role(EMBEDDING, "model.embed_tokens.weight", &[Vocabulary, Hidden], Same),
        role("blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", &[Hidden], Same),
        role(
            "blk.{}.attn_q.weight",
            "model.layers.{}.self_attn.q_proj.weight",
            &[Queries, Hidden],
            RotaryPairs,
        ),
        role(
            "blk.{}.attn_k.weight",
            "model.layers.{}.self_attn.k_proj.weight",
            &[Keys, Hidden],
            RotaryPairs,
        ),
        role(
            "blk.{}.attn_v.weight",
            "model.layers.{}.self_attn.v_proj.weight",
            &[Keys, Hidden],
            Same,
        ),
        role(
            "blk.{}.attn_output.weight",
            "model.layers.{}.self_attn.o_proj.weight",
            &[Hidden, Queries],
            Same,
        ),
        role(
            "blk.{}.ffn_norm.weight",
            "model.layers.{}.post_attention_layernorm.weight",
            &[Hidden],
            Same,
        ),
        role(
            "blk.{}.ffn_gate.weight",
            "model.layers.{}.mlp.gate_proj.weight",
            &[Intermediate, Hidden],
            Same,
        ),
        role(
            "blk.{}.ffn_up.weight",
            "model.layers.{}.mlp.up_proj.weight",
            &[Intermediate, Hidden],
            Same,
        ),
        role(
            "blk.{}.ffn_down.weight",
            "model.layers.{}.mlp.down_proj.weight",
            &[Hidden, Intermediate],
            Same,
        ),
        role("output_norm.weight", "model.norm.weight", &[Hidden], Same),
        head("lm_head.weight"),
        Role {
            gguf: ROPE_FACTORS,
            hugging_face: "",
            shape: &[HalfHead],
            order: Same,
            need: Need::ForConfig,
        },
    ],
    config: config::llama,
    pre_tokenizer: None,
};

static GPT2: Family = Family {
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
    roles: &[
        role(EMBEDDING, "transformer.wte.weight", &[Vocabulary, Hidden], Same),
        role("position_embd.weight", "transformer.wpe.weight", &[Context, Hidden], Same),
        role("blk.{}.attn_norm.weight", "transformer.h.{}.ln_1.weight", &[Hidden], Same),
        role("blk.{}.attn_norm.bias", "transformer.h.{}.ln_1.bias", &[Hidden], Same),
        role(
            "blk.{}.attn_qkv.weight",
            "transformer.h.{}.attn.c_attn.weight",
            &[FusedHeads, Hidden],
            Transposed,
        ),
        role("blk.{}.attn_qkv.bias", "transformer.h.{}.attn.c_attn.bias", &[FusedHeads], Same),
        role(
            "blk.{}.attn_output.weight",
            "transformer.h.{}.attn.c_proj.weight",
            &[Hidden, Hidden],
            Transposed,
        ),
        role("blk.{}.attn_output.bias", "transformer.h.{}.attn.c_proj.bias", &[Hidden], Same),
        role("blk.{}.ffn_norm.weight", "transformer.h.{}.ln_2.weight", &[Hidden], Same),
        role("blk.{}.ffn_norm.bias", "transformer.h.{}.ln_2.bias", &[Hidden], Same),
        role(
            "blk.{}.ffn_up.weight",
            "transformer.h.{}.mlp.c_fc.weight",
            &[Intermediate, Hidden],
            Transposed,
        ),
        role("blk.{}.ffn_up.bias", "transformer.h.{}.mlp.c_fc.bias", &[Intermediate], Same),
        role(
            "blk.{}.ffn_down.weight",
            "transformer.h.{}.mlp.c_proj.weight",
            &[Hidden, Intermediate],
            Transposed,
        ),
        role("blk.{}.ffn_down.bias", "transformer.h.{}.mlp.c_proj.bias", &[Hidden], Same),
        role("output_norm.weight", "transformer.ln_f.weight", &[Hidden], Same),
        role("output_norm.bias", "transformer.ln_f.bias", &[Hidden], Same),
        head("lm_head.weight"),
    ],
    config: config::gpt2,
    pre_tokenizer: Some("gpt-2"),
};

static FAMILIES: [&Family; 2] = [&LLAMA, &GPT2];

impl Family {
    /// The family that the file declares; refuses keys of it that are not understood.
    pub(super) fn of(metadata: &Metadata<'_>) -> Result<&'static Family, GgufFault> {
        const KEY: &str = "general.architecture";
        let found = super::metadata::required(KEY, metadata.text(KEY)?)?;
        let Some(family) = FAMILIES.iter().find(|family| family.architecture == found) else {
            let known: Vec<&str> = FAMILIES.iter().map(|family| family.architecture).collect();
            return Err(GgufFault::Architecture {
                found: found.to_owned(),
                known: known.join(", "),
            });
        };
        family.refuse_unknown_keys(metadata)?;
        Ok(family)
    }

    /// The full name of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// An error that refuses a key together with its value.
    pub(super) fn unsupported(&self, metadata: &Metadata<'_>, key: String) -> GgufFault {
        let value = metadata.describe(&key);
        GgufFault::UnsupportedKey { key, value, architecture: self.architecture.to_owned() }
    }

    fn refuse_unknown_keys(&self, metadata: &Metadata<'_>) -> Result<(), GgufFault> {
        let prefix = self.key("");
        let unknown = metadata
            .keys()
            .find(|key| key.strip_prefix(&prefix).is_some_and(|name| !self.keys.contains(&name)));
        match unknown {
            Some(key) => Err(self.unsupported(metadata, key.to_owned())),
            None => Ok(()),
        }
    }

    /// Every tensor of the output, sorted by name; each tensor of the file is used, or refused.
    pub(super) fn plan<'a>(
        &self,
        header: &'a Header<'_>,
        sizes: &Sizes,
        is_tied: bool,
    ) -> Result<Vec<Planned<'a>>, GgufFault> {
        let mut unused = header.tensors.clone();
        let mut planned = Vec::new();
        for role in self.roles {
            let layers = if role.gguf.contains("{}") { sizes.layers } else { 1 };
            for layer in 0..layers {
                let name = at_layer(role.gguf, layer);
                let Some((&source, entry)) = header.tensors.get_key_value(name.as_str()) else {
                    if role.need == Need::Always {
                        return Err(GgufFault::MissingTensor(name));
                    }
                    continue;
                };
                unused.remove(source);
                let shape = role.checked_shape(source, entry, sizes)?;
                let is_written = match role.need {
                    Need::Always => true,
                    Need::UnlessTied => !is_tied,
                    Need::ForConfig => false,
                };
                if is_written {
                    let name = at_layer(role.hugging_face, layer);
                    planned.push(Planned { name, source, entry, shape, order: role.order });
                }
            }
        }
        if let Some(tensor) = unused.into_keys().next() {
            return Err(GgufFault::UnknownTensor {
                tensor: tensor.to_owned(),
                architecture: self.architecture.to_owned(),
            });
        }
        planned.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(planned)
    }
}

impl Role {
    /// The shape in the output.
    fn checked_shape(
        &self,
        name: &str,
        entry: &TensorEntry,
        sizes: &Sizes,
    ) -> Result<Vec<usize>, GgufFault> {
        let mut expected: Vec<usize> = self.shape.iter().map(|size| sizes.get(*size)).collect();
        if entry.shape != expected {
            return Err(GgufFault::invalid(
                format!("the shape of tensor {name:?}"),
                format!("{:?}", entry.shape),
                format!("{expected:?}"),
            ));
        }
        if self.order == Order::Transposed {
            expected.reverse();
        }
        Ok(expected)
    }
}

fn at_layer(name: &str, layer: usize) -> String {
    name.replace("{}", &layer.to_string())
}

/// Whether the output head shares the embedding's weights: it is absent, or a copy of them
/// (older conversions of GPT-2 write it twice).
pub(super) fn is_tied(header: &Header<'_>) -> bool {
    let Some(head) = header.tensors.get(HEAD) else { return true };
    let Some(embedding) = header.tensors.get(EMBEDDING) else { return false };
    head.kind == embedding.kind
        && head.shape == embedding.shape
        && header.data(head) == header.data(embedding)
}

/// Rows of the embedding.
pub(super) fn vocabulary_size(header: &Header<'_>) -> Result<usize, GgufFault> {
    let embedding = header.tensors.get(EMBEDDING);
    let embedding = embedding.ok_or_else(|| GgufFault::MissingTensor(EMBEDDING.to_owned()))?;
    Ok(embedding.shape[0])
}
