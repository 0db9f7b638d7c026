//! Errors of the Hub, of the connection to it, and of its cache.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::api::sync::ApiError;

use super::super::FolderError;
use super::super::folder::note_on;
use super::HubId;
use crate::model::ModelError;
use crate::progress::Interrupted;

/// A failure to get one repository.
#[derive(Debug)]
pub struct HubError {
    /// The repository that was asked for.
    pub id: HubId,
    /// The server that was asked.
    pub endpoint: String,
    /// The kind of failure.
    pub kind: HubErrorKind,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, endpoint, kind } = self;
        write!(f, "model \"{id}\", read as a repository of the Hub at {endpoint}: {kind}")
    }
}

impl Error for HubError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

/// The kind of failure to get a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubErrorKind {
    /// The server knows no such repository.
    #[error("there is no such repository, and no local folder of that name")]
    RepositoryNotFound,
    /// Without a token the server does not tell whether the repository exists.
    #[error(
        "without an access token the server does not show it: it is private, or does not exist; \
         there is no local folder of that name either"
    )]
    Hidden,
    /// The repository has no such branch, tag or commit.
    #[error("the repository has no revision \"{revision}\"")]
    RevisionNotFound {
        /// The revision asked for.
        revision: String,
    },
    /// The token is not valid.
    #[error("the access token was refused (status {status})")]
    TokenRefused {
        /// The HTTP status, 401 or 403.
        status: u16,
    },
    /// The repository's terms have to be accepted first.
    #[error("the repository is gated, and {}", if *is_authorised {
        "the access token's owner has not been granted access"
    } else {
        "no access token was sent"
    })]
    Gated {
        /// Whether a token was sent.
        is_authorised: bool,
    },
    /// No connection, no name, no secure channel, or no answer in time.
    #[error("the server could not be reached, and the cache has no complete copy")]
    Unreachable {
        /// The error of the transport.
        source: io::Error,
    },
    /// Offline use was asked for, and the cache is incomplete.
    #[error(
        "offline, and the cache {} lacks {lacking}; there is no local folder of that name either",
        cache.display()
    )]
    Offline {
        /// The Hub's cache.
        cache: PathBuf,
        /// A file's name, or what else is missing.
        lacking: String,
    },
    /// The repository has no safetensors that this program reads.
    #[error(
        "the repository has neither model.safetensors nor model.safetensors.index.json{}",
        note_on(others)
    )]
    NoSafetensors {
        /// Weights in other formats.
        others: Vec<String>,
    },
    /// A file that every model needs is not in the repository.
    #[error("the repository has no {file}")]
    MissingFile {
        /// The file's name.
        file: String,
    },
    /// The list of shards is malformed, or the snapshot in the cache is damaged.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// The model is of a family that is not computed, or its config cannot be read.
    #[error("{0}")]
    Model(#[from] Box<ModelError>),
    /// The server answered with an unexpected status.
    #[error(
        "the server answered with status {status}{}{}",
        if message.is_empty() { String::new() } else { format!(": {message}") },
        asked.map(|time| format!("; it asks to wait {} s", time.as_secs())).unwrap_or_default()
    )]
    Status {
        /// The HTTP status.
        status: u16,
        /// The server's own words, if any.
        message: String,
        /// The time that a busy server asks to wait, if it does.
        asked: Option<Duration>,
    },
    /// The answer is not that of a Hub.
    #[error("the answer is not that of a Hub: {reason}")]
    Protocol {
        /// What was found.
        reason: String,
    },
    /// A file stopped arriving.
    #[error("{file} could not be downloaded; what has arrived is kept, and the next run resumes")]
    Transfer {
        /// The file's name.
        file: String,
        /// The error of the transport or of the disk.
        source: Box<ApiError>,
    },
    /// A file arrived that is not the one announced.
    #[error(
        "{file} arrived damaged (its SHA-256 is {found}, expected {announced}) and was removed"
    )]
    Damaged {
        /// The file's name.
        file: String,
        /// The hash of what arrived.
        found: String,
        /// The hash that the server named.
        announced: String,
    },
    /// The cache could not be written.
    #[error("{}: the cache cannot be read or written", path.display())]
    Cache {
        /// The file in the cache.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}
