//! A result that several threads write in disjoint parts.

/// The start of a matrix whose blocks belong to different threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<T>(*mut T);

// SAFETY: a pointer alone does nothing; each use of it says why no two threads write the same
// element.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The start of a matrix that stays borrowed while its blocks are written.
    pub(super) fn new(matrix: &mut [T]) -> Self {
        Self(matrix.as_mut_ptr())
    }

    /// The address of element `offset`.
    #[inline(always)]
    pub(super) fn at(self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}
