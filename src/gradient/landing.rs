//! The last step of forgetting goes too far; the whole change is scaled back to where it should end.
//!
//! With θ(s) = θ₀ + s (θ − θ₀), the NLL of the passages is below its goal at s = 0 and not below it
//! at s = 1, so that some s between meets it. It is found by bisection. A smaller change also does
//! less damage.

use super::TrainError;
use super::example::Example;
use super::head::measure;
use super::passages::{mean, means};
use crate::model::Trainable;

/// Overshoot that is left as it is, as a share of the goal.
const NEAR_ENOUGH: f64 = 0.01;
/// Halvings: the share is then known to 1/64.
const HALVINGS: usize = 6;

/// Scales the change until the NLL of `passages` meets `goal`; the share of it that is kept.
pub(super) fn land(
    trainable: &Trainable,
    passages: &[Example],
    goal: f64,
) -> Result<f64, TrainError> {
    let nll =
        || -> Result<f64, TrainError> { Ok(mean(&means(&measure(&trainable.frozen, passages)?))) };
    let is_near = |nll: f64| (nll - goal).abs() <= NEAR_ENOUGH * goal;
    if is_near(nll()?) {
        return Ok(1.);
    }
    let (mut low, mut high, mut share) = (0., 1., 1.);
    for _ in 0..HALVINGS {
        let next = 0.5 * (low + high);
        trainable.scale_change((next / share) as f32)?;
        share = next;
        let now = nll()?;
        if is_near(now) {
            break;
        }
        (low, high) = if now < goal { (share, high) } else { (low, share) };
    }
    Ok(share)
}
