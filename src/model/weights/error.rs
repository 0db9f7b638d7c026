//! Why weights could not be opened or read.

use std::io;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::{HeaderError, INDEX, SINGLE};

/// Why weights could not be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The folder holds neither a single file nor an index.
    #[error("{} holds neither {SINGLE} nor {INDEX}{}", folder.display(), other_weights(folder))]
    NoWeights {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// Opening, mapping or reading failed.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A safetensors file whose header is not to be trusted, or that was cut short.
    #[error("{} is not a whole safetensors file", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<HeaderError>,
    },
    /// Another file in the place of weights, such as a Git LFS pointer.
    #[error("{}: {what}", path.display())]
    Mistaken {
        /// The file.
        path: PathBuf,
        /// What it is, and how to get the weights.
        what: &'static str,
    },
    /// The index is not JSON of the right form, or too long.
    #[error("{} is malformed: {reason}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names a file that is not there.
    #[error("shard {shard:?} is missing in {}; it holds tensor {tensor:?} and {others} others", folder.display())]
    MissingShard {
        /// The model folder.
        folder: PathBuf,
        /// File name of the shard.
        shard: String,
        /// A tensor that the index places in it.
        tensor: String,
        /// How many further tensors the index places in it.
        others: usize,
    },
    /// The index names a tensor that its shard does not hold.
    #[error("{} lacks tensor {tensor:?}, which {INDEX} places there", path.display())]
    NotInShard {
        /// The shard.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// No tensor of that name.
    #[error("{} has no tensor {tensor:?}", folder.display())]
    Unknown {
        /// The model folder.
        folder: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// Weights of that dtype cannot be used.
    #[error("tensor {tensor:?} in {} is {dtype}, expected F32, F16 or BF16", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dtype.
        dtype: Dtype,
    },
    /// Some weights are NaN or infinite.
    #[error("tensor {tensor:?} in {} has {bad} NaN or infinite weights of {count}, expected none", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// How many are not finite.
        bad: usize,
        /// How many there are.
        count: usize,
    },
    /// The device refused the tensor, for instance for want of memory.
    #[error("cannot place tensor {tensor:?} on the device")]
    Device {
        /// The tensor.
        tensor: String,
        /// What candle said.
        source: Box<candle_core::Error>,
    },
}

fn other_weights(folder: &Path) -> &'static str {
    let old = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
    if old.iter().any(|name| folder.join(name).exists()) {
        "; it holds pytorch_model.bin, which has to be converted to safetensors first"
    } else {
        ""
    }
}
