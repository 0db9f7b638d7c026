//! What each fact of a batch asks of the residual stream behind the last written layer.
//!
//! z = h + δ, where δ is found for each fact by itself in the unedited model, as in MEMIT (arXiv
//! 2210.07229, section 4.2). Layers behind the last written one never change, so a δ holds for
//! the whole sequence of batches, whatever was written before. Its length is measured against
//! the residual stream h, as published, where ROME's is against the value.
//!
//! A δ depends on the weights, the tokens and the settings of the optimisation alone, not on how
//! it is written. It is kept on disk under the digest of all these: an interrupted batch goes
//! on where it stopped, and another λ or method costs no new optimisation.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Settings;
use super::context::EditContexts;
use super::solve::RankOneError;
use super::value::{OptimisedValue, StepLoss, optimise};
use crate::files::{FileError, Overwrite, Sha256, write_atomically};
use crate::model::Decoder;
use crate::plan::{Plan, PlannedEdit};
use crate::progress::Progress;

/// δ of one fact at the plan's last layer, in the unedited `decoder`.
pub fn find(
    decoder: &Decoder,
    plan: &Plan,
    edit: &PlannedEdit,
    progress: &dyn Progress,
) -> Result<OptimisedValue, RankOneError> {
    let essence = edit.essence.located();
    let located = edit.counted();
    let mut contexts = EditContexts::new(decoder, plan.layer, &located, &edit.target, &essence)?;
    let rows: Vec<u32> = contexts.lookup_rows().iter().map(|row| *row as u32).collect();
    let rows = Tensor::new(&rows[..located.len()], decoder.device())?;
    contexts.values = contexts.residual.index_select(&rows, 0)?;
    Ok(optimise(decoder, &contexts, &plan.settings, progress)?)
}

/// Optimised values on disk.
pub struct ValueStore {
    folder: PathBuf,
    weights: Sha256,
}

/// Part of every digest; another objective needs another number.
const OBJECTIVE: u32 = 1;

impl ValueStore {
    /// In the cache folder `cache`, for the model whose weights have this digest.
    pub fn open(cache: &Path, weights: Sha256) -> Result<Self, FileError> {
        let folder = cache.join("values");
        std::fs::create_dir_all(&folder)
            .map_err(|source| FileError::Write { path: folder.clone(), source })?;
        Ok(Self { folder, weights })
    }

    /// The stored δ of a fact, if it was found before.
    pub fn get(&self, plan: &Plan, edit: &PlannedEdit, width: usize) -> Option<OptimisedValue> {
        let bytes = std::fs::read(self.file(plan, edit)).ok()?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
        let text = |key: &str| metadata.metadata().as_ref()?.get(key);
        let value_norm = f64::from_bits(text("value_norm_bits")?.parse().ok()?);
        let steps: Vec<StepLoss> = serde_json::from_str(text("steps")?).ok()?;
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        let view = tensors.tensor("delta").ok()?;
        let is_ours = view.dtype() == Dtype::F32 && view.shape() == [width] && !steps.is_empty();
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let delta: Vec<f32> = view.data().chunks_exact(4).map(number).collect();
        is_ours.then_some(OptimisedValue { delta, value_norm, steps })
    }

    /// Keeps a δ.
    pub fn put(
        &self,
        plan: &Plan,
        edit: &PlannedEdit,
        value: &OptimisedValue,
    ) -> Result<(), FileError> {
        let bytes: Vec<u8> = value.delta.iter().flat_map(|x| x.to_le_bytes()).collect();
        let shape = vec![value.delta.len()];
        let view = TensorView::new(Dtype::F32, shape, &bytes).expect("four bytes a number");
        let steps = serde_json::to_string(&value.steps).expect("numbers are JSON");
        let norm = value.value_norm.to_bits().to_string();
        let metadata = [("steps".to_owned(), steps), ("value_norm_bits".to_owned(), norm)].into();
        let content = safetensors::serialize([("delta", view)], Some(metadata))
            .expect("one tensor of known size");
        let file = self.file(plan, edit);
        write_atomically(&file, Overwrite::Replace, |out| std::io::Write::write_all(out, &content))
    }

    fn file(&self, plan: &Plan, edit: &PlannedEdit) -> PathBuf {
        let contexts: Vec<_> = edit.counted().into_iter().map(|c| (c.ids, c.lookup)).collect();
        let essence = (&edit.essence.ids, edit.essence.lookup);
        // What is sampled, counted and solved does not enter δ except through the tokens.
        let settings = Settings {
            contexts: 0,
            context_tokens: 0,
            second_moment_tokens: 0,
            ridge: 0.,
            max_delta: 0.,
            seed: 0,
            ..plan.settings.clone()
        };
        let all = (OBJECTIVE, plan.layer, contexts, &edit.target, essence, settings);
        let text = serde_json::to_string(&all).expect("numbers are JSON");
        let digest = Sha256::of(format!("{} {text}", self.weights));
        self.folder.join(format!("{digest}.safetensors"))
    }
}
