//! A Hugging Face folder for the built-in model: its initial weights and its trained ones.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use safetensors::Dtype;
use serde_json::{Value, json};

use super::TrainingError;
use super::recipe::TrainingRecipe;
use super::tokenizer::END_OF_TEXT;
use crate::checkpoint::transfer::put_file;
use crate::math::Random;
use crate::model::TRAINING;
use crate::model::weights::element::Element;
use crate::model::weights::header::Header;

/// Tensors by their stored names.
pub(super) type Named = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Initial weights drawn from `seed`: normal numbers whose scale keeps the size of the
/// rows; the more layers there are, the less each adds to the residual stream.
pub(super) fn initial(recipe: &TrainingRecipe, seed: u64) -> Named {
    /// Scale of the embedding, and so of the first logits.
    const EMBEDDING: f64 = 0.02;
    let mut random = Random::new(seed);
    let mut tensors = Named::new();
    let mut matrix = |name: String, rows: usize, columns: usize, scale: f64| {
        let values = (0..rows * columns).map(|_| (scale * random.normal()) as f32).collect();
        tensors.insert(name, (vec![rows, columns], values));
    };
    let (hidden, inner) = (recipe.hidden, recipe.intermediate);
    let kv = recipe.kv_heads * recipe.head_dim();
    let into = |width: usize| 0.7 / (width as f64).sqrt();
    let out = |width: usize| into(width) / (2. * recipe.layers as f64).sqrt();
    matrix("model.embed_tokens.weight".into(), recipe.vocabulary, hidden, EMBEDDING);
    for layer in 0..recipe.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        matrix(name("self_attn.q_proj"), hidden, hidden, into(hidden));
        matrix(name("self_attn.k_proj"), kv, hidden, into(hidden));
        matrix(name("self_attn.v_proj"), kv, hidden, into(hidden));
        matrix(name("self_attn.o_proj"), hidden, hidden, out(hidden));
        matrix(name("mlp.gate_proj"), inner, hidden, into(hidden));
        matrix(name("mlp.up_proj"), inner, hidden, into(hidden));
        matrix(name("mlp.down_proj"), hidden, inner, out(inner));
    }
    let norms = ["input_layernorm", "post_attention_layernorm"];
    let of_layer = |layer| norms.map(|norm| format!("model.layers.{layer}.{norm}.weight"));
    let names = (0..recipe.layers).flat_map(of_layer).chain(["model.norm.weight".into()]);
    tensors.extend(names.map(|name| (name, (vec![hidden], vec![1.; hidden]))));
    tensors
}

/// Trained tensors as plain numbers.
pub(super) fn trained(tensors: &[(String, Tensor)]) -> Result<Named, TrainingError> {
    let plain = |(name, tensor): &(String, Tensor)| {
        let values = tensor.flatten_all()?.to_vec1()?;
        Ok((name.clone(), (tensor.dims().to_vec(), values)))
    };
    tensors.iter().map(plain).collect()
}

/// Writes config, tokenizer and weights, rounded once to `element`, and notes on the training.
pub(super) fn write(
    folder: &Path,
    recipe: &TrainingRecipe,
    tokenizer: &[u8],
    tensors: &Named,
    element: Element,
    notes: Option<&Value>,
) -> Result<(), TrainingError> {
    let put = |name: &str, bytes: &[u8]| put_file(&folder.join(name), bytes);
    put("model.safetensors", &safetensors(tensors, element))?;
    put("tokenizer.json", tokenizer)?;
    for (name, value) in [
        ("config.json", config(recipe, element)),
        ("tokenizer_config.json", tokenizer_config(recipe)),
        ("generation_config.json", json!({ "bos_token_id": 0, "eos_token_id": 0 })),
    ] {
        put(name, format!("{value:#}\n").as_bytes())?;
    }
    if let Some(notes) = notes {
        put(TRAINING, format!("{notes:#}\n").as_bytes())?;
    }
    Ok(())
}

fn safetensors(tensors: &Named, element: Element) -> Vec<u8> {
    let dtype = match element {
        Element::F32 => Dtype::F32,
        Element::F16 => Dtype::F16,
        Element::BF16 => Dtype::BF16,
    };
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let listed = tensors.iter().map(|(name, (shape, values))| {
        (name.as_str(), dtype, shape.as_slice(), values.len() * element.size())
    });
    let mut file = Header::write(&metadata, listed);
    for (_, values) in tensors.values() {
        element.round_into(values, &mut file);
    }
    file
}

fn config(recipe: &TrainingRecipe, element: Element) -> Value {
    let dtype = match element {
        Element::F32 => "float32",
        Element::F16 => "float16",
        Element::BF16 => "bfloat16",
    };
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": recipe.vocabulary,
        "max_position_embeddings": recipe.context,
        "num_hidden_layers": recipe.layers,
        "hidden_size": recipe.hidden,
        "intermediate_size": recipe.intermediate,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": true,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "torch_dtype": dtype,
    })
}

fn tokenizer_config(recipe: &TrainingRecipe) -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": true,
        "model_max_length": recipe.context,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": false,
        "model_input_names": ["input_ids", "attention_mask"],
    })
}
