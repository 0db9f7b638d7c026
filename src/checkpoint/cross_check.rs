//! An independent check of an exported folder: candle-transformers' own models.
//!
//! They read `config.json` and the tensors by code that shares nothing with ours. Where they leave
//! out what a config asks for, they say nothing, and the reason is given in place of their logits.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    gemma, gemma2, gemma3, llama, mistral, olmo2, phi3, qwen2, qwen3, stable_lm, starcoder2,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::model::config::DecoderConfig;
use crate::model::{ModelError, Weights};
use crate::ops::AttentionRule;

/// What candle-transformers makes of a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Logits after the last token of each prompt.
    Logits(Vec<Vec<f32>>),
    /// It has no right implementation of the model; the reason.
    Unable(String),
}

/// Logits after the last token of each prompt by candle-transformers, where it computes the model
/// of the folder, whose configuration is `decoder`.
pub fn judge_logits(
    folder: &Path,
    decoder: &DecoderConfig,
    prompts: &[Vec<u32>],
) -> Result<Judgement, ModelError> {
    let file = folder.join("config.json");
    let fail = |reason: String| ModelError::ConfigFile { file: file.display().to_string(), reason };
    let bytes = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
    let config: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    if let Some(reason) = left_out(&config, decoder, prompts) {
        return Ok(Judgement::Unable(reason));
    }
    let weights = Weights::open(folder)?;
    let files: Vec<&Path> = weights.shards().collect();
    // SAFETY: the files are mapped read-only and were just validated; nobody writes to them.
    let weights = unsafe { VarBuilder::from_mmaped_safetensors(&files, DType::F32, &Device::Cpu)? };
    let folder = Folder { config: completed(config, decoder), weights, prompts };
    let logits = match decoder.model_type.as_str() {
        "llama" => folder.llama(),
        "qwen2" => folder.logits(
            qwen2::ModelForCausalLM::new,
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "qwen3" => folder.logits(
            qwen3::ModelForCausalLM::new,
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "mistral" => folder.logits(
            mistral::Model::new,
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "phi3" => folder.logits(
            phi3::Model::new,
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "gemma" => folder.logits(
            |config, weights| gemma::Model::new(false, config, weights),
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "gemma2" => folder.logits(
            |config, weights| gemma2::Model::new(false, config, weights),
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "gemma3_text" => folder.logits(
            |config, weights| gemma3::Model::new(false, config, weights),
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "olmo2" => folder.logits(
            olmo2::Model::new,
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "starcoder2" => folder.logits(
            starcoder2::Model::new,
            |model, ids| model.forward(ids, 0),
            |model| model.clear_kv_cache(),
        ),
        "stablelm" => {
            folder.logits(stable_lm::Model::new, |model, ids| model.forward(ids, 0), |_| ())
        }
        other => {
            let reason = format!("candle-transformers has no correct {other}");
            return Ok(Judgement::Unable(reason));
        }
    };
    match logits {
        Ok(logits) => Ok(Judgement::Logits(logits)),
        Err(Failure::Config(reason)) => Err(fail(reason)),
        Err(Failure::Compute(error)) => Err(error.into()),
    }
}

/// What the config asks for and candle-transformers leaves out.
fn left_out(
    config: &Map<String, Value>,
    decoder: &DecoderConfig,
    prompts: &[Vec<u32>],
) -> Option<String> {
    let scaling = ["rope_scaling", "rope_parameters"].iter().filter_map(|key| config.get(*key));
    let is_llama = decoder.model_type == "llama";
    let is_scaled = |scaling: &Value| {
        let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
        let kind = kind.or(scaling.get("full_attention"));
        kind.is_some_and(|kind| *kind != "default" && !(is_llama && *kind == "llama3"))
    };
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let windows = decoder.sight.iter().filter_map(|sight| sight.window);
    let usual = AttentionRule::from(decoder.attention).scale;
    let part = if config.contains_key("text_config") {
        "reads no text part of a larger model"
    } else if scaling.into_iter().any(is_scaled) {
        "leaves out the scaling of positions"
    } else if windows.min().is_some_and(|window| longest > window) {
        "has other windows than this model, which the texts exceed"
    } else if config.contains_key("query_pre_attn_scalar") && decoder.score_scale != usual {
        "leaves out query_pre_attn_scalar"
    } else if decoder.model_type == "gemma3_text" && decoder.attention.kv_heads > 1 {
        "fails at more than one key head of Gemma 3"
    } else if decoder.model_type == "gemma3_text" && !is_regular(decoder) {
        "knows windows by a regular pattern only"
    } else if decoder.is_parallel {
        "leaves out the parallel branches"
    } else {
        return None;
    };
    Some(format!("candle-transformers {part}"))
}

/// Every how many layers there is one without a window.
fn pattern(decoder: &DecoderConfig) -> usize {
    let full = decoder.sight.iter().position(|sight| sight.window.is_none());
    full.unwrap_or(decoder.layers) + 1
}

fn is_regular(decoder: &DecoderConfig) -> bool {
    let pattern = pattern(decoder);
    let mut sights = decoder.sight.iter().enumerate();
    sights.all(|(i, sight)| sight.window.is_none() == (i + 1).is_multiple_of(pattern))
}

/// The config with what candle-transformers requires and files may leave out.
fn completed(mut config: Map<String, Value>, decoder: &DecoderConfig) -> Value {
    let theta = config.get("rope_parameters").and_then(|all| all.get("rope_theta")).cloned();
    for (key, value) in [
        ("rope_theta", theta.unwrap_or(json!(10_000.))),
        ("rope_local_base_freq", json!(10_000.)),
        ("sliding_window", json!(decoder.context)),
        ("sliding_window_pattern", json!(pattern(decoder))),
        ("max_window_layers", json!(0)),
        ("use_sliding_window", json!(false)),
        ("attention_bias", json!(false)),
        ("tie_word_embeddings", json!(decoder.is_tied)),
        ("num_key_value_heads", json!(decoder.attention.kv_heads)),
        ("head_dim", json!(decoder.attention.head_dim)),
    ] {
        let entry = config.entry(key).or_insert(Value::Null);
        if entry.is_null() {
            *entry = value;
        }
    }
    if decoder.sight.iter().all(|sight| sight.window.is_none()) {
        config.insert("sliding_window".into(), json!(decoder.context));
    }
    // Some of them only read one of several stop tokens, and keep keys from prompt to prompt.
    for (key, value) in [("use_cache", json!(false)), ("eos_token_id", Value::Null)] {
        config.insert(key.into(), value);
    }
    Value::Object(config)
}

/// A folder, and the prompts that are fed to its model.
struct Folder<'a> {
    config: Value,
    weights: VarBuilder<'static>,
    prompts: &'a [Vec<u32>],
}

/// What can go wrong in candle-transformers.
enum Failure {
    Config(String),
    Compute(candle_core::Error),
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error)
    }
}

type Logits = Result<Vec<Vec<f32>>, Failure>;

impl Folder<'_> {
    fn read_config<C: DeserializeOwned>(&self) -> Result<C, Failure> {
        let text = self.config.to_string();
        serde_json::from_str(&text).map_err(|error| Failure::Config(error.to_string()))
    }

    fn logits<C: DeserializeOwned, M>(
        self,
        new: impl Fn(&C, VarBuilder<'static>) -> candle_core::Result<M>,
        forward: impl Fn(&mut M, &Tensor) -> candle_core::Result<Tensor>,
        clear: impl Fn(&mut M),
    ) -> Logits {
        let config: C = self.read_config()?;
        let mut model = new(&config, self.weights)?;
        let logits = self.prompts.iter().map(|prompt| {
            let ids = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
            let logits = forward(&mut model, &ids)?.flatten_all()?.to_vec1::<f32>()?;
            clear(&mut model);
            Ok(logits)
        });
        logits.collect()
    }

    fn llama(self) -> Logits {
        let config: llama::LlamaConfig = self.read_config()?;
        let config = config.into_config(false);
        let model = llama::Llama::load(self.weights, &config)?;
        let logits = self.prompts.iter().map(|prompt| {
            let mut cache = llama::Cache::new(false, DType::F32, &config, &Device::Cpu)?;
            let ids = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
            Ok(model.forward(&ids, 0, &mut cache)?.flatten_all()?.to_vec1::<f32>()?)
        });
        logits.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Model};
    use crate::progress::Silent;

    /// Two implementations in f32 that sum in another order, over three layers.
    const TOLERANCE: f32 = 1e-4;

    /// A copy of a fixture without what candle-transformers leaves out.
    fn simplified(name: &str) -> tempfile::TempDir {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let out = tempfile::tempdir().expect("a temporary folder");
        for file in std::fs::read_dir(root.join(name).join("model")).expect("a fixture") {
            let file = file.expect("readable");
            std::fs::copy(file.path(), out.path().join(file.file_name())).expect("copied");
        }
        let path = out.path().join("config.json");
        let config = std::fs::read(&path).expect("a config");
        let mut config: Value = serde_json::from_slice(&config).expect("JSON");
        config["rope_scaling"] = Value::Null;
        if let Some(scalar) = config.get_mut("query_pre_attn_scalar") {
            *scalar = json!(12);
        }
        std::fs::write(path, config.to_string()).expect("written");
        out
    }

    fn judge(folder: &Path, prompts: &[Vec<u32>]) -> (Judgement, Vec<Vec<f32>>) {
        let model = Model::open(folder, &Device::Cpu, &Silent).expect("a fixture");
        let (decoder, batch) = (&model.decoder, Batch::new(prompts));
        let hidden = decoder.forward(&batch, None).expect("runs");
        let ours = decoder.logits(&hidden, &batch.last_rows()).and_then(|rows| rows.to_vec2());
        let judged = judge_logits(folder, decoder.config(), prompts).expect("judged");
        (judged, ours.expect("readable"))
    }

    #[test]
    fn every_family_that_it_has_agrees() {
        // No longer than the windows.
        let prompts = [vec![0, 17, 300, 5, 42, 9], vec![8, 250]];
        for name in [
            "llama",
            "qwen2",
            "qwen3",
            "mistral",
            "phi3",
            "gemma2",
            "olmo2",
            "starcoder2",
            "stablelm",
        ] {
            let (judged, ours) = judge(simplified(name).path(), &prompts);
            let Judgement::Logits(judged) = judged else { panic!("{name}: {judged:?}") };
            let pairs = ours.iter().flatten().zip(judged.iter().flatten());
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0., f32::max);
            assert!(worst < TOLERANCE, "{name}: {worst:e}");
        }
    }

    #[test]
    fn what_it_leaves_out_is_said() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let short = vec![vec![8, 250]];
        let long = vec![(0..9).collect::<Vec<u32>>()];
        for (name, prompts, expected) in [
            ("gemma2", &short, "query_pre_attn_scalar"),
            ("gemma3_text", &short, "scaling of positions"),
            ("granite", &short, "no correct granite"),
            ("qwen3", &short, "scaling of positions"),
            ("mistral", &long, "other windows"),
            ("gpt_neox", &short, "parallel branches"),
        ] {
            let (judged, _) = judge(&root.join(name).join("model"), prompts);
            let Judgement::Unable(reason) = judged else { panic!("{name}: {judged:?}") };
            assert!(reason.contains(expected), "{name}: {reason}");
        }
    }
}
