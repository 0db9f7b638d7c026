//! A decoder with changes of stored tensors added, whichever role they play.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::Model;
use super::decoder::Decoder;
use super::norm::RowNorm;
use super::trainable::{Slice, place_of, projections};

/// Takes the name of a stored tensor, the slice of it that the decoder's tensor is, and that tensor.
type See<'a> = dyn FnMut(String, Option<Slice>, &mut Tensor) -> Result<()> + 'a;

/// Calls `see` with every tensor of the decoder: the name of the stored tensor, the slice that it is
/// of that, and the tensor. A tied head is the embedding and is seen once.
fn for_each(model: &Model, decoder: &mut Decoder, see: &mut See<'_>) -> Result<()> {
    let (names, shape) = (&model.family.names, decoder.config.attention);
    let name = |role: &str, layer| model.stored_name(role, layer);
    see(name(names.embedding, 0), None, &mut decoder.embedding)?;
    if let Some(positions) = &mut decoder.positions {
        see(name(names.position, 0), None, positions)?;
    }
    for (index, layer) in decoder.layers.iter_mut().enumerate() {
        for (role, norm) in [
            (names.attention_norm, &mut layer.attention_norm),
            (names.mlp_norm, &mut layer.mlp_norm),
        ] {
            norm_tensors(&name(role, index), norm, see)?;
        }
        for (role, projection) in projections(layer) {
            let (role, slice) = place_of(names, role, projection.layout, shape);
            let stem = name(role, index);
            see(format!("{stem}.weight"), slice, &mut projection.weight)?;
            if let Some(bias) = &mut projection.bias {
                let slice = slice.map(|slice| Slice { axis: 0, ..slice });
                see(format!("{stem}.bias"), slice, bias)?;
            }
        }
    }
    norm_tensors(&name(names.final_norm, 0), &mut decoder.final_norm, see)?;
    if decoder.config.is_tied {
        decoder.head = decoder.embedding.clone();
        return Ok(());
    }
    see(names.head.to_owned(), None, &mut decoder.head)
}

fn norm_tensors(stem: &str, norm: &mut RowNorm, see: &mut See<'_>) -> Result<()> {
    match norm {
        RowNorm::Rms { weight, .. } => see(format!("{stem}.weight"), None, weight),
        RowNorm::Layer { weight, bias, .. } => {
            see(format!("{stem}.weight"), None, weight)?;
            see(format!("{stem}.bias"), None, bias)
        }
    }
}

/// `start` with the named changes, each combined with the tensor that it belongs to.
pub(super) fn edited(
    model: &Model,
    start: &Decoder,
    mut changes: BTreeMap<&str, Tensor>,
    combine: fn(&Tensor, Tensor) -> Result<Tensor>,
) -> Result<Decoder> {
    let mut decoder = start.clone();
    let mut used = Vec::new();
    for_each(model, &mut decoder, &mut |name, slice, tensor| {
        let Some(change) = changes.get(name.as_str()) else { return Ok(()) };
        let change = change.to_device(tensor.device())?;
        let change = match slice {
            None => change,
            Some(Slice { axis, start, .. }) => change.narrow(axis, start, tensor.dim(axis)?)?,
        };
        *tensor = combine(tensor, change)?;
        used.push(name);
        Ok(())
    })?;
    used.iter().for_each(|name| drop(changes.remove(name.as_str())));
    match changes.keys().next() {
        None => Ok(decoder),
        Some(name) => candle_core::bail!("the model computes nothing with a tensor {name:?}"),
    }
}
