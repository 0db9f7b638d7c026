//! A llama with random weights, as a folder: what the benches run on.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rescribe::model::Random;

/// Sizes of a llama with a tied head.
pub struct Shape {
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub vocabulary: usize,
    pub context: usize,
}

/// Writes config, weights and the tokenizer of a fixture into `folder`.
pub fn write(folder: &Path, shape: &Shape) {
    let mut random = Random::new(1);
    let mut matrix = |rows: usize, columns: usize| {
        // Uniform numbers of variance 1 / columns keep the stream's scale.
        let scale = (12. / columns as f64).sqrt();
        let mut next = || scale * (random.below(1 << 24) as f64 / (1 << 24) as f64 - 0.5);
        let values: Vec<f32> = (0..rows * columns).map(|_| next() as f32).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
    };
    let Shape { hidden, intermediate, .. } = *shape;
    let narrow = hidden / shape.heads * shape.kv_heads;
    let ones = Tensor::ones(hidden, DType::F32, &Device::Cpu).expect("a vector");
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), matrix(shape.vocabulary, hidden)),
        ("model.norm.weight".to_owned(), ones.clone()),
    ];
    for layer in 0..shape.layers {
        let mut push = |name: &str, tensor| {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), tensor));
        };
        for (name, rows, columns) in [
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", narrow, hidden),
            ("self_attn.v_proj", narrow, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", intermediate, hidden),
            ("mlp.up_proj", intermediate, hidden),
            ("mlp.down_proj", hidden, intermediate),
        ] {
            push(name, matrix(rows, columns));
        }
        push("input_layernorm", ones.clone());
        push("post_attention_layernorm", ones.clone());
    }
    let file = folder.join("model.safetensors");
    safetensors::serialize_to_file(tensors, None, &file).expect("written");
    std::fs::write(folder.join("config.json"), config(shape)).expect("written");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
    std::fs::copy(fixture.join("tokenizer.json"), folder.join("tokenizer.json")).expect("copied");
}

fn config(shape: &Shape) -> String {
    serde_json::json!({
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
    })
    .to_string()
}
