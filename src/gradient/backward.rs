//! Forward and backward through a decoder, layer by layer.
//!
//! Each layer is a computation of its own, whose input is a copy of what the layer below gave.
//! Backward goes from the last to the first and drops a layer's activations as soon as its gradients
//! are added to their parameters. With `recompute`, a layer keeps only its input and runs once more
//! when its turn comes: a third more arithmetic for a small share of the memory.

use candle_core::{Result, Tensor, Var};

use super::example::Example;
use super::head::{Outcome, descend, of};
use crate::model::{Batch, Parameter, Role, Trainable, Unobserved};
use crate::ops::{seed_gradient, with_values};

/// Adds the gradient of Σ scale · loss to the parameters; outcomes in the order of the examples.
pub(super) fn accumulate(
    trainable: &Trainable,
    examples: &[Example],
    recompute: bool,
) -> Result<Vec<Outcome>> {
    let fed: Vec<&[u32]> = examples.iter().map(Example::fed).collect();
    let batch = Batch::new(&fed);
    let run = Run { trainable, batch: &batch };
    let layers = trainable.decoder.config().layers;
    let lowest = run.lowest_layer();
    let mut hidden = trainable.frozen.embed(&batch)?;
    let below = trainable.frozen.run_layers(0..lowest, hidden, &batch, None, &mut Unobserved)?;
    hidden = below.expect("an unobserved run does not stop");
    let mut segments = Vec::with_capacity(layers - lowest);
    for layer in lowest..layers {
        let input = Var::from_tensor(&hidden)?;
        let output = if recompute {
            hidden = run.layer(layer, &hidden, false)?;
            None
        } else {
            let output = run.layer(layer, &input, true)?;
            hidden = output.detach();
            Some(output)
        };
        segments.push((layer, input, output));
    }
    let (outcomes, mut gradient) = descend(trainable, examples, &hidden)?;
    while let Some((layer, input, output)) = segments.pop() {
        let output = match output {
            Some(output) => output,
            None => run.layer(layer, &input, true)?,
        };
        gradient = run.descend_layer(layer, &input, &output, gradient)?;
    }
    run.descend_embeddings(&gradient)?;
    Ok(outcomes)
}

struct Run<'a> {
    trainable: &'a Trainable,
    batch: &'a Batch,
}

impl Run<'_> {
    /// The lowest layer that a gradient has to reach.
    fn lowest_layer(&self) -> usize {
        let layers = self.trainable.decoder.config().layers;
        let layer = |parameter: &Parameter| match (parameter.slot.role, parameter.slot.layer) {
            (_, Some(layer)) => layer,
            (Role::Embedding | Role::Positions, None) => 0,
            (_, None) => layers,
        };
        self.trainable.parameters.iter().map(layer).min().unwrap_or(layers)
    }

    fn layer(&self, layer: usize, input: &Tensor, tracked: bool) -> Result<Tensor> {
        let Trainable { decoder, frozen, .. } = self.trainable;
        let decoder = if tracked { decoder } else { frozen };
        let one = layer..layer + 1;
        let output = decoder.run_layers(one, input.clone(), self.batch, None, &mut Unobserved)?;
        Ok(output.expect("an unobserved run does not stop"))
    }

    /// From the gradient at a layer's output to that at its input.
    fn descend_layer(
        &self,
        layer: usize,
        input: &Var,
        output: &Tensor,
        gradient: Tensor,
    ) -> Result<Tensor> {
        let mut store = seed_gradient(output, gradient)?.backward()?;
        let parameters = self.trainable.parameters.iter();
        for parameter in parameters.filter(|parameter| parameter.slot.layer == Some(layer)) {
            if let Some(part) = store.get(&parameter.values) {
                parameter.gradient.add(part)?;
            }
        }
        Ok(store.remove(input).expect("the layer's input is tracked"))
    }

    /// Each row's gradient goes to the row of its token, and of its position.
    fn descend_embeddings(&self, gradient: &Tensor) -> Result<()> {
        let width = self.trainable.decoder.config().hidden;
        let positions: Vec<usize> = self.batch.positions().collect();
        let ids: Vec<usize> = self.batch.ids.iter().map(|id| *id as usize).collect();
        for (role, rows) in [(Role::Embedding, &ids), (Role::Positions, &positions)] {
            for parameter in of(self.trainable, role) {
                let mut sum = parameter.gradient.lock();
                with_values(gradient, "embedding", |gradient| {
                    for (row, part) in rows.iter().zip(gradient.chunks_exact(width)) {
                        let sum = &mut sum[row * width..][..width];
                        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}
