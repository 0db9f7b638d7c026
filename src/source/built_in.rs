//! The model inside the binary, as a folder: unpacked once into the cache, under the digest of its
//! files.
//!
//! Every later stage takes a folder: its files are hashed, mapped, and copied into an export. It is
//! compared with the contents of the binary each time, because a cache may be tidied.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::SourceError;
use super::imported::unfinished_in;
use crate::files::{Hold, Sha256, Sha256Hasher};

/// The name of the built-in model.
pub const BUILT_IN: &str = "atlas";

/// The files that `rescribe atlas train --seed 0` writes.
const FILES: [(&str, &[u8]); 6] = [
    ("atlas.json", include_bytes!("../atlas/model/atlas.json")),
    ("config.json", include_bytes!("../atlas/model/config.json")),
    ("generation_config.json", include_bytes!("../atlas/model/generation_config.json")),
    ("model.safetensors", include_bytes!("../atlas/model/model.safetensors")),
    ("tokenizer.json", include_bytes!("../atlas/model/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../atlas/model/tokenizer_config.json")),
];

/// The digest of all files with their names.
pub(super) fn digest() -> Sha256 {
    let mut hasher = Sha256Hasher::default();
    for (name, bytes) in FILES {
        hasher.update(format!("{} {name}\n", Sha256::of(bytes)));
    }
    hasher.finish()
}

/// The folder in `cache` that holds the model, unpacked if it is missing or incomplete.
pub(super) fn folder(cache: &Path) -> Result<PathBuf, SourceError> {
    let kept = cache.join(BUILT_IN);
    let folder = kept.join(digest().to_string());
    if is_whole(&folder) {
        return Ok(folder);
    }
    unpack(&kept, &folder).map_err(|source| SourceError::Cache { path: folder.clone(), source })?;
    Ok(folder)
}

fn is_whole(folder: &Path) -> bool {
    FILES.iter().all(|(name, bytes)| fs::read(folder.join(name)).is_ok_and(|found| found == *bytes))
}

/// Builds the folder next to its destination and renames it; another process may do the same
/// meanwhile.
fn unpack(kept: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(kept)?;
    let unfinished = unfinished_in(kept)?;
    let _held = Hold::on(unfinished.path());
    let built = unfinished.path().join("model");
    fs::create_dir(&built)?;
    for (name, bytes) in FILES {
        let mut file = fs::File::create_new(built.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    if folder.exists() && !is_whole(folder) {
        fs::rename(folder, unfinished.path().join("damaged"))?;
    }
    match fs::rename(&built, folder) {
        Err(_) if is_whole(folder) => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of the weights that were measured; `atlas train --seed 0` gives them again.
    const WEIGHTS: &str = "5fac7b55ed6ffd11003a3854e024708e7b16e763f7abbebdc3e7354974e61681";

    #[test]
    fn the_weights_are_those_that_were_measured() {
        let (_, weights) =
            FILES.iter().find(|(name, _)| *name == "model.safetensors").expect("one");
        assert_eq!(Sha256::of(weights).to_string(), WEIGHTS);
    }

    #[test]
    fn it_is_small() {
        let bytes: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 5_000_000, "{bytes} bytes in the binary");
    }

    #[test]
    fn it_is_unpacked_once_and_mended() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let found = folder(cache.path()).expect("unpacked");
        let written = |name: &str| fs::metadata(found.join(name)).and_then(|it| it.modified());
        let first = written("config.json").expect("a time");
        assert_eq!(folder(cache.path()).expect("found"), found);
        assert_eq!(written("config.json").expect("a time"), first);
        fs::write(found.join("tokenizer.json"), "cut").expect("damaged");
        fs::remove_file(found.join("atlas.json")).expect("damaged");
        assert_eq!(folder(cache.path()).expect("mended"), found);
        assert!(is_whole(&found));
        let entries = fs::read_dir(cache.path().join(BUILT_IN)).expect("a folder").count();
        assert_eq!(entries, 1, "nothing else is left");
    }

    #[test]
    fn an_unwritable_cache_is_named() {
        let room = tempfile::tempdir().expect("a temporary folder");
        let cache = room.path().join("a-file");
        fs::write(&cache, "").expect("a file");
        let error = folder(&cache).expect_err("no folder");
        assert!(matches!(error, SourceError::Cache { .. }), "{error}");
    }
}
