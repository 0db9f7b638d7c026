//! `[rank_one]`: how facts are written, as far as the user specified it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::settings::{Condition::*, Kind::*, Reals, Typed, Uses, Value, settings, words};

/// A member of the rank-one family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// One exact rank-one write at one layer (arXiv 2202.05262).
    #[default]
    Rome,
    /// A batch, exact (arXiv 2403.14236), at one layer or spread over several.
    Emmet,
    /// A batch by least squares, spread over layers (arXiv 2210.07229).
    Memit,
    /// A batch by least squares inside the null space of the second moment (arXiv 2410.02355).
    AlphaEdit,
}

words!(Method { Rome = "rome", Emmet = "emmet", Memit = "memit", AlphaEdit = "alphaedit" });

impl Method {
    /// Whether all facts are written together; the others are written one after the other.
    pub fn is_batched(self) -> bool {
        self != Self::Rome
    }
}

impl Uses {
    /// The use of settings by facts that `method` writes, and of which some are erased.
    pub fn of_facts(method: Method, erases: bool) -> Self {
        Self { methods: vec![method.name()], erases, ..Self::default() }
    }
}

/// Which layers facts are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerChoice {
    /// `"auto"`: the plan chooses.
    Auto,
    /// `"sweep"`: the facts themselves are tried at one layer after another. A plan that is made
    /// without the sweep chooses as for `"auto"`.
    Sweep,
    /// Layers given by the user, from 0, ascending and without repeats; at least one.
    Given(Vec<usize>),
}

impl Typed for LayerChoice {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Auto => Some(Self::Auto),
            Value::Sweep => Some(Self::Sweep),
            Value::Layers(layers) => Some(Self::Given(layers)),
            _ => None,
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Auto => Value::Auto,
            Self::Sweep => Value::Sweep,
            Self::Given(layers) => Value::Layers(layers.clone()),
        }
    }
}

/// Largest weight of a term of a loss or of a solve; a larger one would swamp the other terms.
const WEIGHT: f64 = 1e6;
/// Largest loss, in nats a token.
const NATS: f64 = 1e3;

settings! {
    /// `[rank_one]` as written: `None` is an option that the user left out.
    RankOneOptions = ["rank_one"], flags "" {
        /// Method that writes facts [default: rome].
        method: Method = Word(Method::WORDS);
        /// Layers to write, from 0; sweep tries some on the facts [default: the family's].
        layers: LayerChoice = LayerChoice;
        /// Seed of sampled prefixes and texts [default: 0].
        seed: u64 = Seed;
        /// Reproduce the published objective and contexts to the letter.
        parity: bool = Switch;
        /// Number of sampled prefixes that the prompt is also optimised after.
        contexts: usize = Count(0, 1_000);
        /// Length of a sampled prefix, in tokens [default: 10].
        context_tokens: usize = Count(1, 1_000);
        /// Evaluations of the loss at most.
        steps: usize = Count(1, 10_000);
        /// Learning rate of Adam [default: 0.5].
        learning_rate: f64 = Real(Reals::above_zero(100.));
        /// Largest |δ| as a multiple of |v0| (rome) or of the residual stream (other methods).
        clamp: f64 = Real(Reals::above_zero(1e6));
        /// Weight of the decay of δ.
        weight_decay: f64 = Real(Reals::from_zero(WEIGHT));
        /// Weight of the divergence at "{subject} is a" [default: 0.0625].
        kl_weight: f64 = Real(Reals::from_zero(WEIGHT));
        /// Weight of the loss that ends the sentence after the target; 0 leaves it open [default: 0.3].
        end_weight: f64 = Real(Reals::from_zero(100.));
        /// Loss at which the optimisation ends early [default: 0.05].
        stop_loss: f64 = Real(Reals::from_zero(NATS));
        /// Weight of other names under the same prompts, relative to the second moment.
        neighbor_weight: f64 = Real(Reals::from_zero(WEIGHT));
        /// Weight of names that end as the subject does, relative to the second moment.
        near_weight: f64 = Real(Reals::from_zero(WEIGHT));
        /// Weight of the spread of the subject's own keys, relative to the second moment.
        scatter_weight: f64 = Real(Reals::from_zero(WEIGHT)), By(&["rome"]);
        /// Frames of other wordings that an erased prompt is also optimised in [default: 0].
        wordings: usize = Count(0, 6), Erase;
        /// Weight of an erased answer that the residual stream shows between layers [default: 0].
        lens_weight: f64 = Real(Reals::from_zero(WEIGHT)), Erase;
        /// Tokens that the second moment is measured on [default: 8 times the width of a key, fewer
        /// where that takes minutes].
        second_moment_tokens: usize = Count(1, 1_000_000_000);
        /// Ridge on the second moment, relative to the mean of its diagonal [default: 0.01].
        ridge: f64 = Real(Reals::from_zero(1e3));
        /// Text for the second moment instead of the model's own samples.
        corpus: PathBuf = File;
        /// Largest |ΔW|/|W| that is accepted.
        max_delta: f64 = Real(Reals::above_zero(1e12));
        /// Largest drift on general text, in nats a token; facts that would pass it are left out.
        max_drift: f64 = Real(Reals::above_zero(1e3));
        /// Collect what predicts the drift of an edit before it is written [default: where it is
        /// cached, and for ten facts or more].
        price: bool = Switch;
        /// λ of least squares, relative to the scale of the keys [default: 0.1].
        lambda: f64 = Real(Reals::from_zero(WEIGHT)), By(&["memit", "alphaedit"]);
        /// Share of the second moment's energy in the null space [default: 0.5].
        null_space: f64 = Real(Reals::above_zero(1.)), By(&["alphaedit"]);
        /// Write batches of this many facts one after the other, each into what the last one left.
        sequential: usize = Count(1, 1_000_000), By(&["emmet", "memit", "alphaedit"]);
        /// Perplexity on held-out text, relative to the base, at which a sequence stops [default:
        /// 2].
        max_perplexity: f64 = Real(Reals::above_zero(1e12)), With("sequential");
    }
}
