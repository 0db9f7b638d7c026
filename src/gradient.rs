//! Passages: gradients of a decoder's weights, and what is trained with them.
//!
//! One engine serves learning and forgetting. A step takes [`Example`]s, each with a [`TokenLoss`]
//! that turns the NLL of its targets into a loss and its slopes; the gradient of Σ scale · loss runs
//! backward layer by layer and is summed in f32 buffers; [`Trainer`] applies AdamW to f32 masters
//! that the decoder shares. Reduction is per sequence, then over sequences by their scales.
//!
//! Activations of one layer at a time, logits of a few sequences at a time: peak memory is four
//! numbers a trained weight (value, gradient, two moments) and the activations of `micro_rows`
//! tokens. Nothing depends on the number of threads.

mod backward;
mod closure;
mod data;
mod example;
mod footprint;
mod general;
mod goals;
mod head;
mod landing;
mod lanes;
mod little_read;
mod look_ahead;
mod mean_nll;
mod memory;
mod own_words;
mod passages;
mod precondition;
mod relearn;
mod repselect;
mod schedule;
mod sets;
mod settings;
mod shares;
mod state;
mod sweep;
mod trainer;
mod trainer_settings;
mod undo;

pub use closure::{NearDuplicate, near_duplicates};
pub use data::{examples, questions};
pub use example::Example;
pub use footprint::{Footprint, TooLarge};
pub use general::{GeneralText, without_mentions, without_runs_of};
pub(crate) use head::in_logits;
pub use head::{answered, measure, references};
pub use landing::{Budget, Cut};
pub use memory::{Memory, extraction_strength, memory};
pub use own_words::{OwnWords, Subjects};
pub use passages::{Checkpointing, PassageRun, PathPoint, Stopped, goal, train};
pub use relearn::Relearner;
pub use schedule::{End, Order, Schedule};
pub use sets::{AskedSets, PassageSets};
pub use settings::{Extent, PassageSettings, relearning_rate};
pub use state::SAVED_TRAINING;
pub use sweep::{RateTrial, try_rates};
pub use trainer::{StepReport, Trainer};
pub use trainer_settings::TrainerSettings;

pub use crate::objective::{ForgetLoss, Outcome, Reference, Steer, TokenLoss};

use crate::files::FileError;
use crate::math::NoConvergence;
use crate::model::ModelError;
use crate::progress::Interrupted;
use crate::ranks::RankError;

/// A training that could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss or the gradient is not a number.
    #[error("step {step}: the loss is {loss}, the gradient's norm {gradient_norm}")]
    NotFinite {
        /// From 1.
        step: u64,
        /// Σ scale · loss.
        loss: f64,
        /// Of all parameters together.
        gradient_norm: f64,
    },
    /// A saved training that does not fit.
    #[error("cannot resume from {file}: {reason}")]
    State {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state could not be written.
    #[error("{0}")]
    File(#[from] FileError),
    /// The model cannot be trained so.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A gradient has no leading directions.
    #[error("{0}")]
    NoConvergence(#[from] NoConvergence),
    /// A computation failed.
    #[error("{0}")]
    Compute(#[from] candle_core::Error),
    /// Another process of the training failed.
    #[error("{0}")]
    Ranks(#[from] RankError),
    /// The user stopped it.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
}

#[cfg(test)]
mod tests;
