//! Files and hashes: nothing is ever half-written, nothing but our own output is replaced, and
//! everything that goes in is named by its SHA-256.

mod atomic;
mod hash;
mod target;

pub use atomic::{FileError, Overwrite, write_atomically};
pub(crate) use atomic::{parent, sync_folder, temporary_prefix};
pub use hash::{NotASha256, Sha256, Sha256Hasher};
pub(crate) use target::resolved;
pub use target::{Kind, check_target};
