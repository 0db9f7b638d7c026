//! Settings of the optimiser loop: learning rate, clipping, and how a step is split to fit memory.

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use crate::math::AdamW;

/// How a training goes; nothing here changes while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerSettings {
    /// Full learning rate.
    pub rate: f64,
    /// Its course over the steps.
    pub schedule: Schedule,
    /// Constants of AdamW.
    pub optimiser: AdamW,
    /// Largest norm of the whole gradient; larger ones are scaled down.
    pub clip: Option<f64>,
    /// Tokens that pass through the layers at once; more are split and their gradients added.
    pub micro_rows: usize,
    /// Keep only the layers' inputs and run each layer twice: less memory, more time.
    pub recompute: bool,
    /// Runs of `micro_rows` tokens that pass through the layers side by side, each on one thread and
    /// with gradients of its own, which are added in order. More than one pays where the matrices
    /// are too small to be shared among threads.
    pub lanes: usize,
    /// Parts of a batch whose gradients are summed apart and added in order, so that processes whose
    /// number divides it can share them out. More than one takes a further copy of the gradient.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shares: usize,
}

pub(super) fn one() -> usize {
    1
}

/// Left out, as in trainings from before there were shares.
pub(super) fn is_one(shares: &usize) -> bool {
    *shares == 1
}

impl TrainerSettings {
    /// Rows of a step whose memory is not limited: more are hardly faster, and activations grow.
    pub(super) const ROWS: usize = 384;
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self {
            rate: 1e-3,
            schedule: Schedule::constant(),
            optimiser: AdamW::default(),
            clip: Some(1.),
            micro_rows: 1024,
            recompute: false,
            lanes: 1,
            shares: 1,
        }
    }
}
