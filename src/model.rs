//! A decoder that can be read and written at every site.
//!
//! A folder becomes a [`Model`]: its mapped [`weights`](weights::Weights), its
//! [`Tokenizer`] and its [`Decoder`], which is one implementation for all families;
//! what differs between them is data ([`config`], [`family`]).

mod attention;
mod batch;
mod branch_end;
mod chat;
pub mod config;
mod contradictions;
mod decoder;
mod edited;
mod editing;
pub mod family;
mod frozen;
mod generate;
mod holder;
mod inputs;
mod joint;
mod load;
mod mlp;
mod norm;
pub mod parameters;
mod pieces;
mod quantised;
mod role;
mod samples;
mod speed;
mod tokenizer;
mod trace;
mod trainable;
mod value_path;
pub mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Map, Value};

pub use batch::{Batch, KvCache};
pub use chat::{ChatError, ChatTemplate, Message, Speaker};
pub use decoder::Decoder;
pub use editing::{Editing, TRAINING};
pub use frozen::{FrozenHead, FrozenPass};
pub use generate::{Choice, generate, generate_while};
pub(crate) use joint::is_spaceless;
pub use parameters::{Parameters, Slot};
pub use pieces::text_pieces;
pub use quantised::{Quantisation, changed_codes};
pub use role::Role;
pub use samples::{Opening, SampleGroup, samples};
pub use speed::OVERHEAD;
pub use tokenizer::{Encoded, Tokenizer, TokenizerError, panics_are_errors};
pub use trace::{AddToRows, Recorder, Site, Unobserved, Visit, Visitor};
pub use trainable::{Parameter, TrainRule, Trainable, Trained};
pub use value_path::ValuePath;
pub use weights::Weights;

pub use crate::math::Random;

use crate::files::{Sha256, mistaken, read_regular};
use crate::ops::WeightLayout;
use crate::progress::{Interrupted, Progress};
use family::Family;

/// A model folder that cannot be used, or a computation on it that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// `config.json` cannot be read.
    #[error("{file}: {reason}")]
    ConfigFile {
        /// Path.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// `config.json` describes something else.
    #[error("{0}")]
    Config(#[from] config::ConfigError),
    /// The weights cannot be read.
    #[error("{0}")]
    Weights(#[from] weights::WeightsError),
    /// The tokenizer cannot be used.
    #[error("{0}")]
    Tokenizer(#[from] TokenizerError),
    /// A tensor whose shape does not match the config.
    #[error("tensor {tensor:?} is {found:?}, expected {expected:?} from config.json")]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// The shape as stored.
        found: Vec<usize>,
        /// The shape computed from the config.
        expected: Vec<usize>,
    },
    /// A head of its own in a folder whose config says that the embedding is the head.
    #[error(
        "tie_word_embeddings is true, but {head:?} differs from {embedding:?}: set it to false in \
         config.json if the model was trained with a head of its own, else remove {head:?}"
    )]
    TwoHeads {
        /// Name of the head.
        head: String,
        /// Name of the embedding.
        embedding: String,
    },
    /// No head in a folder whose config says that the embedding is not the head.
    #[error(
        "tie_word_embeddings is not true, but the weights have no {head:?}: set it to true in \
         config.json if {embedding:?} is the head, else save the model together with its head"
    )]
    NoHead {
        /// Name that the head would have.
        head: String,
        /// Name of the embedding.
        embedding: String,
    },
    /// The tokenizer has ids that the embedding lacks.
    #[error("tokenizer.json has {tokens} tokens, but the embedding only {rows} rows")]
    TokenizerTooLarge {
        /// One more than the largest id.
        tokens: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A layer that does not exist.
    #[error("layer {layer} does not exist: the model has layers 0 to {last}")]
    NoSuchLayer {
        /// The layer that was asked for.
        layer: usize,
        /// The last layer of the model.
        last: usize,
    },
    /// A computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

/// A model folder, opened.
pub struct Model {
    /// The decoder, which holds the model's arithmetic.
    pub decoder: Decoder,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The stored weights that the decoder was loaded from.
    pub weights: Weights,
    /// The folder.
    pub folder: PathBuf,
    /// SHA-256 of `config.json`.
    pub config_hash: Sha256,
    /// Tokens at which a completion ends.
    pub stop_tokens: Vec<u32>,
    bos_token: Option<u32>,
    family: &'static Family,
    /// How facts are best written to the model, where its folder states it.
    pub editing: Option<Editing>,
}

impl Model {
    /// Opens a Hugging Face folder. On the CPU its matrices stay as they are stored, in mapped
    /// memory; other devices get them in f32.
    pub fn open(
        folder: &Path,
        device: &Device,
        progress: &dyn Progress,
    ) -> Result<Self, ModelError> {
        Self::open_ignoring(folder, device, &[], progress)
    }

    /// As [`open`](Self::open), with some keys of `config.json` read as if they were not there.
    pub fn open_ignoring(
        folder: &Path,
        device: &Device,
        ignored_keys: &[String],
        progress: &dyn Progress,
    ) -> Result<Self, ModelError> {
        let (config, config_hash) = read_config(folder)?;
        let config = config::without_keys(config, ignored_keys);
        let (family, decoder_config) = Family::recognise(&config)?;
        if Family::text_part(&config).is_some() {
            let whole = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
            let text = format!("the text part of a {whole} model; its other parts are ignored");
            progress.note("model", &text);
        }
        let tokenizer = Tokenizer::open(folder)?;
        if tokenizer.vocabulary() > decoder_config.vocabulary {
            let (tokens, rows) = (tokenizer.vocabulary(), decoder_config.vocabulary);
            return Err(ModelError::TokenizerTooLarge { tokens, rows });
        }
        let weights = Weights::open(folder)?;
        contradictions::warn_of_files(folder, progress);
        let loader = load::Loader::new(&weights, &family.names, &decoder_config, device);
        let decoder = loader.decoder(progress)?;
        weights.release_pages();
        Ok(Self {
            decoder,
            tokenizer,
            bos_token: token_ids(&config, "bos_token_id").first().copied(),
            stop_tokens: token_ids(&config, "eos_token_id"),
            weights,
            folder: folder.to_path_buf(),
            config_hash,
            family,
            editing: Editing::read(folder, decoder_config.layers),
        })
    }

    /// Stored name of a layer's down projection.
    pub fn down_projection_name(&self, layer: usize) -> &str {
        let mut slots = self.decoder.parameters().of(Role::Down, Some(layer));
        &slots.next().expect("every layer has a down projection").name
    }

    /// How the matrices of the layers are stored.
    pub fn layout(&self) -> WeightLayout {
        self.family.names.layout
    }

    /// Path, in the Hugging Face model, of the linear map of a layer whose matrix is stored as
    /// `tensor`.
    pub fn linear_module(&self, tensor: &str) -> Option<String> {
        self.decoder.parameters().linear_module(tensor)
    }

    /// The decoder with changed weights: the change of each named tensor is added.
    pub fn edited<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, Tensor)>,
    ) -> Result<Decoder, ModelError> {
        self.edited_from(&self.decoder, changes)
    }

    /// As [`edited`](Self::edited), from a decoder of this model that was changed before.
    pub fn edited_from<'a>(
        &self,
        start: &Decoder,
        changes: impl IntoIterator<Item = (&'a str, Tensor)>,
    ) -> Result<Decoder, ModelError> {
        let mut sums: BTreeMap<&str, Tensor> = BTreeMap::new();
        for (name, change) in changes {
            let sum = match sums.remove(name) {
                Some(earlier) => (earlier + change)?,
                None => change,
            };
            sums.insert(name, sum);
        }
        Ok(edited::edited(start, &sums, |place, change| place.tensor()? + change)?)
    }

    /// The decoder with other values in the named tensors, which are of the stored shapes.
    pub fn with_tensors(&self, tensors: BTreeMap<&str, Tensor>) -> Result<Decoder, ModelError> {
        Ok(edited::edited(&self.decoder, &tensors, |_, values| values.contiguous())?)
    }

    /// This model with another decoder of its shape; folder and stored weights stay those of this one.
    pub(crate) fn with_decoder(&self, decoder: Decoder) -> Self {
        Self {
            decoder,
            tokenizer: self.tokenizer.clone(),
            weights: self.weights.clone(),
            folder: self.folder.clone(),
            config_hash: self.config_hash,
            stop_tokens: self.stop_tokens.clone(),
            bos_token: self.bos_token,
            family: self.family,
            editing: self.editing,
        }
    }

    /// The layer that `layers = "auto"` means: the one its folder names, or the family's.
    pub fn editing_layer(&self) -> usize {
        if let Some(editing) = self.editing {
            return editing.layer;
        }
        let last = self.decoder.config().layers - 1;
        ((self.family.editing_depth * last as f64).round() as usize).min(last)
    }

    /// The token from which the model writes freely: what separated documents in training.
    pub fn start_token(&self) -> u32 {
        let separator = self.tokenizer.id("<|endoftext|>");
        separator.or(self.bos_token).or_else(|| self.stop_tokens.first().copied()).unwrap_or(0)
    }

    /// SHA-256 over the digests of all tensors, in the order of their names.
    pub fn weights_hash(&self) -> Result<Sha256, ModelError> {
        Ok(self.weights.digest()?)
    }

    /// An error unless the layer exists.
    pub fn check_layer(&self, layer: usize) -> Result<(), ModelError> {
        let last = self.decoder.config().layers - 1;
        if layer > last { Err(ModelError::NoSuchLayer { layer, last }) } else { Ok(()) }
    }
}

/// A config has a few kilobytes.
const LARGEST_CONFIG: u64 = 16 << 20;

fn read_config(folder: &Path) -> Result<(Map<String, Value>, Sha256), ModelError> {
    let file = folder.join("config.json");
    let fail = |reason: String| ModelError::ConfigFile { file: file.display().to_string(), reason };
    let bytes = read_regular(&file, LARGEST_CONFIG).map_err(|error| fail(error.to_string()))?;
    let config = serde_json::from_slice(&bytes)
        .map_err(|error| fail(mistaken(&bytes).map_or_else(|| error.to_string(), str::to_owned)))?;
    Ok((config, Sha256::of(&bytes)))
}

/// Checks that `config.json` of a folder describes a decoder that can be computed, whether its
/// weights are there or not; `ignored_keys` are read as if they were not there.
pub fn check_config(folder: &Path, ignored_keys: &[String]) -> Result<(), ModelError> {
    let (config, _) = read_config(folder)?;
    Ok(Family::recognise(&config::without_keys(config, ignored_keys)).map(drop)?)
}

/// A key such as `eos_token_id`, which is one number or several.
fn token_ids(config: &Map<String, Value>, key: &str) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().map(|id| id as u32);
    let in_text = || config.get("text_config").and_then(|text| text.get(key));
    match config.get(key).or_else(in_text) {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}
