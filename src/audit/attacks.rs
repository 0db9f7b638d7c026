//! Attacks on the weights: the passages learnt again in half, and the matrices rounded.

use serde::Serialize;

use super::subject::Subject;
use crate::probe::SecretLeak;
use crate::run::{
    Asked, QuantisedMemory, ReferenceCurves, RelearnPlan, RelearnPoint, Relearning, RunError,
    relearn, rounded,
};

/// The share of its first NLL that a passage which is learnt again has lost once it counts as half
/// learnt.
const HALF: f64 = 0.5;

/// Learns half of the passages again, by all weights or by low-rank changes.
pub(super) fn learn_again(
    subject: &Subject<'_>,
    plan: &RelearnPlan,
    asked: Asked<'_>,
) -> Result<Relearning, RunError> {
    let (model, tools) = (subject.models.model, subject.tools);
    let references = ReferenceCurves::of(model, plan, tools)?;
    relearn(model, subject.models.decoder, plan, &references, asked, tools.progress)
}

/// Rounds the matrices as GGUF files do.
pub(super) fn round(
    subject: &Subject<'_>,
    leaks: &mut [SecretLeak],
) -> Result<Vec<QuantisedMemory>, RunError> {
    let models = &subject.models;
    let asked = (subject.questions.as_slice(), leaks);
    rounded(models.model, models.decoder, subject.passages(), asked, subject.tools.progress)
}

/// Steps until what is learnt again is half learnt, and the same of what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepsToRelearn {
    /// Steps of the audited model.
    pub own: f64,
    /// Mean steps of models that never saw the passages, or of the hold-out.
    pub control: f64,
}

impl StepsToRelearn {
    /// The steps as a share of the control's: much below one, and the passages were still there.
    pub fn share(self) -> f64 {
        self.own / self.control
    }
}

/// Steps until the NLL of what is learnt again is half of that of the control before any step; nothing
/// without a control, or where the control does not come so far.
///
/// The level is the control's, because a model that remembers begins below it.
pub fn steps_to_relearn(found: &Relearning) -> Option<StepsToRelearn> {
    let starts = found.others.iter().filter_map(|curve| curve.points.first());
    let starts: Vec<f64> = starts.map(|point| point.learnt).collect();
    let level = HALF * starts.iter().sum::<f64>() / starts.len().max(1) as f64;
    let controls = found.others.iter().filter_map(|curve| steps_to(&curve.points, level));
    let controls: Vec<f64> = controls.collect();
    if controls.is_empty() || controls.len() < found.others.len() {
        return None;
    }
    let control = controls.iter().sum::<f64>() / controls.len() as f64;
    // A model that does not come so far is at least as hard to teach as the last step says.
    let last = found.points.last().map_or(0., |point| point.step as f64);
    Some(StepsToRelearn { own: steps_to(&found.points, level).unwrap_or(last), control })
}

/// The step at which the NLL of what is learnt falls to a level, between two points by a straight
/// line.
fn steps_to(points: &[RelearnPoint], level: f64) -> Option<f64> {
    let first = points.first()?;
    if first.learnt <= level {
        return Some(first.step as f64);
    }
    points.windows(2).find_map(|pair| {
        let [before, after] = pair else { return None };
        let share = (before.learnt - level) / (before.learnt - after.learnt);
        let steps = (after.step - before.step) as f64;
        (after.learnt <= level).then_some(before.step as f64 + share * steps)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Compared, RelearnCurve};

    fn curve(learnt: &[f64]) -> Vec<RelearnPoint> {
        let steps = [0, 5, 10, 20];
        let points = steps.into_iter().zip(learnt);
        points
            .map(|(step, learnt)| RelearnPoint { step, learnt: *learnt, watched: 4., by_heart: 0. })
            .collect()
    }

    #[test]
    fn steps_to_half_of_the_controls_first_nll() {
        let relearning = |own: &[f64], control: &[f64]| Relearning {
            learnt: 4,
            watched: 4,
            rate: 1e-3,
            batch: 4,
            seed: 0,
            points: curve(own),
            compared: Compared::Holdout,
            others: vec![RelearnCurve { name: "hold-out".into(), points: curve(control) }],
        };
        // The control begins at 4, so that the level is 2, half-way between steps 10 and 20.
        let control = [4., 3.5, 2.5, 1.5];
        let found = steps_to_relearn(&relearning(&[4., 3., 1., 0.5], &control)).expect("a control");
        assert_eq!((found.own, found.control), (7.5, 15.));
        assert_eq!(found.share(), 0.5);
        let known = steps_to_relearn(&relearning(&[1., 0.5, 0.2, 0.1], &control));
        assert_eq!(known.map(StepsToRelearn::share), Some(0.));
        let stubborn = steps_to_relearn(&relearning(&[9., 8., 7., 6.], &control));
        assert_eq!(stubborn.map(|it| it.own), Some(20.));
        assert_eq!(steps_to_relearn(&relearning(&control, &[4., 3.9, 3.8, 3.7])), None);
    }
}
