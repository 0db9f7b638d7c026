//! Files and hashes: nothing is ever half-written, nothing but our own output is replaced, and
//! everything that goes in is named by its SHA-256.

mod atomic;
mod building;
mod error;
mod hash;
mod leftovers;
mod mistaken;
mod regular;
mod sealed;
mod sealed_page;
mod target;

pub use atomic::write_atomically;
pub(crate) use building::Building;
pub use error::{FileError, Overwrite};
pub use hash::{NotASha256, Sha256, Sha256Hasher};
pub(crate) use leftovers::{Hold, is_abandoned};
pub(crate) use mistaken::{mistaken, mistaken_tensors, mistaken_text};
pub(crate) use regular::map_regular;
pub use regular::{open_regular, read_regular};
pub(crate) use sealed::{
    Sealed, keep_sealed, map_sealed, read_sealed, warn as warn_of_cache, write_sealed,
};
pub use sealed_page::{is_page, open_page, seal_page};
pub use target::{Kind, check_target};
pub(crate) use target::{parent, resolved};
