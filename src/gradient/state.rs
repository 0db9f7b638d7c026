//! A training on disk: one safetensors file, written whole or not at all.
//!
//! Tensors `N.values`, `N.first`, `N.second` for parameter N, `N.gone` where there is an adversary, and
//! the rest as JSON in the metadata.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::TrainError;
use super::trainer_settings::TrainerSettings;
use crate::files::{Kind, Overwrite, Sha256, Sha256Hasher, check_target, write_atomically};
use crate::math::Moments;
use crate::model::{Parameter, weights};
use crate::ops::{with_values, with_values_mut};

/// What a state holds beside its tensors.
#[derive(Serialize)]
pub(super) struct Head<'a> {
    pub(super) steps: u64,
    pub(super) settings: &'a TrainerSettings,
    pub(super) cursor: &'a Value,
}

#[derive(Deserialize)]
struct ReadHead {
    steps: u64,
    settings: Value,
    cursor: Value,
    names: Vec<String>,
}

/// Saved trainings as output: training goes on from one and replaces it.
pub const SAVED_TRAINING: Kind =
    Kind { name: "a saved training", is_folder: false, is_ours: is_saved_training };

const KEY: &str = "rescribe_training";
/// Metadata key of the digest of everything else that the file says.
const DIGEST: &str = "sha256";
/// The moments of the parameter at a place.
pub(super) type OfEach<'a> = dyn FnMut(usize) -> Result<Cow<'a, Moments>, TrainError> + 'a;
/// Times that [`write`] asks for the moments of all parameters, in order.
pub(super) const PASSES: usize = 2;
const PARTS: [&str; 4] = ["values", "first", "second", "gone"];

/// The tensors of each parameter.
fn parts(has_adversary: bool) -> &'static [&'static str] {
    if has_adversary { &PARTS } else { &PARTS[..3] }
}

fn is_saved_training(path: &Path) -> bool {
    let Ok(map) = weights::map_file(path) else { return false };
    let metadata = SafeTensors::read_metadata(&map);
    metadata
        .is_ok_and(|(_, found)| found.metadata().as_ref().is_some_and(|it| it.contains_key(KEY)))
}

/// Writes what a trainer holds; `gone` is how far its adversary is, and empty where there is none.
pub(super) fn write(
    path: &Path,
    head: &Head<'_>,
    parameters: &[Parameter],
    (moments, gone): (&mut OfEach<'_>, &[Vec<f32>]),
) -> Result<(), TrainError> {
    let mut text = serde_json::to_value(head).expect("plain data");
    text["names"] = parameters.iter().map(|parameter| parameter.slot.name.as_str()).collect();
    let text = text.to_string();
    let digest = digest(&text, parameters, (&mut *moments, gone))?;
    let mut header = json!({ "__metadata__": { KEY: text, DIGEST: digest } });
    let mut at = 0;
    for (index, parameter) in parameters.iter().enumerate() {
        let elements = parameter.values.elem_count();
        for part in parts(!gone.is_empty()) {
            header[format!("{index}.{part}")] = json!({
                "dtype": "F32", "shape": [elements], "data_offsets": [at, at + 4 * elements],
            });
            at += 4 * elements;
        }
    }
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    check_target(path, Overwrite::Replace, &SAVED_TRAINING, &[])?;
    write_atomically(path, Overwrite::Replace, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        write_tensors(out, parameters, (&mut *moments, gone))
    })?;
    Ok(())
}

/// The digest of the text and of all numbers.
fn digest(
    text: &str,
    parameters: &[Parameter],
    held: (&mut OfEach<'_>, &[Vec<f32>]),
) -> Result<Sha256, TrainError> {
    let mut hasher = Hashing(Sha256Hasher::default());
    hasher.0.update(text);
    write_tensors(&mut hasher, parameters, held).map_err(candle_core::Error::wrap)?;
    Ok(hasher.0.finish())
}

fn write_tensors(
    out: &mut impl Write,
    parameters: &[Parameter],
    (moments, gone): (&mut OfEach<'_>, &[Vec<f32>]),
) -> std::io::Result<()> {
    for (at, parameter) in parameters.iter().enumerate() {
        with_values(&parameter.values, "state", |values| Ok(write_numbers(out, values)))
            .map_err(std::io::Error::other)??;
        let moments = moments(at).map_err(std::io::Error::other)?;
        write_numbers(out, &moments.first)?;
        write_numbers(out, &moments.second)?;
        gone.get(at).map_or(Ok(()), |gone| write_numbers(out, gone))?;
    }
    Ok(())
}

/// Hashes what is written to it.
struct Hashing(Sha256Hasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_numbers(out: &mut impl Write, numbers: &[f32]) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(4 * 4096);
    for block in numbers.chunks(4096) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|number| number.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// (steps, cursor); values are filled, those moments that are there, and the adversary.
pub(super) fn read(
    path: &Path,
    settings: &TrainerSettings,
    parameters: &[Parameter],
    (moments, gone): (&mut [Option<Moments>], &mut Vec<Vec<f32>>),
) -> Result<(u64, Value), TrainError> {
    let fail = |reason: String| TrainError::State { file: path.display().to_string(), reason };
    let map = weights::map_file(path).map_err(|error| fail(error.to_string()))?;
    let (_, metadata) =
        SafeTensors::read_metadata(&map).map_err(|error| fail(error.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
    let text = text.ok_or_else(|| fail("it is no saved training".into()))?;
    let head: ReadHead = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
    if head.settings != serde_json::to_value(settings).expect("plain data") {
        return Err(fail("it was saved with other settings".into()));
    }
    if !head.names.iter().eq(parameters.iter().map(|parameter| &parameter.slot.name)) {
        return Err(fail("it trains other tensors".into()));
    }
    let tensors = SafeTensors::deserialize(&map).map_err(|error| fail(error.to_string()))?;
    let has_adversary = tensors.tensor("0.gone").is_ok();
    let mut hasher = Sha256Hasher::default();
    hasher.update(text);
    for index in 0..head.names.len() {
        for part in parts(has_adversary) {
            let found = tensors.tensor(&format!("{index}.{part}"));
            hasher.update(found.map_err(|error| fail(error.to_string()))?.data());
        }
    }
    let stated = metadata.metadata().as_ref().and_then(|entries| entries.get(DIGEST));
    if stated != Some(&hasher.finish().to_string()) {
        return Err(fail("it is damaged: its digest does not match".into()));
    }
    let bytes = |index: usize, part: &str, elements: usize| {
        let name = format!("{index}.{part}");
        let found = tensors.tensor(&name).map_err(|error| fail(error.to_string()))?;
        let data = found.data();
        if data.len() != 4 * elements || found.dtype() != safetensors::Dtype::F32 {
            return Err(fail(format!("tensor {name:?} does not fit the model")));
        }
        Ok(data)
    };
    gone.clear();
    for (index, (parameter, moments)) in parameters.iter().zip(moments).enumerate() {
        let elements = parameter.values.elem_count();
        let values = bytes(index, "values", elements)?;
        with_values_mut(&parameter.values, |own| read_numbers(own, values))?;
        let (first, second) = (bytes(index, "first", elements)?, bytes(index, "second", elements)?);
        if let Some(own) = moments {
            read_numbers(&mut own.first, first);
            read_numbers(&mut own.second, second);
        }
        if has_adversary {
            let mut numbers = vec![0.; elements];
            read_numbers(&mut numbers, bytes(index, "gone", elements)?);
            gone.push(numbers);
        }
    }
    Ok((head.steps, head.cursor))
}

fn read_numbers(numbers: &mut [f32], bytes: &[u8]) {
    for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = f32::from_le_bytes(bytes.try_into().expect("chunks of four"));
    }
}
