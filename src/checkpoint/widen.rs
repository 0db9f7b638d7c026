//! A file of weights in which edited tensors are stored as f32 while all others stay as they are.
//!
//! Wider tensors move those after them, so the header is written anew and the data follows it in the
//! old order; the index of a sharded model states the new total.

use std::path::Path;

use serde_json::Value;

use super::edit::Edit;
use super::listing::Source;
use super::sums::EditedTensor;
use super::transfer::{Transfer, put_file};
use super::{CheckpointError, EditsByShard};
use crate::files::FileError;
use crate::model::weights::Weights;
use crate::model::weights::header::Header;
use crate::progress::Progress;

/// Bytes by which the edited tensors grow.
pub(super) fn growth(edits: &EditsByShard<'_>, weights: &Weights) -> Result<u64, CheckpointError> {
    let mut growth = 0;
    for edit in edits.values().flatten() {
        growth += (edit.stored()?.1 - weights.range(edit.name)?.len()) as u64;
    }
    Ok(growth)
}

/// Writes a file of weights with its edited tensors.
pub(super) fn write(
    transfer: &mut Transfer<'_>,
    file: &Source,
    weights: &Weights,
    edits: &[Edit<'_>],
    progress: &dyn Progress,
) -> Result<Vec<EditedTensor>, CheckpointError> {
    let (header, bytes) = weights.shard(&file.path).expect("a file of the weights");
    let mut tensors: Vec<_> = header.tensors.iter().collect();
    tensors.sort_by_key(|(_, entry)| entry.range.start);
    let edit_of = |name: &str| edits.iter().find(|edit| edit.name == name);
    let mut listed = Vec::with_capacity(tensors.len());
    for (name, entry) in &tensors {
        let (dtype, length) = match edit_of(name) {
            Some(edit) => edit.stored()?,
            None => (entry.dtype, entry.range.len()),
        };
        listed.push((name.as_str(), dtype, entry.shape.as_slice(), length));
    }
    let mut copy = transfer.start(file)?;
    let head = Header::write(&header.metadata, listed.iter().copied());
    copy.put(0, &head)?;
    let mut start = head.len();
    let mut edited = Vec::with_capacity(edits.len());
    for ((name, entry), (.., length)) in tensors.iter().zip(&listed) {
        progress.check()?;
        match edit_of(name) {
            Some(edit) => edited.push(edit.write(&mut copy, start)?),
            None => copy.put(start, &bytes[entry.range.clone()])?,
        }
        start += length;
    }
    copy.finish()?;
    transfer.skip(file);
    Ok(edited)
}

/// Writes the index with a total that has grown; nothing is added where it states none.
pub(super) fn write_index(
    folder: &Path,
    index: &Source,
    growth: u64,
) -> Result<(), CheckpointError> {
    let bytes = std::fs::read(&index.resolved).map_err(FileError::reading(&index.path))?;
    let mut json: Value =
        serde_json::from_slice(&bytes).expect("it was read as the weights' index");
    if let Some(total) = json.pointer_mut("/metadata/total_size") {
        let sum = total.as_u64().map(|total| total + growth);
        *total = sum.map_or_else(|| total.clone(), Value::from);
    }
    Ok(put_file(&folder.join(&index.relative), format!("{json:#}\n").as_bytes())?)
}
