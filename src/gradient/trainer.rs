//! Steps of AdamW on a decoder in training, and its state on disk.

use std::borrow::Cow;
use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use super::TrainError;
use super::example::{Example, runs};
use super::lanes::Lanes;
use super::precondition::Preconditioner;
use super::shares::{Given, Shares, dealt, numbers, put};
use super::state;
use super::trainer_settings::TrainerSettings;
use crate::math::{Moments, Step, sum_of_squares};
use crate::model::{Decoder, Parameter, Trainable};
use crate::objective::Outcome;
use crate::ops::with_values_mut;
use crate::progress::{Progress, Silent};
use crate::ranks::{ALONE, Ranks};

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
pub struct Trainer<'a> {
    trainable: Trainable,
    settings: TrainerSettings,
    /// Those of the tensors that belong to this process.
    moments: Vec<Option<Moments>>,
    steps: u64,
    lanes: Lanes,
    shares: Shares<'a>,
    preconditioner: Preconditioner,
    /// How far the adversary of [`follow`](Self::follow) is from the weights; empty where there is none.
    gone: Vec<Vec<f32>>,
}

impl Trainer<'static> {
    /// Begins at step 0.
    pub fn new(trainable: Trainable, settings: TrainerSettings) -> Self {
        Self::over(&ALONE, trainable, settings)
    }
}

impl<'a> Trainer<'a> {
    /// Begins at step 0 on processes that all take the same steps and share out their work.
    ///
    /// # Panics
    /// If their number does not divide that of the shares.
    pub fn over(ranks: &'a Ranks, trainable: Trainable, settings: TrainerSettings) -> Self {
        let parameters = &trainable.parameters;
        let shares = Shares::new(ranks, settings.shares, parameters);
        let zeros = |(at, parameter): (usize, &Parameter)| {
            shares.owns(at).then(|| Moments::zeros(parameter.values.elem_count()))
        };
        Self {
            moments: parameters.iter().enumerate().map(zeros).collect(),
            lanes: Lanes::new(&trainable, settings.lanes),
            shares,
            trainable,
            settings,
            steps: 0,
            preconditioner: Preconditioner::default(),
            gone: Vec::new(),
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
        self.apply(examples, outcomes, progress)
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
            ahead.into_iter().for_each(|ahead| *parameter.gradient.lock() = ahead);
        }
        outcomes.splice(0..0, self.accumulate(examples, progress)?);
        self.join(kept, progress)?;
        let all: Vec<Example> = examples.iter().chain(protected).cloned().collect();
        self.apply(&all, outcomes, progress)
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
        let learnt = lessons.iter().try_for_each(|lesson| self.learn(lesson, rate, progress));
        let outcomes = learnt.and_then(|()| self.accumulate(watched, progress));
        self.trainable.set_values(&here)?;
        outcomes
    }

    /// Adds to the gradient of the next step that of `watched` at an adversary: where it was, it takes
    /// one step of sign descent at `rate` on `lesson` first. It begins at the weights where `is_new`,
    /// and otherwise is as far from them as it was, wherever they have gone since. The weights stay
    /// where they are; one copy of them is held from the first call on. The outcomes of `watched` are
    /// those at the adversary.
    pub fn follow(
        &mut self,
        is_new: bool,
        (lesson, rate): (&[Example], f64),
        watched: &[Example],
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>, TrainError> {
        let mut gone = std::mem::take(&mut self.gone);
        if is_new || gone.is_empty() {
            let sizes = self.trainable.parameters.iter().map(|it| it.values.elem_count());
            gone = sizes.map(|size| vec![0.; size]).collect();
        }
        self.trainable.with_each(&mut gone, |value, gone| {
            let there = *value + *gone;
            *gone = std::mem::replace(value, there);
        })?;
        let learnt = self.learn(lesson, rate, progress);
        let outcomes = learnt.and_then(|()| self.accumulate(watched, progress));
        self.trainable.with_each(&mut gone, |value, here| {
            let there = std::mem::replace(value, *here);
            *here = there - *value;
        })?;
        self.gone = gone;
        outcomes
    }

    /// One step of sign descent on Σ scale · loss.
    fn learn(
        &mut self,
        lesson: &[Example],
        rate: f64,
        progress: &dyn Progress,
    ) -> Result<(), TrainError> {
        self.accumulate(lesson, progress)?;
        self.descend_by_sign(rate, progress)
    }

    /// x ← x − rate · sign g; g ← 0. What AdamW does in its first step, without its moments.
    fn descend_by_sign(&mut self, rate: f64, progress: &dyn Progress) -> Result<(), TrainError> {
        let rate = rate as f32;
        for (at, parameter) in self.trainable.parameters.iter().enumerate() {
            if !self.shares.owns(at) {
                continue;
            }
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
        self.shares.spread(Given::Values, &self.trainable.parameters, progress)
    }

    /// Changes each gradient so far, given the shape of its tensor; the norm of them all. Every process
    /// has and changes all of them.
    pub(super) fn change_gradients<E>(
        &self,
        progress: &dyn Progress,
        mut change: impl FnMut(&[usize], &mut [f32]) -> Result<(), E>,
    ) -> Result<f64, TrainError>
    where
        TrainError: From<E>,
    {
        self.shares.spread(Given::Gradients, &self.trainable.parameters, progress)?;
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

    /// The gradients so far of the tensors that belong to this process; zeros take their place.
    fn take_gradients(&self) -> Vec<Option<Vec<f32>>> {
        let take = |(at, parameter): (usize, &Parameter)| {
            let mut gradient = parameter.gradient.lock();
            let empty = || vec![0.; gradient.len()];
            let empty = self.shares.owns(at).then(empty)?;
            Some(std::mem::replace(&mut *gradient, empty))
        };
        self.trainable.parameters.iter().enumerate().map(take).collect()
    }

    /// g ← g − min(0, g·k / k·k) k + k.
    fn join(&self, kept: Vec<Option<Vec<f32>>>, progress: &dyn Progress) -> Result<(), TrainError> {
        let own = |at: usize| kept[at].as_deref().unwrap_or_default();
        let mut product = |at: usize| {
            let gradient = self.trainable.parameters[at].gradient.lock();
            let both = gradient.iter().zip(own(at));
            both.map(|(g, k)| f64::from(*g) * f64::from(*k)).sum::<f64>()
        };
        let product = self.shares.of_each(&mut product, progress)?.into_iter().sum::<f64>();
        let square = self.shares.of_each(&mut |at| sum_of_squares(own(at)), progress)?;
        let square: f64 = square.into_iter().sum();
        let share: f64 = if square > 0. { (product / square).min(0.) } else { 0. };
        let factor = (1. - share) as f32;
        for (parameter, kept) in self.trainable.parameters.iter().zip(kept) {
            let mut gradient = parameter.gradient.lock();
            gradient.iter_mut().zip(kept.iter().flatten()).for_each(|(g, k)| *g += factor * k);
        }
        Ok(())
    }

    /// Adds the gradient of Σ scale · loss to the sums so far.
    fn accumulate(
        &mut self,
        examples: &[Example],
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>, TrainError> {
        examples.iter().try_for_each(Example::check)?;
        match self.settings.shares {
            0 | 1 => self.add_gradients(examples, progress),
            count => self.add_shares(examples, count, progress),
        }
    }

    /// The same share by share, each on the process whose turn it is.
    fn add_shares(
        &mut self,
        examples: &[Example],
        count: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>, TrainError> {
        let rows: Vec<usize> = examples.iter().map(|example| example.fed().len()).collect();
        let share_of = dealt(&rows, count);
        let mut own = Vec::new();
        self.shares.swap(&self.trainable.parameters);
        for share in self.shares.own() {
            let places: Vec<usize> =
                (0..examples.len()).filter(|at| share_of[*at] == share).collect();
            let chosen: Vec<Example> = places.iter().map(|at| examples[*at].clone()).collect();
            let outcomes = self.add_gradients(&chosen, progress)?;
            let outcomes = places.into_iter().zip(outcomes);
            own.extend(outcomes.map(|(at, outcome)| (at, (outcome.loss, outcome.nll))));
            self.shares.add(&self.trainable.parameters, progress)?;
        }
        self.shares.swap(&self.trainable.parameters);
        let all = self.shares.ranks().gather(own, progress)?;
        let mut all: Vec<_> = all.into_iter().flatten().collect();
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, (loss, nll))| Outcome { loss, nll }).collect())
    }

    /// Adds the gradient of Σ scale · loss to what is in the buffers.
    fn add_gradients(
        &mut self,
        examples: &[Example],
        progress: &dyn Progress,
    ) -> Result<Vec<Outcome>, TrainError> {
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

    pub(super) fn forget_gradients(&mut self) {
        for parameter in &self.trainable.parameters {
            parameter.gradient.lock().fill(0.);
        }
        self.lanes.forget();
        self.shares.forget();
    }

    /// Clips and applies the gradient that was summed.
    fn apply(
        &mut self,
        examples: &[Example],
        outcomes: Vec<Outcome>,
        progress: &dyn Progress,
    ) -> Result<StepReport, TrainError> {
        let step = self.steps + 1;
        let scaled = examples.iter().zip(&outcomes).map(|(e, o)| f64::from(e.scale) * o.loss);
        let loss: f64 = scaled.sum();
        let parameters = &self.trainable.parameters;
        let mut squares = |at: usize| sum_of_squares(&parameters[at].gradient.lock());
        let squares = self.shares.of_each(&mut squares, progress)?;
        let gradient_norm = squares.into_iter().sum::<f64>().sqrt();
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(TrainError::NotFinite { step, loss, gradient_norm });
        }
        let scale = match self.settings.clip {
            Some(limit) if gradient_norm > limit => limit / gradient_norm,
            _ => 1.,
        };
        let rate = self.settings.rate * self.settings.schedule.share(step);
        for (at, (parameter, moments)) in parameters.iter().zip(&mut self.moments).enumerate() {
            let Some(moments) = moments else { continue };
            let now = Step { number: step, rate, scale, decays: parameter.decays() };
            let optimiser = self.settings.optimiser;
            let mut gradient = parameter.gradient.lock();
            with_values_mut(&parameter.values, |values| match self.preconditioner.side(at) {
                None => optimiser.update(values, &mut gradient, moments, now),
                Some(side) => side.step(values, &mut gradient, moments, &optimiser, now),
            })?;
        }
        self.shares.spread(Given::Values, parameters, progress)?;
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

    /// Numbers of the moments that this process holds.
    #[cfg(test)]
    pub(super) fn moments(&self) -> usize {
        self.moments.iter().flatten().map(|own| own.first.len() + own.second.len()).sum()
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

    /// Writes weights, moments, adversary, step and the caller's `cursor`, whole or not at all. The first of
    /// several processes writes; the others give it their moments, one tensor at a time.
    pub fn save(&self, path: &Path, cursor: &Value) -> Result<(), TrainError> {
        let parameters = &self.trainable.parameters;
        if self.shares.ranks().is_first() {
            let head = state::Head { steps: self.steps, settings: &self.settings, cursor };
            let mut moments =
                |at: usize| Ok(self.moments_of(at)?.expect("the first process gets all"));
            return state::write(path, &head, parameters, (&mut moments, &self.gone));
        }
        for at in (0..state::PASSES).flat_map(|_| 0..parameters.len()) {
            self.moments_of(at)?;
        }
        Ok(())
    }

    /// The moments of a tensor, on the first process.
    fn moments_of(&self, at: usize) -> Result<Option<Cow<'_, Moments>>, TrainError> {
        let own = self.moments[at].as_ref();
        let ranks = self.shares.ranks();
        if let Some(own) = own.filter(|_| ranks.is_first()) {
            return Ok(Some(Cow::Borrowed(own)));
        }
        let mut both = || {
            let mut out = Vec::new();
            let parts = own.iter().flat_map(|own| [&own.first, &own.second]);
            parts.for_each(|part| put(&mut out, part));
            out
        };
        let got = ranks.to_first(self.shares.owner(at), &mut both, &Silent)?;
        Ok(got.map(|got| {
            let mut first: Vec<f32> = numbers(&got).collect();
            let second = first.split_off(first.len() / 2);
            Cow::Owned(Moments { first, second })
        }))
    }

    /// Reads what [`save`](Self::save) wrote for the same parameters and settings; the next step is
    /// then the one that would have followed, to the bit.
    pub fn restore(&mut self, path: &Path) -> Result<Value, TrainError> {
        let parameters = &self.trainable.parameters;
        let held = (&mut self.moments[..], &mut self.gone);
        let (steps, cursor) = state::read(path, &self.settings, parameters, held)?;
        self.steps = steps;
        Ok(cursor)
    }
}
