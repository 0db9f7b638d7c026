//! The matrix products of one decoder layer of SmolLM2-135M, on the threads of the machine.
//!
//! An item is a floating-point operation: `Gitem/s` reads as GFLOP/s.

use divan::{Bencher, counter::ItemsCount};
use rayon::ThreadPoolBuilder;
use rescribe::ops::{Numbers, add_gram, matmul_nn, matmul_nt};

type Product = fn(&mut [f32], &[f32], Numbers<'_>, usize, usize, usize);

/// Width of a result row, and terms of a sum.
const SHAPES: [(usize, usize); 6] =
    [(576, 576), (192, 576), (1536, 576), (576, 1536), (576, 192), (49152, 576)];
const ROWS: [usize; 5] = [1, 8, 22, 100, 400];
const THREADS: [usize; 2] = [1, 2];

fn main() {
    divan::main();
}

/// Forward: `x · Wᵀ` with `W[out, in]`.
#[divan::bench(args = cases())]
fn forward(bencher: Bencher, case: &Case) {
    case.run(bencher, |out, a, b, m, n, k| matmul_nt(out, a, b, m, n, k), case.n, case.k);
}

/// Backward with respect to the input: `g · W`.
#[divan::bench(args = cases())]
fn backward(bencher: Bencher, case: &Case) {
    case.run(bencher, |out, a, b, m, n, k| matmul_nn(out, a, b, m, n, k), case.k, case.n);
}

/// Second moment of 1024 keys; counted as the one triangle that has to be computed.
#[divan::bench(args = THREADS)]
fn gram(bencher: Bencher, threads: usize) {
    let (rows, k) = (1024, 1536);
    let (x, mut c) = (vec![0.5; rows * k], vec![0.0; k * k]);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
    bencher
        .counter(ItemsCount::new(rows * k * (k + 1)))
        .bench_local(|| pool.install(|| add_gram(&mut c, &x, rows, k)));
}

struct Case {
    /// Whether W is stored in bf16.
    is_short: bool,
    threads: usize,
    m: usize,
    n: usize,
    k: usize,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { is_short, threads, m, n, k } = self;
        let stored = if *is_short { "bf16" } else { "f32" };
        write!(f, "{m} rows, W [{n}, {k}] {stored}, {threads} threads")
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let shapes = SHAPES.into_iter().flat_map(|(n, k)| ROWS.map(|m| (m, n, k)));
    let stored = shapes.flat_map(|shape| [false, true].map(|is_short| (is_short, shape)));
    stored.flat_map(|(is_short, (m, n, k))| {
        THREADS.map(|threads| Case { is_short, threads, m, n, k })
    })
}

impl Case {
    fn run(&self, bencher: Bencher, product: Product, columns: usize, terms: usize) {
        let (a, b) = (vec![0.5; self.m * terms], vec![0.25; columns * terms]);
        let short = vec![half::bf16::from_f32(0.25); columns * terms];
        let b = if self.is_short { Numbers::Bf16(&short) } else { Numbers::F32(&b) };
        let mut out = vec![0.0; self.m * columns];
        let pool = ThreadPoolBuilder::new().num_threads(self.threads).build();
        let pool = pool.expect("threads start");
        bencher.counter(ItemsCount::new(2 * self.m * columns * terms)).bench_local(|| {
            pool.install(|| product(&mut out, &a, b, self.m, columns, terms));
        });
    }
}
