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
            contexts,
            objective,
        })
    }
}

impl LossOfDelta for Direct<'_> {
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss> {
        self.delta.copy_from_slice(delta);
        let (contexts, path, lookups) = (self.contexts, self.path, &self.lookups);
        let last = self.pass.forward(|stream| {
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
        })?;
        Ok(self.objective.descend(self.head.forward(last)?))
    }

    fn gradient(&mut self) -> Result<Vec<f32>> {
        let gradient = self.pass.backward(|last| self.head.backward(last))?;
        let (path, lookups, delta) = (self.path, &self.lookups, &self.delta);
        let width = delta.len();
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
