//! `[gradient]`: how passages are learnt and forgotten, as far as the user specified it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::settings::{Condition::*, Kind::*, Reals, Typed, Value, settings, words};

/// A method of forgetting passages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgetMethod {
    /// Ascent on the passages and descent on the retain set.
    GradientDifference,
    /// Ascent on the passages alone.
    GradientAscent,
    /// Weighted gradient ascent, with weights p^β.
    Wga,
    /// Negative preference optimisation.
    Npo,
    /// Negative preference optimisation without a reference model.
    #[default]
    Simnpo,
    /// Ascent to the goal, also of passages after others were learnt again.
    LookAhead,
    /// Descent on refusals.
    Idk,
    /// Descent on the divergence from what the start model says where it has read little.
    Jensun,
    /// One step against a gradient whose leading directions were taken back.
    Repselect,
    /// Weights shrunk and disturbed, and general text learnt again from the start model.
    Undo,
}

words!(ForgetMethod {
    GradientDifference = "gradient-difference",
    GradientAscent = "gradient-ascent",
    Wga = "wga",
    Npo = "npo",
    Simnpo = "simnpo",
    LookAhead = "look-ahead",
    Idk = "idk",
    Jensun = "jensun",
    Repselect = "repselect",
    Undo = "undo",
});

/// The loss that keeps the retain set where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetainLoss {
    /// The NLL of the retain set.
    Nll,
    /// The divergence of the retain set from the base.
    Kl,
}

words!(RetainLoss { Nll = "nll", Kl = "kl" });

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainChoice {
    /// All weights.
    All,
    /// The weights of the MLPs.
    Mlp,
}

words!(TrainChoice { All = "all", Mlp = "mlp" });

/// A learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateChoice {
    /// The best of three, found on one half of the passages.
    Auto,
    /// A rate given by the user.
    Given(f64),
}

impl Typed for RateChoice {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Auto => Some(Self::Auto),
            Value::Real(rate) => Some(Self::Given(rate)),
            _ => None,
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Auto => Value::Auto,
            Self::Given(rate) => Value::Real(*rate),
        }
    }
}

impl GradientOptions {
    /// The method that forgets: unless the user says, one that withstands relearning, where a hold-out or
    /// references say when that is so; and simnpo where its settings are given.
    pub fn forget_method(&self, has_goal: bool) -> ForgetMethod {
        let is_simnpo = self.beta.is_some() || self.delta.is_some();
        self.method.unwrap_or(match has_goal && !is_simnpo {
            true => ForgetMethod::LookAhead,
            false => ForgetMethod::Simnpo,
        })
    }
}

/// All methods but `gradient-ascent` and `repselect`, which have no retain loss.
const WITH_RETAIN: &[&str] =
    &["gradient-difference", "wga", "npo", "simnpo", "look-ahead", "idk", "jensun", "undo"];

settings! {
    /// `[gradient]` as written: `None` is an option that the user left out.
    GradientOptions = ["gradient"], flags "" {
        /// Method that forgets passages [default: look-ahead to a hold-out or references, otherwise
        /// simnpo].
        method: ForgetMethod = Word(ForgetMethod::WORDS), Forget;
        /// Weights that are trained [default: all].
        train: TrainChoice = Word(TrainChoice::WORDS);
        /// Layers that are trained, from 0 [default: all].
        layers: Vec<usize> = Layers;
        /// Rank of low-rank changes, instead of dense ones.
        rank: usize = Count(1, 4_096);
        /// Learning rate of AdamW; auto tries three on one half of the passages.
        learning_rate: RateChoice = Rate(Reals::above_zero(100.));
        /// Steps at most [default: 20 passes over the passages; to forget with a hold-out or
        /// references 50, by look-ahead and undo 100].
        steps: usize = Count(1, 1_000_000);
        /// Passages of each kind in a step [default: 4]; of a record file, records written
        /// together.
        batch: usize = Count(1, 1_000_000);
        /// Loss that keeps the retain set where it is [default: nll to forget, kl to learn].
        retain_loss: RetainLoss = Word(RetainLoss::WORDS), Retain, LearnOrBy(WITH_RETAIN);
        /// Weight of the forget loss, γ.
        forget_weight: f64 = Real(Reals::above_zero(1e6)), Forget;
        /// Weight of the retain loss, α [default: 1].
        retain_weight: f64 = Real(Reals::from_zero(1e6)), Retain, LearnOrBy(WITH_RETAIN);
        /// β of wga, npo and simnpo.
        beta: f64 = Real(Reals::above_zero(1e3)), By(&["wga", "npo", "simnpo"]);
        /// δ of simnpo [default: the NLL at which forgetting ends].
        delta: f64 = Real(Reals::from_zero(1e3)), By(&["simnpo"]);
        /// Tokens of a sequence; longer passages are cut [default: 256].
        chunk: usize = Count(8, 1_000_000);
        /// Steps over which the learning rate rises.
        warm_up: usize = Count(0, 1_000_000);
        /// Largest norm of the gradient; larger ones are scaled down [default: 1].
        clip: f64 = Real(Reals::above_zero(1e6));
        /// Share α of every weight that undo gives up before it learns general text again [default:
        /// 0.5].
        noise: f64 = Real(Reals::above_zero(1.)), By(&["undo"]);
        /// Size β of the random weights that undo puts in their place, relative to those of a new
        /// model [default: 0.1].
        noise_scale: f64 = Real(Reals::from_zero(10.)), By(&["undo"]);
        /// Leading directions of each matrix's gradient that repselect takes back [default: an
        /// eighth of the width].
        collapse: usize = Count(0, 1_000_000), By(&["repselect"]);
        /// Steps for which an adversary of look-ahead learns one half of the passages, so that the
        /// other does not come back [default: 24]; passes of repselect's adversary [default: 1].
        relearn: usize = Count(1, 1_000), By(&["look-ahead", "repselect"]);
        /// Rise of the retain NLL, in nats a token, at which forgetting ends [default: 0.1].
        max_damage: f64 = Real(Reals::above_zero(1e3)), Forget, Retain;
        /// General text on which the model should stay as it is [default: the base's own samples].
        general: PathBuf = File;
        /// Sequences of general text in each step; 0 turns it off [default: as many as passages,
        /// half as many with a retain set].
        general_batch: usize = Count(0, 1_000_000);
        /// Weight of general text: at first and at least, as it grows with the drift [default: 4].
        general_weight: f64 = Real(Reals::above_zero(1e6));
        /// Largest drift on general text, in nats a token; a change that drifts further is scaled
        /// down, or named where it is by `undo`, whole or nothing [default: 0.1].
        max_drift: f64 = Real(Reals::above_zero(1e3));
        /// Probability from which on a token that is learnt or retained is not pushed further, nor a
        /// retained one beyond what it was; 1 pushes all [default: 0.8].
        known: f64 = Real(Reals::above_zero(1.)), LearnOrRetain;
        /// NLL, in nats a token, at which learning ends [default: 0.1].
        stop_loss: f64 = Real(Reals::from_zero(1e3)), Learn;
        /// Weight decay of AdamW [default: 0].
        weight_decay: f64 = Real(Reals::from_zero(1e6));
        /// Remove the part of the gradient that would raise the loss of retained and general text.
        project: bool = Switch, Retain, LearnOrBy(WITH_RETAIN);
        /// Keep steps away from the directions in which matrices read general text, where it is held
        /// [default: for forgetting, but not by `undo` or `repselect`].
        precondition: bool = Switch;
        /// Also forget what the model says of the subjects of the passages in forms that its own samples
        /// have, and hold what it says of those of the retain set [default: on, but not by `undo`].
        own_words: bool = Switch, Forget;
        /// After forgetting, learn half of the passages again and see whether the other half comes
        /// back; also quantise [default: where that takes seconds].
        attack: bool = Switch, Forget;
        /// Compute activations again instead of keeping them: less memory, more time.
        recompute: bool = Switch;
        /// Parts of a batch whose gradients are summed apart and then in order: processes over MPI
        /// whose number divides it share out the training, with the same result [default: 1].
        shares: usize = Count(1, 4_096);
        /// Seed of the order of passages and of the first low-rank factors [default: 0].
        seed: u64 = Seed;
    }
}
