//! A folder that is written: built next to its destination under a hidden name, and given its name
//! when it is whole.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::atomic::sync_folder;
use super::error::{FileError, Overwrite};
use super::leftovers::{ASIDE, Hold, sweep, temporary_prefix};
use super::target::parent;

/// A folder in the making; dropped before it is published, it vanishes.
#[derive(Debug)]
pub(crate) struct Building {
    folder: TempDir,
    /// Tells other runs that it is no leftover.
    _held: Hold,
}

impl Building {
    /// A new hidden folder next to `out`, once what killed runs left there is gone.
    pub(crate) fn beside(out: &Path) -> Result<Self, FileError> {
        sweep(out);
        Self::new(out).map_err(FileError::writing(out))
    }

    fn new(out: &Path) -> io::Result<Self> {
        let prefix = temporary_prefix(out);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        // Temporary folders are private by default; this one becomes the user's, so the umask
        // decides.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let folder = builder.tempdir_in(parent(out))?;
        let held = Hold::on(folder.path());
        Ok(Self { folder, _held: held })
    }

    /// The folder to be filled.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the finished folder its name; a folder that it replaces goes only after it.
    ///
    /// Between the two renames nothing has the name: a run that is killed there leaves the old
    /// folder aside, and the next one that writes here gives it its name back.
    pub(crate) fn publish(self, out: &Path, overwrite: Overwrite) -> Result<(), FileError> {
        let write = FileError::writing(out);
        sync_folder(self.path());
        let exists = out.symlink_metadata().is_ok();
        if exists && overwrite == Overwrite::Refuse {
            return Err(FileError::Exists { path: out.to_owned() });
        }
        // Dropped at the end, and what was moved into it with it.
        let mut old = None;
        if exists {
            let folder = old.insert(Self::new(out).map_err(&write)?);
            fs::rename(out, folder.path().join(ASIDE)).map_err(&write)?;
        }
        if let Err(error) = fs::rename(self.path(), out) {
            if let Some(folder) = &old {
                fs::rename(folder.path().join(ASIDE), out).map_err(&write)?;
            }
            return Err(write(error));
        }
        // Nothing is at the temporary name any more.
        let _ = self.folder.keep();
        sync_folder(parent(out));
        Ok(())
    }
}
