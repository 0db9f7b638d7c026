//! Stored elements to `f32` and back, for the three dtypes in which weights are kept.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

use crate::ops::Numbers;

/// Elements converted between the small buffers of one step.
const STEP: usize = 1024;

/// A dtype in which this program reads and writes weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
}

impl Element {
    /// The element of that dtype, or nothing where weights of it are not supported.
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }

    /// The name of the element in a safetensors file.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
        }
    }

    /// Bytes of one element.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The numbers in `bytes`, where they lie as this machine reads them.
    pub(crate) fn numbers(self, bytes: &[u8]) -> Option<Numbers<'_>> {
        // SAFETY: any bytes are a number of each of these types.
        unsafe {
            Some(match self {
                Self::F32 => Numbers::F32(aligned(bytes.align_to())?),
                Self::F16 => Numbers::F16(aligned(bytes.align_to())?),
                Self::BF16 => Numbers::Bf16(aligned(bytes.align_to())?),
            })
        }
    }

    /// How many elements of little-endian `bytes` are NaN or infinite: all bits of their exponent
    /// are set.
    pub(crate) fn not_finite(self, bytes: &[u8]) -> usize {
        let halves = |exponent: u16| {
            let numbers = bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
            numbers.map(|bits| usize::from(bits & exponent == exponent)).sum()
        };
        match self {
            Self::F32 => {
                let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                numbers.map(|value| usize::from(!value.is_finite())).sum()
            }
            Self::F16 => halves(0x7C00),
            Self::BF16 => halves(0x7F80),
        }
    }

    /// Widens little-endian `bytes`, which need no alignment, into `out`; returns how many are NaN
    /// or infinite.
    pub(crate) fn widen(self, bytes: &[u8], out: &mut [f32]) -> usize {
        assert_eq!(bytes.len(), out.len() * self.size(), "one element for each output");
        match self {
            Self::F32 => {
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
            Self::F16 => widen_f16(bytes, out),
            // Shifted here, because the branch for NaN in `bf16::to_f32` keeps the loop from being
            // vectorised.
            Self::BF16 => {
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                }
            }
        }
        out.iter().map(|value| usize::from(!value.is_finite())).sum()
    }

    /// Rounds `values` to the nearest element, ties to even, and appends the little-endian bytes.
    pub(crate) fn round_into(self, values: &[f32], bytes: &mut Vec<u8>) {
        bytes.reserve(values.len() * self.size());
        match self {
            Self::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F16 => {
                bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
            }
            Self::BF16 => {
                bytes.extend(values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()));
            }
        }
    }
}

/// The middle of a split at the alignment of a type, where it is the whole.
fn aligned<'a, T>((before, numbers, after): (&'a [u8], &'a [T], &'a [u8])) -> Option<&'a [T]> {
    let is_whole = before.is_empty() && after.is_empty();
    (is_whole && cfg!(target_endian = "little")).then_some(numbers)
}

fn widen_f16(bytes: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; STEP];
    for (out, bytes) in out.chunks_mut(STEP).zip(bytes.chunks(2 * STEP)) {
        let halves = &mut halves[..out.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Element; 3] = [Element::F32, Element::F16, Element::BF16];

    #[test]
    fn values_that_fit_survive_at_any_alignment() {
        let values: Vec<f32> = (0..2 * STEP + 3).map(|i| (i % 17) as f32 * 0.25 - 2.0).collect();
        for element in ALL {
            let mut bytes = vec![0xff];
            element.round_into(&values, &mut bytes);
            let mut back = vec![0.0; values.len()];
            assert_eq!(element.widen(&bytes[1..], &mut back), 0, "{element:?}");
            assert_eq!(back, values, "{element:?}");
        }
    }

    #[test]
    fn rounding_is_to_nearest_with_ties_to_even() {
        // bf16 has 8 bits of significand: around 1 its step is 1/128.
        let cases = [(1.0 + 1.0 / 256.0, 1.0), (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0)];
        for (value, expected) in cases {
            let mut bytes = Vec::new();
            Element::BF16.round_into(&[value], &mut bytes);
            let mut back = [0.0];
            Element::BF16.widen(&bytes, &mut back);
            assert_eq!(back, [expected]);
        }
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        for element in ALL {
            let mut bytes = Vec::new();
            element.round_into(&[1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0], &mut bytes);
            assert_eq!(element.widen(&bytes, &mut [0.0; 5]), 3, "{element:?}");
            assert_eq!(element.not_finite(&bytes), 3, "{element:?}");
        }
    }
}
