//! Where a training ends: the whole change is scaled back to where it should.
//!
//! With θ(s) = θ₀ + s (θ − θ₀): the last step of forgetting goes too far, so that the NLL of the
//! passages meets its goal at some s below 1, which is found by bisection; and a change whose drift
//! is above its budget is scaled down until it is not. A smaller change does less damage.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::example::Example;
use super::general::Drift;
use super::goals::Goals;
use super::head::measure;
use super::mean_nll::{mean, means};
use crate::model::Trainable;

/// Overshoot that is left as it is, as a share of the goal.
const NEAR_ENOUGH: f64 = 0.01;
/// Most halvings, where a training went many times too far: the share is then known to 1/1024.
const HALVINGS: usize = 10;

/// Scales the change until the NLL of `passages` meets their goals; the share of it that is kept.
pub(super) fn land(
    trainable: &Trainable,
    passages: &[Example],
    goals: &Goals,
) -> Result<f64, TrainError> {
    let reached = || -> Result<f64, TrainError> {
        Ok(goals.share_of_tokens(&measure(&trainable.frozen, passages)?))
    };
    let is_near = |reached: f64| (reached - 1.).abs() <= NEAR_ENOUGH;
    if is_near(reached()?) {
        return Ok(1.);
    }
    let (mut low, mut high, mut share) = (0., 1., 1.);
    for _ in 0..HALVINGS {
        let next = 0.5 * (low + high);
        trainable.scale_change((next / share) as f32)?;
        share = next;
        let now = reached()?;
        if is_near(now) {
            break;
        }
        (low, high) = if now < 1. { (share, high) } else { (low, share) };
    }
    Ok(share)
}

fn nll(trainable: &Trainable, passages: &[Example]) -> Result<f64, TrainError> {
    Ok(mean(&means(&measure(&trainable.frozen, passages)?)))
}

/// A change and its budget of drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Largest drift on general text, nats a token.
    pub max_drift: f64,
    /// Drift of what is kept, on general text that was not trained on.
    pub drift: f64,
    /// Share of the change that was kept to stay within the budget.
    pub share: f64,
    /// What a larger budget would buy; nothing where the whole change fits.
    pub cut: Option<Cut>,
}

impl Budget {
    /// That of a change that is whole or nothing: between a model and one whose weights were drawn
    /// anew and learnt again, there are models that know neither.
    pub(super) const fn of_whole(drift: f64, max_drift: f64) -> Self {
        Self { max_drift, drift, share: 1., cut: None }
    }

    /// Whether the drift of what is kept is within the budget.
    pub fn is_kept(&self) -> bool {
        self.drift <= self.max_drift
    }
}

/// The whole of a change of which the budget allowed a part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Drift of the whole change, nats a token.
    pub drift: f64,
    /// NLL of the passages under it, nats a token.
    pub passages: f64,
}

/// Scales the change down until its drift is within `max_drift`.
///
/// Near the start the drift grows with s², which gives the next share to try.
pub(super) fn keep_budget(
    trainable: &Trainable,
    drift: &Drift<'_>,
    passages: &[Example],
    max_drift: f64,
) -> Result<Budget, TrainError> {
    /// Drift that is aimed at, and least that is near enough, as shares of the budget. What is left
    /// covers the chance in it: other general text, on which the drift is reported, may drift more.
    const AIM: f64 = 0.85;
    const NEAR: f64 = 0.75;
    const TRIALS: usize = 8;
    let whole = drift.of(&trainable.frozen)?;
    if whole <= max_drift {
        return Ok(Budget::of_whole(whole, max_drift));
    }
    let cut = Some(Cut { drift: whole, passages: nll(trainable, passages)? });
    let (mut now, mut share) = (whole, 1.);
    let (mut low, mut high) = (0., 1.);
    for _ in 0..TRIALS {
        let guess = share * (AIM * max_drift / now).sqrt();
        let is_between = guess > low && guess < high;
        let next = if is_between { guess } else { 0.5 * (low + high) };
        trainable.scale_change((next / share) as f32)?;
        share = next;
        now = drift.of(&trainable.frozen)?;
        if now <= max_drift && now >= NEAR * max_drift {
            break;
        }
        (low, high) = if now > max_drift { (low, share) } else { (share, high) };
    }
    if now > max_drift {
        trainable.scale_change((low / share) as f32)?;
        (share, now) = (low, drift.of(&trainable.frozen)?);
    }
    Ok(Budget { max_drift, drift: now, share, cut })
}
