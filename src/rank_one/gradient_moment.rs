//! The second moment S = E[g gᵀ] of the gradients at a layer's value: which changes of the value
//! move what the model says.
//!
//! g is the gradient, at one token, of the summed loss of a sequence with respect to the output of
//! the down projection (before any norm that follows it). The label after each token is drawn from
//! the model's own distribution, so that the expectation of (gᵀδ)² is the curvature of the KL
//! divergence in the direction δ, and not that of the loss on one text (Martens & Grosse, arXiv
//! 1503.05671). The first token of a sequence is left out, as it is of
//! [`second_moment`](mod@super::second_moment).
//!
//! One forward and one backward pass give the gradients of all layers. They run on the CPU.

use candle_core::Result;
use rayon::prelude::*;

use super::second_moment::{SecondMoment, batches};
use crate::math::Random;
use crate::model::{Batch, Decoder, FrozenHead, FrozenPass, ModelError, Unobserved};
use crate::ops::{log_sum_exp, with_values};
use crate::progress::Progress;

/// Rows of a pass, which keeps what every layer needs on its way back.
const BATCH_ROWS: usize = 256;
/// Rows of logits that are held at once.
const HEAD_ROWS: usize = 64;

/// Adds the gradients at the values of `layers` to `moments`, one of each layer; `label` names the
/// draws of labels for the sequence at each place.
pub fn accumulate_gradients(
    decoder: &Decoder,
    layers: &[usize],
    (sequences, label): (&[Vec<u32>], impl Fn(usize) -> Random),
    moments: &mut [SecondMoment],
    progress: &dyn Progress,
) -> std::result::Result<(), ModelError> {
    let Some(lowest) = layers.iter().copied().min() else { return Ok(()) };
    let mut place = 0;
    for group in batches(sequences, BATCH_ROWS) {
        progress.check()?;
        let batch = Batch::new(group);
        let labels: Vec<Random> = (place..place + group.len()).map(&label).collect();
        place += group.len();
        value_gradients(decoder, lowest, (&batch, labels), &mut |layer, gradients| {
            for (_, moment) in layers.iter().zip(&mut *moments).filter(|(own, _)| **own == layer) {
                moment.add(&without_first(&batch, gradients, moment.width));
            }
        })?;
        progress.advance(moments[0].tokens as u64, "");
    }
    Ok(())
}

/// The rows of a batch but the first of each sequence.
fn without_first(batch: &Batch, rows: &[f32], width: usize) -> Vec<f32> {
    let mut kept = Vec::with_capacity(rows.len());
    for span in &batch.spans {
        kept.extend_from_slice(&rows[(span.rows.start + 1) * width..span.rows.end * width]);
    }
    kept
}

/// Shows `at_value` the gradients at the values of all rows of `batch`, [rows, hidden], of each
/// layer from the last one down to `lowest`; `labels` draws those of each sequence.
pub fn value_gradients(
    decoder: &Decoder,
    lowest: usize,
    (batch, mut labels): (&Batch, Vec<Random>),
    at_value: &mut dyn FnMut(usize, &[f32]),
) -> Result<()> {
    let below = decoder.embed(batch)?;
    let below = decoder.run_layers(0..lowest, below, batch, None, &mut Unobserved)?;
    let below = below.expect("an unobserved run does not stop");
    let layers = lowest..decoder.config().layers;
    let all = (0..batch.rows()).collect();
    let mut pass = FrozenPass::new(decoder, layers, (batch, all), None)?;
    let last = pass.forward(|stream| {
        with_values(&below, "stream", |below| {
            stream.copy_from_slice(below);
            Ok(())
        })
    })?;
    let draws = batch.spans.iter().zip(&mut labels);
    let draws = draws.flat_map(|(span, label)| span.rows.clone().map(|_| label.uniform()));
    let gradient = end_gradient(decoder, last, &draws.collect::<Vec<f64>>())?;
    let end = |rows: &mut [f32]| {
        rows.copy_from_slice(&gradient);
        Ok(())
    };
    pass.backward_observed(end, at_value)?;
    Ok(())
}

/// The gradient of the losses with respect to the last residual stream, [rows, hidden], where the
/// label of each row is the one at its draw from [0, 1).
fn end_gradient(decoder: &Decoder, last: &[f32], draws: &[f64]) -> Result<Vec<f32>> {
    let (hidden, vocabulary) = (decoder.config().hidden, decoder.config().vocabulary);
    let mut gradient = vec![0f32; last.len()];
    let parts = last.chunks(HEAD_ROWS * hidden).zip(gradient.chunks_mut(HEAD_ROWS * hidden));
    for ((stream, gradient), draws) in parts.zip(draws.chunks(HEAD_ROWS)) {
        let mut head = FrozenHead::new(decoder, draws.len());
        let logits = head.forward(stream)?;
        let rows = logits.par_chunks_exact_mut(vocabulary).zip(draws);
        rows.for_each(|(row, draw)| sampled_loss_gradient(row, *draw));
        head.backward(gradient)?;
    }
    Ok(gradient)
}

/// Turns logits into the gradient of −log p(label): p, less one at the label, which is the token at
/// `draw` of the distribution p.
fn sampled_loss_gradient(row: &mut [f32], draw: f64) {
    let sum = log_sum_exp(row);
    row.iter_mut().for_each(|x| *x = (*x - sum).exp());
    let mut left = draw;
    let drawn = row.iter().position(|p| {
        left -= f64::from(*p);
        left < 0.
    });
    // Rounded probabilities may sum to a little less than one.
    let likeliest = || (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    if let Some(label) = drawn.or_else(likeliest) {
        row[label] -= 1.;
    }
}

#[cfg(test)]
mod tests;
