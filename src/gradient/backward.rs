//! Forward and backward through a decoder, layer by layer.
//!
//! Each layer is a computation of its own, whose input is a copy of what the layer below gave.
//! Backward goes from the last to the first and drops a layer's activations as soon as its
//! gradients are added to their parameters. With `recompute`, a layer keeps only its input and runs
//! once more when its turn comes: a third more arithmetic for a small share of the memory.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, Var};

use super::example::Example;
use super::head::{Placed, descend, descend_state, of, placed};
use crate::model::{Batch, Parameter, Role, Trainable, Unobserved};
use crate::objective::{Objective, Outcome, Readout};
use crate::ops::{seed_gradient, with_values};

/// Adds the gradient of Σ scale · loss to the parameters; outcomes in the order of the examples.
pub(super) fn accumulate(
    trainable: &Trainable,
    examples: &[Example],
    recompute: bool,
) -> Result<Vec<Outcome>> {
    let fed: Vec<&[u32]> = examples.iter().map(Example::fed).collect();
    let batch = Batch::new(&fed);
    let run = BackwardPass { trainable, batch: &batch };
    let placed = placed(examples);
    let states = States::of(&placed);
    let reading: Vec<&Placed<'_>> =
        placed.iter().filter(|one| matches!(one.readout(), Readout::Logits(_))).collect();
    let layers = trainable.decoder.config().layers;
    if states.end() > layers {
        candle_core::bail!("a loss reads layer {} of {layers}", states.end() - 1);
    }
    let end = if reading.is_empty() { states.end() } else { layers };
    let lowest = run.lowest_layer().min(states.start()).min(end);
    let mut hidden = trainable.frozen.embed(&batch)?;
    let below = trainable.frozen.run_layers(0..lowest, hidden, &batch, None, &mut Unobserved)?;
    hidden = below.expect("an unobserved run does not stop");
    let mut segments = Vec::with_capacity(end - lowest);
    let mut outcomes = BTreeMap::new();
    for layer in lowest..end {
        let input = Var::from_tensor(&hidden)?;
        let output = if recompute {
            hidden = run.layer(layer, &hidden, false)?;
            None
        } else {
            let output = run.layer(layer, &input, true)?;
            hidden = output.detach();
            Some(output)
        };
        let seed = states.descend(layer, &hidden, &mut outcomes)?;
        segments.push((layer, input, output, seed));
    }
    let (read, mut gradient) = descend(trainable, &reading, &hidden)?;
    while let Some((layer, input, output, seed)) = segments.pop() {
        let output = match output {
            Some(output) => output,
            None => run.layer(layer, &input, true)?,
        };
        if let Some(seed) = seed {
            gradient = (gradient + seed)?;
        }
        gradient = run.descend_layer(layer, &input, &output, gradient)?;
    }
    run.descend_embeddings(&gradient)?;
    let mut read = read.into_iter();
    let own = |at| outcomes.remove(&at).or_else(|| read.next());
    Ok((0..examples.len()).filter_map(own).collect())
}

/// The sequences whose losses read a layer's residual stream, by their places among the examples.
struct States<'a>(Vec<(usize, usize, &'a Placed<'a>)>);

impl<'a> States<'a> {
    fn of(placed: &'a [Placed<'a>]) -> Self {
        let state = |(at, one): (usize, &'a Placed<'a>)| match one.readout() {
            Readout::State { layer, .. } => Some((layer, at, one)),
            Readout::Logits(_) => None,
        };
        Self(placed.iter().enumerate().filter_map(state).collect())
    }

    /// The lowest layer that is read.
    fn start(&self) -> usize {
        self.0.iter().map(|(layer, ..)| *layer).min().unwrap_or(usize::MAX)
    }

    /// One more than the highest.
    fn end(&self) -> usize {
        self.0.iter().map(|(layer, ..)| layer + 1).max().unwrap_or(0)
    }

    /// Outcomes of those that read the stream after `layer`, and the gradient with respect to it.
    fn descend(
        &self,
        layer: usize,
        hidden: &Tensor,
        outcomes: &mut BTreeMap<usize, Outcome>,
    ) -> Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (_, at, one) in self.0.iter().filter(|(own, ..)| *own == layer) {
            let (outcome, gradient) = descend_state(one, hidden)?;
            outcomes.insert(*at, outcome);
            sum = Some(match sum {
                None => gradient,
                Some(sum) => (sum + gradient)?,
            });
        }
        Ok(sum)
    }
}

struct BackwardPass<'a> {
    trainable: &'a Trainable,
    batch: &'a Batch,
}

impl BackwardPass<'_> {
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
        let config = self.trainable.decoder.config();
        let (width, scale) = (config.hidden, config.embedding_scale);
        let positions: Vec<usize> = self.batch.positions().collect();
        let ids: Vec<usize> = self.batch.ids.iter().map(|id| *id as usize).collect();
        for (role, rows, scale) in
            [(Role::Embedding, &ids, scale), (Role::Positions, &positions, 1.)]
        {
            for parameter in of(self.trainable, role) {
                let mut sum = parameter.gradient.lock();
                with_values(gradient, "embedding", |gradient| {
                    for (row, part) in rows.iter().zip(gradient.chunks_exact(width)) {
                        let sum = &mut sum[row * width..][..width];
                        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += scale * part);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}
