//! A decoder with changes of stored tensors added, whichever role they play.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::decoder::Decoder;
use super::holder::Place;

/// The decoder `start` with the named changes, each combined with the tensor that it belongs to.
pub(super) fn edited(
    start: &Decoder,
    changes: &BTreeMap<&str, Tensor>,
    combine: fn(&Place<'_>, Tensor) -> Result<Tensor>,
) -> Result<Decoder> {
    let mut decoder = start.clone();
    let mut used = Vec::new();
    for slot in start.parameters().iter() {
        let Some(change) = changes.get(slot.name.as_str()) else { continue };
        let mut place = decoder.holder(slot).place(slot.is_bias);
        let change = slot.part_of(&change.to_device(place.device())?)?;
        place.set(combine(&place, change)?);
        used.push(slot.name.as_str());
    }
    decoder.tie_head();
    match changes.keys().find(|name| !used.contains(name)) {
        None => Ok(decoder),
        Some(name) => candle_core::bail!("the model computes nothing with a tensor {name:?}"),
    }
}
