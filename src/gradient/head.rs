//! The end of the forward pass and the start of the backward one: norm, head, loss.
//!
//! Logits are the largest matrix of a step, so they exist for a few sequences at a time, only for
//! rows that predict a target, and their gradient takes their place.

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use super::example::{Example, runs};
use super::loss::TokenLoss;
use super::reference::Reference;
use crate::math::{add_tn, matmul_nn, matmul_nt};
use crate::model::{Decoder, Parameter, Role, Trainable};
use crate::ops::simd::{exp, vectorised};
use crate::ops::{log_sum_exp, matrix, seed_gradient, with_values};

/// Rows of logits held at once.
const ROWS: usize = 256;

/// What came out of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its loss, not scaled.
    pub loss: f64,
    /// Negative log-likelihood of each target, nats.
    pub nll: Vec<f32>,
}

/// Row of the batch that predicts the first target of each sequence.
pub(super) fn first_rows(examples: &[Example]) -> Vec<usize> {
    let mut start = 0;
    let first = |example: &Example| {
        let first = start + example.first_target - 1;
        start += example.ids.len() - 1;
        first
    };
    examples.iter().map(first).collect()
}

/// Losses, and the gradient with respect to the last residual stream, [rows, hidden]. The gradients
/// of head and norm are added to their parameters.
pub(super) fn descend(
    trainable: &Trainable,
    examples: &[Example],
    hidden: &Tensor,
) -> Result<(Vec<Outcome>, Tensor)> {
    let (rows, width) = hidden.dims2()?;
    let mut gradient = vec![0f32; rows * width];
    let mut outcomes = Vec::with_capacity(examples.len());
    let placed: Vec<(&Example, usize)> = examples.iter().zip(first_rows(examples)).collect();
    for run in runs(&placed, ROWS, |(example, _)| example.targets()) {
        let chosen: Vec<usize> =
            run.iter().flat_map(|(example, first)| *first..first + example.targets()).collect();
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
            for (row, part) in chosen.iter().zip(part.chunks_exact(width)) {
                gradient[row * width..][..width].copy_from_slice(part);
            }
            Ok(())
        })?;
    }
    Ok((outcomes, matrix(gradient, rows, width)?))
}

/// The trained parameters of a role.
pub(super) fn of(trainable: &Trainable, role: Role) -> impl Iterator<Item = &Parameter> {
    trainable.parameters.iter().filter(move |parameter| parameter.slot.role == role)
}

/// Outcomes of sequences, and the gradient at their normed rows.
fn through_logits(
    trainable: &Trainable,
    run: &[(&Example, usize)],
    normed: &Tensor,
) -> Result<(Vec<Outcome>, Tensor)> {
    let (rows, width) = normed.dims2()?;
    let head = trainable.decoder.head();
    let vocabulary = head.dims2()?.0;
    let role = if trainable.decoder.config().is_tied { Role::Embedding } else { Role::Head };
    let trained = of(trainable, role).next();
    let mut outcomes = Vec::with_capacity(run.len());
    let mut d_normed = vec![0f32; rows * width];
    with_values(normed, "head", |normed| {
        with_values(head, "head", |head| {
            let mut logits = vec![0f32; rows * vocabulary];
            matmul_nt(&mut logits, normed, head, rows, vocabulary, width);
            let mut rest = logits.as_mut_slice();
            for (example, _) in run {
                let (own, later) = rest.split_at_mut(example.targets() * vocabulary);
                outcomes.push(differentiate(example, own, vocabulary));
                rest = later;
            }
            matmul_nn(&mut d_normed, &logits, head, rows, width, vocabulary);
            if let Some(trained) = trained {
                let mut sum = trained.gradient.lock();
                add_tn(&mut sum, &logits, normed, vocabulary, width, rows);
            }
            Ok(())
        })
    })?;
    Ok((outcomes, matrix(d_normed, rows, width)?))
}

/// The outcome of one sequence; its logits become their gradient.
fn differentiate(example: &Example, logits: &mut [f32], vocabulary: usize) -> Outcome {
    let targets = &example.ids[example.first_target..];
    let shifts: Vec<f32> = logits.par_chunks_exact(vocabulary).map(log_sum_exp).collect();
    let row_nll = logits.chunks_exact(vocabulary).zip(&shifts).zip(targets);
    let nll: Vec<f32> = row_nll.map(|((row, shift), id)| shift - row[*id as usize]).collect();
    let (mut loss, slopes) = example.loss.evaluate(&nll);
    let rows = logits.par_chunks_exact_mut(vocabulary);
    if let TokenLoss::Divergence(reference) = &example.loss {
        let scale = example.scale / targets.len() as f32;
        let parts: Vec<f64> =
            rows.enumerate().map(|(target, row)| reference.descend(target, row, scale)).collect();
        loss = parts.iter().sum::<f64>() / targets.len() as f64;
    } else {
        let given = shifts.par_iter().zip(&slopes).zip(targets);
        rows.zip(given).for_each(|(row, ((shift, slope), target))| {
            let slope = slope * example.scale;
            vectorised(
                #[inline(always)]
                || row.iter_mut().for_each(|x| *x = slope * exp(*x - shift)),
            );
            row[*target as usize] -= slope;
        });
    }
    Outcome { loss, nll }
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

/// For every target of the sequences, whether it is the most probable token.
pub fn is_argmax(decoder: &Decoder, examples: &[Example]) -> Result<Vec<Vec<bool>>> {
    let mut measured = Vec::with_capacity(examples.len());
    in_logits(decoder, examples, |example, logits, vocabulary| {
        let targets = &example.ids[example.first_target..];
        let best = |row: &[f32], id: u32| {
            let own = row[id as usize];
            // The first of equals is the argmax.
            row.iter().enumerate().all(|(other, x)| *x < own || (*x == own && other >= id as usize))
        };
        let rows = logits.par_chunks_exact(vocabulary).zip(targets);
        measured.push(rows.map(|(row, id)| best(row, *id)).collect());
    })?;
    Ok(measured)
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
pub(super) fn in_logits(
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
        let placed: Vec<(&Example, usize)> = run.iter().zip(first_rows(run)).collect();
        for part in runs(&placed, ROWS, |(example, _)| example.targets()) {
            let chosen: Vec<usize> = part
                .iter()
                .flat_map(|(example, first)| *first..first + example.targets())
                .collect();
            let logits = decoder.logits(&hidden, &chosen)?;
            let vocabulary = logits.dims2()?.1;
            with_values(&logits, "head", |mut logits| {
                for (example, _) in part {
                    let (own, rest) = logits.split_at(example.targets() * vocabulary);
                    see(example, own, vocabulary);
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
