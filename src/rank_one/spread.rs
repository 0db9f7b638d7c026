//! A batch of facts, written into one layer or several.
//!
//! From the first layer to the last, with m layers still to come (this one included):
//!
//! 1. keys K of the layer, and the streams h after the last layer, in the model as edited so far;
//! 2. residuals R = (z − h) / m: an equal share of what is left, as a change of the value;
//! 3. ΔW = R G⁻¹ KᵀM ([`mod@super::solve`]), applied before the next layer is read; to the C of M
//!    the keys of other names under the same prompts are added.
//!
//! MEMIT, arXiv 2210.07229, algorithm 1. Batches may follow each other: the keys of earlier ones
//! are then part of K with residuals of zero, so that their values stay; so are those of the facts of
//! a patch that the writing starts from.

use candle_core::{Device, Tensor};

use super::error::RankOneError;
use super::kept::{Edited, apart, joined, rows};
use super::metric::{Factored, sharing};
use super::reading::{Reading, Readings};
use super::solve::{RankOneChange, Request, solve};
use super::targets::FactGroup;
use super::value::OptimisedValue;
use crate::delta::{Change, WeightDelta};
use crate::model::{Decoder, Model, ValuePath};
use crate::plan::{PlannedEdit, WritePlan};
use crate::progress::Progress;

/// Writes batches into a model, one after the other. A clone goes on by itself.
#[derive(Clone)]
pub struct Writer<'a> {
    model: &'a Model,
    plan: &'a WritePlan,
    /// One factored second moment for each layer of the plan.
    factored: &'a [Factored],
    /// The model before the first batch: values are found in it.
    start: Edited,
    decoder: Decoder,
    delta: WeightDelta,
    /// Keys of all batches so far, layer by layer.
    kept: Vec<Vec<Vec<f32>>>,
}

/// Summary of one batch that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenBatch {
    /// The relative norm ‖ΔW‖/‖W‖, layer by layer.
    pub relative_norms: Vec<f64>,
    /// The mean share of the distance from h to z that was covered.
    pub reached: f64,
}

impl<'a> Writer<'a> {
    /// Writes into `start`; `factored` holds C of each layer of the plan.
    pub fn new(
        model: &'a Model,
        plan: &'a WritePlan,
        factored: &'a [Factored],
        start: Edited,
    ) -> Self {
        assert_eq!(factored.len(), plan.layers.len(), "C of each layer");
        let (decoder, delta) = (start.decoder.clone(), start.delta.clone());
        let kept = vec![Vec::new(); factored.len()];
        Self { model, plan, factored, start, decoder, delta, kept }
    }

    /// The model as edited so far.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// All changes so far.
    pub fn delta(&self) -> &WeightDelta {
        &self.delta
    }

    /// All changes and keys so far, and the model that has them.
    pub fn finish(self) -> candle_core::Result<Edited> {
        let layers = self.plan.layers.iter().zip(self.kept).filter(|(_, keys)| !keys.is_empty());
        let named = layers.map(|(layer, keys)| {
            let name = self.model.down_projection_name(*layer).to_owned();
            Ok((name, Tensor::new(keys, &Device::Cpu)?))
        });
        let own = named.collect::<candle_core::Result<_>>()?;
        let keys = joined(self.start.keys, &own)?;
        let compact = |(name, change): (String, Change)| Ok((name, change.compact()?));
        let changes = self.delta.changes.into_iter().map(compact);
        let delta = WeightDelta { changes: changes.collect::<candle_core::Result<_>>()? };
        Ok(Edited { delta, keys, decoder: self.decoder })
    }

    /// Keys at a place among the layers whose values stay: of earlier batches, and of the facts that
    /// the start has.
    fn kept(&self, at: usize, new: &[Vec<f32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let name = self.model.down_projection_name(self.plan.layers[at]);
        let mut kept = apart(&rows(&self.start.keys, name)?, new);
        kept.extend(self.kept[at].iter().cloned());
        Ok(kept)
    }

    /// Writes a batch; `values` holds δ of each fact group. If it fails, nothing of it is written.
    pub fn write(
        &mut self,
        groups: &[FactGroup<'_>],
        values: &[OptimisedValue],
        progress: &dyn Progress,
    ) -> Result<WrittenBatch, RankOneError> {
        let layers = &self.plan.layers;
        let ends = (layers[0], self.plan.layer);
        let base = &self.start.decoder;
        let edits: Vec<&PlannedEdit> = groups.iter().flatten().copied().collect();
        let background = self.plan.background_of(&edits);
        let others = [background.as_slice(), &self.plan.near_of(&edits)].concat();
        let reading = Reading::new(base, groups, &others, ends)?;
        let before = reading.at(base, self.plan.layer, progress)?;
        let owned = reading.owners.iter().map(|owner| values[*owner].delta.as_slice());
        let wanted = wanted(base.value_path(self.plan.layer), before, owned)?;
        let (mut decoder, mut delta) = (self.decoder.clone(), self.delta.clone());
        let (mut keys, mut relative_norms) = (Vec::new(), Vec::new());
        let mut start = None;
        for (at, layer) in layers.iter().enumerate() {
            let now = reading.at(&decoder, *layer, progress)?;
            let mut neighbors = reading.neighbors_at(&decoder, *layer)?;
            let near = neighbors.split_off(background.len());
            let mut expected = sharing(neighbors, self.plan.settings.neighbor_weight);
            expected.extend(sharing(near, self.plan.settings.near_weight * groups.len() as f64));
            start.get_or_insert_with(|| now.streams.clone());
            let left = (layers.len() - at) as f32;
            let residuals = residuals(decoder.value_path(*layer), &wanted, &now, left)?;
            let kept = self.kept(at, &now.keys)?;
            let request = Request { keys: now.keys, residuals, kept };
            let (weight, layout) = decoder.down_projection(*layer);
            let weight = &weight.tensor()?;
            let lambda = self.plan.batch.lambda;
            let factored = self.factored[at]
                .expecting(&expected)
                .map_err(|source| RankOneError::SecondMoment { layer: *layer, source })?;
            let written = solve(&factored, &request, lambda, weight, layout)?;
            check(&written, self.plan.settings.max_delta)?;
            let weight = written.change.add_to(weight)?;
            relative_norms.push(written.relative_norm);
            let name = self.model.down_projection_name(*layer).to_owned();
            delta = delta.plus(&WeightDelta { changes: [(name, written.change)].into() })?;
            decoder = decoder.with_down_projection(*layer, weight);
            keys.push(request.keys);
        }
        let end = reading.at(&decoder, self.plan.layer, progress)?.streams;
        let reached = reached(&start.expect("at least one layer"), &end, &wanted);
        self.kept.iter_mut().zip(keys).for_each(|(kept, keys)| kept.extend(keys));
        (self.decoder, self.delta) = (decoder, delta);
        Ok(WrittenBatch { relative_norms, reached })
    }
}

fn check(written: &RankOneChange, limit: f64) -> Result<(), RankOneError> {
    let found = written.relative_norm;
    match found.is_finite() && found <= limit {
        true => Ok(()),
        false => Err(RankOneError::TooLarge { found, limit }),
    }
}

/// The targets z, key by key: the streams with each value changed by its δ.
fn wanted<'a>(
    path: ValuePath<'_>,
    before: Readings,
    deltas: impl Iterator<Item = &'a [f32]>,
) -> candle_core::Result<Vec<Vec<f32>>> {
    let mut streams = before.streams;
    for ((stream, value), delta) in streams.iter_mut().zip(&before.values).zip(deltas) {
        path.add_change(stream, value, delta)?;
    }
    Ok(streams)
}

/// The changes of a layer's values that take the streams one of `left` equal steps to `wanted`.
fn residuals(
    path: ValuePath<'_>,
    wanted: &[Vec<f32>],
    now: &Readings,
    left: f32,
) -> candle_core::Result<Vec<Vec<f32>>> {
    let keys = wanted.iter().zip(&now.streams).zip(&now.values);
    let residual = |((z, h), value): ((&Vec<f32>, &Vec<f32>), &Vec<f32>)| {
        let change = z.iter().zip(h).map(|(z, h)| (z - h) / left).collect();
        path.change_of_value(value, change)
    };
    keys.map(residual).collect()
}

/// The covered share of the distance, 1 − ‖z − h_end‖ / ‖z − h_start‖, mean over keys.
fn reached(start: &[Vec<f32>], end: &[Vec<f32>], wanted: &[Vec<f32>]) -> f64 {
    let distance = |a: &Vec<f32>, b: &Vec<f32>| {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    let shares = start.iter().zip(end).zip(wanted).map(|((start, end), wanted)| {
        1. - distance(end, wanted) / distance(start, wanted).max(f64::MIN_POSITIVE)
    });
    shares.sum::<f64>() / wanted.len() as f64
}
