//! Forgetting that withstands relearning.
//!
//! Passages that became improbable together come back together: a few steps that learn some of them
//! again undo what was done to all. A step of forgetting therefore also looks ahead. From where the
//! weights are, half of the passages are learnt again for a few steps; where that leads, the other
//! half should still be as improbable as text that was never seen. The gradient there is taken for
//! the gradient here (first-order meta-learning, arXiv 1703.03400).

use super::TrainError;
use super::example::Example;
use super::mean_nll::{mean, means};
use super::settings::PassageSettings;
use super::trainer::Trainer;
use crate::math::Random;
use crate::objective::{ForgetLoss, TokenLoss};
use crate::progress::Progress;

/// One look ahead, drawn from the seed and the number of the step.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Draw {
    /// Passages that each step of relearning learns.
    lessons: Vec<Vec<usize>>,
    /// Passages that are watched.
    watched: Vec<usize>,
}

impl Draw {
    /// Halves `passages` passages; one to `settings.relearn` steps learn from one half.
    fn new(passages: usize, step: u64, settings: &PassageSettings) -> Self {
        let mut random = Random::named(settings.seed.wrapping_add(step), "relearning");
        let mut order: Vec<usize> = (0..passages).collect();
        random.shuffle(&mut order);
        let (taught, watched) = order.split_at(passages / 2);
        let steps = 1 + random.below(settings.relearn);
        let batch = settings.batch.min(taught.len());
        let turns = taught.iter().copied().cycle();
        let lesson = |at: usize| turns.clone().skip(at * batch).take(batch).collect();
        let lessons = (0..steps).map(lesson).collect();
        let watched = watched.iter().copied().take(WATCHED * settings.batch).collect();
        Self { lessons, watched }
    }
}

/// Passages watched, relative to those of a step.
const WATCHED: usize = 2;

/// Adds the gradient after relearning to that of the trainer's next step; the mean NLL of the
/// watched passages there, nats a token. Nothing where there are not two passages to part.
pub(super) fn look_ahead(
    trainer: &mut Trainer<'_>,
    passages: &[Example],
    goal: f64,
    settings: &PassageSettings,
    progress: &dyn Progress,
) -> Result<Option<f64>, TrainError> {
    if settings.relearn == 0 || passages.len() < 2 {
        return Ok(None);
    }
    let draw = Draw::new(passages.len(), trainer.steps() + 1, settings);
    let with = |chosen: &[usize], loss: TokenLoss, weight: f64| -> Vec<Example> {
        let scale = (weight / chosen.len() as f64) as f32;
        let one = |at: &usize| Example { loss: loss.clone(), scale, ..passages[*at].clone() };
        chosen.iter().map(one).collect()
    };
    let lesson = |chosen: &Vec<usize>| with(chosen, TokenLoss::Mean, 1.);
    let lessons: Vec<Vec<Example>> = draw.lessons.iter().map(lesson).collect();
    let loss = TokenLoss::Forget(ForgetLoss::Until { goal });
    let watched = with(&draw.watched, loss, settings.forget_weight);
    let rate = settings.relearn_rate;
    let outcomes = trainer.look_ahead(&lessons, rate, &watched, progress)?;
    let nll: Vec<Vec<f32>> = outcomes.into_iter().map(|outcome| outcome.nll).collect();
    Ok(Some(mean(&means(&nll))))
}
