//! An independent check of an exported folder: candle-transformers' own model.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};

use crate::model::{ModelError, Weights};

/// Logits after the last token of each prompt by candle-transformers, or nothing where it has no
/// implementation of the folder's family.
pub fn judge_logits(
    folder: &Path,
    model_type: &str,
    prompts: &[Vec<u32>],
) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
    if model_type != "llama" {
        return Ok(None);
    }
    let file = folder.join("config.json");
    let fail = |reason: String| ModelError::ConfigFile { file: file.display().to_string(), reason };
    let bytes = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
    let config: LlamaConfig =
        serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    let config = config.into_config(false);
    let weights = Weights::open(folder)?;
    let files: Vec<&Path> = weights.shards().collect();
    // SAFETY: the files are mapped read-only and were just validated; nobody writes to them.
    let builder = unsafe { VarBuilder::from_mmaped_safetensors(&files, DType::F32, &Device::Cpu)? };
    let model = Llama::load(builder, &config)?;
    let logits = prompts.iter().map(|prompt| {
        let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu)?;
        let ids = Tensor::new(prompt.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
        model.forward(&ids, 0, &mut cache)?.flatten_all()?.to_vec1::<f32>()
    });
    Ok(Some(logits.collect::<candle_core::Result<_>>()?))
}
