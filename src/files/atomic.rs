//! Writes that leave the old file or the new one, never half of either.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::error::{FileError, Overwrite};
use super::leftovers::{Hold, sweep, temporary_prefix};
use super::target::{is_discarded, parent, resolved};

/// Writes a file whole or not at all.
///
/// `write` fills a sibling temporary file, which is synced and then renamed to
/// `path`; a link there stays one, to the new file. If anything fails on the way the temporary file
/// is removed and whatever stood at `path` is unchanged. What is written to `/dev/null` is gone.
pub fn write_atomically(
    path: &Path,
    overwrite: Overwrite,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let fail = FileError::writing(path);
    if is_discarded(path) {
        let mut nowhere = BufWriter::new(File::options().write(true).open(path).map_err(&fail)?);
        return write(&mut nowhere).map_err(fail);
    }
    if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    let path = &resolved(path);
    sweep(path);
    let temporary = sibling_file(path).map_err(&fail)?;
    let _held = Hold::on(temporary.path());
    let mut writer = BufWriter::new(temporary.reopen().map_err(&fail)?);
    write(&mut writer).map_err(&fail)?;
    writer.flush().map_err(&fail)?;
    writer.get_ref().sync_all().map_err(&fail)?;
    drop(writer);
    persist(temporary, path, overwrite)?;
    sync_folder(parent(path));
    Ok(())
}

fn sibling_file(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = temporary_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // Temporary files are private by default; this one becomes the user's file, so the umask
    // decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(parent(path))
}

fn persist(temporary: NamedTempFile, path: &Path, overwrite: Overwrite) -> Result<(), FileError> {
    let outcome = match overwrite {
        Overwrite::Refuse => temporary.persist_noclobber(path),
        Overwrite::Replace => temporary.persist(path),
    };
    outcome.map(drop).map_err(|failure| match failure.error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
        _ => FileError::Write { path: path.to_owned(), source: failure.error },
    })
}

/// Makes a rename in `folder` outlive a power cut, where the system can; failing to is not an
/// error.
pub(super) fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("test folder");
        entries
            .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
            .collect()
    }

    #[test]
    fn a_file_is_replaced_only_on_demand() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("patch");
        let put = |text: &str, overwrite| {
            write_atomically(&path, overwrite, |out| out.write_all(text.as_bytes()))
        };
        put("one", Overwrite::Refuse).expect("first write");
        assert!(matches!(put("two", Overwrite::Refuse), Err(FileError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "one");
        put("two", Overwrite::Replace).expect("replace");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "two");
        assert_eq!(names(folder.path()), ["patch"]);
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("patch");
        std::fs::write(&path, "old").expect("write");
        let outcome = write_atomically(&path, Overwrite::Replace, |out| {
            out.write_all(&vec![7; 1 << 20])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(outcome, Err(FileError::Write { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(names(folder.path()), ["patch"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("temporary folder");
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomically(&ours, Overwrite::Refuse, |_| Ok(())).expect("write");
        File::create(&plain).expect("create");
        let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
