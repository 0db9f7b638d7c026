//! Numbers as files store them, which the kernels widen to f32 as they read them.
//!
//! Every half-precision number is an f32 number, so a product with weights in half precision has
//! the same sums to the bit as with their widened copy, and reads half the bytes.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

#[cfg(target_arch = "x86_64")]
use super::simd::Simd;

/// Numbers of one of the types in which weights are stored.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper halves of singles.
    Bf16(&'a [bf16]),
}

impl<'a> Numbers<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Self::F32(all) => all.len(),
            Self::F16(all) => all.len(),
            Self::Bf16(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Those from `start` on, `len` of them.
    pub fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::F32(all) => Self::F32(&all[start..][..len]),
            Self::F16(all) => Self::F16(&all[start..][..len]),
            Self::Bf16(all) => Self::Bf16(&all[start..][..len]),
        }
    }

    /// Writes their f32 values to `out`, which is as long.
    pub fn widen(self, out: &mut [f32]) {
        match self {
            Self::F32(all) => f32::widen(all, out),
            Self::F16(all) => f16::widen(all, out),
            Self::Bf16(all) => bf16::widen(all, out),
        }
    }

    /// Their f32 values.
    pub fn to_vec(self) -> Vec<f32> {
        let mut values = vec![0.; self.len()];
        self.widen(&mut values);
        values
    }
}

impl<'a> From<&'a [f32]> for Numbers<'a> {
    fn from(all: &'a [f32]) -> Self {
        Self::F32(all)
    }
}

impl<'a> From<&'a Vec<f32>> for Numbers<'a> {
    fn from(all: &'a Vec<f32>) -> Self {
        Self::F32(all)
    }
}

/// A type of number that the kernels read.
pub(super) trait Number: Copy + Send + Sync + 'static {
    /// The slice itself where its numbers are f32.
    fn as_f32(all: &[Self]) -> Option<&[f32]>;
    /// Writes the f32 values of `all` to `out`, which is as long.
    fn widen(all: &[Self], out: &mut [f32]);

    /// The f32 values of the numbers from `from` on, one for each lane.
    ///
    /// # Safety
    /// `from` is valid for reading `LANES` numbers.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::Vector;

    /// The f32 values of the first `count` lanes; the others are zero.
    ///
    /// # Safety
    /// `from` is valid for reading `count` numbers, fewer than `LANES`.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_first<S: Simd>(simd: S, from: *const Self, count: usize) -> S::Vector {
        let mut lanes = [0.; 16];
        // SAFETY: the caller's; no register has more than sixteen lanes.
        unsafe {
            Self::widen(std::slice::from_raw_parts(from, count), &mut lanes[..count]);
            simd.load(lanes.as_ptr())
        }
    }

    /// Copies the f32 values of eight rows of eight numbers as eight columns.
    ///
    /// # Safety
    /// Eight rows of eight numbers, `from_stride` apart, are valid for reading, and as many,
    /// `to_stride` apart, for writing.
    #[cfg(target_arch = "x86_64")]
    unsafe fn transpose<S: Simd>(
        simd: S,
        from: *const Self,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    );
}

impl Number for f32 {
    #[inline(always)]
    fn as_f32(all: &[Self]) -> Option<&[f32]> {
        Some(all)
    }

    fn widen(all: &[Self], out: &mut [f32]) {
        out.copy_from_slice(all);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { simd.load(from) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load_first<S: Simd>(simd: S, from: *const Self, count: usize) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { simd.load_first(from, count) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn transpose<S: Simd>(
        simd: S,
        from: *const Self,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { simd.transpose(from, from_stride, to, to_stride) }
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn as_f32(_all: &[Self]) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn widen(all: &[Self], out: &mut [f32]) {
        // Shifted here, because the branch for NaN in `to_f32` keeps the loop from being
        // vectorised.
        for (value, stored) in out.iter_mut().zip(all) {
            *value = f32::from_bits(u32::from(stored.to_bits()) << 16);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { simd.load_bf16(from) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn transpose<S: Simd>(
        simd: S,
        from: *const Self,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { simd.transpose_bf16(from, from_stride, to, to_stride) }
    }
}

impl Number for f16 {
    #[inline(always)]
    fn as_f32(_all: &[Self]) -> Option<&[f32]> {
        None
    }

    fn widen(all: &[Self], out: &mut [f32]) {
        all.convert_to_f32_slice(out);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { simd.load_f16(from) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn transpose<S: Simd>(
        simd: S,
        from: *const Self,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: the caller's.
        unsafe { simd.transpose_f16(from, from_stride, to, to_stride) }
    }
}
