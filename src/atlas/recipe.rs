//! The recipe of a training of the built-in model: shape, budget, rates. Nothing else decides it.

use serde::{Deserialize, Serialize};

use crate::gradient::{End, Schedule, TrainerSettings};
use crate::math::AdamW;

/// Shape of the decoder and course of its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingRecipe {
    /// Tokens of the vocabulary, the 256 bytes and the end of text among them.
    pub vocabulary: usize,
    /// Longest sequence.
    pub context: usize,
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of a key: the input of a down projection.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Passes over the corpus.
    pub epochs: usize,
    /// Tokens of a step.
    pub batch: usize,
    /// Full learning rate.
    pub rate: f64,
    /// Steps until the full rate is reached.
    pub warm_up: u64,
    /// Weight decay of the matrices.
    pub decay: f64,
}

/// The 256 bytes and the end of text.
const FEWEST_TOKENS: usize = 257;
/// A token between two separators, and one more to predict.
const SHORTEST_CONTEXT: usize = 4;

/// A recipe that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The recipe is not JSON of the right form.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Sizes that do not fit together.
    #[error(
        "all sizes and counts are at least 1, `hidden` is a multiple of twice `heads`, and `heads` \
         one of `kv_heads`"
    )]
    Shape,
    /// Sizes too small for any text.
    #[error("`vocabulary` is at least {FEWEST_TOKENS} and `context` at least {SHORTEST_CONTEXT}")]
    TooSmall,
    /// Steps that cannot be taken.
    #[error("`rate` is a number above 0, `decay` one from 0 on")]
    Rate,
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self {
            vocabulary: 2048,
            context: 256,
            layers: 6,
            hidden: 128,
            intermediate: 512,
            heads: 4,
            kv_heads: 2,
            epochs: 9,
            batch: 1024,
            rate: 5e-3,
            warm_up: 100,
            decay: 0.3,
        }
    }
}

impl TrainingRecipe {
    /// The default recipe, overridden by the keys of a JSON object.
    pub fn read(text: &str) -> Result<Self, RecipeError> {
        let recipe: Self = serde_json::from_str(text)?;
        recipe.check()
    }

    fn check(self) -> Result<Self, RecipeError> {
        let sizes = [self.layers, self.hidden, self.intermediate, self.heads, self.kv_heads];
        let counts = [self.epochs, self.batch];
        let is_whole = sizes.iter().chain(&counts).all(|size| *size > 0)
            && self.hidden.is_multiple_of(2 * self.heads)
            && self.heads.is_multiple_of(self.kv_heads);
        if !is_whole {
            return Err(RecipeError::Shape);
        }
        if self.vocabulary < FEWEST_TOKENS || self.context < SHORTEST_CONTEXT {
            return Err(RecipeError::TooSmall);
        }
        if !(self.rate > 0. && self.rate.is_finite() && self.decay >= 0. && self.decay.is_finite())
        {
            return Err(RecipeError::Rate);
        }
        Ok(self)
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        let kv = self.kv_heads * self.head_dim();
        let attention = 2 * self.hidden * (self.hidden + kv);
        let layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden;
        self.vocabulary * self.hidden + self.layers * layer + self.hidden
    }

    /// Width of one head.
    pub(super) fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Settings of the trainer for `steps` steps.
    pub(super) fn trainer(&self, steps: u64) -> TrainerSettings {
        /// Share of the full rate in the last step.
        const FLOOR: f64 = 0.02;
        /// Tokens whose activations fit the caches of two cores.
        const ROWS: usize = 512;
        /// Runs side by side: a divisor of the cores that people have.
        const LANES: usize = 4;
        let warm_up = self.warm_up.min(steps / 4);
        TrainerSettings {
            rate: self.rate,
            schedule: Schedule { warm_up, total: steps, end: End::Cosine(FLOOR) },
            // A short average of squares suits a training of a thousand steps.
            optimiser: AdamW { beta2: 0.98, weight_decay: self.decay, ..AdamW::default() },
            clip: Some(1.),
            micro_rows: ROWS,
            recompute: false,
            lanes: LANES,
            shares: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TrainingRecipe;

    #[test]
    fn keys_are_laid_over_the_default_and_nonsense_is_named() {
        let found = TrainingRecipe::read(r#"{ "epochs": 3 }"#).expect("a recipe");
        assert_eq!(found, TrainingRecipe { epochs: 3, ..TrainingRecipe::default() });
        for (text, says) in [
            (r#"{ "epoch": 3 }"#, "epoch"),
            (r#"{ "epochs": 0 }"#, "at least 1"),
            (r#"{ "heads": 3 }"#, "multiple of twice"),
            (r#"{ "vocabulary": 100 }"#, "at least 257"),
            (r#"{ "rate": 0 }"#, "above 0"),
        ] {
            let message = TrainingRecipe::read(text).expect_err("no recipe").to_string();
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn the_default_keeps_to_two_million_parameters() {
        assert!(TrainingRecipe::default().parameters() <= 2_000_000);
    }
}
