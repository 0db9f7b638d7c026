//! Whether output may replace what stands at its path, and why a file could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// What to do where a file or folder already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Leave it alone and fail.
    #[default]
    Refuse,
    /// Put the new one in its place, in one step.
    Replace,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path is taken and [`Overwrite::Refuse`] was asked for.
    #[error("{} already exists", path.display())]
    Exists {
        /// The path that is taken.
        path: PathBuf,
    },
    /// The path is taken by something that output of this kind never replaces.
    #[error("{} is not replaced: it is not {expected}", path.display())]
    NotOurs {
        /// The path that is taken.
        path: PathBuf,
        /// What may be replaced there.
        expected: &'static str,
    },
    /// The path is, holds or lies in something that the run uses.
    #[error("{} is not replaced: this run uses {}", path.display(), used.display())]
    InUse {
        /// The path of the output.
        path: PathBuf,
        /// What is read, or written elsewhere.
        used: PathBuf,
    },
    /// Something stands at the path that output cannot take the place of.
    #[error("{} is not written to: it is {found}", path.display())]
    Strange {
        /// The path that is taken.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// Opening or reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Writing failed; the old file, if any, is as it was.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system, or of the writer.
        source: io::Error,
    },
}

impl FileError {
    /// What reading `path` fails with.
    pub fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    /// What writing `path` fails with.
    pub fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
