//! Where output may go: asked before the work, and again when the output is written.
//!
//! A file or folder is replaced only where the user allows it and only by a later one of its
//! [`Kind`]: never something else, never what the run uses, never anything but a file or folder.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{FileError, Overwrite};

/// A kind of output, and how an earlier one is recognised.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What an earlier one is called, after "it is not".
    pub name: &'static str,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether what stands at a path is an earlier one, which may be replaced.
    pub is_ours: fn(&Path) -> bool,
}

/// Checks that output of this kind may be written to `path`.
///
/// `uses` are the files and folders that the run reads, or writes in addition to this one. No
/// output replaces one of them or anything inside; a folder is not even written into one, nor
/// around one. Paths are compared with links followed. `/dev/null` takes every file and keeps none.
///
/// # Errors
///
/// What is in the way, or why nothing can be written there: found before the work.
pub fn check_target(
    path: &Path,
    overwrite: Overwrite,
    kind: &Kind,
    uses: &[&Path],
) -> Result<(), FileError> {
    if is_discarded(path) && !kind.is_folder {
        return Ok(());
    }
    let stands = path.symlink_metadata().is_ok();
    if stands || kind.is_folder {
        check_apart(path, kind, uses)?;
    }
    if stands {
        check_replaceable(path, overwrite, kind)?;
    }
    check_writable(path)
}

/// Whether everything that is written to `path` is discarded.
pub(super) fn is_discarded(path: &Path) -> bool {
    cfg!(unix) && fs::canonicalize(path).is_ok_and(|path| path == Path::new("/dev/null"))
}

/// `path` without links, or as given where its folder does not exist yet.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let in_folder = || Some(fs::canonicalize(parent(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_apart(path: &Path, kind: &Kind, uses: &[&Path]) -> Result<(), FileError> {
    let target = resolved(path);
    for used in uses {
        let known = resolved(used);
        let contains = kind.is_folder && known.starts_with(&target);
        if target.starts_with(&known) || contains || is_same_file(&target, &known) {
            return Err(FileError::InUse { path: path.to_owned(), used: (*used).to_owned() });
        }
    }
    Ok(())
}

/// Whether two names are one file, as hard links are.
fn is_same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let identity = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
        matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        let _ = (a, b);
        false
    }
}

fn check_replaceable(path: &Path, overwrite: Overwrite, kind: &Kind) -> Result<(), FileError> {
    let own = || path.to_owned();
    let found = fs::metadata(path).map(|found| found.file_type());
    let fits = |found: FileType| if kind.is_folder { found.is_dir() } else { found.is_file() };
    match found {
        Ok(found) if !fits(found) => {
            return Err(FileError::Strange { path: own(), found: called(found) });
        }
        _ if overwrite == Overwrite::Refuse => return Err(FileError::Exists { path: own() }),
        Err(_) => return Err(FileError::Strange { path: own(), found: "a link to nothing" }),
        Ok(_) => {}
    }
    if kind.is_folder && is_current(path) {
        return Err(FileError::Strange { path: own(), found: "the current folder, or around it" });
    }
    match (kind.is_ours)(path) {
        true => Ok(()),
        false => Err(FileError::NotOurs { path: own(), expected: kind.name }),
    }
}

/// Whether the process works in that folder or below it.
fn is_current(folder: &Path) -> bool {
    std::env::current_dir()
        .and_then(fs::canonicalize)
        .is_ok_and(|current| current.starts_with(resolved(folder)))
}

pub(super) fn called(found: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if found.is_fifo() {
            return "a pipe";
        }
        if found.is_char_device() || found.is_block_device() {
            return "a device";
        }
        if found.is_socket() {
            return "a socket";
        }
    }
    if found.is_dir() { "a folder" } else { "a file" }
}

/// Writes an unnamed file into the folder that is to hold `path`.
fn check_writable(path: &Path) -> Result<(), FileError> {
    let fail = FileError::writing(path);
    if path.file_name().is_none() {
        return Err(fail(io::ErrorKind::InvalidInput.into()));
    }
    tempfile::tempfile_in(parent(path)).map(drop).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Kind = Kind {
        name: "a note",
        is_folder: false,
        is_ours: |path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"note")),
    };
    const FOLDER: Kind = Kind {
        name: "a set of notes",
        is_folder: true,
        is_ours: |path| path.join("note").exists(),
    };

    /// A folder with one of everything that can be in the way.
    fn room() -> tempfile::TempDir {
        let room = tempfile::tempdir().expect("a temporary folder");
        let put = |name: &str, text: &str| fs::write(room.path().join(name), text).expect("write");
        for name in ["base", "notes", "other"] {
            fs::create_dir(room.path().join(name)).expect("a new folder");
        }
        put("old", "note 1");
        put("diary", "dear");
        put("spec", "note that is read");
        put("base/weights", "note of the base");
        put("notes/note", "");
        put("other/diary", "");
        fs::hard_link(room.path().join("spec"), room.path().join("same")).expect("a hard link");
        room
    }

    fn message(room: &Path, name: &str, overwrite: Overwrite, kind: &Kind) -> String {
        let uses = [room.join("spec"), room.join("base")];
        let uses = uses.each_ref().map(PathBuf::as_path);
        let outcome = check_target(&room.join(name), overwrite, kind, &uses);
        let prefix = format!("{}/", room.display());
        outcome.err().map(|error| error.to_string().replace(&prefix, "")).unwrap_or_default()
    }

    #[test]
    fn a_file_replaces_an_earlier_one_of_its_kind_alone() {
        let room = room();
        let rows = [
            ("new", "", ""),
            ("base/new", "", ""),
            ("old", "old already exists", ""),
            ("diary", "diary already exists", "diary is not replaced: it is not a note"),
            ("spec", "spec is not replaced: this run uses spec", "spec is not replaced: this"),
            ("same", "same is not replaced: this run uses spec", "same is not replaced: this"),
            ("base/weights", "this run uses base", "this run uses base"),
            ("notes", "notes is not written to: it is a folder", "it is a folder"),
            ("no/such", "cannot write no/such", "cannot write no/such"),
        ];
        for (name, refused, replaced) in rows {
            for (overwrite, says) in [(Overwrite::Refuse, refused), (Overwrite::Replace, replaced)]
            {
                let message = message(room.path(), name, overwrite, &FILE);
                assert!(message.contains(says), "{name}: {message:?}, expected {says:?}");
                assert_eq!(message.is_empty(), says.is_empty(), "{name}: {message}");
            }
        }
    }

    #[test]
    fn a_folder_replaces_an_earlier_one_of_its_kind_alone() {
        let room = room();
        let rows = [
            ("new", ""),
            ("notes", ""),
            ("other", "other is not replaced: it is not a set of notes"),
            ("base", "base is not replaced: this run uses base"),
            ("base/new", "this run uses base"),
            (".", "is not replaced: this run uses spec"),
            ("old", "old is not written to: it is a file"),
            ("no/such", "cannot write no/such"),
        ];
        for (name, says) in rows {
            let message = message(room.path(), name, Overwrite::Replace, &FOLDER);
            assert!(message.contains(says), "{name}: {message:?}, expected {says:?}");
            assert_eq!(message.is_empty(), says.is_empty(), "{name}: {message}");
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in [here, here.parent().expect("a folder around it")] {
            let error = check_target(folder, Overwrite::Replace, &FOLDER, &[]).expect_err("kept");
            assert!(error.to_string().contains("the current folder"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_refused() {
        let room = room();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(room.path().join(to), room.path().join(name)).expect("link");
        };
        link("spec", "to-spec");
        link("base", "to-base");
        link("old", "to-old");
        link("nowhere", "to-nowhere");
        let made = std::process::Command::new("mkfifo").arg(room.path().join("pipe")).status();
        assert!(made.expect("mkfifo runs").success());
        let rows = [
            ("to-spec", "this run uses spec"),
            ("to-base/weights", "this run uses base"),
            ("to-old", ""),
            ("to-nowhere", "it is a link to nothing"),
            ("pipe", "pipe is not written to: it is a pipe"),
            ("/dev/zero", "/dev/zero is not written to: it is a device"),
            ("/dev/null", ""),
        ];
        for (name, says) in rows {
            let message = message(room.path(), name, Overwrite::Replace, &FILE);
            assert!(message.contains(says), "{name}: {message:?}, expected {says:?}");
            assert_eq!(message.is_empty(), says.is_empty(), "{name}: {message}");
        }
        let null = Path::new("/dev/null");
        assert!(check_target(null, Overwrite::Refuse, &FILE, &[]).is_ok(), "nothing is lost");
        assert!(check_target(null, Overwrite::Replace, &FOLDER, &[]).is_err());
    }
}
