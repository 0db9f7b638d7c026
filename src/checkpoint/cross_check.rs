//! An independent check of an exported folder: candle-transformers' own models, layer by layer.
//!
//! They read `config.json` and the tensors by code that shares nothing with ours. Each layer gets the
//! residual stream that ours gets, so that one layer is in memory at a time, and is told by what it
//! makes of it: with h the stream before layer i, norm(layerᵢ(h)) is compared for every token, and in
//! the end head(norm(h)). The norm is the model's last, which stands before all that their models
//! give out. Where they leave out what a config asks for, they say nothing, and the reason is
//! given in place of a comparison.

mod families;
mod limits;
mod parts;

use std::path::Path;

use candle_core::Tensor;
use serde::Serialize;
use serde_json::{Map, Value};

use super::CheckpointError;
use crate::model::{Batch, Decoder, ModelError, Unobserved};
use crate::progress::Progress;
use families::Failure;
use limits::{completed, left_out};
use parts::Parts;

/// What candle-transformers makes of a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// How far it is from the decoder that it was compared with.
    Compared(Agreement),
    /// It has no right implementation of the model; the reason.
    Unable(String),
}

/// Largest differences between two implementations of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Of the embedding of any token, relative to the largest entry.
    pub embedding: f32,
    /// Of each layer's output for any token, after the last norm, relative to the largest entry.
    pub layers: Vec<f32>,
    /// Of the logits after the last token of any prompt.
    pub logits: f32,
}

impl Agreement {
    /// The largest relative difference of the embedding and all layers.
    pub fn worst(&self) -> f32 {
        self.layers.iter().copied().fold(self.embedding, larger)
    }
}

/// Compares the model of a folder, as candle-transformers computes it, with a decoder.
///
/// # Errors
///
/// Where the folder cannot be read, a computation fails, or the user asked to stop.
pub fn cross_check(
    folder: &Path,
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    progress: &dyn Progress,
) -> Result<Judgement, CheckpointError> {
    let file = folder.join("config.json");
    let fail = |reason: String| ModelError::ConfigFile { file: file.display().to_string(), reason };
    let bytes = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
    let config: Map<String, Value> =
        serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    let ours = decoder.config();
    if let Some(reason) = left_out(&config, ours, prompts) {
        return Ok(Judgement::Unable(reason));
    }
    let parts = match Parts::of(folder, ours, completed(config, ours, prompts))? {
        Some(parts) => parts,
        None => {
            let reason = format!("candle-transformers has no correct {}", ours.model_type);
            return Ok(Judgement::Unable(reason));
        }
    };
    match compare(&parts, decoder, &Batch::new(prompts), progress) {
        Ok(agreement) => Ok(Judgement::Compared(agreement)),
        Err(Failure::Config(reason)) => Err(fail(reason).into()),
        Err(Failure::Compute(error)) => Err(ModelError::from(error).into()),
        Err(Failure::Interrupted(interrupted)) => Err(interrupted.into()),
    }
}

fn compare(
    parts: &Parts,
    decoder: &Decoder,
    batch: &Batch,
    progress: &dyn Progress,
) -> Result<Agreement, Failure> {
    let layers = decoder.config().layers;
    progress.phase("check", Some(layers as u64));
    let mut stream = decoder.embed(batch)?;
    let mut agreement = Agreement {
        embedding: relative(&parts.normed(&parts.embedded(&batch.ids)?)?, &parts.normed(&stream)?),
        layers: Vec::with_capacity(layers),
        logits: 0.,
    };
    for layer in 0..layers {
        progress.check()?;
        progress.advance(layer as u64, "");
        let theirs = parts.layer(layer, &stream, batch)?;
        let next = decoder.run_layers(layer..layer + 1, stream, batch, None, &mut Unobserved)?;
        stream = next.expect("an unobserved run does not stop");
        agreement.layers.push(relative(&theirs, &parts.normed(&stream)?));
    }
    let last = batch.last_rows();
    let ours: Vec<f32> = decoder.logits(&stream, &last)?.flatten_all()?.to_vec1()?;
    let last: Vec<u32> = last.iter().map(|row| *row as u32).collect();
    let read = stream.index_select(&Tensor::new(last, stream.device())?, 0)?;
    agreement.logits = largest_difference(&ours, &parts.logits(&read, progress)?);
    Ok(agreement)
}

/// The largest difference of a row to the same row of another matrix, relative to that row's largest
/// entry.
fn relative(rows: &[Vec<f32>], others: &[Vec<f32>]) -> f32 {
    let ratio = |(row, other): (&Vec<f32>, &Vec<f32>)| {
        let largest = other.iter().fold(0f32, |largest, it| larger(largest, it.abs()));
        match largest_difference(row, other) {
            0. => 0.,
            difference => difference / largest,
        }
    };
    rows.iter().zip(others).map(ratio).fold(0., larger)
}

/// The largest difference of two vectors; not a number where one of their numbers is none.
pub fn largest_difference(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0., larger)
}

/// The larger of two numbers; not a number where one of them is none.
fn larger(one: f32, other: f32) -> f32 {
    if other.is_nan() || other > one { other } else { one }
}

#[cfg(test)]
mod tests;
