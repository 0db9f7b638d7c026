//! The folder that is written: built beside its destination under a hidden name, renamed when whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{CheckpointError, RECIPES};
use crate::files::{self, FileError, Overwrite};
use crate::model::TRAINING;

/// Resolves `out` and refuses what must not be written to.
pub(crate) fn destination(
    folder: &Path,
    out: &Path,
    overwrite: Overwrite,
) -> Result<PathBuf, CheckpointError> {
    let base = fs::canonicalize(folder).map_err(FileError::reading(folder))?;
    let resolved = resolved(out)?;
    if resolved.starts_with(&base) || base.starts_with(&resolved) {
        return Err(CheckpointError::Overlap { out: out.to_owned(), base });
    }
    allowed(out, resolved, overwrite)
}

/// As [`destination`], for a folder that no base is copied to.
pub(crate) fn free_destination(
    out: &Path,
    overwrite: Overwrite,
) -> Result<PathBuf, CheckpointError> {
    allowed(out, resolved(out)?, overwrite)
}

/// `out` without links.
fn resolved(out: &Path) -> Result<PathBuf, FileError> {
    if out.symlink_metadata().is_ok() {
        return fs::canonicalize(out).map_err(FileError::reading(out));
    }
    let write = FileError::writing(out);
    let name = out.file_name().ok_or_else(|| write(io::ErrorKind::InvalidInput.into()))?;
    Ok(fs::canonicalize(files::parent(out)).map_err(write)?.join(name))
}

fn allowed(
    out: &Path,
    resolved: PathBuf,
    overwrite: Overwrite,
) -> Result<PathBuf, CheckpointError> {
    let exists = out.symlink_metadata().is_ok();
    match overwrite {
        _ if !exists => Ok(resolved),
        Overwrite::Refuse => Err(FileError::Exists { path: out.to_owned() }.into()),
        Overwrite::Replace if is_replaceable(&resolved) => Ok(resolved),
        Overwrite::Replace => Err(CheckpointError::NotOurs { out: out.to_owned() }),
    }
}

/// Whether nothing of value is lost with the folder: a slip such as `--out ~` must not cost a home.
fn is_replaceable(out: &Path) -> bool {
    let is_empty = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    is_empty || [RECIPES, TRAINING].iter().any(|notes| out.join(notes).is_file())
}

/// A new hidden folder beside `out`, removed unless it is published.
pub(crate) fn beside(out: &Path) -> Result<TempDir, CheckpointError> {
    let prefix = files::temporary_prefix(out);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // Temporary folders are private by default; this one becomes the user's, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    Ok(builder.tempdir_in(files::parent(out)).map_err(FileError::writing(out))?)
}

/// Gives the finished folder its name; a folder that it replaces goes only after it.
pub(crate) fn publish(
    temporary: TempDir,
    out: &Path,
    overwrite: Overwrite,
) -> Result<(), CheckpointError> {
    let write = FileError::writing(out);
    files::sync_folder(temporary.path());
    let exists = out.symlink_metadata().is_ok();
    if exists && overwrite == Overwrite::Refuse {
        return Err(FileError::Exists { path: out.to_owned() }.into());
    }
    if exists {
        let old = beside(out)?;
        let aside = old.path().join("old");
        fs::rename(out, &aside).map_err(&write)?;
        if let Err(error) = fs::rename(temporary.path(), out) {
            fs::rename(&aside, out).map_err(&write)?;
            return Err(write(error).into());
        }
    } else {
        fs::rename(temporary.path(), out).map_err(write)?;
    }
    // Nothing is at the temporary name any more.
    let _ = temporary.keep();
    files::sync_folder(files::parent(out));
    Ok(())
}
