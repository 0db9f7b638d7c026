//! The record of an exported folder: what was done to it, and the digest of each of its files.
//!
//! It carries its own digest, for which zeros stand while it is computed, so that a record that was
//! changed by hand is not shown as fact. Whoever forges a record on purpose can forge its digest;
//! the digests of files then still have to fit them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::folder::{LONGEST_RECORD, within};
use super::transfer::put_file;
use super::{CheckpointError, RECIPES};
use crate::files::{FileError, Overwrite, Sha256, parent, read_regular, write_atomically};
use crate::progress::Progress;

/// Key of the record's own digest.
const SEAL: &str = "sha256";
/// Key of the digests of all other files of the folder.
const HASHES: &str = "hashes";
/// Stands for the digest while the record is hashed.
const PLACE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The record of a folder, compared with its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The record as data.
    pub recipes: Value,
    /// Whether the record is as it was written.
    pub is_whole: bool,
    /// Files that are not as they were written, or are gone.
    pub changed: Vec<PathBuf>,
    /// Files that the export did not write.
    pub added: Vec<PathBuf>,
    /// Number of files whose digests were compared.
    pub compared: usize,
}

/// Writes the record of a folder that is otherwise complete.
pub(crate) fn write(
    folder: &Path,
    mut recipes: Value,
    progress: &dyn Progress,
) -> Result<(), CheckpointError> {
    let files = within(folder, Path::new("")).map_err(FileError::reading(folder))?;
    let mut hashes = BTreeMap::new();
    for file in files {
        progress.check()?;
        let digest = Sha256::of_file(&folder.join(&file))?;
        hashes.insert(file.to_string_lossy().into_owned(), digest);
    }
    recipes[HASHES] = json!(hashes);
    Ok(put_file(&folder.join(RECIPES), sealed(recipes).as_bytes())?)
}

/// Writes the record of a single file, which lists nothing but this file.
pub(crate) fn write_beside(file: &Path, mut recipes: Value) -> Result<(), CheckpointError> {
    recipes[HASHES] = json!({ name_of(file): Sha256::of_file(file)? });
    let text = sealed(recipes);
    Ok(write_atomically(&record_of(file), Overwrite::Replace, |out| {
        out.write_all(text.as_bytes())
    })?)
}

/// Where the record of a single file stands.
pub fn record_of(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".");
    name.push(RECIPES);
    name.into()
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The text of a record, with its own digest in it.
fn sealed(mut recipes: Value) -> String {
    recipes[SEAL] = PLACE.into();
    let digest = Sha256::of(text(&recipes));
    recipes[SEAL] = json!(digest);
    text(&recipes)
}

fn text(recipes: &Value) -> String {
    format!("{recipes:#}\n")
}

impl Record {
    /// Reads the record of a folder and compares it with the folder's files; nothing where it has
    /// none.
    ///
    /// # Errors
    ///
    /// Where the record cannot be read, or is not JSON.
    pub fn read(folder: &Path, progress: &dyn Progress) -> Result<Option<Self>, CheckpointError> {
        let Some(mut record) = Self::compared(&folder.join(RECIPES), folder, progress)? else {
            return Ok(None);
        };
        let hashes = &record.recipes[HASHES];
        let mut added = within(folder, Path::new("")).map_err(FileError::reading(folder))?;
        added.retain(|file| {
            let name = file.to_string_lossy();
            name != RECIPES && hashes.get(&*name).is_none()
        });
        record.added = added;
        Ok(Some(record))
    }

    /// Reads the record of a single file, which stands next to it, and compares it with the file;
    /// nothing where it has none.
    ///
    /// # Errors
    ///
    /// Where the record cannot be read, or is not JSON.
    pub fn beside(file: &Path, progress: &dyn Progress) -> Result<Option<Self>, CheckpointError> {
        Self::compared(&record_of(file), parent(file), progress)
    }

    /// The record at `path`, compared with the files that it lists, which are in `folder`.
    fn compared(
        path: &Path,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, CheckpointError> {
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let malformed = |reason| CheckpointError::Record { path: path.to_owned(), reason };
        let bytes = read_regular(path, LONGEST_RECORD).map_err(FileError::reading(path))?;
        let recipes: Value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let Some(hashes) = recipes.get(HASHES).and_then(Value::as_object) else {
            return Err(malformed("it has no digests of files".into()));
        };
        let mut changed = Vec::new();
        for (name, digest) in hashes {
            progress.check()?;
            if !fits(folder, name, digest) {
                changed.push(PathBuf::from(name));
            }
        }
        let (is_whole, compared) = (is_whole(&bytes, &recipes), hashes.len());
        Ok(Some(Self { recipes, is_whole, changed, added: Vec::new(), compared }))
    }
}

/// Whether a file of the folder has the digest that the record states.
fn fits(folder: &Path, name: &str, digest: &Value) -> bool {
    let path = folder.join(name);
    let is_inside =
        Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let is_file = fs::metadata(&path).is_ok_and(|found| found.is_file());
    is_inside && is_file && Sha256::of_file(&path).is_ok_and(|found| json!(found) == *digest)
}

/// Whether the record has the digest that it states, each byte counted.
fn is_whole(bytes: &[u8], recipes: &Value) -> bool {
    let Some(stated) = recipes[SEAL].as_str() else { return false };
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let entry = |digest: &str| format!("\n  \"{SEAL}\": \"{digest}\"");
    let opened = text.replacen(&entry(stated), &entry(PLACE), 1);
    Sha256::of(opened).to_string() == stated
}
