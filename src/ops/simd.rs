//! Row loops compiled for the vector units that the machine has.

/// eˣ to about 2 units in the last place, branch-free so that loops over it vectorise.
///
/// Cody-Waite reduction x = n ln 2 + r, |r| ≤ ½ ln 2, and the degree-6 polynomial of Cephes' `expf`.
/// Adding 3 · 2²² rounds to a whole number, which is then in the last bits of the sum.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUNDING: f32 = 12_582_912.;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
    let n = shifted - ROUNDING;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let e = p * r * r + r + 1.;
    e * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// The sum of sixteen lanes, in halves: always in the same order, and open to vector units.
#[inline(always)]
pub(crate) fn total(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// Runs `body` compiled for AVX-512 or AVX2 where the machine has it.
///
/// `body` must be `#[inline(always)]` code, so that it is compiled anew with the wider registers.
#[inline(always)]
pub(crate) fn vectorised<T>(body: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            // SAFETY: the features were just detected.
            return unsafe { with_avx512(body) };
        }
        // SAFETY: the features were just detected.
        return unsafe { with_avx2(body) };
    }
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn with_avx512<T>(body: impl FnOnce() -> T) -> T {
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T>(body: impl FnOnce() -> T) -> T {
    body()
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_agrees_with_the_library() {
        for i in -8700..8800 {
            let x = i as f32 / 100.;
            let relative = (super::exp(x) as f64 / (x as f64).exp() - 1.).abs();
            assert!(relative < 4e-7, "exp({x}) is off by {relative:e}");
        }
    }
}
