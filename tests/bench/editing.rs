//! What an edit consists of, on a llama of SmolLM2-135M's widths with random weights, or on the model
//! in the folder that `RESCRIBE_BENCH_MODEL` names.
//!
//! An item of `value`, `forward` and `product` is a floating-point operation, so that `Gitem/s` reads
//! as GFLOP/s: the first over the last is the share of the machine's multiplication rate that the
//! optimisation of a value reaches. An item of `second_moment` is a token.

use std::path::Path;
use std::sync::LazyLock;

use candle_core::{DType, Device, Tensor};
use divan::{Bencher, counter::ItemsCount};
use rescribe::math::{Random, matmul_nt};
use rescribe::model::{Batch, Decoder, Model};
use rescribe::progress::Silent;
use rescribe::rank_one::context::{EditContexts, Located};
use rescribe::rank_one::second_moment::accumulate;
use rescribe::rank_one::solve::rank_one;
use rescribe::rank_one::{Factored, SecondMoment, Settings, value};

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const NARROW: usize = 192;
const LAYERS: usize = 12;
const VOCABULARY: usize = 49_152;
const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
    "num_hidden_layers": 12, "num_attention_heads": 9, "num_key_value_heads": 3,
    "vocab_size": 49152, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "rope_theta": 100000.0, "tie_word_embeddings": true}"#;
/// The layer that is edited.
const LAYER: usize = 4;
/// Contexts of the published program, tokens of each in front of the lookup token and from it on.
const CONTEXTS: (usize, usize, usize) = (21, 12, 5);
/// Tokens of the essence prompt from its lookup token on.
const ESSENCE: usize = 3;
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
    write_model(folder.path());
    open(folder.path())
});

fn write_model(folder: &Path) {
    let mut random = Random::new(1);
    let mut matrix = |rows: usize, columns: usize| {
        // Uniform numbers of variance 1 / columns keep the stream's scale.
        let scale = (12. / columns as f64).sqrt();
        let mut next = || scale * (random.below(1 << 24) as f64 / (1 << 24) as f64 - 0.5);
        let values: Vec<f32> = (0..rows * columns).map(|_| next() as f32).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
    };
    let ones = Tensor::ones(HIDDEN, DType::F32, &Device::Cpu).expect("a vector");
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), matrix(VOCABULARY, HIDDEN)),
        ("model.norm.weight".to_owned(), ones.clone()),
    ];
    for layer in 0..LAYERS {
        let mut push = |name: &str, tensor| {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), tensor));
        };
        for (name, rows, columns) in [
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", NARROW, HIDDEN),
            ("self_attn.v_proj", NARROW, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", INNER, HIDDEN),
            ("mlp.up_proj", INNER, HIDDEN),
            ("mlp.down_proj", HIDDEN, INNER),
        ] {
            push(name, matrix(rows, columns));
        }
        push("input_layernorm", ones.clone());
        push("post_attention_layernorm", ones.clone());
    }
    let file = folder.join("model.safetensors");
    safetensors::serialize_to_file(tensors, None, &file).expect("written");
    std::fs::write(folder.join("config.json"), CONFIG).expect("written");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
    std::fs::copy(fixture.join("tokenizer.json"), folder.join("tokenizer.json")).expect("copied");
}

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
    let (d, d_v) = layout.widths(weight.dims2().expect("a matrix"));
    let factored = Factored::new(moment(d), d, 1e-2, LAYER).expect("definite");
    let key: Vec<f32> = (0..d).map(|i| (i as f32 * 0.37).sin()).collect();
    let delta = vec![0.1; d_v];
    pooled(bencher, 1, || {
        rank_one(&factored, std::slice::from_ref(&key), &delta, weight, layout).expect("a change")
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
