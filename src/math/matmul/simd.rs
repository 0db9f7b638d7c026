//! The vector instructions that the kernels are written in, and the choice between them.
//!
//! A value of [`Avx512`] or [`Avx2`] is proof that the processor has the instructions: only
//! [`Machine::detect`] makes one. A kernel is a [`Work`], generic over [`Simd`]; it must be inlined
//! whole into [`Simd::run`], the one place compiled with the instructions enabled.

use std::arch::x86_64::*;

use half::{bf16, f16};

/// One set of vector instructions for f32.
pub(super) trait Simd: Copy + Send + Sync {
    /// A register.
    type Vector: Copy;
    /// Numbers in a register.
    const LANES: usize;
    /// Rows of a tile that is four columns wide and fills the registers.
    const ROWS: usize;
    /// Rows of a tile that is three registers wide and fills the registers.
    const LONG_ROWS: usize;

    /// Rows of a tile that is two registers wide, with registers to spare for the operands.
    const TALL_ROWS: usize;

    /// Runs a kernel with these instructions.
    fn run<W: Work>(self, work: W);
    /// Zero in every lane.
    fn zero(self) -> Self::Vector;
    /// One number in every lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// `a · b + sum`, rounded once.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector;
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The sum over the lanes of each of four registers.
    fn sums(self, of: [Self::Vector; 4]) -> [f32; 4];
    /// Fetches the cache line at any address, valid or not, into the second-level cache.
    #[inline(always)]
    fn prefetch<T>(self, at: *const T) {
        // SAFETY: every x86-64 has the instruction, and it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
    /// The numbers from `from` on.
    /// # Safety
    /// `from` is valid for reading `LANES` numbers.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// The first `count` lanes; the others are zero.
    /// # Safety
    /// `from` is valid for reading `count` numbers, fewer than `LANES`.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector;
    /// The f32 values of the numbers from `from` on.
    /// # Safety
    /// `from` is valid for reading `LANES` numbers.
    unsafe fn load_bf16(self, from: *const bf16) -> Self::Vector;
    /// The f32 values of the numbers from `from` on.
    /// # Safety
    /// `from` is valid for reading `LANES` numbers.
    unsafe fn load_f16(self, from: *const f16) -> Self::Vector;
    /// Copies eight rows of eight numbers as eight columns.
    ///
    /// # Safety
    /// Eight rows of eight numbers, `from_stride` apart, are valid for reading, and as many,
    /// `to_stride` apart, for writing.
    #[inline(always)]
    unsafe fn transpose(
        self,
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: the caller's; a machine with AVX-512 has AVX2.
        unsafe {
            transpose_8x8(|i| _mm256_loadu_ps(from.add(i * from_stride)), to, to_stride);
        }
    }

    /// Copies the f32 values of eight rows of eight numbers as eight columns.
    ///
    /// # Safety
    /// As for [`transpose`](Self::transpose).
    #[inline(always)]
    unsafe fn transpose_bf16(
        self,
        from: *const bf16,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: as in `transpose`.
        unsafe {
            let row = |i: usize| {
                let stored = _mm_loadu_si128(from.add(i * from_stride).cast());
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(stored)))
            };
            transpose_8x8(row, to, to_stride);
        }
    }

    /// Copies the f32 values of eight rows of eight numbers as eight columns.
    ///
    /// # Safety
    /// As for [`transpose`](Self::transpose).
    #[inline(always)]
    unsafe fn transpose_f16(
        self,
        from: *const f16,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: as in `transpose`; a machine with either set of instructions has F16C.
        unsafe {
            let row = |i: usize| _mm256_cvtph_ps(_mm_loadu_si128(from.add(i * from_stride).cast()));
            transpose_8x8(row, to, to_stride);
        }
    }

    /// Writes the lanes from `to` on.
    /// # Safety
    /// `to` is valid for writing `LANES` numbers.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
}

/// Writes eight rows as eight columns, `to_stride` apart.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn transpose_8x8(row: impl Fn(usize) -> __m256, to: *mut f32, to_stride: usize) {
    let pair = |i: usize| {
        let (a, b) = (row(i), row(i + 1));
        (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b))
    };
    // Four columns of four rows in each half of a register.
    let quad = |i: usize| {
        let ((a, b), (c, d)) = (pair(i), pair(i + 2));
        [
            _mm256_shuffle_ps::<0x44>(a, c),
            _mm256_shuffle_ps::<0xEE>(a, c),
            _mm256_shuffle_ps::<0x44>(b, d),
            _mm256_shuffle_ps::<0xEE>(b, d),
        ]
    };
    let (upper, lower) = (quad(0), quad(4));
    for i in 0..4 {
        let first = _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
        let second = _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
        // SAFETY: the caller's.
        unsafe {
            _mm256_storeu_ps(to.add(i * to_stride), first);
            _mm256_storeu_ps(to.add((i + 4) * to_stride), second);
        }
    }
}

/// A kernel. Its `run` and all that this calls are marked `#[inline(always)]`.
pub(super) trait Work {
    /// Does the work with the given instructions.
    fn run<S: Simd>(self, simd: S);
}

/// The instructions that this processor has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Machine {
    /// Vectors of 16 numbers and 32 registers.
    Avx512(Avx512),
    /// Vectors of 8 numbers and 16 registers.
    Avx2(Avx2),
    /// No instructions that there is a kernel for.
    Other,
}

impl Machine {
    /// The best that this processor has.
    pub(super) fn detect() -> Self {
        Self::avx512().or_else(Self::avx2).unwrap_or(Self::Other)
    }

    /// AVX-512, where the processor has it.
    pub(super) fn avx512() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self::Avx512(Avx512(())))
    }

    /// AVX2, where the processor has it.
    pub(super) fn avx2() -> Option<Self> {
        let detected = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        detected.then_some(Self::Avx2(Avx2(())))
    }
}

/// Proof that the processor has AVX-512.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    const ROWS: usize = 6;
    const LONG_ROWS: usize = 8;
    const TALL_ROWS: usize = 12;

    #[inline(always)]
    fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx512f")]
        fn enabled<W: Work>(simd: Avx512, work: W) {
            work.run(simd);
        }
        // SAFETY: `self` proves that the instructions exist.
        unsafe { enabled(self, work) }
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, sum: __m512) -> __m512 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm512_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // SAFETY: `self` proves that the instructions exist.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let low = _mm512_shuffle_ps::<0x44>(ab, cd);
            let quarters = _mm512_add_ps(low, _mm512_shuffle_ps::<0xEE>(ab, cd));
            // Each quarter now holds partial sums of a, b, c and d.
            let halves = _mm512_add_ps(quarters, _mm512_shuffle_f32x4::<0x4E>(quarters, quarters));
            let first = _mm512_castps512_ps128(halves);
            let second = _mm512_extractf32x4_ps::<1>(halves);
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(first, second));
            sums
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the instruction exists.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: the caller's, and `self` proves that the instruction exists.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the instructions exist.
        unsafe {
            let stored = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(stored))
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m512 {
        // SAFETY: the caller's, and `self` proves that the instructions exist.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: masked lanes are not read; else as `load`.
        unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) }
    }
}

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    #[inline(always)]
    fn first(self, count: usize) -> __m256i {
        // SAFETY: `self` proves that the instructions exist.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
    }
}

impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const ROWS: usize = 3;
    const LONG_ROWS: usize = 4;
    const TALL_ROWS: usize = 6;

    #[inline(always)]
    fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn enabled<W: Work>(simd: Avx2, work: W) {
            work.run(simd);
        }
        // SAFETY: `self` proves that the instructions exist.
        unsafe { enabled(self, work) }
    }

    #[inline(always)]
    fn zero(self) -> __m256 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m256, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm256_fmadd_ps(a, b, sum) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the instruction exists.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        // SAFETY: `self` proves that the instructions exist.
        unsafe {
            let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let second = _mm256_extractf128_ps::<1>(halves);
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(_mm256_castps256_ps128(halves), second));
            sums
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the instruction exists.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        // SAFETY: the caller's, and `self` proves that the instruction exists.
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the instructions exist.
        unsafe {
            let stored = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(stored))
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m256 {
        // SAFETY: the caller's, and `self` proves that the instructions exist.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: masked lanes are not read; else as `load`.
        unsafe { _mm256_maskload_ps(from, self.first(count)) }
    }
}
