//! Copies bytes of the base into the new folder, by the system where possible, in pieces that can
//! be interrupted.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::CheckpointError;
use super::listing::Source;
use crate::files::FileError;
use crate::progress::Progress;

/// Bytes between two checks of the stop flag.
const PIECE: u64 = 32 << 20;

/// Fills a folder.
pub(super) struct Transfer<'a> {
    folder: &'a Path,
    progress: &'a dyn Progress,
    done: u64,
}

/// A copy that can still be changed in place.
pub(super) struct Copy {
    file: File,
    path: PathBuf,
}

impl<'a> Transfer<'a> {
    /// A transfer of `total` bytes into `folder`.
    pub(super) fn new(folder: &'a Path, total: u64, progress: &'a dyn Progress) -> Self {
        progress.phase("export", Some(total));
        Self { folder, progress, done: 0 }
    }

    /// Copies a file; the copy is on disk only once it is finished.
    pub(super) fn copy(&mut self, source: &Source) -> Result<Copy, CheckpointError> {
        let read = FileError::reading(&source.path);
        let mut copy = self.start(source)?;
        let mut from = File::open(&source.resolved).map_err(&read)?;
        let mut copied = 0;
        while copied < source.length {
            self.progress.check()?;
            // `io::copy` lets the kernel move the bytes, or share them where the file system can.
            let piece = io::copy(&mut (&mut from).take(PIECE), &mut copy.file)
                .map_err(FileError::writing(&copy.path))?;
            if piece == 0 {
                return Err(read(io::ErrorKind::UnexpectedEof.into()).into());
            }
            copied += piece;
            self.progress.advance(self.done + copied, "");
        }
        self.done += source.length;
        Ok(copy)
    }

    /// An empty file in the place of `source`; [`skip`](Self::skip) counts it once it is full.
    pub(super) fn start(&mut self, source: &Source) -> Result<Copy, CheckpointError> {
        let path = self.place(source)?;
        let file = File::create_new(&path).map_err(FileError::writing(&path))?;
        Ok(Copy { file, path })
    }

    /// Hard-links a file; false where the file systems differ or have no hard links.
    pub(super) fn link(&mut self, source: &Source) -> Result<bool, CheckpointError> {
        let path = self.place(source)?;
        let is_linked = fs::hard_link(&source.resolved, &path).is_ok();
        if is_linked {
            self.skip(source);
        }
        Ok(is_linked)
    }

    /// Counts a file as done.
    pub(super) fn skip(&mut self, source: &Source) {
        self.done += source.length;
        self.progress.advance(self.done, "");
    }

    fn place(&self, source: &Source) -> Result<PathBuf, CheckpointError> {
        let path = self.folder.join(&source.relative);
        let parent = path.parent().unwrap_or(self.folder);
        fs::create_dir_all(parent).map_err(FileError::writing(parent))?;
        Ok(path)
    }
}

impl Copy {
    /// Overwrites bytes from `offset` on.
    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .seek(SeekFrom::Start(offset as u64))
            .and_then(|_| self.file.write_all(bytes))
            .map_err(FileError::writing(&self.path))
    }

    /// Waits until the file is on disk.
    pub(super) fn finish(self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::writing(&self.path))
    }
}

/// Writes a new file whole.
pub(crate) fn put_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let write = FileError::writing(path);
    let mut file = File::create_new(path).map_err(&write)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(&write)
}
