//! Files of the cache: each ends in the digest of its name and of what it holds, so that a damaged one
//! is noticed, and computed again; so is one that stands in the place of another.
//!
//! A cache may be shared, copied and tidied by others, and is written where there may be no room:
//! what cannot be read is a loss of time, never an error.

use std::io::{self, Write};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::atomic::write_atomically;
use super::error::{FileError, Overwrite};
use super::hash::Sha256Hasher;
use super::regular::{map_regular, read_regular};
use crate::progress::Progress;

/// What stands between the contents and their digest.
const MARK: &[u8] = b"\nrescribe sha256 ";
/// What stands between a name and the contents where both are hashed; no name has it.
const END_OF_NAME: &[u8] = b"\0";
/// Bytes of a digest as text.
const DIGITS: usize = 64;
/// No entry is longer: a second moment of 64 Ki keys.
const LIMIT: u64 = 64 << 30;
/// Why a file is not believed.
const DAMAGED: &str = "its digest does not match its name and what it holds";

/// The contents of a sealed file; nothing where it is absent, or damaged, of which `progress` is
/// told.
pub(crate) fn read_sealed(path: &Path, progress: &dyn Progress) -> Option<Vec<u8>> {
    let bytes = match read_regular(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn(path, &error.to_string(), progress);
            return None;
        }
    };
    let opened = opened(path, bytes);
    if opened.is_none() {
        warn(path, DAMAGED, progress);
    }
    opened
}

/// The contents of a sealed file that stay in it.
#[derive(Debug)]
pub(crate) struct Sealed {
    map: Mmap,
    length: usize,
}

impl Deref for Sealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.length]
    }
}

impl Sealed {
    /// Lets the system drop what was read; a later access reads it again.
    pub(crate) fn give_back(&self) {
        #[cfg(unix)]
        // SAFETY: the map is read-only and backed by a file, so dropped pages come back with the
        // same bytes.
        let _ = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}

/// As [`read_sealed`], without a copy in memory.
pub(crate) fn map_sealed(path: &Path, progress: &dyn Progress) -> Option<Sealed> {
    let map = match map_regular(path) {
        Ok(map) => map,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn(path, &error.to_string(), progress);
            return None;
        }
    };
    let Some(length) = length(path, &map) else {
        warn(path, DAMAGED, progress);
        return None;
    };
    let sealed = Sealed { map, length };
    sealed.give_back();
    Some(sealed)
}

/// Says that a file of the cache is not used.
pub(crate) fn warn(path: &Path, reason: &str, progress: &dyn Progress) {
    progress.warn(&format!(
        "{} in the cache cannot be used ({reason}), so it is computed again",
        path.display()
    ));
}

/// The contents without their seal, where it is right.
fn opened(path: &Path, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    bytes.truncate(length(path, &bytes)?);
    Some(bytes)
}

/// The length of the contents before a seal that is right.
fn length(path: &Path, bytes: &[u8]) -> Option<usize> {
    let length = bytes.len().checked_sub(MARK.len() + DIGITS)?;
    let (contents, seal) = bytes.split_at(length);
    let digest = seal.strip_prefix(MARK)?;
    (seal_of(path, &[contents]).as_bytes() == digest).then_some(length)
}

/// The digest of a file's name, which is the key that its contents were computed for, and of its
/// contents. The folder is left out, so that a cache can be moved.
fn seal_of(path: &Path, pieces: &[&[u8]]) -> String {
    let mut hasher = Sha256Hasher::default();
    hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    hasher.update(END_OF_NAME);
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finish().to_string()
}

/// Writes a sealed file whole or not at all; `pieces` follow each other in it.
pub(crate) fn write_sealed(path: &Path, pieces: &[&[u8]]) -> Result<(), FileError> {
    let digest = seal_of(path, pieces);
    write_atomically(path, Overwrite::Replace, |out| {
        pieces.iter().try_for_each(|piece| out.write_all(piece))?;
        out.write_all(MARK)?;
        out.write_all(digest.as_bytes())
    })
}

/// As [`write_sealed`]; where that fails, as on a full disk, `progress` is told and the work goes
/// on.
pub(crate) fn keep_sealed(path: &Path, pieces: &[&[u8]], progress: &dyn Progress) {
    if let Err(error) = write_sealed(path, pieces) {
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        progress.warn(&format!(
            "the cache cannot keep {} ({}), which is computed again each time; RESCRIBE_CACHE \
             names another folder",
            path.display(),
            reason.unwrap_or_else(|| error.to_string())
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn warn(&self, message: &str) {
            self.0.lock().expect("no panic").push(message.to_owned());
        }
    }

    #[test]
    fn whatever_byte_changes_the_entry_is_not_believed_and_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("entry");
        let warnings = Warnings::default();
        assert_eq!(read_sealed(&path, &warnings), None);
        write_sealed(&path, &[b"one ", b"two"]).expect("written");
        assert_eq!(read_sealed(&path, &warnings), Some(b"one two".to_vec()));
        let mapped = map_sealed(&path, &warnings).expect("whole");
        mapped.give_back();
        assert_eq!(&mapped[..], b"one two", "pages that were given back come again");
        assert!(warnings.0.lock().expect("no panic").is_empty(), "an absent file is no fault");
        let whole = std::fs::read(&path).expect("read");
        for at in 0..=whole.len() {
            let mut changed = whole.clone();
            match changed.get_mut(at) {
                Some(byte) => *byte ^= 1,
                None => changed.truncate(3),
            }
            std::fs::write(&path, changed).expect("written");
            assert_eq!(read_sealed(&path, &warnings), None, "byte {at}");
            assert!(map_sealed(&path, &Warnings::default()).is_none(), "byte {at}");
        }
        let warnings = warnings.0.into_inner().expect("no panic");
        assert_eq!(warnings.len(), whole.len() + 1);
        assert!(warnings[0].starts_with(&path.display().to_string()), "{}", warnings[0]);
    }

    #[test]
    fn an_entry_in_the_place_of_another_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["samples-a", "samples-b"] {
            write_sealed(&path(name), &[name.as_bytes()]).expect("written");
        }
        std::fs::copy(path("samples-a"), path("samples-b")).expect("copied");
        let warnings = Warnings::default();
        assert_eq!(read_sealed(&path("samples-b"), &warnings), None);
        assert!(map_sealed(&path("samples-b"), &Warnings::default()).is_none());
        assert!(warnings.0.into_inner().expect("no panic")[0].contains("samples-b in the cache"));
        let moved = tempfile::tempdir().expect("a folder");
        std::fs::copy(path("samples-a"), moved.path().join("samples-a")).expect("copied");
        let found = read_sealed(&moved.path().join("samples-a"), &Warnings::default());
        assert_eq!(found.as_deref(), Some(&b"samples-a"[..]), "a cache can be moved");
    }

    #[test]
    fn a_cache_without_room_costs_time_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let warnings = Warnings::default();
        keep_sealed(&folder.path().join("no/such/folder/entry"), &[b"x"], &warnings);
        let warnings = warnings.0.into_inner().expect("no panic");
        assert!(warnings[0].contains("cannot keep") && warnings[0].contains("RESCRIBE_CACHE"));
    }
}
