//! How passages are learnt and forgotten: every choice, with defaults filled in.

use serde::{Deserialize, Serialize};

use super::loss::ForgetLoss;
use super::schedule::{End, Schedule};
use super::trainer::TrainerSettings;
use crate::math::AdamW;
use crate::model::{TrainRule, Trained};
use crate::spec::{
    ForgetMethod, GradientOptions, PassageVerb, RateChoice, RetainLoss, TrainChoice,
};

/// One training, resolved; the same value is shown by the plan and travels in the patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassageSettings {
    /// Learn or forget.
    pub verb: PassageVerb,
    /// How passages are forgotten.
    pub method: ForgetMethod,
    /// Which weights are trained.
    pub rule: TrainRule,
    /// Learning rate; `auto` tries three.
    pub rate: RateChoice,
    /// The rate where none is given; the middle one of `auto`.
    pub default_rate: f64,
    /// Most steps.
    pub steps: u64,
    /// Steps over which the rate rises.
    pub warm_up: u64,
    /// Sequences of each kind in a step.
    pub batch: usize,
    /// What holds the retain set.
    pub retain_loss: RetainLoss,
    /// γ.
    pub forget_weight: f64,
    /// α.
    pub retain_weight: f64,
    /// β of wga, npo and simnpo.
    pub beta: f64,
    /// δ of simnpo.
    pub delta: f64,
    /// Tokens of a sequence.
    pub chunk: usize,
    /// The rise of the retain NLL, nats a token, that ends forgetting.
    pub max_damage: f64,
    /// The NLL, nats a token, that ends learning.
    pub stop_loss: f64,
    /// Of AdamW.
    pub weight_decay: f64,
    /// Take out of the forget gradient what hurts the retain set.
    pub project: bool,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Tokens that pass through the layers at once; the gradients of a step's parts are added.
    pub micro_rows: usize,
    /// Run layers twice.
    pub recompute: bool,
    /// Seed of draws and first factors.
    pub seed: u64,
}

/// Rates between the lowest and the highest of `auto`.
const RATE_STEP: f64 = 3.;

impl PassageSettings {
    /// Defaults for whatever the user left out; `sequences` are those to be learnt or forgotten by
    /// a decoder whose residual stream is `hidden` wide.
    pub fn new(
        options: &GradientOptions,
        verb: PassageVerb,
        sequences: usize,
        hidden: usize,
    ) -> Self {
        let method = options.method.unwrap_or(ForgetMethod::Simnpo);
        let batch = options.batch.unwrap_or(4);
        let epoch = sequences.div_ceil(batch).max(1) as u64;
        let steps = options.steps.map_or(20 * epoch, |steps| steps as u64);
        let beta = match method {
            ForgetMethod::Npo => 0.1,
            ForgetMethod::Wga => 1.,
            _ => 4.5,
        };
        let trained = match options.train {
            Some(TrainChoice::Mlp) => Trained::Mlp,
            _ => Trained::All,
        };
        let seed = options.seed.unwrap_or(0);
        let (layers, rank) = (options.layers.clone(), options.rank);
        let default_rate = default_rate(verb, rank, hidden);
        Self {
            verb,
            method,
            rule: TrainRule { trained, layers, rank, seed },
            rate: options.learning_rate.unwrap_or(RateChoice::Given(default_rate)),
            default_rate,
            steps,
            warm_up: options.warm_up.map_or(epoch.min(steps / 10), |steps| steps as u64),
            batch,
            // Few steps of NLL already make a model say its retain set by heart.
            retain_loss: options.retain_loss.unwrap_or(match verb {
                PassageVerb::Learn => RetainLoss::Kl,
                PassageVerb::Forget => RetainLoss::Nll,
            }),
            forget_weight: options.forget_weight.unwrap_or(match method {
                // Its slope does not fall as the passages go, and would drown the retain set's.
                ForgetMethod::GradientDifference => 0.2,
                _ => 1.,
            }),
            retain_weight: match method {
                ForgetMethod::GradientAscent if verb == PassageVerb::Forget => 0.,
                _ => options.retain_weight.unwrap_or(1.),
            },
            beta: options.beta.unwrap_or(beta),
            delta: options.delta.unwrap_or(0.),
            chunk: options.chunk.unwrap_or(128),
            max_damage: options.max_damage.unwrap_or(0.1),
            stop_loss: options.stop_loss.unwrap_or(0.1),
            weight_decay: options.weight_decay.unwrap_or(0.),
            project: options.project.unwrap_or(false),
            clip: options.clip.unwrap_or(1.),
            micro_rows: TrainerSettings::ROWS,
            recompute: options.recompute.unwrap_or(false),
            seed,
        }
    }

    /// The rates that are tried.
    pub fn rates(&self) -> Vec<f64> {
        match self.rate {
            RateChoice::Given(rate) => vec![rate],
            RateChoice::Auto => {
                let middle = self.default_rate;
                vec![middle / RATE_STEP, middle, middle * RATE_STEP]
            }
        }
    }

    /// The forget loss of a passage of which the start model thinks `start_nll`, summed.
    pub(super) fn forget_loss(&self, start_nll: f64) -> ForgetLoss {
        match self.method {
            ForgetMethod::Wga => ForgetLoss::Wga { beta: self.beta },
            ForgetMethod::Npo => ForgetLoss::Npo { beta: self.beta, reference: -start_nll },
            ForgetMethod::Simnpo => ForgetLoss::SimNpo { beta: self.beta, delta: self.delta },
            ForgetMethod::GradientDifference | ForgetMethod::GradientAscent | ForgetMethod::Idk => {
                ForgetLoss::Ascent
            }
        }
    }

    pub(super) fn trainer(&self, rate: f64) -> TrainerSettings {
        let optimiser = AdamW { weight_decay: self.weight_decay, ..AdamW::default() };
        TrainerSettings {
            rate,
            schedule: Schedule { warm_up: self.warm_up, total: self.steps, end: End::Constant },
            optimiser,
            clip: Some(self.clip),
            micro_rows: self.micro_rows,
            recompute: self.recompute,
            ..TrainerSettings::default()
        }
    }
}

/// Low-rank factors take a larger rate than weights, and wide layers a smaller one than narrow ones:
/// a step of AdamW moves every weight alike, and their number adds up.
fn default_rate(verb: PassageVerb, rank: Option<usize>, hidden: usize) -> f64 {
    /// Width at which the rates below were found.
    const WIDTH: f64 = 576.;
    let rate = match (verb, rank) {
        (PassageVerb::Learn, None) => 1e-4,
        (PassageVerb::Forget, None) => 2e-5,
        (PassageVerb::Learn, Some(_)) => 4e-4,
        (PassageVerb::Forget, Some(_)) => 2e-4,
    };
    rate * WIDTH / hidden as f64
}
