//! Matrices of f64 on disk: written without a copy in memory, and read where they lie.
//!
//! The second moment of keys of width 14,336 takes 1.6 GB; so does its factor.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::files::Sealed;
use crate::math::Entries;

/// The little-endian bytes of numbers.
pub(super) fn bytes_of(numbers: &[f64]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        // SAFETY: every byte of a number is a byte.
        Cow::Borrowed(unsafe { numbers.align_to().1 })
    } else {
        Cow::Owned(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }
}

/// The numbers in little-endian bytes.
pub(super) fn numbers_in(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
}

/// A matrix in a file of the cache.
struct InFile {
    file: Sealed,
    range: Range<usize>,
}

/// The matrix in `range` of a file, in place where this machine can read it there.
pub(super) fn in_file(file: Sealed, range: Range<usize>) -> Arc<dyn Entries> {
    match aligned(&file[range.clone()]) {
        Some(_) => Arc::new(InFile { file, range }),
        None => Arc::new(numbers_in(&file[range])),
    }
}

impl Entries for InFile {
    fn entries(&self) -> &[f64] {
        aligned(&self.file[self.range.clone()]).expect("it was aligned when it was opened")
    }

    fn rest(&self) {
        self.file.give_back();
    }
}

fn aligned(bytes: &[u8]) -> Option<&[f64]> {
    // SAFETY: any eight bytes are a number.
    let (before, numbers, after) = unsafe { bytes.align_to() };
    let is_whole = before.is_empty() && after.is_empty();
    (is_whole && cfg!(target_endian = "little")).then_some(numbers)
}
