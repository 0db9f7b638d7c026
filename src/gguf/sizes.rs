//! The sizes of a model as its GGUF keys give them, checked against each other.

use super::{
    error::GgufFault,
    metadata::{Metadata, key_of, required},
};
use crate::model::config::{DecoderConfig, Position};

/// Sizes are bounded so that products of two of them fit into a machine word.
const MAX_SIZE: u64 = 1 << 30;

/// The numbers from which all shapes follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) layers: usize,
    pub(super) context: usize,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) head: usize,
    /// Numbers of a head that rotate.
    pub(super) rotated: usize,
    pub(super) vocabulary: usize,
}

/// One axis of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    Vocabulary,
    Context,
    Hidden,
    Intermediate,
    /// Gate and up projection, one after the other.
    TwiceIntermediate,
    /// All query heads side by side.
    Queries,
    /// All key (or value) heads side by side.
    Keys,
    /// Queries, keys and values side by side.
    FusedHeads,
    Head,
    /// Pairs of a head's numbers that rotate.
    Pairs,
}

impl Sizes {
    /// The sizes of a model.
    pub(super) fn of(config: &DecoderConfig) -> Self {
        Self {
            layers: config.layers,
            context: config.context,
            hidden: config.hidden,
            intermediate: config.intermediate,
            heads: config.attention.heads,
            key_heads: config.attention.kv_heads,
            head: config.attention.head_dim,
            rotated: match &config.position {
                Position::Rotary(all) => 2 * all[0].inverse_frequencies.len(),
                Position::Learned => config.attention.head_dim,
            },
            vocabulary: config.vocabulary,
        }
    }

    /// Reads the sizes; `vocabulary` is the number of rows of the embedding.
    pub(super) fn read(
        metadata: &Metadata<'_>,
        architecture: &str,
        vocabulary: usize,
    ) -> Result<Sizes, GgufFault> {
        let size = |name: &str| {
            let key = key_of(architecture, name);
            let value = metadata.unsigned(&key)?;
            value.map(|value| bounded(&key, value)).transpose()
        };
        let needed = |name: &str| required(&key_of(architecture, name), size(name)?);
        let hidden = needed("embedding_length")?;
        let heads = needed("attention.head_count")?;
        let head = size("attention.key_length")?.unwrap_or(hidden / heads);
        let sizes = Sizes {
            layers: needed("block_count")?,
            context: needed("context_length")?,
            hidden,
            intermediate: needed("feed_forward_length")?,
            heads,
            key_heads: size("attention.head_count_kv")?.unwrap_or(heads),
            head,
            rotated: size("rope.dimension_count")?.unwrap_or(head),
            vocabulary,
        };
        sizes.check(
            metadata,
            architecture,
            size("vocab_size")?,
            size("attention.value_length")?,
        )?;
        Ok(sizes)
    }

    fn check(
        &self,
        metadata: &Metadata<'_>,
        architecture: &str,
        vocabulary: Option<usize>,
        value_head: Option<usize>,
    ) -> Result<(), GgufFault> {
        let wrong = |name: &str, expected: String| {
            let key = key_of(architecture, name);
            Err(GgufFault::invalid(format!("key {key:?}"), metadata.describe(&key), expected))
        };
        if !self.heads.is_multiple_of(self.key_heads) {
            let expected = format!("a divisor of the {} attention heads", self.heads);
            return wrong("attention.head_count_kv", expected);
        }
        let is_split = metadata.unsigned(&key_of(architecture, "attention.key_length"))?.is_none();
        if is_split && !self.hidden.is_multiple_of(self.heads) {
            let expected = format!("a divisor of the embedding length {}", self.hidden);
            return wrong("attention.head_count", expected);
        }
        if self.head == 0 || !self.head.is_multiple_of(2) {
            return wrong("attention.key_length", format!("even, found a head of {}", self.head));
        }
        if value_head.is_some_and(|value| value != self.head) {
            return wrong("attention.value_length", format!("{}, as the key length", self.head));
        }
        if vocabulary.is_some_and(|size| size != self.vocabulary) {
            let expected = format!("{}, the rows of the embedding", self.vocabulary);
            return wrong("vocab_size", expected);
        }
        Ok(())
    }

    /// The length of an axis.
    pub(super) fn get(&self, size: Size) -> usize {
        match size {
            Size::Vocabulary => self.vocabulary,
            Size::Context => self.context,
            Size::Hidden => self.hidden,
            Size::Intermediate => self.intermediate,
            Size::TwiceIntermediate => 2 * self.intermediate,
            Size::Queries => self.heads * self.head,
            Size::Keys => self.key_heads * self.head,
            Size::FusedHeads => (self.heads + 2 * self.key_heads) * self.head,
            Size::Head => self.head,
            Size::Pairs => self.rotated / 2,
        }
    }
}

fn bounded(key: &str, value: u64) -> Result<usize, GgufFault> {
    if (1..=MAX_SIZE).contains(&value) {
        return Ok(value as usize);
    }
    Err(GgufFault::invalid(format!("key {key:?}"), value, format!("1 to {MAX_SIZE}")))
}
