//! The step of repselect: no draws, no optimiser, and a budget of drift that each step uses up to its
//! share.

use super::path::describe;
use super::{PassageTraining, PathPoint, Stopped};
use crate::gradient::TrainError;
use crate::gradient::head::measure;
use crate::gradient::mean_nll::{mean, means};
use crate::gradient::repselect::select;
use crate::gradient::trainer::Trainer;
use crate::progress::Progress;

impl PassageTraining<'_> {
    /// One step of repselect, in place of [`step`](Self::step).
    pub(super) fn select(
        &mut self,
        trainer: &mut Trainer<'_>,
        progress: &dyn Progress,
    ) -> Result<Option<Stopped>, TrainError> {
        let (passages, settings) = (&self.passages, self.settings);
        let step = 1 + self.state.path.len() as u64;
        let budget = settings.max_drift * step as f64 / settings.steps as f64;
        let selected = select(trainer, passages, (&self.drift, budget), settings, progress)?;
        let now = means(&measure(trainer.current(), passages)?);
        self.state.path.push(PathPoint {
            step,
            loss: -mean(&now),
            passages: mean(&now[..self.sets.passages.len()]),
            retain: None,
            gradient_norm: selected.gradient_norm,
            drawn: (0..passages.len()).collect(),
            retained: Vec::new(),
            drift: Some(selected.drift),
            general_weight: None,
            relearnt: None,
        });
        let point = self.state.path.last().expect("just added");
        progress.advance(step, &describe(point, self.holdout));
        let is_reached = self.goals.as_ref().is_some_and(|goals| goals.share(&now) >= 1.);
        let reached = self.goal().filter(|_| is_reached);
        let ended = (step >= settings.steps).then_some(Stopped::Steps);
        Ok(reached.map(|(_, reached)| reached).or(ended))
    }
}
