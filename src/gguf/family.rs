//! Architectures as data: which tensors a GGUF file holds, what they are for, shapes and order.
//!
//! The names of roles in a Hugging Face folder are in the table of the model's family.

use super::{
    error::GgufFault,
    header::{GgufHeader, TensorEntry},
    metadata::{Metadata, key_of},
    order::Order,
    sizes::{Size, Sizes},
};
use serde_json::{Map, Value};

use crate::model::Role;
use crate::model::family::{Family, TensorNames};

/// A JSON object; keys keep their order.
pub(super) type Object = Map<String, Value>;

/// One architecture.
pub(super) struct GgufFamily {
    /// The value of `general.architecture`, and the prefix of its keys.
    pub(super) architecture: &'static str,
    /// Keys after the prefix that are understood; any other key is refused.
    pub(super) keys: &'static [&'static str],
    /// All tensors that it may hold, in groups that families share; any other is refused.
    pub(super) tensors: &'static [&'static [Stored]],
    /// Writes `config.json`, without the token ids.
    pub(super) config: fn(&GgufHeader<'_>, &Described<'_>) -> Result<Object, GgufFault>,
    /// The pre-tokenizer of files from before `tokenizer.ggml.pre` was introduced.
    pub(super) pre_tokenizer: Option<&'static str>,
}

/// What is known of a model before its config is written.
pub(super) struct Described<'a> {
    pub(super) family: &'a GgufFamily,
    pub(super) sizes: &'a Sizes,
    pub(super) is_tied: bool,
}

/// The tensors of one role. `{}` in the name stands for the index of the layer.
pub(super) struct Stored {
    /// What they are for; nothing where they describe something that `config.json` states in words,
    /// and get no tensor.
    pub(super) role: Option<Role>,
    /// Stem of their names.
    pub(super) stem: &'static str,
    /// Shape of the weight in the GGUF file, rows first; that of a bias is its rows.
    pub(super) shape: &'static [Size],
    /// Order of the weight.
    pub(super) order: Order,
    pub(super) has_bias: bool,
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

pub(super) const HEAD: &str = "output.weight";
pub(super) const EMBEDDING: &str = "token_embd.weight";
/// Frequency factors of Llama 3.1 and later.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

impl GgufFamily {
    /// What its tensors are called in a Hugging Face folder.
    fn names(&self) -> &'static TensorNames {
        let family = Family::named(self.architecture);
        &family.expect("every architecture here is a family of models by the same name").names
    }

    /// The full name of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        key_of(self.architecture, name)
    }

    /// An error that refuses a key together with its value.
    pub(super) fn unsupported(&self, metadata: &Metadata<'_>, key: String) -> GgufFault {
        let value = metadata.describe(&key);
        GgufFault::UnsupportedKey { key, value, architecture: self.architecture.to_owned() }
    }

    /// Refuses keys of the family that are not understood.
    pub(super) fn refuse_unknown_keys(&self, metadata: &Metadata<'_>) -> Result<(), GgufFault> {
        let prefix = self.key("");
        let unknown = metadata
            .keys()
            .find(|key| key.strip_prefix(&prefix).is_some_and(|name| !self.keys.contains(&name)));
        match unknown {
            Some(key) => Err(self.unsupported(metadata, key.to_owned())),
            None => Ok(()),
        }
    }

    /// The weights and biases of its table, layer by layer: the entry, which of the two, the layer.
    pub(super) fn parts(
        &self,
        layers: usize,
    ) -> impl Iterator<Item = (&'static Stored, &'static str, usize)> {
        self.tensors.iter().copied().flatten().flat_map(move |stored| stored.parts(layers))
    }

    /// Every tensor of the output, sorted by name; each tensor of the file is used, or refused.
    pub(super) fn plan<'a>(
        &self,
        header: &'a GgufHeader<'_>,
        sizes: &Sizes,
        is_tied: bool,
    ) -> Result<Vec<Planned<'a>>, GgufFault> {
        let mut unused = header.tensors.clone();
        let mut planned = Vec::new();
        for (stored, part, layer) in self.parts(sizes.layers) {
            let name = format!("{}.{part}", at_layer(stored.stem, layer));
            let Some((&source, entry)) = header.tensors.get_key_value(name.as_str()) else {
                match stored.role {
                    // A head may be left out, and so may what no tensor is made of.
                    None | Some(Role::Head) => continue,
                    Some(_) => return Err(GgufFault::MissingTensor(name)),
                }
            };
            unused.remove(source);
            let order = if part == "bias" { Order::Same } else { stored.order };
            let shape = stored.checked_shape(source, entry, sizes)?;
            let Some(role) = stored.role.filter(|role| *role != Role::Head || !is_tied) else {
                continue;
            };
            let name = self.names().stored(role, part == "bias", Some(layer));
            planned.push(Planned { name, source, entry, shape, order });
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

impl Stored {
    /// Its weight, and its bias, of each layer where it belongs to one.
    fn parts(
        &'static self,
        layers: usize,
    ) -> impl Iterator<Item = (&'static Self, &'static str, usize)> {
        let layers = if self.stem.contains("{}") { layers } else { 1 };
        let parts: &[&str] = if self.has_bias { &["weight", "bias"] } else { &["weight"] };
        parts.iter().flat_map(move |part| (0..layers).map(move |layer| (self, *part, layer)))
    }

    /// The shape in the output.
    fn checked_shape(
        &self,
        name: &str,
        entry: &TensorEntry,
        sizes: &Sizes,
    ) -> Result<Vec<usize>, GgufFault> {
        let mut expected: Vec<usize> = self.shape.iter().map(|size| sizes.get(*size)).collect();
        if name.ends_with(".bias") {
            expected.truncate(1);
        }
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

/// A stem in one layer.
pub(super) fn at_layer(name: &str, layer: usize) -> String {
    name.replace("{}", &layer.to_string())
}

/// Whether the output head shares the embedding's weights: it is absent, or a copy of them
/// (older conversions of GPT-2 write it twice).
pub(super) fn is_tied(header: &GgufHeader<'_>) -> bool {
    let Some(head) = header.tensors.get(HEAD) else { return true };
    let Some(embedding) = header.tensors.get(EMBEDDING) else { return false };
    head.kind == embedding.kind
        && head.shape == embedding.shape
        && header.data(head) == header.data(embedding)
}

/// Rows of the embedding.
pub(super) fn vocabulary_size(header: &GgufHeader<'_>) -> Result<usize, GgufFault> {
    let embedding = header.tensors.get(EMBEDDING);
    let embedding = embedding.ok_or_else(|| GgufFault::MissingTensor(EMBEDDING.to_owned()))?;
    Ok(embedding.shape[0])
}
