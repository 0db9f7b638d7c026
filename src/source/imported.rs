//! Keeps the folders that GGUF files were imported to, by the file's SHA-256.
//!
//! A folder is built under a temporary name next to its final one and renamed when it is
//! complete. So an existing folder is always whole, and of two processes that import one file
//! at once the later finds the earlier one's folder and discards its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SourceError;
use crate::files::{
    FileError, Hold, Sha256, Sha256Hasher, is_abandoned, keep_sealed, read_sealed, warn_of_cache,
};
use crate::progress::{Progress, Silent};

/// Part of the folder's name: raised whenever the import writes different bytes for the same file.
const IMPORT_VERSION: u32 = 2;

/// The folder that the files of a model were imported to; runs `import` into a new folder if there is none yet.
pub(super) fn folder_for<E>(
    files: &[PathBuf],
    cache: &Path,
    progress: &dyn Progress,
    import: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, SourceError>
where
    SourceError: From<E>,
{
    progress.check()?;
    let hash = hash(files)?;
    let kept = cache.join("gguf");
    let folder = kept.join(format!("{hash}-v{IMPORT_VERSION}"));
    let list = kept.join(format!("{hash}-v{IMPORT_VERSION}.files"));
    if folder.is_dir() && is_whole(&folder, &list, progress) {
        return Ok(folder);
    }
    let unwritable = |source| SourceError::Cache { path: kept.clone(), source };
    fs::create_dir_all(&kept).map_err(unwritable)?;
    let unfinished = unfinished_in(&kept).map_err(unwritable)?;
    let _held = Hold::on(unfinished.path());
    let built = unfinished.path().join("model");
    import(&built)?;
    let digests = digests(&built).map_err(unwritable)?;
    if folder.is_dir() && !is_whole(&folder, &list, &Silent) {
        fs::rename(&folder, unfinished.path().join("damaged")).map_err(unwritable)?;
    }
    keep_sealed(&list, &[&serde_json::to_vec(&digests).expect("names are JSON")], progress);
    keep(&built, &folder).map_err(|source| SourceError::Cache { path: folder.clone(), source })?;
    Ok(folder)
}

/// The SHA-256 of a file, or over those of several.
fn hash(files: &[PathBuf]) -> Result<Sha256, FileError> {
    if let [only] = files {
        return Sha256::of_file(only);
    }
    let mut all = Sha256Hasher::default();
    for file in files {
        all.update(Sha256::of_file(file)?.to_string());
    }
    Ok(all.finish())
}

/// A new folder in the cache, removed unless it is renamed, once those of killed runs are gone.
pub(super) fn unfinished_in(kept: &Path) -> io::Result<tempfile::TempDir> {
    for entry in fs::read_dir(kept)?.flatten() {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        if is_unfinished && is_abandoned(&entry.path()) {
            // What cannot be removed costs room, nothing else.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(kept)
}

/// What names of folders in the making begin with.
const UNFINISHED: &str = ".unfinished-";

/// The digests of the files in a folder by their names.
fn digests(folder: &Path) -> io::Result<BTreeMap<String, Sha256>> {
    let digest = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let digest = Sha256::of_file(&entry.path()).map_err(io::Error::other)?;
        Ok((entry.file_name().to_string_lossy().into_owned(), digest))
    };
    fs::read_dir(folder)?.map(digest).collect()
}

/// Whether a folder holds what was imported, as its list says.
fn is_whole(folder: &Path, list: &Path, progress: &dyn Progress) -> bool {
    let Some(list) = read_sealed(list, progress) else { return false };
    let listed = serde_json::from_slice::<BTreeMap<String, Sha256>>(&list);
    let is_whole = matches!((digests(folder), listed), (Ok(found), Ok(listed)) if found == listed);
    if !is_whole {
        warn_of_cache(folder, "its files are not those that were imported", progress);
    }
    is_whole
}

/// Renames, unless another process was faster.
fn keep(built: &Path, folder: &Path) -> io::Result<()> {
    match fs::rename(built, folder) {
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::progress::{Interrupted, Silent};

    struct Fixture {
        folder: tempfile::TempDir,
        gguf: PathBuf,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let gguf = folder.path().join("tiny.gguf");
        fs::write(&gguf, b"GGUF bytes").unwrap();
        Fixture { folder, gguf }
    }

    fn write_model(out: &Path) -> Result<(), SourceError> {
        fs::create_dir_all(out).unwrap();
        fs::write(out.join("config.json"), "{}").unwrap();
        Ok(())
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_second_use_imports_nothing_and_a_changed_file_is_another_model() {
        let Fixture { folder, gguf } = fixture();
        let first = folder_for(from_ref(&gguf), folder.path(), &Silent, write_model).unwrap();
        assert!(first.join("config.json").is_file());
        let refuse = |_: &Path| -> Result<(), SourceError> { panic!("imported twice") };
        assert_eq!(folder_for(from_ref(&gguf), folder.path(), &Silent, refuse).unwrap(), first);
        fs::write(&gguf, b"other bytes").unwrap();
        assert_ne!(
            folder_for(from_ref(&gguf), folder.path(), &Silent, write_model).unwrap(),
            first
        );
        let kept = entries(&folder.path().join("gguf"));
        assert_eq!(kept.len(), 4, "two models with their lists, and no temporary folder: {kept:?}");
    }

    #[test]
    fn a_failed_import_leaves_nothing() {
        let Fixture { folder, gguf } = fixture();
        let fail = |out: &Path| {
            write_model(out)?;
            Err(SourceError::from(Interrupted))
        };
        let error = folder_for(from_ref(&gguf), folder.path(), &Silent, fail).unwrap_err();
        assert!(matches!(error, SourceError::Interrupted(_)), "{error}");
        assert_eq!(entries(&folder.path().join("gguf")), Vec::<String>::new());
    }

    #[test]
    fn two_imports_at_once_end_in_one_folder() {
        let Fixture { folder, gguf } = fixture();
        let both_built = Barrier::new(2);
        let import = || {
            folder_for(from_ref(&gguf), folder.path(), &Silent, |out| {
                let written = write_model(out);
                both_built.wait();
                written
            })
        };
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(import);
            let other = scope.spawn(import);
            (one.join().unwrap().unwrap(), other.join().unwrap().unwrap())
        });
        assert_eq!(one, other);
        assert!(one.join("config.json").is_file());
        assert_eq!(entries(&folder.path().join("gguf")).len(), 2);
    }

    #[test]
    fn a_changed_file_is_imported_again() {
        let Fixture { folder, gguf } = fixture();
        let first = folder_for(from_ref(&gguf), folder.path(), &Silent, write_model).unwrap();
        fs::write(first.join("config.json"), "[]").unwrap();
        let again = folder_for(from_ref(&gguf), folder.path(), &Silent, write_model).unwrap();
        assert_eq!(again, first);
        assert_eq!(fs::read_to_string(first.join("config.json")).unwrap(), "{}");
        fs::write(first.join("more.json"), "{}").unwrap();
        folder_for(from_ref(&gguf), folder.path(), &Silent, write_model).unwrap();
        assert!(!first.join("more.json").exists());
    }

    #[test]
    fn an_unwritable_cache_is_named() {
        let Fixture { folder, gguf } = fixture();
        let cache = folder.path().join("a-file");
        fs::write(&cache, b"").unwrap();
        let error = folder_for(from_ref(&gguf), &cache, &Silent, write_model).unwrap_err();
        assert!(matches!(error, SourceError::Cache { .. }), "{error}");
    }
}
