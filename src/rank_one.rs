//! Facts: keys, values and the rank-one change that maps one to the other.
//!
//! At layer l the down projection W maps a key k to a value W k (+ b). For a fact with
//! lookup token t:
//!
//! 1. [`key`](mod@key): k* = mean over contexts of k at t;
//! 2. [`value`](mod@value): δ = the change of the value at t that makes the model say the target;
//! 3. [`solve`](mod@solve): ΔW = δ (C⁻¹k*)ᵀ / (k*ᵀC⁻¹k*), so that (W + ΔW) k* = W k* + δ = v* exactly,
//!    while keys that are common under C = E[k kᵀ] move least; what the prompt is likely to meet,
//!    other names and the subject itself in other contexts, is added to C.
//!
//! Several facts at once: [`targets`] finds what each asks of the residual stream behind the
//! last layer, [`spread`] writes it into one layer or several, [`mod@solve`] is the same n×n
//! solve for every method.
//!
//! A fact to remove differs in what δ is asked for alone: [`mod@erase`].
//!
//! ROME, arXiv 2202.05262; MEMIT, 2210.07229; EMMET, 2403.14236; AlphaEdit, 2410.02355. One key stands on both sides of the update, which the published
//! program does not do (R-ROME, arXiv 2403.07175).

pub mod apply;
pub mod context;
pub mod erase;
pub mod factors;
pub mod key;
pub mod metric;
pub mod reading;
pub mod second_moment;
pub mod solve;
pub mod spread;
pub mod statistics;
pub mod targets;
pub mod value;

pub use apply::{WrittenFact, write_fact};
pub use context::EditContexts;
pub use metric::Factored;
pub use second_moment::SecondMoment;
pub use solve::{RankOneChange, RankOneError, Request, solve};
pub use spread::{Writer, WrittenBatch};
pub use value::{OptimisedValue, StepLoss};

use serde::{Deserialize, Serialize};

/// How facts are written; every value that `rank_one` in a spec may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The published objective, for comparison.
    pub parity: bool,
    /// Contexts beside the bare prompt.
    pub contexts: usize,
    /// Tokens of each sampled prefix.
    pub context_tokens: usize,
    /// Evaluations of the loss; one fewer updates.
    pub steps: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// ‖δ‖ ≤ clamp · ‖v0‖; v0 is the value, or in a batched method the residual stream.
    pub clamp: f64,
    /// Weight of ‖δ‖²/‖v0‖² (with `parity`, ‖δ‖/‖v0‖²).
    pub weight_decay: f64,
    /// Weight of the divergence at "{subject} is a".
    pub kl_weight: f64,
    /// The optimisation ends once the loss is below this.
    pub stop_loss: f64,
    /// How much other names under the same prompt count beside C.
    pub neighbor_weight: f64,
    /// The same for how the subject's key differs from context to context.
    pub scatter_weight: f64,
    /// Tokens behind the second moment.
    pub second_moment_tokens: usize,
    /// Added to C's diagonal, relative to its mean.
    pub ridge: f64,
    /// Largest ‖ΔW‖/‖W‖ that is accepted.
    pub max_delta: f64,
    /// Seed of prefixes and samples.
    pub seed: u64,
}

/// How a batch is solved for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSettings {
    /// λ of least squares, relative to the mean of kᵀMk; zero is exact.
    pub lambda: f64,
    /// Share of C's energy that AlphaEdit's null space holds.
    pub null_space: f64,
    /// Facts of a batch, where batches follow each other; nothing: all facts are one.
    pub sequential: Option<usize>,
    /// The factor of perplexity on held text at which a sequence stops.
    pub max_perplexity: f64,
}
