//! One step against a gradient whose leading directions were taken back.
//!
//! What all passages share is in the leading directions of their gradient: a change along them hides
//! the passages together, and learning some of them again brings all back. What is left is about
//! each of them (RepSelect, of the CIR family, arXiv 2509.11816).
//!
//! 1. An adversary learns the passages again for some passes, by sign descent; there, the gradient G
//!    of the passages' mean log-probability is taken, and the weights go back.
//! 2. Of each matrix, with G = Σ σ_i u_i v_iᵀ and q leading directions, σ_i becomes σ_q² / σ_i for
//!    i ≤ q: divided by σ_i / σ_q on the side of its inputs and on that of its outputs.
//! 3. W ← W − α G, with the largest α whose drift on general text is within the budget.

use super::TrainError;
use super::example::Example;
use super::general::Drift;
use super::settings::PassageSettings;
use super::trainer::Trainer;
use crate::math::{NoConvergence, SymmetricEigen, add_gram, matmul_nn, matmul_nt};
use crate::objective::{ForgetLoss, TokenLoss};
use crate::progress::Progress;

/// What a step was like.
pub(super) struct Selected {
    /// Norm of the gradient after the collapse.
    pub(super) gradient_norm: f64,
    /// Drift on general text after the step, nats a token.
    pub(super) drift: f64,
}

/// Least drift that is near enough to the budget, as a share of it.
const NEAR: f64 = 0.9;
/// Times that the size of a step is tried.
const TRIALS: usize = 40;

/// Takes one step that makes `passages` less probable, up to a drift of `budget`.
pub(super) fn select(
    trainer: &mut Trainer<'_>,
    passages: &[Example],
    (drift, budget): (&Drift<'_>, f64),
    settings: &PassageSettings,
    progress: &dyn Progress,
) -> Result<Selected, TrainError> {
    let scale = 1. / passages.len() as f32;
    let with = |loss: TokenLoss, scale: f32, set: &[Example]| -> Vec<Example> {
        set.iter().map(|it| Example { loss: loss.clone(), scale, ..it.clone() }).collect()
    };
    let lesson = |batch: &[Example]| with(TokenLoss::Mean, 1. / batch.len() as f32, batch);
    let epoch: Vec<Vec<Example>> = passages.chunks(settings.batch).map(lesson).collect();
    let lessons: Vec<Vec<Example>> =
        (0..settings.relearn).flat_map(|_| epoch.iter().cloned()).collect();
    let watched = with(TokenLoss::Forget(ForgetLoss::Ascent), scale, passages);
    trainer.look_ahead(&lessons, settings.relearn_rate, &watched, progress)?;
    let gradient_norm = trainer.change_gradients(progress, |shape, gradient| match shape {
        [rows, columns] => collapse(gradient, (*rows, *columns), settings.collapse),
        _ => Ok(()),
    })?;
    let drift = step_within(trainer, drift, budget, gradient_norm, progress)?;
    Ok(Selected { gradient_norm, drift })
}

/// Divides the share of each of the `leading` singular directions of `matrix` [rows, columns] by
/// the square of how far it leads the last of them.
pub(super) fn collapse(
    matrix: &mut [f32],
    (rows, columns): (usize, usize),
    leading: usize,
) -> Result<(), NoConvergence> {
    let leading = leading.min(rows).min(columns);
    let is_wide = rows <= columns;
    let side = rows.min(columns);
    let long = rows.max(columns);
    // The smaller side as columns, for its Gram matrix.
    let tall: Vec<f32> = match is_wide {
        true => (0..rows * columns).map(|at| matrix[at % rows * columns + at / rows]).collect(),
        false => matrix.to_vec(),
    };
    let mut gram = vec![0.; side * side];
    add_gram(&mut gram, &tall, long, side);
    let eigen = SymmetricEigen::new(gram, side)?;
    // Ascending: the leading directions come last.
    let first = side - leading;
    let least = eigen.values.get(first).copied().unwrap_or(0.).max(0.);
    let vectors: Vec<f32> = eigen.vectors[first * side..].iter().map(|x| *x as f32).collect();
    let shares = eigen.values[first..].iter().map(|value| match *value > 0. {
        true => (1. - least / value) as f32,
        false => 0.,
    });
    let shares: Vec<f32> = shares.collect();
    let mut along = vec![0f32; leading * long];
    match is_wide {
        // Rows u_iᵀ G.
        true => matmul_nn(&mut along, &vectors, &*matrix, leading, columns, rows),
        // Rows (G v_i)ᵀ.
        false => matmul_nt(&mut along, &vectors, &*matrix, leading, rows, columns),
    }
    for (i, (share, along)) in shares.iter().zip(along.chunks_exact(long)).enumerate() {
        let vector = &vectors[i * side..][..side];
        for (row, values) in matrix.chunks_exact_mut(columns).enumerate() {
            match is_wide {
                true => {
                    let part = share * vector[row];
                    values.iter_mut().zip(along).for_each(|(x, a)| *x -= part * a);
                }
                false => {
                    let part = share * along[row];
                    values.iter_mut().zip(vector).for_each(|(x, v)| *x -= part * v);
                }
            }
        }
    }
    Ok(())
}

/// W ← W − α G with α such that the drift is within the budget, and hardly less; the drift.
fn step_within(
    trainer: &mut Trainer<'_>,
    drift: &Drift<'_>,
    budget: f64,
    gradient_norm: f64,
    progress: &dyn Progress,
) -> Result<f64, TrainError> {
    let here = trainer.trainable().values()?;
    if gradient_norm == 0. {
        return drift.of(trainer.current());
    }
    // A thousandth of what is there, to begin with.
    let squares: f64 = here.iter().flatten().map(|x| f64::from(*x).powi(2)).sum();
    let mut size = 1e-3 * squares.sqrt() / gradient_norm;
    let (mut low, mut high) = (0., f64::INFINITY);
    let mut found = (0., drift.of(trainer.current())?);
    for _ in 0..TRIALS {
        progress.check()?;
        trainer.trainable().set_values(&here)?;
        trainer.descend(size)?;
        let now = drift.of(trainer.current())?;
        if now <= budget {
            (low, found) = (size, (size, now));
            if now >= NEAR * budget {
                break;
            }
        } else {
            high = size;
        }
        size = match (low > 0., high.is_finite()) {
            (true, true) => (low * high).sqrt(),
            (false, true) => size / 4.,
            _ => size * 2.,
        };
    }
    trainer.trainable().set_values(&here)?;
    trainer.descend(found.0)?;
    trainer.forget_gradients();
    Ok(found.1)
}
