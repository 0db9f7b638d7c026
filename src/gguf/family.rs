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
use crate::model::config::Biases;
use crate::model::family::{Family, TensorNames};

/// A JSON object; keys keep their order.
pub(super) type Object = Map<String, Value>;

/// One architecture.
pub(super) struct GgufFamily {
    /// The value of `general.architecture`, and the prefix of its keys.
    pub(super) architecture: &'static str,
    /// The `model_type`s of folders that are written so; the first is that of an import.
    pub(super) model_types: &'static [&'static str],
    /// Keys after the prefix that are understood, in groups that families share; any other key is
    /// refused.
    pub(super) keys: &'static [&'static [&'static str]],
    /// Keys that `config.json` has under another name.
    pub(super) paired: &'static [Paired],
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
    /// Which of the biases that some models of the family have are there.
    pub(super) biases: Biases,
}

/// A key, and what `config.json` calls the same number.
#[derive(Clone, Copy)]
pub(super) struct Paired {
    /// The key, without the prefix of the architecture.
    pub(super) key: &'static str,
    pub(super) config: &'static str,
    pub(super) kind: Kind,
}

/// What the value of a key is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Real,
    Size,
    Flag,
}

impl Paired {
    pub(super) const fn real(key: &'static str, config: &'static str) -> Self {
        Self { key, config, kind: Kind::Real }
    }

    pub(super) const fn size(key: &'static str, config: &'static str) -> Self {
        Self { key, config, kind: Kind::Size }
    }

    pub(super) const fn flag(key: &'static str, config: &'static str) -> Self {
        Self { key, config, kind: Kind::Flag }
    }

    /// The value in a file.
    fn read(&self, metadata: &Metadata<'_>, key: &str) -> Result<Option<Value>, GgufFault> {
        Ok(match self.kind {
            Kind::Real => metadata.real(key)?.map(Value::from),
            Kind::Size => metadata.unsigned(key)?.map(Value::from),
            Kind::Flag => metadata.boolean(key)?.map(Value::from),
        })
    }
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
    /// Models have it or not.
    pub(super) has_optional_bias: bool,
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
/// Frequency factors of Phi 3, for texts longer than the context before it was extended.
pub(super) const LONG_FACTORS: &str = "rope_factors_long.weight";
/// Frequency factors of Phi 3, for other texts.
pub(super) const SHORT_FACTORS: &str = "rope_factors_short.weight";

impl GgufFamily {
    /// What its tensors are called in a Hugging Face folder.
    fn names(&self) -> &'static TensorNames {
        let family = Family::named(self.model_types[0]);
        &family.expect("every architecture here is a family of models").names
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
            .find(|key| key.strip_prefix(&prefix).is_some_and(|name| !self.understands(name)));
        match unknown {
            Some(key) => Err(self.unsupported(metadata, key.to_owned())),
            None => Ok(()),
        }
    }

    fn understands(&self, name: &str) -> bool {
        self.keys.iter().any(|group| group.contains(&name))
            || self.paired.iter().any(|pair| pair.key == name)
    }

    /// The contents of `config.json`, without the token ids.
    pub(super) fn config_of(
        &self,
        header: &GgufHeader<'_>,
        model: &Described<'_>,
    ) -> Result<Object, GgufFault> {
        let mut config = (self.config)(header, model)?;
        for pair in self.paired {
            if let Some(value) = pair.read(&header.metadata, &self.key(pair.key))? {
                config.insert(pair.config.into(), value);
            }
        }
        Ok(config)
    }

    /// Which of the biases that some models have are those of this file: of attention, of the MLP.
    pub(super) fn biases(&self, header: &GgufHeader<'_>) -> Biases {
        let has = |is_mlp: bool| {
            let optional = self.parts(1).filter(|(stored, ..)| stored.has_optional_bias);
            optional
                .filter(|(stored, ..)| stored.is_of_mlp() == is_mlp)
                .map(|(stored, ..)| format!("{}.bias", at_layer(stored.stem, 0)))
                .any(|name| header.tensors.contains_key(name.as_str()))
        };
        let attention = has(false);
        Biases { query_key_value: attention, output: attention, mlp: has(true), head: false }
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
        let biases = self.biases(header);
        let mut unused = header.tensors.clone();
        let mut planned = Vec::new();
        for (stored, part, layer) in self.parts(sizes.layers) {
            let name = format!("{}.{part}", at_layer(stored.stem, layer));
            let Some((&source, entry)) = header.tensors.get_key_value(name.as_str()) else {
                match stored.role {
                    // A head may be left out, and so may what no tensor is made of.
                    None | Some(Role::Head) => continue,
                    Some(_) if part == "bias" && !stored.needs_bias(biases) => continue,
                    Some(_) => return Err(GgufFault::MissingTensor(name)),
                }
            };
            unused.remove(source);
            let order = stored.order_of(part == "bias");
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
    fn is_of_mlp(&self) -> bool {
        matches!(self.role, Some(Role::Gate | Role::Up | Role::Down))
    }

    /// Whether it has a bias in a model that has those of the optional ones.
    fn needs_bias(&self, optional: Biases) -> bool {
        self.has_bias || if self.is_of_mlp() { optional.mlp } else { optional.query_key_value }
    }

    /// Its weight, and its bias, of each layer where it belongs to one.
    fn parts(
        &'static self,
        layers: usize,
    ) -> impl Iterator<Item = (&'static Self, &'static str, usize)> {
        let layers = if self.stem.contains("{}") { layers } else { 1 };
        let has_bias = self.has_bias || self.has_optional_bias;
        let parts: &[&str] = if has_bias { &["weight", "bias"] } else { &["weight"] };
        parts.iter().flat_map(move |part| (0..layers).map(move |layer| (self, *part, layer)))
    }

    /// The order of its weight, or of its bias.
    pub(super) fn order_of(&self, is_bias: bool) -> Order {
        if is_bias && self.order == Order::Transposed { Order::Same } else { self.order }
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
            // A bias has one axis.
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
