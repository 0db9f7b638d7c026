//! The digest that a patch file carries of itself, so that no byte of it changes unseen.
//!
//! The header's metadata entry [`SEAL`] holds the SHA-256 of the whole file, for which 64 zeros
//! stand in its place. It tells damage from what was written; whoever rewrites a file on purpose
//! can write another digest, which only a digest known from elsewhere reveals.

use crate::files::{Sha256, Sha256Hasher};
use crate::model::weights::header::Header;

/// Metadata key of the digest.
pub(super) const SEAL: &str = "rescribe.sha256";
/// Stands for the digest while the file is hashed.
pub(super) const PLACE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where the digest begins, in a header as this program writes it.
///
/// Quotes inside of JSON strings are escaped, so that the key occurs only as a key.
fn place(header: &[u8]) -> Option<usize> {
    let key = format!("\"{SEAL}\":\"");
    let at = header.windows(key.len()).position(|window| window == key.as_bytes())?;
    let start = at + key.len();
    (header.len() >= start + PLACE.len()).then_some(start)
}

/// Puts the digest into a header that was written with [`PLACE`].
pub(super) fn put(header: &mut [u8], digest: Sha256) {
    let start = place(header).expect("the header was written with a place for it");
    header[start..start + PLACE.len()].copy_from_slice(digest.to_string().as_bytes());
}

/// What is wrong with the digest of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// There is none.
    #[error("is missing: an older version of rescribe made the file")]
    Missing,
    /// It is not that of the file.
    #[error("does not match: the file was changed after it was written")]
    Changed,
}

/// Checks the digest of a whole file.
pub(super) fn check(bytes: &[u8], header: &Header) -> Result<(), Broken> {
    let stated = header.metadata.get(SEAL).ok_or(Broken::Missing)?;
    let start = place(bytes).ok_or(Broken::Changed)?;
    let end = start + PLACE.len();
    let mut hasher = Sha256Hasher::default();
    let pieces = [&bytes[..start], PLACE.as_bytes(), &bytes[end..]];
    pieces.iter().for_each(|piece| hasher.update(piece));
    let is_stated = bytes[start..end] == *stated.as_bytes();
    let is_right = is_stated && hasher.finish().to_string() == *stated;
    if is_right { Ok(()) } else { Err(Broken::Changed) }
}
