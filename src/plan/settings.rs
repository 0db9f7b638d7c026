//! How facts are written, with every default filled in.

use serde::{Deserialize, Serialize};

/// How facts are written; every value that `rank_one` in a spec may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Reproduce the published objective and contexts to the letter.
    pub parity: bool,
    /// Number of sampled prefixes that the prompt is also optimised after.
    pub contexts: usize,
    /// Tokens of each sampled prefix.
    pub context_tokens: usize,
    /// Evaluations of the loss; one fewer updates.
    pub steps: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// The bound ‖δ‖ ≤ clamp · ‖v0‖; v0 is the value, or in a batched method the residual stream.
    pub clamp: f64,
    /// Weight of ‖δ‖²/‖v0‖² (with `parity`, ‖δ‖/‖v0‖²).
    pub weight_decay: f64,
    /// Weight of the divergence at "{subject} is a".
    pub kl_weight: f64,
    /// Weight of −ln P(the sentence ends after the target); zero leaves the end open.
    #[serde(default, skip_serializing_if = "is_default")]
    pub end_weight: f64,
    /// The optimisation ends once the loss is below this.
    pub stop_loss: f64,
    /// Weight of other names under the same prompts, relative to the second moment.
    pub neighbor_weight: f64,
    /// Weight of the names that end as one subject does, under its prompts, relative to the second
    /// moment.
    #[serde(default, skip_serializing_if = "is_default")]
    pub near_weight: f64,
    /// Frames of other wordings that an erased prompt is also optimised in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wordings: usize,
    /// Weight of an erased answer where the residual stream shows it after a layer on the way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lens_weight: f64,
    /// Weight of the spread of the subject's own keys, relative to the second moment.
    pub scatter_weight: f64,
    /// Tokens that the second moment is measured on.
    pub second_moment_tokens: usize,
    /// Ridge on the second moment, relative to the mean of its diagonal.
    pub ridge: f64,
    /// Largest ‖ΔW‖/‖W‖ that is accepted.
    pub max_delta: f64,
    /// Seed of prefixes and samples.
    pub seed: u64,
}

/// Plans and digests of a run without the setting are those from before there was one.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Settings of the solve for a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSettings {
    /// The λ of least squares, relative to the mean of kᵀMk; zero is exact.
    pub lambda: f64,
    /// Share of the second moment's energy in AlphaEdit's null space.
    pub null_space: f64,
    /// Facts of a batch, where batches follow each other; nothing: all facts are one batch.
    pub sequential: Option<usize>,
    /// Perplexity on held-out text, relative to the base, at which a sequence stops.
    pub max_perplexity: f64,
    /// Largest drift on general text, in nats a token; facts that would pass it are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_drift: Option<f64>,
    /// Whether statistics are collected that predict the drift; nothing: where they are cached, and
    /// for many facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<bool>,
}
