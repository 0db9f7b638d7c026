//! Why `--model` could not be resolved to a folder.

use std::io;
use std::path::PathBuf;

use super::{FolderError, HubError, HubErrorKind, HubId};
use crate::files::FileError;
use crate::gguf::GgufError;
use crate::progress::Interrupted;

/// Why no model could be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text can only be a path, and nothing is there.
    #[error(
        "model \"{given}\": no such file or folder (read as a path, because {reason}; \
         a Hub id has the form org/name[@revision])"
    )]
    NoSuchPath {
        /// The text as given.
        given: String,
        /// What makes it a path.
        reason: &'static str,
    },
    /// A Hub id whose organisation is the name of a folder here, which lacks the rest.
    #[error(
        "model \"{id}\": the folder {} has no \"{}\"",
        id.name.split('/').next().unwrap_or_default(),
        id.name.split('/').nth(1).unwrap_or_default()
    )]
    InFolder {
        /// The id.
        id: HubId,
    },
    /// The text is neither an existing path nor a Hub id.
    #[error(
        "model \"{given}\": there is no file or folder of this name here, and it is not a Hub id, \
         which has the form org/name[@revision]{}",
        .perhaps.as_ref().map(|id| format!("; did you mean {id}?")).unwrap_or_default()
    )]
    Unreadable {
        /// The text as given.
        given: String,
        /// The id that a well-known model of that name has.
        perhaps: Option<String>,
    },
    /// A single file that is not a GGUF file.
    #[error(
        "{}: a single file is read only if it is a .gguf; for safetensors, \
         name the folder that holds config.json, tokenizer.json and the weights", path.display()
    )]
    NotAModelFile {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be hashed.
    #[error("{0}")]
    File(#[from] FileError),
    /// A file or folder could not be examined.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The cache of unpacked and imported models could not be written.
    #[error("{}: the cache of models cannot be written", path.display())]
    Cache {
        /// The folder or file in the cache.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The folder is not a complete model.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// The GGUF could not be imported.
    #[error("{0}")]
    Gguf(#[source] GgufError),
    /// The model could not be fetched from the Hub.
    #[error("{0}")]
    Hub(#[source] Box<HubError>),
    /// The user asked to stop.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

impl From<GgufError> for SourceError {
    /// An interruption is one wherever it happens, so that callers look for it in one place.
    fn from(error: GgufError) -> Self {
        match error {
            GgufError::Interrupted(stop) => stop.into(),
            error => Self::Gguf(error),
        }
    }
}

impl From<Box<HubError>> for SourceError {
    /// An interruption is one wherever it happens, so that callers look for it in one place.
    fn from(error: Box<HubError>) -> Self {
        match error.kind {
            HubErrorKind::Interrupted(stop) => stop.into(),
            _ => Self::Hub(error),
        }
    }
}
