//! What an edit consists of, on a llama of SmolLM2-135M's widths with random weights, or on the model
//! in the folder that `RESCRIBE_BENCH_MODEL` names.
//!
//! An item of `value`, `forward` and `product` is a floating-point operation, so that `Gitem/s` reads
//! as GFLOP/s: the first over the last is the share of the machine's multiplication rate that the
//! optimisation of a value reaches. An item of `second_moment` is a token.

mod random_llama;

use std::path::Path;
use std::sync::LazyLock;

use candle_core::Device;
use divan::{Bencher, counter::ItemsCount};
use rescribe::model::Random;
use rescribe::model::{Batch, Decoder, Model};
use rescribe::ops::matmul_nt;
use rescribe::plan::{Located, Settings};
use rescribe::progress::Silent;
use rescribe::rank_one::context::EditContexts;
use rescribe::rank_one::second_moment::accumulate;
use rescribe::rank_one::solve::rank_one;
use rescribe::rank_one::{Factored, SecondMoment, value};

use random_llama::Shape;

const SHAPE: Shape = Shape {
    hidden: 576,
    intermediate: 1536,
    layers: 12,
    heads: 9,
    kv_heads: 3,
    vocabulary: 49_152,
    context: 2048,
};
/// The layer that is edited.
const LAYER: usize = 4;
/// Contexts of the published program, tokens of each in front of the lookup token and from it on.
const CONTEXTS: (usize, usize, usize) = (21, 12, 5);
/// Tokens of the essence prompt from its lookup token on: as published, that one alone.
const ESSENCE: usize = 1;
const STEPS: usize = 5;

fn main() {
    divan::main();
}

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let open = |folder: &Path| Model::open(folder, &Device::Cpu, &Silent).expect("a model");
    if let Some(folder) = std::env::var_os("RESCRIBE_BENCH_MODEL") {
        return open(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    random_llama::write(folder.path(), &SHAPE);
    open(folder.path())
});

/// Runs `work` on the pool of the program: one thread for each core.
fn pooled<T: Send>(bencher: Bencher, counter: usize, work: impl Fn() -> T + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().build().expect("threads start");
    bencher.counter(ItemsCount::new(counter)).bench_local(|| pool.install(&work));
}

/// Multiplications and additions of a token in one layer, forward.
fn layer_flops(decoder: &Decoder) -> usize {
    let config = decoder.config();
    let shape = config.attention;
    let wide = shape.heads * shape.head_dim;
    let narrow = shape.kv_heads * shape.head_dim;
    2 * config.hidden * (2 * wide + 2 * narrow + 3 * config.intermediate)
}

fn head_flops(decoder: &Decoder) -> usize {
    2 * decoder.config().hidden * decoder.config().vocabulary
}

fn tokens(n: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    let vocabulary = MODEL.decoder.config().vocabulary.min(MODEL.tokenizer.vocabulary());
    (0..n).map(|_| random.below(vocabulary) as u32).collect()
}

fn contexts() -> EditContexts {
    let (contexts, before, behind) = CONTEXTS;
    let located = |seed: u64| Located { ids: tokens(before + behind, seed), lookup: before };
    let contexts: Vec<Located> = (0..contexts as u64).map(located).collect();
    let essence = Located { ids: tokens(2 + ESSENCE, 99), lookup: 2 };
    EditContexts::new(&MODEL.decoder, LAYER, &contexts, &[7], &essence).expect("contexts")
}

/// Some evaluations of the published objective with their gradients.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn value(bencher: Bencher) {
    let settings = Settings {
        parity: true,
        contexts: CONTEXTS.0,
        context_tokens: 10,
        steps: STEPS,
        learning_rate: 0.5,
        clamp: 4.,
        weight_decay: 0.5,
        kl_weight: 0.0625,
        neighbor_weight: 0.,
        near_weight: 0.,
        wordings: 0,
        lens_weight: 0.,
        scatter_weight: 0.,
        end_weight: 0.,
        stop_loss: 0.,
        second_moment_tokens: 0,
        ridge: 0.,
        max_delta: f64::INFINITY,
        seed: 0,
    };
    let (decoder, contexts) = (&MODEL.decoder, contexts());
    let above = decoder.config().layers - LAYER - 1;
    let rows = CONTEXTS.0 * CONTEXTS.2 + ESSENCE;
    let once = rows * above * layer_flops(decoder) + (CONTEXTS.0 + 1) * head_flops(decoder);
    // The last evaluation has no gradient.
    pooled(bencher, (2 * STEPS - 1) * once, || {
        value::optimise(decoder, &contexts, &settings, &Silent).expect("it converges")
    });
}

/// Key, values and cache of one fact.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn context_run(bencher: Bencher) {
    let decoder = &MODEL.decoder;
    let rows = CONTEXTS.0 * (CONTEXTS.1 + CONTEXTS.2);
    pooled(bencher, rows * decoder.config().layers * layer_flops(decoder), contexts);
}

/// A forward pass with the logits of each last token, by tokens of the sequences.
#[divan::bench(args = [16, 256], sample_count = 3, sample_size = 1)]
fn forward(bencher: Bencher, length: usize) {
    let decoder = &MODEL.decoder;
    let sequences: Vec<Vec<u32>> = (0..1024 / length).map(|i| tokens(length, i as u64)).collect();
    let batch = Batch::new(&sequences);
    let layers = batch.rows() * decoder.config().layers * layer_flops(decoder);
    pooled(bencher, layers + sequences.len() * head_flops(decoder), || {
        let hidden = decoder.forward(&batch, None).expect("a forward pass");
        decoder.logits(&hidden, &batch.last_rows()).expect("logits")
    });
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn second_moment(bencher: Bencher) {
    let decoder = &MODEL.decoder;
    let sequences: Vec<Vec<u32>> = (0..8).map(|i| tokens(256, i)).collect();
    pooled(bencher, 8 * 256, || {
        let mut moment = SecondMoment::empty(decoder.config().intermediate);
        accumulate(decoder, LAYER, &sequences, &mut moment, &Silent).expect("keys");
        moment
    });
}

/// C is factored.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn factor(bencher: Bencher) {
    let d = MODEL.decoder.config().intermediate;
    pooled(bencher, d * d * d / 3, || Factored::new(moment(d), d, 1e-2, LAYER).expect("definite"));
}

/// One fact, with C factored before.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn solve(bencher: Bencher) {
    let (weight, layout) = MODEL.decoder.down_projection(LAYER);
    let weight = &weight.tensor().expect("f32 values");
    let (d, d_v) = layout.widths(weight.dims2().expect("a matrix"));
    let factored = Factored::new(moment(d), d, 1e-2, LAYER).expect("definite");
    let key: Vec<f32> = (0..d).map(|i| (i as f32 * 0.37).sin()).collect();
    let delta = vec![0.1; d_v];
    pooled(bencher, 1, || {
        rank_one(&factored, (std::slice::from_ref(&key), &[]), &delta, weight, layout)
            .expect("a change")
    });
}

/// A definite matrix with off-diagonal entries.
fn moment(d: usize) -> Vec<f64> {
    let entry = |at: usize| match (at / d, at % d) {
        (i, j) if i == j => 2.,
        (i, j) => 1. / (1. + i.abs_diff(j) as f64).powi(2),
    };
    (0..d * d).map(entry).collect()
}

/// What the machine multiplies: a large product with both operands in order.
#[divan::bench(sample_count = 5, sample_size = 4)]
fn product(bencher: Bencher) {
    let (m, n, k) = (1536, 1536, 576);
    let (a, b) = (vec![0.5; m * k], vec![0.25; n * k]);
    pooled(bencher, 2 * m * n * k, || {
        let mut out = vec![0f32; m * n];
        matmul_nt(&mut out, &a, &b, m, n, k);
        out
    });
}
