//! Files and hashes: nothing is ever half-written, nothing but our own output is replaced, and
//! everything that goes in is named by its SHA-256.

mod atomic;
mod error;
mod hash;
mod target;

pub use atomic::write_atomically;
pub(crate) use atomic::{sync_folder, temporary_prefix};
pub use error::{FileError, Overwrite};
pub use hash::{NotASha256, Sha256, Sha256Hasher};
pub use target::{Kind, check_target};
pub(crate) use target::{parent, resolved};
