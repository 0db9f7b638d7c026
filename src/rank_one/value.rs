//! δ = argmin of mean NLL(target) + λ_KL KL(essence) + λ_W decay, by Adam, within a ball.
//!
//! δ is added to the value at the lookup token of every context and of "{subject} is a",
//! whose next-token distribution must not move. ‖δ‖ ≤ clamp · ‖v0‖, where v0 is the value
//! in the bare prompt. Published form (ROME, arXiv 2202.05262, section 3.1, and its program):
//! KL(new ‖ initial) at the lookup token, decay ‖δ‖/‖v0‖². Ours: KL(initial ‖ new) behind the
//! "a", where the text goes on, and decay ‖δ‖²/‖v0‖², which does not depend on the scale of v0.

use candle_core::{D, Result, Tensor, Var};

use super::{EditContexts, Settings};
use crate::math::Adam;
use crate::model::{AddToRows, Decoder, Site, Unobserved};
use crate::ops::token_nll;
use crate::progress::{Interrupted, Progress};

/// The parts of the loss at one step.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepLoss {
    /// Sum of the three parts.
    pub loss: f64,
    /// Mean negative log-likelihood of the target's tokens over contexts, nats.
    pub nll: f64,
    /// Weighted divergence of the essence prompt, nats.
    pub kl: f64,
    /// Weighted decay.
    pub decay: f64,
}

/// The end of an optimisation.
#[derive(Debug, Clone)]
pub struct OptimisedValue {
    /// δ, `[d_v]`.
    pub delta: Vec<f32>,
    /// ‖v0‖.
    pub value_norm: f64,
    /// One entry an evaluation.
    pub steps: Vec<StepLoss>,
}

/// An optimisation that gave no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The loss or its gradient is not a number.
    #[error("the loss became {loss} at step {step}")]
    NotFinite {
        /// From 1.
        step: usize,
        /// What it was.
        loss: f64,
    },
    /// The computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

/// Finds δ.
pub fn optimise(
    decoder: &Decoder,
    contexts: &EditContexts,
    settings: &Settings,
    progress: &dyn Progress,
) -> std::result::Result<OptimisedValue, ValueError> {
    let value_norm = norm(&contexts.values.get(0)?.to_vec1::<f32>()?);
    let width = decoder.config().hidden;
    let variable = Var::zeros(width, candle_core::DType::F32, decoder.device())?;
    let mut delta = vec![0f32; width];
    let mut adam = Adam::new(width, settings.learning_rate);
    let mut objective = Objective { decoder, contexts, settings, value_norm, initial: None };
    let mut steps = Vec::new();
    progress.phase("value", Some(settings.steps as u64));
    for step in 1..=settings.steps {
        progress.check()?;
        variable.set(&Tensor::new(delta.as_slice(), decoder.device())?)?;
        let (mut loss, tracked) = objective.evaluate(&variable)?;
        let (decay, decay_gradient) = objective.decay(&delta);
        (loss.decay, loss.loss) = (decay, loss.loss + decay);
        if !loss.loss.is_finite() {
            return Err(ValueError::NotFinite { step, loss: loss.loss });
        }
        steps.push(loss);
        progress.advance(step as u64, &format!("loss {:.3}", loss.loss));
        if loss.loss < settings.stop_loss || step == settings.steps {
            break;
        }
        let gradients = tracked.backward()?;
        let gradient = gradients.get(&variable).expect("the loss depends on δ").to_vec1::<f32>()?;
        let gradient: Vec<f32> = gradient.iter().zip(decay_gradient).map(|(g, d)| g + d).collect();
        adam.update(&mut delta, &gradient);
        clamp(&mut delta, settings.clamp * value_norm);
    }
    Ok(OptimisedValue { delta, value_norm, steps })
}

struct Objective<'a> {
    decoder: &'a Decoder,
    contexts: &'a EditContexts,
    settings: &'a Settings,
    value_norm: f64,
    /// Log-probabilities of the essence prompt at δ = 0, [1, vocabulary].
    initial: Option<Tensor>,
}

impl Objective<'_> {
    /// The loss without its decay, as numbers and as the tracked scalar.
    fn evaluate(&mut self, delta: &Tensor) -> Result<(StepLoss, Tensor)> {
        let contexts = self.contexts;
        let layer = contexts.layer;
        let rows = contexts.lookup_rows();
        let site = (layer, Site::Residual);
        let add = AddToRows::new(site, &rows, contexts.tail.rows(), delta)?;
        let hidden = add.apply(&contexts.residual)?;
        let above = layer + 1..self.decoder.config().layers;
        let cache = Some(&contexts.cache);
        let hidden =
            self.decoder.run_layers(above, hidden, &contexts.tail, cache, &mut Unobserved)?;
        let hidden = hidden.expect("an unobserved run does not stop");

        let (last, lookup) = contexts.essence_rows;
        let essence = if self.settings.parity { lookup } else { last };
        let mut read = contexts.target_rows.clone();
        read.push(essence);
        let logits = self.decoder.logits(&hidden, &read)?;
        let targets = contexts.targets.len();
        let nll = token_nll(&logits.narrow(0, 0, targets)?, &contexts.targets)?.mean_all()?;
        let kl = (self.divergence(&logits.narrow(0, targets, 1)?)? * self.settings.kl_weight)?;
        let loss = (&nll + &kl)?;
        let number = |scalar: &Tensor| scalar.to_scalar::<f32>().map(f64::from);
        let parts =
            StepLoss { loss: number(&loss)?, nll: number(&nll)?, kl: number(&kl)?, decay: 0. };
        Ok((parts, loss))
    }

    fn divergence(&mut self, logits: &Tensor) -> Result<Tensor> {
        let new = candle_nn::ops::log_softmax(logits, D::Minus1)?;
        let initial = self.initial.get_or_insert_with(|| new.detach());
        let difference = (&new - &*initial)?;
        if self.settings.parity {
            (new.exp()? * difference)?.sum_all()
        } else {
            (initial.exp()? * difference)?.sum_all()?.neg()
        }
    }

    /// λ_W ‖δ‖²/‖v0‖² (published: λ_W ‖δ‖/‖v0‖²) and its gradient.
    fn decay(&self, delta: &[f32]) -> (f64, Vec<f32>) {
        let (weight, square) = (self.settings.weight_decay, self.value_norm.powi(2));
        let length = norm(delta);
        let (decay, slope) = if self.settings.parity {
            // At δ = 0 the norm has no gradient; zero is the subgradient in use.
            (weight * length / square, weight / square / length.max(f64::MIN_POSITIVE))
        } else {
            (weight * length * length / square, 2. * weight / square)
        };
        let slope = if length == 0. { 0. } else { slope };
        (decay, delta.iter().map(|d| (slope * f64::from(*d)) as f32).collect())
    }
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
