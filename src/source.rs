//! First stage of every command: what `--model` names becomes a folder on this disk.
//!
//! Four forms are read, in this order:
//!
//! | given | result |
//! |---|---|
//! | nothing, or `atlas` | a folder that the built-in model was unpacked to |
//! | a folder with `config.json`, `tokenizer.json` and safetensors | the folder itself |
//! | a `.gguf` file | a folder that [`gguf::import`] wrote, kept by the file's SHA-256 |
//! | a Hub id `org/name[@revision]` | a snapshot in the Hub's own cache, completed by download |
//!
//! A file or folder of this disk always wins over a repository of the same name.

mod built_in;
mod error;
mod folder;
mod hub;
mod hub_id;
mod imported;
mod options;
mod reading;

use std::path::{Path, PathBuf};

use candle_core::Device;

pub use built_in::BUILT_IN;
pub use error::SourceError;
pub use folder::FolderError;
pub use hub::{HubError, HubErrorKind};
pub use hub_id::HubId;
pub use options::{HubOptions, SourceOptions, Token};

use crate::gguf;
use crate::model::Model;
use crate::progress::Progress;
use reading::GivenModel;

/// A complete model on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder that holds `config.json`, `tokenizer.json` and the safetensors.
    pub path: PathBuf,
    /// Display name of the model: `atlas`, the folder's name, the GGUF's
    /// without its ending, or `org/name`.
    pub name: String,
    /// The commit of a Hub repository; nothing for local models.
    pub revision: Option<String>,
    /// The GGUF file that the folder was imported from.
    pub gguf: Option<PathBuf>,
}

/// Opens the model that is inside the binary, unpacked to `cache`.
///
/// # Errors
///
/// [`SourceError`] where the cache cannot be written, and what [`Model::open`] fails with.
pub fn open_built_in(
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Model, Box<dyn std::error::Error + Send + Sync>> {
    let folder = built_in::folder(cache)?;
    Ok(Model::open(&folder, &Device::Cpu, progress)?)
}

/// Finds, imports or downloads the model that `model` names.
///
/// # Errors
///
/// [`SourceError`] names what was given, how it was read, and what is missing. After an
/// interruption a download resumes where it stopped, and an import leaves nothing on disk.
pub fn resolve(
    model: Option<&str>,
    options: &SourceOptions,
    progress: &dyn Progress,
) -> Result<ModelFolder, SourceError> {
    match reading::read(model)? {
        GivenModel::BuiltIn => local(built_in::folder(&options.cache)?, BUILT_IN.to_owned()),
        GivenModel::Folder(path) => local(path.clone(), folder::name(&path)),
        GivenModel::Gguf(file) => {
            // A file without end, or of another kind, is not hashed first.
            gguf::check(&file)?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let parts = gguf::parts(&file)?;
            let path = imported::folder_for(&parts, &options.cache, progress, |out| {
                gguf::import(&file, out, &gguf::ImportOptions::default(), progress).map(drop)
            })?;
            Ok(ModelFolder { gguf: Some(file), ..local(path, name)? })
        }
        GivenModel::Hub(id) => {
            let (path, commit) = hub::fetch(&id, &options.hub, progress)?;
            Ok(ModelFolder { path, name: id.name, revision: Some(commit), gguf: None })
        }
    }
}

fn local(path: PathBuf, name: String) -> Result<ModelFolder, SourceError> {
    folder::check(&path)?;
    Ok(ModelFolder { path, name, revision: None, gguf: None })
}
