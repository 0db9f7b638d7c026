//! The output folder: built next to its destination, and moved there once it is complete.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::error::GgufError;
use crate::files::{self, Building, FileError, Kind, Overwrite};

/// Every file that an import writes.
pub(super) const FILES: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// A folder in the making; dropped before [`Staged::commit`], it vanishes.
#[derive(Debug)]
pub(super) struct Staged {
    folder: Building,
    out: PathBuf,
    overwrite: Overwrite,
}

impl Staged {
    /// Checks that `out` may be written from `file`, and begins a folder next to it.
    pub(super) fn begin(file: &Path, out: &Path, force: bool) -> Result<Staged, GgufError> {
        let parent = files::parent(out);
        fs::create_dir_all(parent).map_err(FileError::writing(parent))?;
        let overwrite = if force { Overwrite::Replace } else { Overwrite::Refuse };
        files::check_target(out, overwrite, &IMPORT, &[file])?;
        let (folder, out) = (Building::beside(out)?, out.to_owned());
        Ok(Staged { folder, out, overwrite })
    }

    /// Writes one file of the folder through to the disk.
    pub(super) fn write<T, E>(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<io::Error>,
    {
        let mut file =
            BufWriter::with_capacity(1 << 20, File::create(self.folder.path().join(name))?);
        let value = write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok(value)
    }

    /// Writes one small file of the folder.
    pub(super) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), GgufError> {
        let path = self.out.join(name);
        Ok(self.write(name, |file| file.write_all(bytes)).map_err(FileError::writing(&path))?)
    }

    /// Moves the folder to its place.
    pub(super) fn commit(self) -> Result<(), GgufError> {
        Ok(self.folder.publish(&self.out, self.overwrite)?)
    }
}

/// Imported models as output: only a folder with nothing else in it is replaced.
pub const IMPORT: Kind = Kind {
    name: "an imported model and nothing else",
    is_folder: true,
    is_ours: |out| {
        let is_ours = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| FILES.iter().any(|name| entry.file_name() == *name))
        };
        fs::read_dir(out).is_ok_and(|mut entries| entries.all(is_ours))
    },
};
