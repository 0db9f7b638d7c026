//! The curve of relearning: NLL of what is learnt again and of what is only watched, by step.

use serde::{Deserialize, Serialize};

use super::plan::{Compared, Halves, RelearnPlan};
use super::ticks::Ticks;
use crate::gradient::{PassageSettings, Relearner, TrainError, memory};
use crate::model::{Decoder, Model};
use crate::run::RunError;
use crate::run::tools::Tools;

/// Half of the passages learnt again, and what became of the other half.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Relearning {
    /// Passages that were learnt again.
    pub learnt: usize,
    /// Passages that were watched.
    pub watched: usize,
    /// Learning rate, the same in every step.
    pub rate: f64,
    /// Passages of a step.
    pub batch: usize,
    /// Seed of the halves and of the order.
    pub seed: u64,
    /// The attacked model, by step; the first point is the model as it is.
    pub points: Vec<RelearnPoint>,
    /// What the watched half is compared with.
    pub compared: Compared,
    /// The curves that it is compared with.
    pub others: Vec<RelearnCurve>,
}

/// What is remembered after some steps of relearning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RelearnPoint {
    /// Steps taken.
    pub step: u64,
    /// Mean NLL of the passages that are learnt again, nats a token.
    pub learnt: f64,
    /// Mean NLL of those that are watched and not shown.
    pub watched: f64,
    /// Mean extraction strength of those that are watched.
    #[serde(default)]
    pub by_heart: f64,
}

/// The curve of a model or of passages that serve for comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RelearnCurve {
    /// The reference as the spec names it, or the hold-out.
    pub name: String,
    /// By step.
    pub points: Vec<RelearnPoint>,
}

impl Relearning {
    /// Mean, least and largest NLL that the watched half is compared with at the point `at`.
    pub fn never_saw(&self, at: usize) -> Option<[f64; 3]> {
        let all = self.others.iter().filter_map(|curve| curve.points.get(at));
        let all: Vec<f64> = all.map(|point| point.watched).collect();
        let low = all.iter().copied().reduce(f64::min)?;
        let high = all.iter().copied().reduce(f64::max)?;
        Some([all.iter().sum::<f64>() / all.len() as f64, low, high])
    }

    /// NLL of the watched half as a share of what it is compared with, at the point `at`.
    pub fn share(&self, at: usize) -> Option<f64> {
        Some(self.points.get(at)?.watched / self.never_saw(at)?[0])
    }

    /// The point after the first at which that share is least, and the share.
    pub fn least(&self) -> Option<(usize, f64)> {
        let shares = (1..self.points.len()).filter_map(|at| Some((at, self.share(at)?)));
        shares.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The curve of `decoder`, and of the hold-out under it where nothing else is there to compare with.
pub(super) fn of(
    model: &Model,
    decoder: &Decoder,
    plan: &RelearnPlan,
    references: Vec<RelearnCurve>,
    ticks: &Ticks<'_>,
) -> Result<Relearning, RunError> {
    let settings = &plan.settings;
    let points = curve(model, decoder, (&plan.halves, &plan.steps), settings, ticks)?;
    let mut others = references;
    if let Some(holdout) = &plan.holdout {
        let points = curve(model, decoder, (holdout, &plan.steps), settings, ticks)?;
        others.push(RelearnCurve { name: "hold-out".into(), points });
    }
    Ok(Relearning {
        learnt: plan.learnt,
        watched: plan.watched,
        rate: settings.rates()[0],
        batch: settings.batch,
        seed: settings.seed,
        points,
        compared: plan.compared,
        others,
    })
}

/// The curve of a model that never saw the passages.
pub(super) fn of_reference(
    model: &Model,
    plan: &RelearnPlan,
    name: &str,
    tools: &Tools<'_>,
) -> Result<RelearnCurve, RunError> {
    let decoder = (tools.open_reference)(name)
        .map_err(|source| RunError::Reference { name: name.to_owned(), source })?;
    let last = plan.steps.last().copied().unwrap_or_default();
    let ticks = Ticks::new(tools.progress, "attack", last);
    let halves = (&plan.halves, plan.steps.as_slice());
    let points = curve(model, &decoder, halves, &plan.settings, &ticks)?;
    Ok(RelearnCurve { name: name.to_owned(), points })
}

fn curve(
    model: &Model,
    start: &Decoder,
    (halves, steps): (&Halves, &[u64]),
    settings: &PassageSettings,
    ticks: &Ticks<'_>,
) -> Result<Vec<RelearnPoint>, RunError> {
    let mut relearner = Relearner::new(model, start, &halves.learnt, settings)?;
    let mut points: Vec<RelearnPoint> = Vec::with_capacity(steps.len());
    for step in steps {
        let note = points.last().map(|it| format!("nll {:.2}", it.watched)).unwrap_or_default();
        if !learns_until(&mut relearner, *step, (ticks, &note))? {
            break;
        }
        let learnt = relearner.nll(&halves.learnt)?;
        let watched = memory(relearner.current(), &halves.watched, ticks.progress)?;
        let (watched, by_heart) =
            watched.map_or((f64::NAN, 0.), |it| (it.nll.mean, it.extraction.mean));
        points.push(RelearnPoint { step: *step, learnt, watched, by_heart });
    }
    Ok(points)
}

/// Takes steps up to `step`; whether the training came so far and did not diverge, which what is left
/// of a broken model may.
pub(super) fn learns_until(
    relearner: &mut Relearner<'_>,
    step: u64,
    (ticks, note): (&Ticks<'_>, &str),
) -> Result<bool, TrainError> {
    while relearner.steps() < step {
        match relearner.step(ticks.progress) {
            Err(TrainError::NotFinite { .. }) => return Ok(false),
            taken => taken?,
        }
        ticks.tick(note);
    }
    Ok(true)
}
