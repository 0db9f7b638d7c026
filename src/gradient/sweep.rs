//! `learning_rate = "auto"`: three rates are tried on one half of the passages.
//!
//! The rate matters more than the loss. The half on which it is chosen is left out of the report, so
//! that what is reported was not chosen for.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::example::Example;
use super::memory::memory;
use super::passages::{Stopped, train};
use super::sets::PassageSets;
use super::settings::PassageSettings;
use crate::model::{Decoder, Model};
use crate::progress::Progress;
use crate::ranks::Ranks;
use crate::spec::PassageVerb;

/// One rate, tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RateTrial {
    /// The rate.
    pub rate: f64,
    /// Steps taken.
    pub steps: u64,
    /// Why it ended.
    pub stopped: Stopped,
    /// NLL of the dev half of the passages afterwards, nats a token.
    pub passages: f64,
    /// Rise of the NLL of the dev half of the retain set.
    pub damage: f64,
    /// What is minimised.
    pub score: f64,
}

impl PassageSets {
    /// (dev half, report half): every other sequence of each set.
    pub fn halves(&self) -> (Self, Self) {
        let half = |offset: usize| {
            let pick = |set: &[Example]| set.iter().skip(offset).step_by(2).cloned().collect();
            Self {
                passages: pick(&self.passages),
                retain: pick(&self.retain),
                holdout: pick(&self.holdout),
                references: self.references.iter().skip(offset).step_by(2).copied().collect(),
                general: self.general.clone(),
                own: self.own.clone(),
                questions: self.questions.clone(),
            }
        };
        (half(0), half(1))
    }
}

/// Tries every rate of the settings on the dev half; the best comes first.
pub fn try_rates(
    model: &Model,
    start: &Decoder,
    dev: &PassageSets,
    settings: &PassageSettings,
    (ranks, progress): (&Ranks, &dyn Progress),
) -> Result<Vec<RateTrial>, TrainError> {
    let nll = |decoder: &Decoder, set: &[Example]| -> Result<f64, TrainError> {
        Ok(memory(decoder, set, progress)?.map_or(0., |memory| memory.nll.mean))
    };
    let before = nll(start, &dev.retain)?;
    let mut trials = Vec::new();
    for rate in settings.rates() {
        let run = train(model, start, dev, settings, rate, None, (ranks, progress))?;
        let passages = nll(&run.trainable.frozen, &dev.passages)?;
        let damage = nll(&run.trainable.frozen, &dev.retain)? - before;
        let distance = match settings.verb {
            PassageVerb::Learn => passages,
            PassageVerb::Forget => run.goal.map_or(0., |(goal, _)| (passages - goal).abs()),
        };
        let score = distance + damage.max(0.);
        let (steps, stopped) = (run.path.len() as u64, run.stopped);
        trials.push(RateTrial { rate, steps, stopped, passages, damage, score });
    }
    trials.sort_by(|a, b| a.score.total_cmp(&b.score));
    Ok(trials)
}
