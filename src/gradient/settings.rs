//! How passages are learnt and forgotten: every choice, with defaults filled in.

use serde::{Deserialize, Serialize};

use super::schedule::{End, Schedule};
use super::sets::PassageSets;
use super::trainer_settings::{TrainerSettings, is_one, one};
use crate::math::AdamW;
use crate::model::{TrainRule, Trained};
use crate::objective::{ForgetLoss, TokenLoss};
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
    /// Loss that keeps the retain set where it is.
    pub retain_loss: RetainLoss,
    /// Weight of the forget loss, γ.
    pub forget_weight: f64,
    /// Weight of the retain loss, α.
    pub retain_weight: f64,
    /// β of wga, npo and simnpo.
    pub beta: f64,
    /// δ of simnpo; nothing: the NLL at which forgetting is to end, or zero where none is known.
    pub delta: Option<f64>,
    /// Tokens of a sequence.
    pub chunk: usize,
    /// The rise of the retain NLL, nats a token, that ends forgetting.
    pub max_damage: f64,
    /// Most steps of relearning that forgetting is trained to withstand.
    pub relearn: usize,
    /// Rate of those steps.
    pub relearn_rate: f64,
    /// Share α of every weight that undo gives up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub noise: f64,
    /// Size β of the random weights in their place, relative to those of a new model.
    #[serde(default, skip_serializing_if = "is_default")]
    pub noise_scale: f64,
    /// Leading directions of each matrix's gradient that repselect takes back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub collapse: usize,
    /// Sequences of general text in a step.
    pub general_batch: usize,
    /// Weight of general text, λ, at first and at least.
    pub general_weight: f64,
    /// Largest drift on general text, nats a token.
    pub max_drift: f64,
    /// Probability from which on a token that is learnt or retained is not pushed further.
    pub known: f64,
    /// The NLL, nats a token, that ends learning.
    pub stop_loss: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Remove the part of the gradient that would raise the retain loss.
    pub project: bool,
    /// Forget and hold what the model says of the subjects of the passages in forms of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub own_words: bool,
    /// Keep steps away from the directions that general text takes in what the linear maps read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precondition: bool,
    /// Largest norm of the gradient; larger ones are scaled down.
    pub clip: f64,
    /// Tokens that pass through the layers at once; the gradients of a step's parts are added.
    pub micro_rows: usize,
    /// Compute activations again instead of keeping them.
    pub recompute: bool,
    /// Parts of a batch whose gradients are summed apart and then in order; the processes of a
    /// training, whose number divides it, sum as many each.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shares: usize,
    /// Seed of draws and first factors.
    pub seed: u64,
}

/// A setting that changes nothing is left out, as in trainings from before there was one.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a training is about, as far as its defaults depend on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Sequences that are to be learnt or forgotten.
    pub sequences: usize,
    /// Their mean number of targets.
    pub targets: f64,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers of the decoder.
    pub layers: usize,
    /// Text is retained.
    pub has_retain: bool,
    /// A hold-out or a reference says where forgetting is to end.
    pub has_goal: bool,
}

impl Extent {
    /// The extent of `sets` for a decoder of this width and depth.
    pub fn new(sets: &PassageSets, hidden: usize, layers: usize, has_goal: bool) -> Self {
        let sequences = sets.passages.len();
        let targets: usize =
            sets.passages.iter().map(|example| example.ids.len() - example.first_target).sum();
        let targets = (targets as f64 / sequences.max(1) as f64).max(1.);
        let has_retain = !sets.retain.is_empty();
        Self { sequences, targets, hidden, layers, has_retain, has_goal }
    }
}

/// Weight of the forget loss, where the retain loss has weight 1 and both count nats a token. A
/// loss whose gradient does not shrink as passages are forgotten would swamp the retain gradient with
/// more.
const FORGET_WEIGHT: f64 = 0.2;

/// The drift on general text, nats a token, from which on a verdict calls a model damaged.
const MAX_DRIFT: f64 = 0.1;

/// Weight of general text. With 1 the drift of 8 paragraphs learnt was half as large again.
const GENERAL_WEIGHT: f64 = 4.;

/// A token of this probability is the first choice, and being surer of it makes a model surer of
/// everything: the same 8 paragraphs then cost unrelated ones 2.8 % of perplexity instead of 5.3.
const KNOWN: f64 = 0.8;

/// Share of the weights that undo gives up, and the size of what takes its place.
const NOISE: f64 = 0.5;
const NOISE_SCALE: f64 = 0.1;

/// Rates between the lowest and the highest of `auto`.
const RATE_STEP: f64 = 3.;

impl PassageSettings {
    /// Tokens of a sequence: most passages are whole. One that is cut is learnt and forgotten in
    /// parts of which only the first is where it will be asked for.
    pub fn chunk(options: &GradientOptions) -> usize {
        options.chunk.unwrap_or(256)
    }

    /// Defaults for whatever the user left out.
    pub fn new(options: &GradientOptions, verb: PassageVerb, extent: &Extent) -> Self {
        let can_part = verb == PassageVerb::Forget && extent.sequences > 1;
        let method = options.forget_method(extent.has_goal && can_part);
        let forgets_by = |one| verb == PassageVerb::Forget && method == one;
        let batch = options.batch.unwrap_or(4);
        let epoch = extent.sequences.div_ceil(batch).max(1) as u64;
        let steps = match options.steps {
            Some(steps) => steps as u64,
            None if forgets_by(ForgetMethod::Repselect) => 1,
            None => epoch * usual_passes(verb, method, extent.has_goal),
        };
        let beta = match method {
            // The slope halves as the NLL rises by 1.1 nats a token, whatever a passage's length.
            ForgetMethod::Npo => 1. / extent.targets,
            ForgetMethod::Wga => 1.,
            _ => 4.5,
        };
        let forget_weight = match method {
            ForgetMethod::GradientDifference | ForgetMethod::LookAhead | ForgetMethod::Undo => {
                FORGET_WEIGHT
            }
            // Its loss is of the sum over tokens.
            ForgetMethod::Npo => FORGET_WEIGHT / extent.targets,
            // Its slope stays until the NLL is at δ; with δ = 0 it falls from the start.
            ForgetMethod::Simnpo if options.delta.map_or(extent.has_goal, |delta| delta > 0.) => {
                FORGET_WEIGHT
            }
            _ => 1.,
        };
        let trained = match options.train {
            Some(TrainChoice::Mlp) => Trained::Mlp,
            None if forgets_by(ForgetMethod::Repselect) => Trained::Mlp,
            _ => Trained::All,
        };
        let seed = options.seed.unwrap_or(0);
        let is_undo = forgets_by(ForgetMethod::Undo);
        let is_preconditioned =
            verb == PassageVerb::Forget && !is_undo && method != ForgetMethod::Repselect;
        let general_batch = options.general_batch.unwrap_or(match extent.has_retain {
            _ if is_undo => 2 * batch,
            true => batch.div_ceil(2),
            false => batch,
        });
        let (layers, rank) = (options.layers.clone(), options.rank);
        let default_rate = match is_undo {
            // Undo learns again most of what the model knew.
            true => relearning_rate(rank, extent),
            false => usual_rate(verb, rank, extent),
        };
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
            forget_weight: options.forget_weight.unwrap_or(forget_weight),
            retain_weight: match method {
                ForgetMethod::GradientAscent | ForgetMethod::Repselect
                    if verb == PassageVerb::Forget =>
                {
                    0.
                }
                _ => options.retain_weight.unwrap_or(1.),
            },
            beta: options.beta.unwrap_or(beta),
            delta: options.delta,
            chunk: Self::chunk(options),
            max_damage: options.max_damage.unwrap_or(0.1),
            relearn: match method {
                _ if verb == PassageVerb::Learn => 0,
                ForgetMethod::LookAhead => options.relearn.unwrap_or(24),
                ForgetMethod::Repselect => options.relearn.unwrap_or(1),
                _ => 0,
            },
            relearn_rate: 0.5 * relearning_rate(rank, extent),
            general_batch,
            noise: if is_undo { options.noise.unwrap_or(NOISE) } else { 0. },
            noise_scale: if is_undo { options.noise_scale.unwrap_or(NOISE_SCALE) } else { 0. },
            collapse: match method {
                ForgetMethod::Repselect => options.collapse.unwrap_or(extent.hidden.div_ceil(8)),
                _ => 0,
            },
            general_weight: options.general_weight.unwrap_or(GENERAL_WEIGHT),
            max_drift: options.max_drift.unwrap_or(MAX_DRIFT),
            known: options.known.unwrap_or(KNOWN),
            stop_loss: options.stop_loss.unwrap_or(0.1),
            weight_decay: options.weight_decay.unwrap_or(0.),
            project: options.project.unwrap_or(false),
            own_words: match verb {
                PassageVerb::Learn => false,
                PassageVerb::Forget => options.own_words.unwrap_or(!is_undo),
            },
            precondition: options.precondition.unwrap_or(is_preconditioned) && general_batch > 0,
            clip: options.clip.unwrap_or(1.),
            micro_rows: TrainerSettings::ROWS,
            recompute: options.recompute.unwrap_or(false),
            shares: options.shares.unwrap_or(1),
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

    /// The forget loss of a passage of which the start model thinks `start_nll`, summed; `goal` is the
    /// NLL, nats a token, at which forgetting is to end.
    pub(super) fn forget_loss(&self, start_nll: f64, goal: Option<f64>) -> ForgetLoss {
        match self.method {
            ForgetMethod::Wga => ForgetLoss::Wga { beta: self.beta },
            ForgetMethod::Npo => ForgetLoss::Npo { beta: self.beta, reference: -start_nll },
            ForgetMethod::Simnpo => {
                let delta = self.delta.or(goal).unwrap_or(0.);
                ForgetLoss::SimNpo { beta: self.beta, delta }
            }
            ForgetMethod::LookAhead => ForgetLoss::Toward { goal: goal.unwrap_or(f64::INFINITY) },
            // To pull them down to the goal would be to learn them.
            ForgetMethod::Undo => ForgetLoss::Until { goal: goal.unwrap_or(f64::INFINITY) },
            ForgetMethod::GradientDifference
            | ForgetMethod::GradientAscent
            | ForgetMethod::Repselect
            | ForgetMethod::Jensun
            | ForgetMethod::Idk => ForgetLoss::Ascent,
        }
    }

    /// The loss of a passage that is learnt or retained by its NLL.
    pub(super) fn learn_loss(&self) -> TokenLoss {
        match self.known < 1. {
            true => TokenLoss::Above(-self.known.ln() as f32),
            false => TokenLoss::Mean,
        }
    }

    /// The loss of a retained passage whose targets have these NLL under the start model, below
    /// which none is pushed: what is to stay should not be learnt by heart.
    pub(super) fn retain_loss_from(&self, start: &[f32]) -> TokenLoss {
        match self.learn_loss() {
            TokenLoss::Above(known) => {
                TokenLoss::AboveEach(start.iter().map(|nll| nll.max(known)).collect())
            }
            other => other,
        }
    }

    pub(super) fn trainer(&self, rate: f64) -> TrainerSettings {
        let is_undo = self.noise > 0.;
        let end = if is_undo { End::Cosine(0.05) } else { End::Constant };
        let optimiser = AdamW { weight_decay: self.weight_decay, ..AdamW::default() };
        TrainerSettings {
            rate,
            schedule: Schedule { warm_up: self.warm_up, total: self.steps, end },
            optimiser,
            clip: Some(self.clip),
            micro_rows: self.micro_rows,
            recompute: self.recompute,
            shares: self.shares,
            ..TrainerSettings::default()
        }
    }
}

/// Passes over the passages at most. Where forgetting has a goal it ends there; own words, which are only
/// a part of what a step forgets, take longer than the passages.
fn usual_passes(verb: PassageVerb, method: ForgetMethod, has_goal: bool) -> u64 {
    match (verb, method) {
        (PassageVerb::Forget, ForgetMethod::LookAhead | ForgetMethod::Undo) => 100,
        (PassageVerb::Forget, _) if has_goal => 50,
        _ => 20,
    }
}

/// Low-rank factors take a larger rate than weights, and wide or deep decoders a smaller one: a step of
/// AdamW moves every weight alike, and what that does adds up over a layer's width and over the layers.
/// What all weights learn in a small decoder at a rate that falls with its size is learnt by a few large
/// steps, which harm the rest, so there the rate falls with its root.
fn usual_rate(verb: PassageVerb, rank: Option<usize>, extent: &Extent) -> f64 {
    match (verb, rank) {
        (PassageVerb::Learn, None) => 1e-4 * smallness(extent).sqrt(),
        (PassageVerb::Forget, None) => 2e-5 * smallness(extent),
        (PassageVerb::Learn, Some(_)) => relearning_rate(rank, extent),
        (PassageVerb::Forget, Some(_)) => 2e-4 * smallness(extent),
    }
}

/// The rate of whoever learns passages again and does not mind what else that changes.
pub fn relearning_rate(rank: Option<usize>, extent: &Extent) -> f64 {
    smallness(extent) * if rank.is_some() { 4e-4 } else { 1e-4 }
}

/// How much smaller than the one that the rates were found on a decoder is in width and depth.
fn smallness(extent: &Extent) -> f64 {
    const WIDTH: f64 = 576.;
    const DEPTH: f64 = 30.;
    (WIDTH / extent.hidden as f64) * (DEPTH / extent.layers as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent {
        sequences: 40,
        targets: 100.,
        hidden: 576,
        layers: 30,
        has_retain: true,
        has_goal: true,
    };

    fn defaults(method: ForgetMethod, extent: Extent) -> PassageSettings {
        let options = GradientOptions { method: Some(method), ..GradientOptions::default() };
        PassageSettings::new(&options, PassageVerb::Forget, &extent)
    }

    #[test]
    fn rates_fall_with_width_and_depth() {
        let rate = |hidden, layers| {
            defaults(ForgetMethod::Npo, Extent { hidden, layers, ..EXTENT }).default_rate
        };
        for (hidden, layers, expected) in [(576, 30, 2e-5), (1152, 30, 1e-5), (576, 6, 1e-4)] {
            let rate = rate(hidden, layers);
            assert!((rate / expected - 1.).abs() < 1e-9, "{hidden}, {layers}: {rate}");
        }
        let small = Extent { hidden: 144, layers: 30, ..EXTENT };
        let learn = PassageSettings::new(&GradientOptions::default(), PassageVerb::Learn, &small);
        assert!((learn.default_rate / 2e-4 - 1.).abs() < 1e-9, "{}", learn.default_rate);
        let again = relearning_rate(None, &small);
        assert!((again / 4e-4 - 1.).abs() < 1e-9, "{again}");
    }

    /// At the start all slopes a token are those of gradient difference, or twice as large.
    #[test]
    fn the_weights_of_the_methods_mean_the_same() {
        let slope = |method, count: usize, extent| {
            let settings = defaults(method, extent);
            let nll = vec![0.1f32; count];
            let sum = nll.iter().map(|n| f64::from(*n)).sum();
            let loss = TokenLoss::Forget(settings.forget_loss(sum, Some(10.)));
            -f64::from(loss.evaluate(&nll).1[0]) * settings.forget_weight
        };
        for (method, factor) in [
            (ForgetMethod::GradientDifference, 1.),
            (ForgetMethod::Npo, 1.),
            (ForgetMethod::Simnpo, 2.),
        ] {
            for count in [20, 100] {
                let slope = slope(method, count, Extent { targets: count as f64, ..EXTENT });
                let expected = factor * FORGET_WEIGHT / count as f64;
                assert!((slope / expected - 1.).abs() < 1e-5, "{method:?}, {count}: {slope}");
            }
        }
    }

    #[test]
    fn simnpo_aims_at_the_goal() {
        let delta = |settings: &PassageSettings, goal| match settings.forget_loss(1., goal) {
            ForgetLoss::SimNpo { delta, .. } => delta,
            other => panic!("{other:?}"),
        };
        let aimed = defaults(ForgetMethod::Simnpo, EXTENT);
        assert_eq!((delta(&aimed, Some(1.5)), aimed.forget_weight), (1.5, FORGET_WEIGHT));
        let free = defaults(ForgetMethod::Simnpo, Extent { has_goal: false, ..EXTENT });
        assert_eq!((delta(&free, None), free.forget_weight), (0., 1.));
        let given = PassageSettings { delta: Some(0.), ..aimed };
        assert_eq!(delta(&given, Some(1.5)), 0.);
    }
}
