//! Losses of the tokens of one sequence: a loss of its targets' NLL n_t and the slopes ∂L/∂n_t.
//!
//! Every first-order method of unlearning is Σ w_t ∇ log p_t with a weight w_t that is treated as
//! constant, so ∂L/∂n_t = −w_t. With T targets, N = Σ n_t and log p(y) = −N:
//!
//! | | w_t | loss |
//! |---|---|---|
//! | gradient ascent, and the forget side of gradient difference | 1/T | −N/T |
//! | WGA (arXiv 2502.19301) | p_tᵝ / T | −Σ p_tᵝ n_t / T |
//! | NPO (arXiv 2404.05868) | 2 σ(β (log p(y) − log p_ref(y))) | (2/β) log(1 + (p/p_ref)ᵝ) |
//! | SimNPO (arXiv 2410.07163) | 2 σ(−β (N/T − δ)) / T | (2/β) log(1 + e^(−β (N/T − δ))) |
//! | look-ahead, at the weights | 1/T below the goal, −1/(2T) above it | −N/T below it |
//! | look-ahead, after relearning | 1/T below the goal, 0 above it | −min(N/T, goal) |

use std::sync::Arc;

use rayon::prelude::*;

use super::reference::Reference;
use super::{Outcome, Steer};
use crate::ops::log_sum_exp;
use crate::ops::simd::{exp, vectorised};

/// The loss of one sequence.
#[derive(Debug, Clone)]
pub enum TokenLoss {
    /// The mean NLL of its targets.
    Mean,
    /// The NLL of its targets that are above this one, over the number of all: what is known well
    /// enough is left as it is.
    Above(f32),
    /// The same with an NLL for each target: a target that is more probable than that is left as it
    /// is.
    AboveEach(Vec<f32>),
    /// Σ w_t n_t with one weight a target.
    Weights(Vec<f32>),
    /// A loss that makes the targets improbable.
    Forget(ForgetLoss),
    /// The mean divergence KL(reference ‖ model) at its targets.
    Divergence(Arc<Reference>),
    /// The mean Jensen-Shannon divergence from the reference at its targets.
    JensenShannon(Arc<Reference>),
    /// The distance of a hidden state from a vector, at the rows that predict its targets.
    Steer(Steer),
}

/// The loss that makes a sequence improbable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ForgetLoss {
    /// Gradient ascent, −N/T; unbounded.
    Ascent,
    /// Weighted gradient ascent: tokens weigh less the less probable they are.
    Wga {
        /// Exponent of the probability.
        beta: f64,
    },
    /// Negative preference against the start model.
    Npo {
        /// Sharpness; at 0 it is gradient ascent.
        beta: f64,
        /// log p_ref(y): the start model's log-probability of all targets.
        reference: f64,
    },
    /// Negative preference without a reference, by length.
    SimNpo {
        /// Sharpness.
        beta: f64,
        /// The mean NLL at which the slope has halved.
        delta: f64,
    },
    /// Gradient ascent up to a mean NLL, −min(N/T, goal).
    Until {
        /// The mean NLL from which on nothing is asked.
        goal: f64,
    },
    /// Gradient ascent below a mean NLL and descent with half the slope above it.
    Toward {
        /// The mean NLL.
        goal: f64,
    },
}

impl TokenLoss {
    /// The outcome at logits [targets, vocabulary], which become `scale` times the gradient.
    pub(crate) fn descend(&self, targets: &[u32], logits: &mut [f32], scale: f32) -> Outcome {
        let vocabulary = logits.len() / targets.len();
        let shifts: Vec<f32> = logits.par_chunks_exact(vocabulary).map(log_sum_exp).collect();
        let row_nll = logits.chunks_exact(vocabulary).zip(&shifts).zip(targets);
        let nll: Vec<f32> = row_nll.map(|((row, shift), id)| shift - row[*id as usize]).collect();
        let (mut loss, slopes) = self.evaluate(&nll);
        let rows = logits.par_chunks_exact_mut(vocabulary);
        if let Self::Divergence(reference) | Self::JensenShannon(reference) = self {
            let scale = scale / targets.len() as f32;
            let is_bounded = matches!(self, Self::JensenShannon(_));
            let parts = rows.enumerate().map(|(at, row)| match is_bounded {
                true => reference.descend_bounded(at, row, scale),
                false => reference.descend(at, row, scale),
            });
            let parts: Vec<f64> = parts.collect();
            loss = parts.iter().sum::<f64>() / targets.len() as f64;
        } else {
            let given = shifts.par_iter().zip(&slopes).zip(targets);
            rows.zip(given).for_each(|(row, ((shift, slope), target))| {
                let slope = slope * scale;
                vectorised(
                    #[inline(always)]
                    || row.iter_mut().for_each(|x| *x = slope * exp(*x - shift)),
                );
                row[*target as usize] -= slope;
            });
        }
        Outcome { loss, nll }
    }

    /// (L, ∂L/∂n_t) for the NLL of the targets, on which a divergence and a state do not depend.
    pub(crate) fn evaluate(&self, nll: &[f32]) -> (f64, Vec<f32>) {
        let count = nll.len() as f64;
        let sum: f64 = nll.iter().map(|n| f64::from(*n)).sum();
        match self {
            Self::Mean | Self::Divergence(_) | Self::JensenShannon(_) | Self::Steer(_) => {
                (sum / count, vec![(1. / count) as f32; nll.len()])
            }
            Self::Above(known) => above(nll, std::iter::repeat(known)),
            Self::AboveEach(known) => above(nll, known),
            Self::Weights(weights) => {
                let terms = weights.iter().zip(nll).map(|(w, n)| f64::from(*w) * f64::from(*n));
                (terms.sum(), weights.clone())
            }
            Self::Forget(method) => {
                let (loss, weights) = method.evaluate(nll, sum);
                (loss, weights.into_iter().map(|weight| -weight as f32).collect())
            }
        }
    }
}

/// The NLL of the targets that are above theirs of `known`, over the number of all, and its slopes.
fn above<'k>(nll: &[f32], known: impl IntoIterator<Item = &'k f32>) -> (f64, Vec<f32>) {
    let share = (1. / nll.len() as f64) as f32;
    let slope = |(n, known): (&f32, &f32)| if n > known { share } else { 0. };
    let slopes: Vec<f32> = nll.iter().zip(known).map(slope).collect();
    let terms = slopes.iter().zip(nll).map(|(w, n)| f64::from(*w) * f64::from(*n));
    (terms.sum(), slopes)
}

impl ForgetLoss {
    /// The loss and its weights, (L, w_t).
    fn evaluate(self, nll: &[f32], sum: f64) -> (f64, Vec<f64>) {
        let count = nll.len() as f64;
        match self {
            Self::Ascent => (-sum / count, vec![1. / count; nll.len()]),
            Self::Wga { beta } => {
                let weights: Vec<f64> =
                    nll.iter().map(|n| (-beta * f64::from(*n)).exp() / count).collect();
                let terms = weights.iter().zip(nll).map(|(w, n)| w * f64::from(*n));
                (-terms.sum::<f64>(), weights)
            }
            Self::Npo { beta, reference } => {
                let ratio = beta * (-sum - reference);
                (2. / beta * softplus(ratio), vec![2. * sigmoid(ratio); nll.len()])
            }
            Self::SimNpo { beta, delta } => {
                let margin = -beta * (sum / count - delta);
                let weight = 2. * sigmoid(margin) / count;
                (2. / beta * softplus(margin), vec![weight; nll.len()])
            }
            Self::Until { goal } if sum / count < goal => Self::Ascent.evaluate(nll, sum),
            Self::Until { goal } => (-goal, vec![0.; nll.len()]),
            Self::Toward { goal } if sum / count < goal => Self::Ascent.evaluate(nll, sum),
            Self::Toward { goal } => {
                (0.5 * sum / count - 1.5 * goal, vec![-0.5 / count; nll.len()])
            }
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1. / (1. + (-x).exp())
}

/// The softplus log(1 + eˣ).
fn softplus(x: f64) -> f64 {
    x.max(0.) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NLL: [f32; 3] = [0.25, 1.5, 0.75];

    /// Slopes against differences of the loss; WGA holds its weights constant and is left out.
    #[test]
    fn slopes_are_the_derivatives_of_the_loss() {
        for loss in [
            TokenLoss::Mean,
            TokenLoss::Weights(vec![0.5, -1., 2.]),
            TokenLoss::Forget(ForgetLoss::Ascent),
            TokenLoss::Forget(ForgetLoss::Npo { beta: 0.1, reference: -1.5 }),
            TokenLoss::Forget(ForgetLoss::Npo { beta: 2., reference: -4. }),
            TokenLoss::Forget(ForgetLoss::SimNpo { beta: 4.5, delta: 0.5 }),
            TokenLoss::Forget(ForgetLoss::Until { goal: 0.8 }),
            TokenLoss::Forget(ForgetLoss::Until { goal: 0.9 }),
            TokenLoss::Forget(ForgetLoss::Toward { goal: 0.8 }),
            TokenLoss::Forget(ForgetLoss::Toward { goal: 0.9 }),
            TokenLoss::Above(0.5),
            TokenLoss::AboveEach(vec![0.5, 3., 0.1]),
        ] {
            let slopes = loss.evaluate(&NLL).1;
            for (t, slope) in slopes.iter().enumerate() {
                let at = |step: f32| {
                    let mut moved = NLL;
                    moved[t] += step;
                    loss.evaluate(&moved).0
                };
                // A step that f32 holds exactly.
                let step = 1. / 256.;
                let difference = (at(step) - at(-step)) / (2. * f64::from(step));
                let error = (difference - f64::from(*slope)).abs();
                assert!(error < 1e-4, "{loss:?}, target {t}: {slope}, {difference}");
            }
        }
    }

    #[test]
    fn closed_values_of_npo() {
        for (ratio, expected) in [(-25., 0.151_716), (-1., 0.950_042), (3., 1.148_885)] {
            let sum = f64::from(NLL.iter().sum::<f32>());
            let method = ForgetLoss::Npo { beta: 0.1, reference: -sum - ratio };
            let weight = method.evaluate(&NLL, sum).1[0];
            assert!((weight - expected).abs() < 1e-6, "{ratio}: {weight}");
        }
    }

    #[test]
    fn closed_values_of_simnpo() {
        for (mean, expected) in [(0., 1.), (0.5, 0.190_699), (1., 0.021_974)] {
            let nll = [mean as f32; 4];
            let method = ForgetLoss::SimNpo { beta: 4.5, delta: 0. };
            let weight = method.evaluate(&nll, 4. * mean).1[0] * 4.;
            assert!((weight - expected).abs() < 1e-6, "{mean}: {weight}");
        }
    }

    #[test]
    fn wga_weighs_by_probability_and_is_ascent_at_zero() {
        let weights = |beta| ForgetLoss::Wga { beta }.evaluate(&NLL, 2.5).1;
        let ascent = ForgetLoss::Ascent.evaluate(&NLL, 2.5).1;
        assert_eq!(weights(0.), ascent);
        for (weight, nll) in weights(2.).iter().zip(NLL) {
            assert!((weight - (-2. * f64::from(nll)).exp() / 3.).abs() < 1e-12);
        }
    }

    #[test]
    fn npo_becomes_ascent_of_the_sum_as_beta_vanishes() {
        let method = ForgetLoss::Npo { beta: 1e-9, reference: -3. };
        for weight in method.evaluate(&NLL, 2.5).1 {
            assert!((weight - 1.).abs() < 1e-8, "{weight}");
        }
    }
}
