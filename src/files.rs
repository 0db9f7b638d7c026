//! Files and hashes: nothing is ever half-written, and everything that goes in is named by its SHA-256.

mod atomic;
mod hash;

pub use atomic::{FileError, Overwrite, write_atomically};
pub(crate) use atomic::{parent, sync_folder, temporary_prefix};
pub use hash::{NotASha256, Sha256, Sha256Hasher};
