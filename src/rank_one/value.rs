//! Optimises δ = argmin of mean NLL(target) + λ_end mean end + λ_KL KL(essence) + λ_W decay, by
//! Adam, within a ball.
//!
//! δ is added to the value at the lookup token of every context and of "{subject} is a",
//! whose next-token distribution must not move. ‖δ‖ ≤ clamp · ‖v0‖, where v0 is the value
//! in the bare prompt or, for methods that write batches, the residual stream there.
//!
//! Published form (ROME, arXiv 2202.05262, section 3.1, and its program): KL(new ‖ initial) at the
//! lookup token, decay ‖δ‖/‖v0‖². Ours: KL(initial ‖ new) after the "a", where the text goes on,
//! and decay ‖δ‖²/‖v0‖², which does not depend on the scale of v0.
//!
//! On the CPU the rows run through a [`FrozenPass`](crate::model::FrozenPass); on other devices
//! candle finds the gradient.

mod direct;
mod fact;
mod tracked;

use candle_core::Result;

use self::direct::Direct;
use self::tracked::Tracked;
use super::EditContexts;
use crate::math::Adam;
use crate::model::Decoder;
use crate::plan::Settings;
use crate::progress::{Interrupted, Progress};

/// The parts of the loss at one step.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct StepLoss {
    /// The loss, the sum of its parts.
    pub loss: f64,
    /// Mean negative log-likelihood of the target's tokens over contexts, nats; for an erase, its
    /// loss in place of that.
    pub nll: f64,
    /// Weighted divergence of the essence prompt, nats.
    pub kl: f64,
    /// Weighted decay of δ.
    pub decay: f64,
    /// Weighted −ln P(the sentence ends after the target), where that is part of the loss.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub end: f64,
    /// Weighted excess of an erased answer where the residual stream shows it on the way.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lens: f64,
}

fn is_zero(part: &f64) -> bool {
    *part == 0.
}

/// The result of an optimisation.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct OptimisedValue {
    /// The optimised δ, `[d_v]`.
    pub delta: Vec<f32>,
    /// The norm ‖v0‖.
    pub value_norm: f64,
    /// The loss of each evaluation.
    pub steps: Vec<StepLoss>,
}

/// Why an optimisation found no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The loss or its gradient is not a number.
    #[error("the loss became {loss} at step {step}")]
    NotFinite {
        /// The step, from 1.
        step: usize,
        /// The value of the loss.
        loss: f64,
    },
    /// The computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

/// Optimises δ for a fact.
pub fn optimise(
    decoder: &Decoder,
    contexts: &EditContexts,
    settings: &Settings,
    progress: &dyn Progress,
) -> std::result::Result<OptimisedValue, ValueError> {
    let value_norm = norm(&contexts.values.get(0)?.to_vec1::<f32>()?);
    let width = decoder.config().hidden;
    let mut delta = vec![0f32; width];
    let mut adam = Adam::new(width, settings.learning_rate);
    let mut objective = loss_of_delta(decoder, contexts, settings)?;
    let mut steps = Vec::new();
    progress.phase("value", Some(settings.steps as u64));
    for step in 1..=settings.steps {
        progress.check()?;
        let mut loss = objective.evaluate(&delta)?;
        let (decay, decay_gradient) = decay(settings, value_norm, &delta);
        (loss.decay, loss.loss) = (decay, loss.loss + decay);
        if !loss.loss.is_finite() {
            return Err(ValueError::NotFinite { step, loss: loss.loss });
        }
        steps.push(loss);
        progress.advance(step as u64, &format!("loss {:.3}", loss.loss));
        if loss.loss < contexts.stop_loss(settings.stop_loss) || step == settings.steps {
            break;
        }
        let gradient = objective.gradient()?;
        let gradient: Vec<f32> = gradient.iter().zip(decay_gradient).map(|(g, d)| g + d).collect();
        adam.update(&mut delta, &gradient);
        clamp(&mut delta, settings.clamp * value_norm);
    }
    Ok(OptimisedValue { delta, value_norm, steps })
}

/// The loss as a function of δ, without its decay.
trait LossOfDelta {
    /// The loss at δ and its parts.
    fn evaluate(&mut self, delta: &[f32]) -> Result<StepLoss>;

    /// The gradient at the δ of the latest evaluation; called once for each evaluation.
    fn gradient(&mut self) -> Result<Vec<f32>>;
}

fn loss_of_delta<'a>(
    decoder: &'a Decoder,
    contexts: &'a EditContexts,
    settings: &'a Settings,
) -> Result<Box<dyn LossOfDelta + 'a>> {
    Ok(match decoder.device().is_cpu() {
        true => Box::new(Direct::new(decoder, contexts, settings)?),
        false => Box::new(Tracked::new(decoder, contexts, settings)?),
    })
}

/// The decay λ_W ‖δ‖²/‖v0‖² (published: λ_W ‖δ‖/‖v0‖²) and its gradient.
fn decay(settings: &Settings, value_norm: f64, delta: &[f32]) -> (f64, Vec<f32>) {
    let (weight, square) = (settings.weight_decay, value_norm.powi(2));
    let length = norm(delta);
    let (decay, slope) = if settings.parity {
        // At δ = 0 the norm has no gradient; zero is the subgradient in use.
        (weight * length / square, weight / square / length.max(f64::MIN_POSITIVE))
    } else {
        (weight * length * length / square, 2. * weight / square)
    };
    let slope = if length == 0. { 0. } else { slope };
    (decay, delta.iter().map(|d| (slope * f64::from(*d)) as f32).collect())
}

fn norm(x: &[f32]) -> f64 {
    x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn clamp(delta: &mut [f32], limit: f64) {
    let length = norm(delta);
    if length > limit {
        delta.iter_mut().for_each(|d| *d = (f64::from(*d) * limit / length) as f32);
    }
}

#[cfg(test)]
mod tests;
