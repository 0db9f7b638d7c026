//! Models of candle-transformers that are one layer of a folder, or none, with a table of rows in
//! place of the vocabulary.
//!
//! Their models take token ids and give the logits after the last one; layers are not to be had
//! alone. So ids stand for rows of the residual stream: the table that is both embedding and head
//! is these rows, followed by those of the unit matrix, whose "logits" are what the head reads, or
//! by some rows of the folder's head.

use std::path::Path;
use std::sync::Arc;

use candle_core::safetensors::{Load, MmapedSafetensors};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use serde_json::{Map, Value, json};

use super::families::{FAMILIES, Failure, Logits, Part, Run};
use crate::model::config::DecoderConfig;
use crate::model::{Batch, ModelError, Weights};
use crate::progress::Progress;

/// Names that all of their families give to the tables of the vocabulary.
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// Rows of the head that are multiplied at once.
const PIECE: usize = 8192;

/// The parts of the model in a folder.
pub(super) struct Parts {
    config: Map<String, Value>,
    files: Arc<MmapedSafetensors>,
    run: Run,
    hidden: usize,
    /// Their factor of the embedding, by which rows are divided first.
    scale: f64,
    /// Whether each layer has a window.
    windows: Vec<bool>,
}

impl Parts {
    /// The parts of a folder's model; nothing where candle-transformers does not have the family.
    pub(super) fn of(
        folder: &Path,
        decoder: &DecoderConfig,
        config: Map<String, Value>,
    ) -> Result<Option<Self>, ModelError> {
        let family = FAMILIES.iter().find(|(name, _)| *name == decoder.model_type);
        let Some((name, run)) = family else { return Ok(None) };
        let weights = Weights::open(folder)?;
        let files: Vec<&Path> = weights.shards().collect();
        // SAFETY: the files are mapped read-only and were just validated; nobody writes to them.
        let files = unsafe { MmapedSafetensors::multi(&files)? };
        let hidden = decoder.hidden;
        let scale = if name.starts_with("gemma") { (hidden as f64).sqrt() } else { 1. };
        let windows = decoder.sight.iter().map(|sight| sight.window.is_some()).collect();
        Ok(Some(Self { config, files: Arc::new(files), run: *run, hidden, scale, windows }))
    }

    /// Rows of the embedding, times their factor, [ids, hidden].
    pub(super) fn embedded(&self, ids: &[u32]) -> candle_core::Result<Tensor> {
        let row = |id: &u32| self.rows(EMBEDDING, *id as usize, 1);
        let rows = ids.iter().map(row).collect::<candle_core::Result<Vec<_>>>()?;
        Tensor::cat(&rows, 0)? * self.scale
    }

    /// The last norm of each row, [rows, hidden].
    pub(super) fn normed(&self, rows: &Tensor) -> Logits {
        let ids: Vec<Vec<u32>> = (0..rows.dims()[0] as u32).map(|row| vec![row]).collect();
        self.run(None, rows, &self.unit(rows)?, &ids)
    }

    /// The last norm of what a layer makes of each row, [rows, hidden].
    pub(super) fn layer(&self, layer: usize, rows: &Tensor, batch: &Batch) -> Logits {
        let spans = batch.spans.iter().map(|span| span.rows.start as u32..span.rows.end as u32);
        // Only the row after the last id is given out, so that every token ends a prompt once.
        let prompts =
            spans.flat_map(|span| span.clone().map(move |end| (span.start..=end).collect()));
        self.run(Some(layer), rows, &self.unit(rows)?, &prompts.collect::<Vec<_>>())
    }

    /// Logits of each row of the last residual stream, one after the other.
    pub(super) fn logits(
        &self,
        rows: &Tensor,
        progress: &dyn Progress,
    ) -> Result<Vec<f32>, Failure> {
        let name = if self.files.get(HEAD).is_ok() { HEAD } else { EMBEDDING };
        let vocabulary = self.files.get(name)?.shape()[0];
        let ids: Vec<Vec<u32>> = (0..rows.dims()[0] as u32).map(|row| vec![row]).collect();
        let mut all = vec![Vec::with_capacity(vocabulary); ids.len()];
        for start in (0..vocabulary).step_by(PIECE) {
            progress.check()?;
            let head = self.rows(name, start, PIECE.min(vocabulary - start))?;
            let logits = self.run(None, rows, &head, &ids)?;
            all.iter_mut().zip(logits).for_each(|(all, some)| all.extend(some));
        }
        Ok(all.concat())
    }

    fn unit(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        Tensor::eye(self.hidden, DType::F32, rows.device())
    }

    /// Some rows of a stored matrix in f32.
    fn rows(&self, name: &str, start: usize, rows: usize) -> candle_core::Result<Tensor> {
        let view = self.files.get(name)?;
        let bytes = view.data().len() / view.shape()[0];
        let data = &view.data()[start * bytes..(start + rows) * bytes];
        let dtype = DType::try_from(view.dtype())?;
        let stored = Tensor::from_raw_buffer(data, dtype, &[rows, self.hidden], &Device::Cpu)?;
        stored.to_dtype(DType::F32)
    }

    /// The products with `head` after the last id of each prompt, which counts rows of `rows`.
    fn run(
        &self,
        layer: Option<usize>,
        rows: &Tensor,
        head: &Tensor,
        prompts: &[Vec<u32>],
    ) -> Logits {
        let rows = (rows.to_device(&Device::Cpu)? / self.scale)?;
        let count = rows.dims()[0];
        let table = Tensor::cat(&[&rows, head], 0)?;
        let mut config = self.config.clone();
        // Every how many layers there is one without a window.
        let pattern = if layer.is_some_and(|layer| self.windows[layer]) { 2 } else { 1 };
        for (key, value) in [
            ("num_hidden_layers", usize::from(layer.is_some())),
            ("vocab_size", table.dims()[0]),
            ("sliding_window_pattern", pattern),
        ] {
            config.insert(key.into(), json!(value));
        }
        let tensors = Tensors { files: self.files.clone(), layer, table };
        let weights = VarBuilder::from_backend(Box::new(tensors), DType::F32, Device::Cpu);
        let part = Part { config: Value::Object(config), weights };
        let mut logits = (self.run)(&part, prompts)?;
        logits.iter_mut().for_each(|logits| drop(logits.drain(..count)));
        Ok(logits)
    }
}

/// The tensors of one layer, as if it were the first, and a table in place of the vocabulary.
struct Tensors {
    files: Arc<MmapedSafetensors>,
    layer: Option<usize>,
    table: Tensor,
}

impl Tensors {
    /// The name in the files.
    fn stored(&self, name: &str) -> String {
        match (self.layer, name.strip_prefix("model.layers.0.")) {
            (Some(layer), Some(rest)) => format!("model.layers.{layer}.{rest}"),
            _ => name.to_owned(),
        }
    }
}

impl SimpleBackend for Tensors {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            let (stored, found) = (self.stored(name), tensor.shape());
            candle_core::bail!("tensor {stored:?} is {found:?}, expected {shape:?}");
        }
        Ok(tensor)
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        match name {
            EMBEDDING | HEAD => Ok(self.table.clone()),
            _ => self.files.get(&self.stored(name))?.load(device)?.to_dtype(dtype),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.files.get(&self.stored(name)).is_ok()
    }
}
