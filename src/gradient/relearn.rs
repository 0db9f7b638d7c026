//! Learning passages again, step by step: the attack on what was forgotten.
//!
//! Whoever has the weights can train them on some of the forgotten passages. What then comes back of
//! others was hidden and not removed (arXiv 2410.08827).

use super::TrainError;
use super::example::Example;
use super::head::measure;
use super::mean_nll::{mean, means};
use super::schedule::{Order, Schedule};
use super::settings::PassageSettings;
use super::trainer::Trainer;
use super::trainer_settings::TrainerSettings;
use crate::model::{Decoder, Model};
use crate::progress::Progress;

/// A decoder that learns some passages, at a constant rate and with nothing to retain.
pub struct Relearner<'a> {
    trainer: Trainer<'static>,
    order: Order,
    learnt: &'a [Example],
    batch: usize,
}

impl<'a> Relearner<'a> {
    /// Begins at `start`, which stays as it is; `learnt` is not empty.
    pub fn new(
        model: &Model,
        start: &Decoder,
        learnt: &'a [Example],
        settings: &PassageSettings,
    ) -> Result<Self, TrainError> {
        let trainable = model.trainable_from(start, &settings.rule)?;
        let rate = settings.rates()[0];
        let trainer = TrainerSettings { schedule: Schedule::constant(), ..settings.trainer(rate) };
        Ok(Self {
            trainer: Trainer::new(trainable, trainer),
            order: Order::new(learnt.len(), settings.seed),
            learnt,
            batch: settings.batch.min(learnt.len()),
        })
    }

    /// Descends once on the mean NLL of the passages drawn next.
    pub fn step(&mut self, progress: &dyn Progress) -> Result<(), TrainError> {
        let drawn = self.order.take(self.batch);
        let scale = 1. / drawn.len() as f32;
        let example = |index: &usize| Example { scale, ..self.learnt[*index].clone() };
        let examples: Vec<Example> = drawn.iter().map(example).collect();
        self.trainer.step(&examples, progress).map(drop)
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    /// The decoder as it is now.
    pub fn current(&self) -> &Decoder {
        self.trainer.current()
    }

    /// Mean NLL of passages under the decoder as it is now, nats a token.
    pub fn nll(&self, passages: &[Example]) -> Result<f64, TrainError> {
        Ok(mean(&means(&measure(self.current(), passages)?)))
    }
}
