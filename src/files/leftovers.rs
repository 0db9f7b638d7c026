//! Temporary names, and what runs that were killed left under them.
//!
//! A temporary file or folder stands next to what it becomes, under a hidden name with the number
//! of its process: `.NAME.PID-xxxxxx`. Its process holds a lock on it, which the system lets go of
//! when the process ends, however it ends. So whoever writes next to it sweeps what nobody holds;
//! a folder that was moved aside, but whose successor never came, gets its name back.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::target::parent;

/// Name, inside a temporary folder, of what was moved aside for its successor.
pub(super) const ASIDE: &str = "old";
/// Between creating a temporary file and locking it, it looks like a leftover.
const FRESH: Duration = Duration::from_secs(5);

/// A lock on a temporary file or folder, held until it is dropped.
///
/// Where the file system has no locks there is none, and nothing there is ever swept.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: Option<File>,
}

impl Hold {
    /// Holds the file or folder at `path`.
    pub(crate) fn on(path: &Path) -> Self {
        let file = File::open(path).ok().filter(|file| file.try_lock().is_ok());
        Self { _file: file }
    }
}

/// A prefix for temporary names next to `path`: hidden, naming what they belong to and this
/// process.
pub(super) fn temporary_prefix(path: &Path) -> String {
    format!(".{}.{}-", path.file_name().unwrap_or_default().to_string_lossy(), std::process::id())
}

/// Whether `name` is a temporary name of `path`.
fn is_temporary(name: &str, path: &Path) -> bool {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix('.').and_then(|rest| rest.strip_prefix(&*own)?.strip_prefix('.'));
    let parts = rest.and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(pid, end)| {
        let is_pid = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
        is_pid && end.len() == 6 && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Removes what killed runs left next to `path`, after giving back what they had moved aside.
///
/// What cannot be removed costs room, nothing else.
pub(super) fn sweep(path: &Path) {
    for leftover in leftovers(path) {
        let aside = leftover.join(ASIDE);
        if aside.symlink_metadata().is_ok() && path.symlink_metadata().is_err() {
            let _ = fs::rename(&aside, path);
        }
        let _ = match leftover.is_dir() {
            true => fs::remove_dir_all(&leftover),
            false => fs::remove_file(&leftover),
        };
    }
}

/// Temporary files and folders next to `path` that no process holds.
fn leftovers(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent(path)) else { return Vec::new() };
    let names =
        entries.flatten().filter(|entry| is_temporary(&entry.file_name().to_string_lossy(), path));
    names.map(|entry| entry.path()).filter(|path| is_abandoned(path)).collect()
}

/// Whether the process that made it is gone.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    let Ok(found) = path.symlink_metadata() else { return false };
    let age = found.modified().ok().and_then(|time| time.elapsed().ok());
    let is_old = age.is_none_or(|age| age >= FRESH);
    let is_free = || match File::open(path).map(|file| file.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => false,
    };
    (found.is_dir() || found.is_file()) && is_old && is_free()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_known_again() {
        let path = Path::new("a/out");
        let own = format!("{}Ab3xyz", temporary_prefix(path));
        let rows = [
            (own.as_str(), true),
            (".out.17-abcdef", true),
            (".out.17-abcde", false),
            (".out.-abcdef", false),
            (".out.x-abcdef", false),
            (".outer.17-abcdef", false),
            ("out.17-abcdef", false),
            (".out", false),
        ];
        for (name, expected) in rows {
            assert_eq!(is_temporary(name, path), expected, "{name}");
        }
    }

    #[test]
    fn what_nobody_holds_is_swept_and_what_was_moved_aside_comes_back() {
        let room = tempfile::tempdir().expect("a folder");
        let (out, at) = (room.path().join("out"), |name: &str| room.path().join(name));
        let names = [".out.1-abcdef", ".out.2-abcdef", ".out.3-abcdef", ".other.1-abcdef"];
        for name in names {
            fs::create_dir_all(at(name)).expect("a folder");
        }
        fs::create_dir(at(".out.2-abcdef").join(ASIDE)).expect("a folder");
        fs::write(at(".out.2-abcdef").join(ASIDE).join("weights"), "w").expect("a file");
        sweep(&out);
        assert!(at(names[0]).exists(), "it may be about to be held");
        let long_ago = std::time::SystemTime::now() - 10 * FRESH;
        for name in names {
            let folder = File::open(at(name)).expect("a folder");
            folder.set_modified(long_ago).expect("another time");
        }
        let held = Hold::on(&at(names[2]));
        sweep(&out);
        let mut left: Vec<String> = fs::read_dir(room.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, [".other.1-abcdef", ".out.3-abcdef", "out"]);
        assert_eq!(fs::read_to_string(out.join("weights")).expect("given back"), "w");
        drop(held);
        sweep(&out);
        assert!(!at(names[2]).exists());
    }
}
