//! The loss of δ on the CPU: a frozen pass, and the gradient at the logits computed by hand.

use candle_core::Result;

use super::fact::FactObjective;
use super::{LossOfDelta, StepLoss};
use crate::model::{Decoder, FrozenHead, FrozenPass, ValuePath};
use crate::objective::Objective;
use crate::ops::with_values;
use crate::plan::Settings;
use crate::rank_one::EditContexts;

/// Buffers that stay from step to step.
pub(super) struct Direct<'a> {
    contexts: &'a EditContexts,
    objective: FactObjective<'a>,
    pass: FrozenPass<'a>,
    head: FrozenHead<'a>,
    path: ValuePath<'a>,
    lookups: Vec<usize>,
    /// δ of the latest evaluation.
    delta: Vec<f32>,
    on_the_way: Option<OnTheWay<'a>>,
}

/// What reads the residual stream between layers.
struct OnTheWay<'a> {
    head: FrozenHead<'a>,
    /// The layer and the row of each of the head's rows.
    places: Vec<(usize, usize)>,
    /// The streams there, then the gradient with respect to them, [places, hidden].
    streams: Vec<f32>,
}

impl<'a> OnTheWay<'a> {
    fn new(decoder: &'a Decoder, contexts: &EditContexts) -> Option<Self> {
        let rows = contexts.lens.rows().iter();
        let places: Vec<(usize, usize)> =
            rows.map(|row| (row.layer, contexts.target_rows[row.target])).collect();
        (!places.is_empty()).then(|| Self {
            head: FrozenHead::new(decoder, places.len()),
            streams: vec![0.; places.len() * decoder.config().hidden],
            places,
        })
    }
}

impl<'a> Direct<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        contexts: &'a EditContexts,
        settings: &Settings,
    ) -> Result<Self> {
        let above = contexts.layer + 1..decoder.config().layers;
        let objective = FactObjective::new(contexts, settings);
        let read = objective.readout().rows().to_vec();
        Ok(Self {
            head: FrozenHead::new(decoder, read.len()),
            pass: FrozenPass::new(decoder, above, (&contexts.tail, read), Some(&contexts.cache))?,
            path: decoder.value_path(contexts.layer),
            lookups: contexts.lookup_rows(),
            delta: vec![0.; decoder.config().hidden],
            on_the_way: OnTheWay::new(decoder, contexts),
            contexts,
            objective,
        })
    }
}

impl LossOfDelta for Direct<'_> {
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss> {
        self.delta.copy_from_slice(delta);
        let (contexts, path, lookups) = (self.contexts, self.path, &self.lookups);
        let start = |stream: &mut [f32]| {
            with_values(&contexts.residual, "value", |residual| {
                stream.copy_from_slice(residual);
                Ok(())
            })?;
            with_values(&contexts.lookup_values, "value", |values| {
                let mut rows = lookups.iter().zip(values.chunks_exact(delta.len()));
                rows.try_for_each(|(row, value)| {
                    let row = &mut stream[row * delta.len()..][..delta.len()];
                    path.add_change(row, value, delta)
                })
            })
        };
        let Some(OnTheWay { head, places, streams }) = &mut self.on_the_way else {
            let last = self.pass.forward(start)?;
            return Ok(self.objective.descend(self.head.forward(last)?));
        };
        let width = delta.len();
        let last = self.pass.forward_observed(start, &mut |layer, stream| {
            let read = places.iter().zip(streams.chunks_exact_mut(width));
            for ((_, row), read) in read.filter(|((at, _), _)| *at == layer) {
                read.copy_from_slice(&stream[row * width..][..width]);
            }
        })?;
        let mut loss = self.objective.descend(self.head.forward(last)?);
        loss.lens = contexts.lens.descend(head.forward(streams)?);
        loss.loss += loss.lens;
        Ok(loss)
    }

    fn gradient(&mut self) -> Result<Vec<f32>> {
        let (path, lookups, delta) = (self.path, &self.lookups, &self.delta);
        let width = delta.len();
        let end = |last: &mut [f32]| self.head.backward(last);
        let gradient = match &mut self.on_the_way {
            None => self.pass.backward(end)?,
            Some(OnTheWay { head, places, streams }) => {
                head.backward(streams)?;
                self.pass.backward_joined(end, &mut |_, _| {}, &mut |layer, stream| {
                    let read = places.iter().zip(streams.chunks_exact(width));
                    for ((_, row), part) in read.filter(|((at, _), _)| *at == layer) {
                        let row = &mut stream[row * width..][..width];
                        row.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                    }
                })?
            }
        };
        let mut sum = vec![0f32; width];
        with_values(&self.contexts.lookup_values, "value", |values| {
            let mut rows = lookups.iter().zip(values.chunks_exact(width));
            rows.try_for_each(|(row, value)| {
                path.add_gradient(&mut sum, &gradient[row * width..][..width], value, delta)
            })
        })?;
        Ok(sum)
    }
}
