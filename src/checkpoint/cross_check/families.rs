//! The families that candle-transformers computes, and how each of its models is made and run.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    gemma, gemma2, gemma3, llama, mistral, olmo2, phi3, qwen2, qwen3, stable_lm, starcoder2,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::progress::Interrupted;

/// What can go wrong in candle-transformers.
pub(super) enum Failure {
    Config(String),
    Compute(candle_core::Error),
    Interrupted(Interrupted),
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error)
    }
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

/// Logits after the last token of each prompt.
pub(super) type Logits = Result<Vec<Vec<f32>>, Failure>;

/// Runs a part of a model.
pub(super) type Run = fn(&Part, &[Vec<u32>]) -> Logits;

/// The families that it computes, by `model_type`.
pub(super) const FAMILIES: [(&str, Run); 11] = [
    ("llama", Part::llama),
    ("qwen2", |part, prompts| {
        let forward = |model: &mut qwen2::ModelForCausalLM, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, qwen2::ModelForCausalLM::new, forward, |model| model.clear_kv_cache())
    }),
    ("qwen3", |part, prompts| {
        let forward = |model: &mut qwen3::ModelForCausalLM, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, qwen3::ModelForCausalLM::new, forward, |model| model.clear_kv_cache())
    }),
    ("mistral", |part, prompts| {
        let forward = |model: &mut mistral::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, mistral::Model::new, forward, |model| model.clear_kv_cache())
    }),
    ("phi3", |part, prompts| {
        let forward = |model: &mut phi3::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, phi3::Model::new, forward, |model| model.clear_kv_cache())
    }),
    ("gemma", |part, prompts| {
        let new = |config: &gemma::Config, weights| gemma::Model::new(false, config, weights);
        let forward = |model: &mut gemma::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, new, forward, |model| model.clear_kv_cache())
    }),
    ("gemma2", |part, prompts| {
        let new = |config: &gemma2::Config, weights| gemma2::Model::new(false, config, weights);
        let forward = |model: &mut gemma2::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, new, forward, |model| model.clear_kv_cache())
    }),
    ("gemma3_text", |part, prompts| {
        let new = |config: &gemma3::Config, weights| gemma3::Model::new(false, config, weights);
        let forward = |model: &mut gemma3::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, new, forward, |model| model.clear_kv_cache())
    }),
    ("olmo2", |part, prompts| {
        let forward = |model: &mut olmo2::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, olmo2::Model::new, forward, |model| model.clear_kv_cache())
    }),
    ("starcoder2", |part, prompts| {
        let forward = |model: &mut starcoder2::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, starcoder2::Model::new, forward, |model| model.clear_kv_cache())
    }),
    ("stablelm", |part, prompts| {
        let forward = |model: &mut stable_lm::Model, ids: &Tensor| model.forward(ids, 0);
        part.logits(prompts, stable_lm::Model::new, forward, |_| ())
    }),
];

/// What candle-transformers makes one of its models of.
pub(super) struct Part {
    pub(super) config: Value,
    pub(super) weights: VarBuilder<'static>,
}

impl Part {
    fn config<C: DeserializeOwned>(&self) -> Result<C, Failure> {
        let text = self.config.to_string();
        serde_json::from_str(&text).map_err(|error| Failure::Config(error.to_string()))
    }

    fn logits<C: DeserializeOwned, M>(
        &self,
        prompts: &[Vec<u32>],
        new: impl Fn(&C, VarBuilder<'static>) -> candle_core::Result<M>,
        forward: impl Fn(&mut M, &Tensor) -> candle_core::Result<Tensor>,
        clear: impl Fn(&mut M),
    ) -> Logits {
        let config: C = self.config()?;
        let mut model = new(&config, self.weights.clone())?;
        let logits = prompts.iter().map(|prompt| {
            let ids = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
            let logits = forward(&mut model, &ids)?.flatten_all()?.to_vec1::<f32>()?;
            clear(&mut model);
            Ok(logits)
        });
        logits.collect()
    }

    fn llama(&self, prompts: &[Vec<u32>]) -> Logits {
        let config: llama::LlamaConfig = self.config()?;
        let config = config.into_config(false);
        let model = llama::Llama::load(self.weights.clone(), &config)?;
        let logits = prompts.iter().map(|prompt| {
            let mut cache = llama::Cache::new(false, DType::F32, &config, &Device::Cpu)?;
            let ids = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
            Ok(model.forward(&ids, 0, &mut cache)?.flatten_all()?.to_vec1::<f32>()?)
        });
        logits.collect()
    }
}
