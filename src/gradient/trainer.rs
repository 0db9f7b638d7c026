//! Steps of AdamW on a decoder in training, and its state on disk.

use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use super::TrainError;
use super::example::{Example, runs};
use super::lanes::Lanes;
use super::precondition::Preconditioner;
use super::state;
use super::trainer_settings::TrainerSettings;
use crate::math::{Moments, Step, sum_of_squares};
use crate::model::{Decoder, Parameter, Trainable};
use crate::objective::Outcome;
use crate::ops::with_values_mut;
use crate::progress::Progress;

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// From 1.
    pub step: u64,
    /// Σ scale · loss, before the step.
    pub loss: f64,
    /// One entry an example, before the step.
    pub outcomes: Vec<Outcome>,
    /// Norm of the whole gradient, before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub rate: f64,
}

/// A decoder in training with the state of its optimiser.
pub struct Trainer {
    trainable: Trainable,
    settings: TrainerSettings,
    moments: Vec<Moments>,
    steps: u64,
    lanes: Lanes,
    preconditioner: Preconditioner,
}

impl Trainer {
    /// Begins at step 0.
    pub fn new(trainable: Trainable, settings: TrainerSettings) -> Self {
        let zeros = trainable.parameters.iter().map(|p| Moments::zeros(p.values.elem_count()));
        let lanes = Lanes::new(&trainable, settings.lanes);
        Self {
            moments: zeros.collect(),
            trainable,
            settings,
            steps: 0,
            lanes,
            preconditioner: Preconditioner::default(),
        }
    }

    /// Takes the steps from now on in the variables of `preconditioner`.
    pub(super) fn precondition(&mut self, preconditioner: Preconditioner) {
        self.preconditioner = preconditioner;
    }

    /// One step on Σ scale · loss over the examples.
    pub fn step(
        &mut self,
        examples: &[Example],
        progress: &dyn Progress,
    ) -> Result<StepReport, TrainError> {
        let outcomes = self.accumulate(examples, progress)?;
        self.apply(examples, outcomes)
    }

    /// One step on two sums of losses whose gradients must not undo each other: where the first
    /// points against the second, the part along the second is taken out of it (PCGrad, arXiv
    /// 2001.06782, one way). Holds a second copy of the gradient meanwhile.
    pub fn step_without_conflict(
        &mut self,
        examples: &[Example],
        protected: &[Example],
        progress: &dyn Progress,
    ) -> Result<StepReport, TrainError> {
        // What a look ahead left belongs to the first sum.
        let ahead = self.take_gradients();
        let mut outcomes = self.accumulate(protected, progress)?;
        let kept = self.take_gradients();
        for (parameter, ahead) in self.trainable.parameters.iter().zip(ahead) {
            *parameter.gradient.lock() = ahead;
        }
        outcomes.splice(0..0, self.accumulate(examples, progress)?);
        self.join(kept);
        let all: Vec<Example> = examples.iter().chain(protected).cloned().collect();
        self.apply(&all, outcomes)
    }

    /// Adds to the gradient of the next step that of `watched` where steps of learning lead: one
    /// step of sign descent at `rate` on each of `lessons`. The weights stay where they are; a copy
    /// of them is held meanwhile. The outcomes of `watched` are those after learning.
    pub fn look_ahead(
        &mut self,
        lessons: &[Vec<Example>],
        rate: f64,
        watched: &[Example],
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>, TrainError> {
        let here = self.trainable.values()?;
        let mut learn = |lesson: &Vec<Example>| {
            self.accumulate(lesson, progress)?;
            self.descend_by_sign(rate)
        };
        let learnt = lessons.iter().try_for_each(&mut learn);
        let outcomes = learnt.and_then(|()| self.accumulate(watched, progress));
        self.trainable.set_values(&here)?;
        outcomes
    }

    /// x ← x − rate · sign g; g ← 0. What AdamW does in its first step, without its moments.
    fn descend_by_sign(&mut self, rate: f64) -> Result<(), TrainError> {
        let rate = rate as f32;
        for parameter in &self.trainable.parameters {
            let mut gradient = parameter.gradient.lock();
            with_values_mut(&parameter.values, |values| {
                for (value, slope) in values.iter_mut().zip(gradient.iter_mut()) {
                    let slope = std::mem::take(slope);
                    if slope != 0. {
                        *value -= rate.copysign(slope);
                    }
                }
            })?;
        }
        Ok(())
    }

    /// Changes each gradient so far, given the shape of its tensor; the norm of them all.
    pub(super) fn change_gradients<E>(
        &self,
        mut change: impl FnMut(&[usize], &mut [f32]) -> Result<(), E>,
    ) -> Result<f64, TrainError>
    where
        TrainError: From<E>,
    {
        let mut squares = 0.;
        for parameter in &self.trainable.parameters {
            let mut gradient = parameter.gradient.lock();
            change(parameter.values.dims(), &mut gradient)?;
            squares += sum_of_squares(&gradient);
        }
        Ok(squares.sqrt())
    }

    /// x ← x − rate · g; the gradients stay.
    pub(super) fn descend(&self, rate: f64) -> Result<(), TrainError> {
        for parameter in &self.trainable.parameters {
            let gradient = parameter.gradient.lock();
            with_values_mut(&parameter.values, |values| {
                for (value, slope) in values.iter_mut().zip(gradient.iter()) {
                    *value -= rate as f32 * slope;
                }
            })?;
        }
        Ok(())
    }

    /// The gradients so far; zeros take their place.
    fn take_gradients(&self) -> Vec<Vec<f32>> {
        let take = |parameter: &Parameter| {
            let mut gradient = parameter.gradient.lock();
            let empty = vec![0.; gradient.len()];
            std::mem::replace(&mut *gradient, empty)
        };
        self.trainable.parameters.iter().map(take).collect()
    }

    /// g ← g − min(0, g·k / k·k) k + k.
    fn join(&self, kept: Vec<Vec<f32>>) {
        let mut product = 0.;
        for (parameter, kept) in self.trainable.parameters.iter().zip(&kept) {
            let gradient = parameter.gradient.lock();
            product +=
                gradient.iter().zip(kept).map(|(g, k)| f64::from(*g) * f64::from(*k)).sum::<f64>();
        }
        let square: f64 = kept.iter().map(|kept| sum_of_squares(kept)).sum();
        let share = if square > 0. { (product / square).min(0.) } else { 0. };
        let factor = (1. - share) as f32;
        for (parameter, kept) in self.trainable.parameters.iter().zip(kept) {
            let mut gradient = parameter.gradient.lock();
            gradient.iter_mut().zip(kept).for_each(|(g, k)| *g += factor * k);
        }
    }

    fn accumulate(
        &mut self,
        examples: &[Example],
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>, TrainError> {
        examples.iter().try_for_each(Example::check)?;
        let runs = runs(examples, self.settings.micro_rows, |example| example.ids.len() - 1);
        let mut outcomes = Vec::with_capacity(examples.len());
        for side_by_side in runs.chunks(self.settings.lanes.max(1)) {
            if let Err(stopped) = progress.check() {
                self.forget_gradients();
                return Err(stopped.into());
            }
            let recompute = self.settings.recompute;
            outcomes.extend(self.lanes.accumulate(&self.trainable, side_by_side, recompute)?);
        }
        self.lanes.join(&self.trainable);
        Ok(outcomes)
    }

    pub(super) fn forget_gradients(&self) {
        for parameter in &self.trainable.parameters {
            parameter.gradient.lock().fill(0.);
        }
        self.lanes.forget();
    }

    /// Clips and applies the gradient that was summed.
    fn apply(
        &mut self,
        examples: &[Example],
        outcomes: Vec<Outcome>,
    ) -> Result<StepReport, TrainError> {
        let step = self.steps + 1;
        let scaled = examples.iter().zip(&outcomes).map(|(e, o)| f64::from(e.scale) * o.loss);
        let loss: f64 = scaled.sum();
        let squares = self.trainable.parameters.iter().map(|p| sum_of_squares(&p.gradient.lock()));
        let gradient_norm = squares.sum::<f64>().sqrt();
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainError::NotFinite { step, loss, gradient_norm });
        }
        let scale = match self.settings.clip {
            Some(limit) if gradient_norm > limit => limit / gradient_norm,
            _ => 1.,
        };
        let rate = self.settings.rate * self.settings.schedule.share(step);
        let parameters = self.trainable.parameters.iter().zip(&mut self.moments).enumerate();
        for (at, (parameter, moments)) in parameters {
            let now = Step { number: step, rate, scale, decays: parameter.decays() };
            let optimiser = self.settings.optimiser;
            let mut gradient = parameter.gradient.lock();
            with_values_mut(&parameter.values, |values| match self.preconditioner.side(at) {
                None => optimiser.update(values, &mut gradient, moments, now),
                Some(side) => side.step(values, &mut gradient, moments, &optimiser, now),
            })?;
        }
        self.steps = step;
        Ok(StepReport { step, loss, outcomes, gradient_norm, rate })
    }

    /// The weights as they are now, without gradients.
    pub fn current(&self) -> &Decoder {
        &self.trainable.frozen
    }

    /// Ends the training; moments are dropped.
    pub fn into_trainable(self) -> Trainable {
        self.trainable
    }

    /// What is trained.
    pub fn trainable(&self) -> &Trainable {
        &self.trainable
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Every trained tensor under its stored name, as it is now; copies are up to the caller.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        Ok(self.trainable.tensors()?)
    }

    /// Writes weights, moments, step and the caller's `cursor`, whole or not at all.
    pub fn save(&self, path: &Path, cursor: &Value) -> Result<(), TrainError> {
        let head = state::Head { steps: self.steps, settings: &self.settings, cursor };
        state::write(path, &head, &self.trainable.parameters, &self.moments)
    }

    /// Reads what [`save`](Self::save) wrote for the same parameters and settings; the next step is
    /// then the one that would have followed, to the bit.
    pub fn restore(&mut self, path: &Path) -> Result<Value, TrainError> {
        let parameters = &self.trainable.parameters;
        let (steps, cursor) = state::read(path, &self.settings, parameters, &mut self.moments)?;
        self.steps = steps;
        Ok(cursor)
    }
}
