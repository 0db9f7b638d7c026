use super::*;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

/// Reproducible numbers in -1..1 without a pattern that a wrong index could hide behind.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

type Product = fn(&mut [f32], &[f32], &[f32], usize, usize, usize);

/// How `a[row, i]` and `b[i, column]` lie in their slices, with the product that expects it.
struct Layout {
    name: &'static str,
    product: Product,
    a: fn(row: usize, i: usize, m: usize, k: usize) -> usize,
    b: fn(i: usize, column: usize, n: usize, k: usize) -> usize,
}

const LAYOUTS: [Layout; 3] = [
    Layout {
        name: "nt",
        product: |out, a, b, m, n, k| matmul_nt(out, a, b, m, n, k),
        a: |row, i, _, k| row * k + i,
        b: |i, column, _, k| column * k + i,
    },
    Layout {
        name: "nn",
        product: |out, a, b, m, n, k| matmul_nn(out, a, b, m, n, k),
        a: |row, i, _, k| row * k + i,
        b: |i, column, n, _| i * n + column,
    },
    Layout {
        name: "tn",
        product: matmul_tn,
        a: |row, i, m, _| i * m + row,
        b: |i, column, n, _| i * n + column,
    },
];

/// Checks one product against f64. Any order of summation of k terms in f32 is within
/// k · 2⁻²⁴ / (1 - k · 2⁻²⁴) of the sum of the terms' absolute values (Higham, 2002, eq. 3.5).
fn check_against_f64(layout: &Layout, m: usize, n: usize, k: usize) {
    check_with(layout, m, n, k, |out, a, b| {
        (layout.product)(out, a, b, m, n, k);
        true
    });
}

/// As [`check_against_f64`], for another product that reports whether it did the work.
fn check_with(
    layout: &Layout,
    m: usize,
    n: usize,
    k: usize,
    product: impl Fn(&mut [f32], &[f32], &[f32]) -> bool,
) {
    let (a, b) = (noise(m * k, 1), noise(n * k, 2));
    let mut out = vec![f32::NAN; m * n];
    assert!(product(&mut out, &a, &b), "{} {m}x{n}x{k} was computed", layout.name);
    let unit = k as f64 * f64::powi(2.0, -24);
    for row in 0..m {
        for column in 0..n {
            let terms = (0..k).map(|i| {
                f64::from(a[(layout.a)(row, i, m, k)]) * f64::from(b[(layout.b)(i, column, n, k)])
            });
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
            let found = f64::from(out[row * n + column]);
            assert!(
                (found - sum).abs() <= unit / (1.0 - unit) * size + f64::MIN_POSITIVE,
                "{} {m}x{n}x{k} at [{row}, {column}]: {found}, expected {sum}",
                layout.name
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn equals_the_product_in_f64(which in 0..3usize, m in 1..70usize, n in 1..70usize, k in 1..70usize) {
        check_against_f64(&LAYOUTS[which], m, n, k);
    }
}

#[test]
fn equals_the_product_in_f64_beyond_one_block() {
    for layout in &LAYOUTS {
        for (m, n, k) in
            [(1, 500, 1536), (23, 193, 1537), (300, 97, 900), (9, 1100, 64), (4, 65, 8300)]
        {
            check_against_f64(layout, m, n, k);
        }
    }
}

/// The kernels for one set of instructions, not only the set that is picked.
#[cfg(target_arch = "x86_64")]
fn check_kernels(machine: fn() -> Option<simd::Machine>) {
    let Some(machine) = machine() else { return };
    let [nt, nn, _] = &LAYOUTS;
    for (m, n, k) in [(1, 1, 1), (5, 7, 17), (6, 48, 768), (13, 101, 769), (64, 53, 1600)] {
        check_with(nt, m, n, k, |out, a, b| inner::product(machine, out, a, b, n, k));
    }
    for (m, n, k) in [(1, 16, 8192), (13, 112, 9001)] {
        check_with(nn, m, n, k, |out, a, b| outer::product(machine, out, a, b, n, k));
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_of_avx512_equal_the_product_in_f64() {
    check_kernels(simd::Machine::avx512);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_of_avx2_equal_the_product_in_f64() {
    check_kernels(simd::Machine::avx2);
}

#[test]
fn an_empty_sum_is_zero() {
    for layout in &LAYOUTS {
        let mut out = vec![f32::NAN; 6];
        (layout.product)(&mut out, &[], &[], 2, 3, 0);
        assert_eq!(out, [0.0; 6], "{}", layout.name);
        (layout.product)(&mut [], &[], &[], 0, 0, 0);
    }
}

#[test]
#[should_panic(expected = "the right operand has 2 x 3 elements")]
fn a_slice_of_the_wrong_length_is_refused() {
    matmul_nt(&mut [0.0; 2], &[0.0; 3], &vec![0.0; 5], 1, 2, 3);
}

#[test]
fn gram_equals_the_product_in_f64_and_accumulates() {
    for (rows, k) in [(1, 1), (3, 50), (700, 49), (257, 130), (0, 4)] {
        let x = noise(rows * k, 3);
        let mut c = vec![1.0; k * k];
        add_gram(&mut c, &x, rows, k);
        let unit = gram::RUN as f64 * f64::powi(2.0, -24);
        for i in 0..k {
            for j in 0..k {
                let terms = (0..rows).map(|r| f64::from(x[r * k + i]) * f64::from(x[r * k + j]));
                let (sum, size) =
                    terms.fold((1.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                let found = c[i * k + j];
                assert!(
                    (found - sum).abs() <= unit / (1.0 - unit) * size + 1e-9,
                    "{rows}x{k} at [{i}, {j}]: {found}, expected {sum}"
                );
                assert_eq!(found, c[j * k + i], "symmetric to the bit at [{i}, {j}]");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (m, n, k) = (37, 410, 800);
    let (a, b) = (noise(m * k, 4), noise(n * k, 5));
    let (rows, width, long) = (3, 32, 9000);
    let (c, d) = (noise(rows * long, 6), noise(width * long, 7));
    let on = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        pool.install(|| {
            let mut results: Vec<Vec<f32>> = Vec::new();
            for layout in &LAYOUTS {
                let mut out = vec![0.0; m * n];
                (layout.product)(&mut out, &a, &b, m, n, k);
                results.push(out);
            }
            let mut out = vec![0.0; rows * width];
            matmul_nn(&mut out, &c, &d, rows, width, long);
            results.push(out);
            let mut gram = vec![0.0; n * n];
            add_gram(&mut gram, &b, k, n);
            (results, gram)
        })
    };
    let one = on(1);
    assert!(one == on(2) && one == on(3));
}

#[test]
fn add_tn_adds_the_product() {
    for (m, n, k) in [(3, 5, 7), (200, 130, 40)] {
        let (a, b, start) = (noise(k * m, 1), noise(k * n, 2), noise(m * n, 3));
        let mut product = vec![0f32; m * n];
        matmul_tn(&mut product, &a, &b, m, n, k);
        let mut sum = start.clone();
        add_tn(&mut sum, &a, &b, m, n, k);
        for ((sum, start), product) in sum.iter().zip(&start).zip(&product) {
            assert!((sum - (start + product)).abs() < 1e-5, "{sum}, {start} + {product}");
        }
    }
}

/// Shapes that reach every kernel, with rests in each dimension.
const SHAPES: [(usize, usize, usize); 11] = [
    (1, 1, 1),
    (1, 50, 1536),
    (6, 97, 768),
    (7, 100, 40),
    (23, 193, 1537),
    (41, 33, 900),
    (300, 97, 903),
    (3, 32, 8300),
    (50, 112, 9001),
    (45, 40, 16),
    (2, 200, 3),
];

/// Runs `product` with numbers in half precision and with their widened copy.
fn same_bits(name: &str, (m, n, k): (usize, usize, usize), product: impl Fn(&mut [f32], Numbers)) {
    let b = noise(n * k, 2);
    let short: Vec<half::f16> = b.iter().map(|x| half::f16::from_f32(*x)).collect();
    let brain: Vec<half::bf16> = b.iter().map(|x| half::bf16::from_f32(*x)).collect();
    for stored in [Numbers::F16(&short), Numbers::Bf16(&brain)] {
        let wide = stored.to_vec();
        let on = |numbers| {
            let mut out = vec![f32::NAN; m * n];
            product(&mut out, numbers);
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert!(on(stored) == on(Numbers::F32(&wide)), "{name} {m}x{n}x{k}");
    }
}

#[test]
fn numbers_in_half_precision_have_the_sums_of_their_widened_copy() {
    for shape @ (m, n, k) in SHAPES {
        let a = noise(m * k, 1);
        same_bits("nt", shape, |out, b| matmul_nt(out, &a, b, m, n, k));
        same_bits("nn", shape, |out, b| matmul_nn(out, &a, b, m, n, k));
    }
}

/// As above, for one set of instructions.
#[cfg(target_arch = "x86_64")]
fn check_half_precision(machine: fn() -> Option<simd::Machine>) {
    use packed::Stored::{Columns, Rows};
    let Some(machine) = machine() else { return };
    for shape @ (m, n, k) in SHAPES {
        let a = noise(m * k, 1);
        macro_rules! same {
            ($name:literal, $out:ident, $b:ident, $product:expr) => {
                same_bits($name, shape, |$out, b| match b {
                    Numbers::F32($b) => drop($product),
                    Numbers::F16($b) => drop($product),
                    Numbers::Bf16($b) => drop($product),
                })
            };
        }
        same!("inner", out, b, inner::product(machine, out, &a, b, n, k));
        same!("outer", out, b, outer::product(machine, out, &a, b, n, k));
        same!("columns", out, b, packed::product(machine, out, &a, (b, Columns), n, k));
        same!("rows", out, b, packed::product(machine, out, &a, (b, Rows), n, k));
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_of_avx512_widen_as_they_read() {
    check_half_precision(simd::Machine::avx512);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_of_avx2_widen_as_they_read() {
    check_half_precision(simd::Machine::avx2);
}
