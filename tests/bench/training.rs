//! Training steps of a small llama with random weights: 128 wide, 6 layers, 2,000 tokens.

use std::path::Path;

use candle_core::{Device, Tensor};
use divan::{Bencher, counter::ItemsCount};
use rescribe::gradient::{Example, TokenLoss, Trainer, TrainerSettings};
use rescribe::math::Random;
use rescribe::model::{Model, TrainRule};
use rescribe::progress::Silent;

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 128, "intermediate_size": 384,
    "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 4,
    "vocab_size": 2000, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": true}"#;

fn main() {
    divan::main();
}

fn write_model(folder: &Path) {
    let mut random = Random::new(1);
    let mut matrix = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|_| 0.05 * random.normal() as f32).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
    };
    let ones = Tensor::ones(128, candle_core::DType::F32, &Device::Cpu).expect("a vector");
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), matrix(2000, 128)),
        ("model.norm.weight".to_owned(), ones.clone()),
    ];
    for layer in 0..6 {
        let mut push = |name: &str, tensor| {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), tensor));
        };
        for (name, rows, columns) in [
            ("self_attn.q_proj", 128, 128),
            ("self_attn.k_proj", 128, 128),
            ("self_attn.v_proj", 128, 128),
            ("self_attn.o_proj", 128, 128),
            ("mlp.gate_proj", 384, 128),
            ("mlp.up_proj", 384, 128),
            ("mlp.down_proj", 128, 384),
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
    let tokenizer = fixture.join("tokenizer.json");
    std::fs::copy(tokenizer, folder.join("tokenizer.json")).expect("copied");
}

/// Tokens a second; the argument is the number of sequences of 128 tokens in a step.
#[divan::bench(args = [8, 16, 32], sample_count = 10)]
fn step(bencher: Bencher, sequences: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_model(folder.path());
    let model = Model::open(folder.path(), &Device::Cpu, &Silent).expect("a model");
    let trainable = model.trainable(&TrainRule::default()).expect("trainable");
    let mut trainer = Trainer::new(trainable, TrainerSettings::default());
    let mut random = Random::new(2);
    let mut example = || Example {
        ids: (0..129).map(|_| random.below(2000) as u32).collect(),
        first_target: 1,
        loss: TokenLoss::Mean,
        scale: 1. / sequences as f32,
    };
    let examples: Vec<Example> = (0..sequences).map(|_| example()).collect();
    let pool = rayon::ThreadPoolBuilder::new().build().expect("a pool");
    bencher
        .counter(ItemsCount::new(sequences * 128))
        .bench_local(|| pool.install(|| trainer.step(&examples, &Silent).expect("a step")));
}
