//! Checks that a folder is a model: `config.json`, `tokenizer.json` and all its safetensors.
//!
//! Only the presence of the files is checked here; `model::weights` reads their headers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{mistaken, open_regular, read_regular};

/// The model's architecture.
pub(super) const CONFIG: &str = "config.json";
/// The tokenizer in the one-file form of the `tokenizers` library.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// All weights in one file.
pub(super) const WEIGHTS: &str = "model.safetensors";
/// The list of shards where the weights are split.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// An adapter alone, as PEFT writes it.
const ADAPTER: &str = "adapter_model.safetensors";
/// What PEFT notes about an adapter, such as its base.
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// An adapter's config has a few kilobytes.
const LARGEST_ADAPTER_CONFIG: u64 = 16 << 20;

/// An index has about 100 bytes a tensor; a larger file is not an index.
const LARGEST_INDEX: u64 = 64 << 20;

/// Why a folder is not a complete model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// `config.json`, `tokenizer.json` or a shard is missing.
    #[error(
        "{}: {file} is missing; a model folder holds config.json, tokenizer.json and safetensors",
        folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file's name.
        file: String,
    },
    /// A file of the model is a link to one that is gone.
    #[error(
        "{}: it is a link to {}, which is not there; download the model again",
        path.display(), target.display()
    )]
    BrokenLink {
        /// The link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// No safetensors under either of their names.
    #[error(
        "{}: neither model.safetensors nor model.safetensors.index.json is there{}",
        folder.display(),
        note_on(others)
    )]
    NoSafetensors {
        /// The folder.
        folder: PathBuf,
        /// Weights in formats that are not read from a folder.
        others: Vec<String>,
    },
    /// An adapter without the weights that it changes.
    #[error(
        "{}: it holds a PEFT adapter alone, but an adapter needs the weights that it was trained \
         on{}: merge the two (merge_and_unload in PEFT), and name the folder of the merged model",
        folder.display(),
        .base.as_ref().map(|base| format!(" ({ADAPTER_CONFIG} names {base:?})")).unwrap_or_default()
    )]
    AdapterAlone {
        /// The folder.
        folder: PathBuf,
        /// The model that the adapter's config names as its base.
        base: Option<String>,
    },
    /// The index of the shards is malformed.
    #[error("{}: {reason}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// The folder or its index could not be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// A note on which unread weights are there instead, and why they do not count.
pub(super) fn note_on(others: &[String]) -> String {
    match others.first() {
        None => String::new(),
        Some(other) if other == ADAPTER => {
            format!(" ({other} is, but an adapter needs the weights that it was trained on)")
        }
        Some(other) if other.ends_with(".gguf") => {
            format!(" ({other} is, and has to be named itself)")
        }
        Some(other) => {
            format!(" ({other} is, but pickled weights can run code and are never read)")
        }
    }
}

/// Picks the weights in other formats than safetensors from a list of file names, GGUF first.
pub(super) fn other_weights(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut others: Vec<String> = names
        .filter(|name| {
            name == ADAPTER
                || [".gguf", ".bin", ".pth", ".pt"].iter().any(|end| name.ends_with(end))
        })
        .collect();
    others.sort_by_key(|name| (!name.ends_with(".gguf"), name != ADAPTER, name.clone()));
    others
}

/// Checks that `folder` holds everything that a model needs.
///
/// # Errors
///
/// Names the first file that is missing, and an adapter whose weights are missing.
pub(super) fn check(folder: &Path) -> Result<(), FolderError> {
    if is_adapter_alone(folder) {
        let base = adapter_base(&folder.join(ADAPTER_CONFIG));
        return Err(FolderError::AdapterAlone { folder: folder.to_owned(), base });
    }
    require(folder, CONFIG)?;
    if !folder.join(WEIGHTS).is_file() {
        if !folder.join(INDEX).is_file() {
            return Err(no_safetensors(folder));
        }
        for shard in shards(&folder.join(INDEX))? {
            require(folder, &shard)?;
        }
    }
    require(folder, TOKENIZER)
}

/// The folder's own name, also for `.` and `..`.
pub(super) fn name(folder: &Path) -> String {
    let resolved = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let named = folder.file_name().or(resolved.file_name()).unwrap_or(folder.as_os_str());
    named.to_string_lossy().into_owned()
}

/// The error of a link to a file that is gone, as a cache of the Hub has them after a download that ended
/// early or was cleaned away.
fn broken_link(folder: &Path, file: &str) -> Option<FolderError> {
    let path = folder.join(file);
    let target = fs::read_link(&path).ok().filter(|_| !path.exists())?;
    Some(FolderError::BrokenLink { path, target })
}

fn require(folder: &Path, file: &str) -> Result<(), FolderError> {
    if folder.join(file).is_file() {
        return Ok(());
    }
    let missing = || FolderError::Missing { folder: folder.to_owned(), file: file.to_owned() };
    Err(broken_link(folder, file).unwrap_or_else(missing))
}

/// Whether a folder holds an adapter and no weights of any format.
fn is_adapter_alone(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let (adapter, others): (Vec<String>, Vec<String>) =
        names.partition(|name| name == ADAPTER_CONFIG || name.starts_with("adapter_model."));
    let has_weights = others.iter().any(|name| name == WEIGHTS || name == INDEX);
    !adapter.is_empty() && !has_weights && other_weights(others.into_iter()).is_empty()
}

/// The base that an adapter's config names, if it can be read.
fn adapter_base(config: &Path) -> Option<String> {
    let bytes = read_regular(config, LARGEST_ADAPTER_CONFIG).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let base = config.get("base_model_name_or_path")?.as_str()?;
    (!base.is_empty()).then(|| base.to_owned())
}

fn no_safetensors(folder: &Path) -> FolderError {
    if let Some(broken) = [WEIGHTS, INDEX].iter().find_map(|name| broken_link(folder, name)) {
        return broken;
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) => return FolderError::Read { path: folder.to_owned(), source },
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    FolderError::NoSafetensors { folder: folder.to_owned(), others: other_weights(names) }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The names of the shards that an index lists, sorted.
///
/// # Errors
///
/// An index may come from a stranger: a shard must be a plain `.safetensors` name, without folders.
pub(super) fn shards(index: &Path) -> Result<BTreeSet<String>, FolderError> {
    let malformed = |reason: String| FolderError::Index { path: index.to_owned(), reason };
    let text = read_bounded(index)
        .map_err(|source| FolderError::Read { path: index.to_owned(), source })?
        .ok_or_else(|| {
            malformed(format!("larger than {LARGEST_INDEX} bytes; expected an index"))
        })?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| match mistaken(&text) {
        Some(what) => malformed(what.to_owned()),
        None => malformed(format!("not an index of safetensors shards: {error}")),
    })?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(malformed(
            "\"weight_map\" is empty; expected tensor names and their shards".into(),
        ));
    }
    match names.iter().find(|name| !is_shard_name(name)) {
        None => Ok(names),
        Some(name) => Err(malformed(format!(
            "shard {name:?} is not a plain file name that ends in .safetensors"
        ))),
    }
}

fn is_shard_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.ends_with(".safetensors") && !name.starts_with('.') && name.bytes().all(is_plain)
}

/// The file's bytes, or nothing if there are more than an index can have.
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(LARGEST_INDEX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LARGEST_INDEX).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    const TWO_SHARDS: &str =
        r#"{"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;

    #[test]
    fn complete_folders_pass() {
        let single = folder_with(&[(CONFIG, "{}"), (TOKENIZER, "{}"), (WEIGHTS, "")]);
        check(single.path()).unwrap();
        let sharded = folder_with(&[
            (CONFIG, "{}"),
            (TOKENIZER, "{}"),
            (INDEX, TWO_SHARDS),
            ("one.safetensors", ""),
            ("two.safetensors", ""),
        ]);
        check(sharded.path()).unwrap();
    }

    #[test]
    fn the_missing_file_is_named() {
        let rows: [(&[(&str, &str)], &str); 7] = [
            (&[(TOKENIZER, "{}"), (WEIGHTS, "")], "config.json is missing"),
            (&[(CONFIG, "{}"), (WEIGHTS, "")], "tokenizer.json is missing"),
            (&[(CONFIG, "{}"), (TOKENIZER, "{}")], "neither model.safetensors nor"),
            (&[(CONFIG, "{}"), ("pytorch_model.bin", "")], "(pytorch_model.bin is, but pickled"),
            (&[(CONFIG, "{}"), (ADAPTER, "")], "an adapter needs the weights"),
            (&[(CONFIG, "{}"), ("m.gguf", ""), ("a.bin", "")], "(m.gguf is, and has to be named"),
            (
                &[(CONFIG, "{}"), (INDEX, TWO_SHARDS), ("one.safetensors", "")],
                "two.safetensors is missing",
            ),
        ];
        for (files, expected) in rows {
            let folder = folder_with(files);
            let message = check(folder.path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(folder.path().to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn an_adapter_alone_is_named_with_its_base() {
        let config = r#"{"base_model_name_or_path": "org/base", "peft_type": "LORA"}"#;
        let rows: [(&[(&str, &str)], &str); 4] = [
            (&[(ADAPTER_CONFIG, config), (ADAPTER, "")], "names \"org/base\""),
            (&[(ADAPTER_CONFIG, config), (CONFIG, "{}"), (TOKENIZER, "{}")], "\"org/base\""),
            (&[(ADAPTER_CONFIG, "{}"), ("adapter_model.bin", "")], "it was trained on: merge"),
            (&[(ADAPTER_CONFIG, config), (CONFIG, "{}"), ("m.gguf", "")], "(m.gguf is, and has"),
        ];
        for (files, expected) in rows {
            let message = check(folder_with(files).path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let whole = [(CONFIG, "{}"), (TOKENIZER, "{}"), (WEIGHTS, ""), (ADAPTER_CONFIG, config)];
        check(folder_with(&whole).path()).unwrap();
    }

    #[test]
    fn hostile_indexes_are_refused() {
        let rows = [
            ("", "it is empty"),
            ("{", "not an index of safetensors shards"),
            ("[]", "not an index of safetensors shards"),
            (r#"{"weight_map": {}}"#, "is empty"),
            (r#"{"weight_map": {"a": 3}}"#, "not an index of safetensors shards"),
            (r#"{"weight_map": {"a": "../../x.safetensors"}}"#, "not a plain file name"),
            (r#"{"weight_map": {"a": "/etc/x.safetensors"}}"#, "not a plain file name"),
            (r#"{"weight_map": {"a": "pytorch_model.bin"}}"#, "not a plain file name"),
        ];
        for (text, expected) in rows {
            let folder = folder_with(&[(INDEX, text)]);
            let message = shards(&folder.path().join(INDEX)).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_folder_is_called_by_its_own_name() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("smollm2");
        fs::create_dir(&inner).unwrap();
        assert_eq!(name(&inner), "smollm2");
        assert_eq!(name(&inner.join("..").join("smollm2").join(".")), "smollm2");
        assert_eq!(name(&inner.join("..")), outer.path().file_name().unwrap().to_str().unwrap());
    }
}
