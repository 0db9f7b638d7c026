//! The end of the forward pass and the start of the backward one: norm, head, loss.
//!
//! Logits are the largest matrix of a step, so they exist for a few sequences at a time, only for
//! rows that predict a target, and their gradient takes their place.

use std::ops::Range;

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use super::TrainError;
use super::example::{Example, runs};
use crate::math::{add_tn, matmul_nn, matmul_nt};
use crate::model::{Decoder, Parameter, Role, Trainable};
use crate::objective::{Objective, Outcome, Readout, Reference, TokenLoss};
use crate::ops::{add_bias, log_sum_exp, matrix, seed_gradient, with_values};
use crate::progress::Progress;

/// Rows of logits held at once.
const ROWS: usize = 256;

/// A sequence, and the row of the batch that predicts its first target.
pub(super) struct Placed<'a> {
    pub(super) example: &'a Example,
    first: usize,
}

/// The sequences of a batch at their rows.
pub(super) fn placed(examples: &[Example]) -> Vec<Placed<'_>> {
    let mut start = 0;
    let mut placed = Vec::with_capacity(examples.len());
    for example in examples {
        placed.push(Placed { example, first: start + example.first_target - 1 });
        start += example.ids.len() - 1;
    }
    placed
}

impl Placed<'_> {
    /// The rows that predict its targets.
    pub(super) fn rows(&self) -> Range<usize> {
        self.first..self.first + self.example.targets()
    }

    fn targets(&self) -> &[u32] {
        &self.example.ids[self.example.first_target..]
    }
}

impl Objective for Placed<'_> {
    type Loss = Outcome;

    fn readout(&self) -> Readout {
        let rows = self.rows().collect();
        match &self.example.loss {
            TokenLoss::Steer(steer) => Readout::State { layer: steer.layer, rows },
            _ => Readout::Logits(rows),
        }
    }

    fn descend(&self, rows: &mut [f32]) -> Outcome {
        let Example { loss, scale, .. } = self.example;
        match loss {
            TokenLoss::Steer(steer) => steer.descend(rows, *scale),
            loss => loss.descend(self.targets(), rows, *scale),
        }
    }
}

/// Losses of sequences that read logits, and the gradient with respect to the last residual stream,
/// [rows, hidden]. The gradients of head and norm are added to their parameters.
pub(super) fn descend(
    trainable: &Trainable,
    objectives: &[&Placed<'_>],
    hidden: &Tensor,
) -> Result<(Vec<Outcome>, Tensor)> {
    let (rows, width) = hidden.dims2()?;
    let mut gradient = vec![0f32; rows * width];
    let mut outcomes = Vec::with_capacity(objectives.len());
    for run in runs(objectives, ROWS, |placed| placed.example.targets()) {
        let chosen = run.iter().flat_map(|placed| placed.readout().rows().to_vec());
        let chosen: Vec<usize> = chosen.collect();
        let input = Var::from_tensor(&gather(hidden, &chosen)?)?;
        let normed = trainable.decoder.final_normed(&input)?;
        let (part, d_normed) = through_logits(trainable, run, &normed)?;
        outcomes.extend(part);
        let store = seed_gradient(&normed, d_normed)?.backward()?;
        for parameter in of(trainable, Role::FinalNorm) {
            if let Some(part) = store.get(&parameter.values) {
                parameter.gradient.add(part)?;
            }
        }
        let d_input = store.get(&input).expect("the norm's input is tracked");
        with_values(d_input, "head", |part| {
            scatter(&mut gradient, part, &chosen, width);
            Ok(())
        })?;
    }
    Ok((outcomes, matrix(gradient, rows, width)?))
}

/// The loss of a sequence that reads the residual stream `hidden`, and the gradient with respect to
/// it, [rows, hidden].
pub(super) fn descend_state(placed: &Placed<'_>, hidden: &Tensor) -> Result<(Outcome, Tensor)> {
    let (rows, width) = hidden.dims2()?;
    let readout = placed.readout();
    let mut part = gather(hidden, readout.rows())?.flatten_all()?.to_vec1()?;
    let outcome = placed.descend(&mut part);
    let mut gradient = vec![0f32; rows * width];
    scatter(&mut gradient, &part, readout.rows(), width);
    Ok((outcome, matrix(gradient, rows, width)?))
}

/// Rows to their places.
fn scatter(to: &mut [f32], from: &[f32], rows: &[usize], width: usize) {
    for (row, part) in rows.iter().zip(from.chunks_exact(width)) {
        to[row * width..][..width].copy_from_slice(part);
    }
}

/// The trained parameters of a role.
pub(super) fn of(trainable: &Trainable, role: Role) -> impl Iterator<Item = &Parameter> {
    trainable.parameters.iter().filter(move |parameter| parameter.slot.role == role)
}

/// Outcomes of sequences, and the gradient at their normed rows.
fn through_logits(
    trainable: &Trainable,
    run: &[&Placed<'_>],
    normed: &Tensor,
) -> Result<(Vec<Outcome>, Tensor)> {
    let (rows, width) = normed.dims2()?;
    let (decoder, rule) = (&trainable.decoder, trainable.decoder.config().logits);
    let head = decoder.head();
    let vocabulary = head.dims2()?.0;
    let role = if decoder.config().is_tied { Role::Embedding } else { Role::Head };
    let trained = |is_bias| of(trainable, role).find(|it| it.slot.is_bias == is_bias);
    let mut outcomes = Vec::with_capacity(run.len());
    let mut d_normed = vec![0f32; rows * width];
    with_values(normed, "head", |normed| {
        head.with_numbers("head", |head| {
            let mut logits = vec![0f32; rows * vocabulary];
            matmul_nt(&mut logits, normed, head, rows, vocabulary, width);
            if let Some(bias) = decoder.head_bias() {
                add_bias(&mut logits, bias)?;
            }
            rule.write(&mut logits);
            let kept = rule.kept(&logits);
            let mut rest = logits.as_mut_slice();
            for placed in run {
                let (own, later) = rest.split_at_mut(placed.rows().len() * vocabulary);
                outcomes.push(placed.descend(own));
                rest = later;
            }
            rule.write_gradient(&mut logits, &kept);
            matmul_nn(&mut d_normed, &logits, head, rows, width, vocabulary);
            if let Some(trained) = trained(false) {
                let mut sum = trained.gradient.lock();
                add_tn(&mut sum, &logits, normed, vocabulary, width, rows);
            }
            if let Some(trained) = trained(true) {
                let mut sum = trained.gradient.lock();
                for row in logits.chunks_exact(vocabulary) {
                    sum.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
                }
            }
            Ok(())
        })
    })?;
    Ok((outcomes, matrix(d_normed, rows, width)?))
}

/// NLL of every target of the sequences on any decoder, without gradients.
pub fn measure(decoder: &Decoder, examples: &[Example]) -> Result<Vec<Vec<f32>>> {
    let mut measured = Vec::with_capacity(examples.len());
    in_logits(decoder, examples, |example, logits, vocabulary| {
        let targets = &example.ids[example.first_target..];
        let rows = logits.par_chunks_exact(vocabulary).zip(targets);
        measured.push(rows.map(|(row, id)| log_sum_exp(row) - row[*id as usize]).collect());
    })?;
    Ok(measured)
}

/// Whether every target of a sequence is the most probable token, so that greedy decoding says them.
pub fn answered(
    decoder: &Decoder,
    examples: &[Example],
    progress: &dyn Progress,
) -> std::result::Result<Vec<bool>, TrainError> {
    /// Sequences between two looks at whether the user wants to stop.
    const TOGETHER: usize = 64;
    let mut answered = Vec::with_capacity(examples.len());
    for run in examples.chunks(TOGETHER) {
        progress.check()?;
        in_logits(decoder, run, |example, logits, vocabulary| {
            let targets = &example.ids[example.first_target..];
            let is_best = |row: &[f32], id: usize| {
                let own = row[id];
                // The first of equals is the argmax.
                row.iter().enumerate().all(|(other, x)| *x < own || (*x == own && other >= id))
            };
            let mut rows = logits.chunks_exact(vocabulary).zip(targets);
            answered.push(rows.all(|(row, id)| is_best(row, *id as usize)));
        })?;
    }
    Ok(answered)
}

/// What a decoder says at the targets, in `kept` numbers each.
pub fn references(decoder: &Decoder, examples: &[Example], kept: usize) -> Result<Vec<Reference>> {
    let mut found = Vec::with_capacity(examples.len());
    in_logits(decoder, examples, |_, logits, vocabulary| {
        found.push(Reference::new(logits, vocabulary, kept));
    })?;
    Ok(found)
}

/// Shows the logits of each sequence's targets, one sequence after the other.
pub(crate) fn in_logits(
    decoder: &Decoder,
    examples: &[Example],
    mut see: impl FnMut(&Example, &[f32], usize),
) -> Result<()> {
    /// Rows of the layers' activations held at once.
    const MEASURED: usize = 1024;
    for run in runs(examples, MEASURED, |example| example.ids.len()) {
        run.iter().try_for_each(Example::check)?;
        let fed: Vec<&[u32]> = run.iter().map(Example::fed).collect();
        let hidden = decoder.forward(&crate::model::Batch::new(&fed), None)?;
        for part in runs(&placed(run), ROWS, |placed| placed.rows().len()) {
            let chosen: Vec<usize> = part.iter().flat_map(Placed::rows).collect();
            let logits = decoder.logits(&hidden, &chosen)?;
            let vocabulary = logits.dims2()?.1;
            with_values(&logits, "head", |mut logits| {
                for placed in part {
                    let (own, rest) = logits.split_at(placed.rows().len() * vocabulary);
                    see(placed.example, own, vocabulary);
                    logits = rest;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn gather(matrix: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
    matrix.index_select(&Tensor::new(rows, matrix.device())?, 0)
}
