//! What can go wrong in an import: with the folders, or with the file that came from elsewhere.

use std::path::PathBuf;

use thiserror::Error;

use super::ImportDtype;
use crate::files::FileError;
use crate::model::weights::WeightsError;
use crate::progress::Interrupted;

/// An import that did not happen; the output folder is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The GGUF file could not be read, the output could not be written, or what
    /// stands there may not be replaced.
    #[error("{0}")]
    File(#[from] FileError),
    /// The GGUF file is damaged, or holds something that cannot be imported.
    #[error("cannot import {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufFault,
    },
    /// The user asked to stop.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

/// What is wrong with a GGUF file, without its name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GgufFault {
    /// Another file in the place of a GGUF file, such as a Git LFS pointer.
    #[error("not a GGUF file: {0}")]
    Mistaken(&'static str),
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it starts with {found:02x?}, expected {:02x?} (\"GGUF\")", b"GGUF")]
    Magic {
        /// The first bytes of the file, at most four.
        found: Vec<u8>,
    },
    /// A version that this reader does not know.
    #[error("GGUF version {0} is not supported, expected 2 or 3 in little-endian order")]
    Version(u32),
    /// The file ends before something that its header announces.
    #[error(
        "the file ends early: {what} needs {needed} bytes at offset {offset}, the file has {size} bytes"
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Where it starts, in bytes from the start of the file.
        offset: u64,
        /// How many bytes it needs.
        needed: u64,
        /// Size of the file in bytes.
        size: u64,
    },
    /// A value that contradicts the format or the rest of the file.
    #[error("{what} is {found}, expected {expected}")]
    Invalid {
        /// The thing: a key, a tensor, a token.
        what: String,
        /// The value that the file has.
        found: String,
        /// The value that it should have.
        expected: String,
    },
    /// A key without which no model can be described.
    #[error("key {0:?} is missing")]
    MissingKey(String),
    /// A key that changes what the model computes in a way that is not supported.
    #[error("key {key:?} = {value} is not supported for architecture {architecture:?}")]
    UnsupportedKey {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The declared architecture.
        architecture: String,
    },
    /// A tensor type that cannot be turned into numbers here.
    #[error("tensor {tensor:?} has type {kind}, which is not supported, expected one of {known}")]
    TensorType {
        /// Name of the tensor in the file.
        tensor: String,
        /// Name of its type.
        kind: String,
        /// Names of the supported types.
        known: String,
    },
    /// An architecture for which no table of names exists.
    #[error("architecture {found:?} is not supported, expected one of {known}")]
    Architecture {
        /// The value of `general.architecture`.
        found: String,
        /// The supported ones.
        known: String,
    },
    /// A model of which some files are missing, or that has to be one file.
    #[error(
        "the model is split into {all} files, of which {found} can be used here: put them together \
         by llama-gguf-split --merge of llama.cpp"
    )]
    Split {
        /// How many there are, as the first says.
        all: u64,
        /// How many were found.
        found: u64,
    },
    /// A file of a model that is not its first.
    #[error("it is file {number} of {all} of a model: name the first, {first}")]
    LaterPart {
        /// Its number, from 1.
        number: u64,
        /// How many there are.
        all: u64,
        /// The name of the first.
        first: String,
    },
    /// A tensor whose type can be read but not written.
    #[error("tensor {tensor:?} has type {kind}, in which no numbers can be stored; name another")]
    Unwritable {
        /// Name of the tensor in the file.
        tensor: String,
        /// Name of its type.
        kind: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("tensor {0:?} is missing")]
    MissingTensor(String),
    /// A tensor that has no place in the architecture; to drop it would change the model.
    #[error("tensor {tensor:?} has no place in a model of architecture {architecture:?}")]
    UnknownTensor {
        /// Name of the tensor in the file.
        tensor: String,
        /// The declared architecture.
        architecture: String,
    },
    /// A kind of tokenizer that cannot be rebuilt.
    #[error(
        "tokenizer model {0:?} is not supported, expected \"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece)"
    )]
    TokenizerModel(String),
    /// A way of cutting text into words that is not known by this name.
    #[error("pre-tokenizer {found:?} is not supported, expected one of {known}")]
    PreTokenizer {
        /// The value of `tokenizer.ggml.pre`.
        found: String,
        /// The supported ones.
        known: String,
    },
    /// A weight that is infinite or not a number.
    #[error("tensor {tensor:?} holds {value} at element {index}, expected finite numbers only")]
    NotFinite {
        /// Name of the tensor in the file.
        tensor: String,
        /// Index of the element in the order of the imported tensor.
        index: u64,
        /// What stands there.
        value: f32,
    },
    /// A weight that the chosen output type cannot hold.
    #[error("tensor {tensor:?} holds {value} at element {index}, too large for {dtype}")]
    Overflow {
        /// Name of the tensor in the file.
        tensor: String,
        /// Index of the element in the order of the imported tensor.
        index: u64,
        /// What stands there.
        value: f32,
        /// The chosen type.
        dtype: ImportDtype,
    },
    /// The rebuilt tokenizer was refused by the tokenizer library.
    #[error("the tokenizer cannot be rebuilt: {0}")]
    Tokenizer(String),
    /// The tensor library refused a block of weights.
    #[error("tensor {tensor:?} cannot be dequantised")]
    Dequantise {
        /// Name of the tensor in the file.
        tensor: String,
        /// What the library said.
        source: candle_core::Error,
    },
}

/// Why a model folder has no form as a GGUF file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DraftError {
    /// A family without a table of names.
    #[error("models of model_type {model_type:?} cannot be written as GGUF, only those of {known}")]
    Family {
        /// The model's type.
        model_type: String,
        /// The types that can be written.
        known: String,
    },
    /// A family that no program reads as GGUF.
    #[error(
        "models of model_type {model_type:?} cannot be written as GGUF: llama.cpp has a name for \
         them, and does not compute them"
    )]
    NoProgram {
        /// The model's type.
        model_type: String,
    },
    /// Something that the model has and the form has not.
    #[error("a GGUF file of architecture {architecture:?} has no place for {what}")]
    NoPlace {
        /// What it is.
        what: String,
        /// The architecture.
        architecture: &'static str,
    },
    /// A tensor that the form needs.
    #[error("the model has no tensor for {0:?} of a GGUF file")]
    NoTensor(String),
    /// A tokenizer that would read texts differently.
    #[error("the tokenizer cannot be written as GGUF: {0}")]
    Tokenizer(String),
    /// What was drafted cannot be read again.
    #[error("the GGUF file could not be read again: {0}")]
    Unread(String),
    /// A tensor could not be read.
    #[error("{0}")]
    Weights(#[from] WeightsError),
    /// Arithmetic on a change failed.
    #[error("cannot compute the change")]
    Compute(#[source] candle_core::Error),
}

impl GgufFault {
    pub(super) fn invalid(
        what: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> GgufFault {
        GgufFault::Invalid {
            what: what.into(),
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}
