//! What a training that is saved holds beside weights and moments, and how it is told from others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Checkpointing, PathPoint, Stopped};
use crate::files::Sha256;
use crate::gradient::TrainError;
use crate::gradient::general::Steering;
use crate::gradient::schedule::Order;

/// Everything that a step changes, beside the trainer: what a checkpoint holds.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    pub(super) passages: Draws,
    pub(super) retain: Draws,
    /// NLL a token of each sequence when it was last drawn.
    pub(super) seen: BTreeMap<usize, f64>,
    pub(super) retained: BTreeMap<usize, f64>,
    pub(super) path: Vec<PathPoint>,
    pub(super) stopped: Option<Stopped>,
    pub(super) steering: Steering,
}

/// The order of a set, and apart from it that of what the model says in its own words, which stands behind
/// the passages.
#[derive(Serialize, Deserialize)]
pub(super) struct Draws {
    sizes: [usize; 2],
    orders: [Order; 2],
}

impl Draws {
    pub(super) fn new(sizes: [usize; 2], seed: u64) -> Self {
        /// Beyond the seeds of all other orders.
        const OWN: u64 = 16;
        let [passages, own] = sizes;
        Self {
            sizes,
            orders: [Order::new(passages, seed), Order::new(own, seed.wrapping_add(OWN))],
        }
    }

    /// Indices of so many passages and of so much of what is said in the model's own words, or of all.
    pub(super) fn take(&mut self, counts: [usize; 2]) -> [Vec<usize>; 2] {
        let [passages, own] = self.sizes;
        let [first, second] = &mut self.orders;
        let said = second.take(counts[1].min(own));
        [first.take(counts[0].min(passages)), said.into_iter().map(|at| passages + at).collect()]
    }
}

impl State {
    pub(super) fn resume(
        mut cursor: serde_json::Value,
        text: &str,
        saved: &Checkpointing,
    ) -> Result<(Self, Identity), TrainError> {
        let fail = |reason: &str| TrainError::State {
            file: saved.file.display().to_string(),
            reason: reason.into(),
        };
        let stated: Option<Identity> = serde_json::from_value(cursor["data"].take()).ok();
        let identity = stated.filter(|stated| *stated == Identity::new(text, stated.salt));
        let other = || fail("it was saved with other passages or settings");
        let identity = identity.ok_or_else(other)?;
        let state = serde_json::from_value(cursor["state"].take());
        Ok((state.map_err(|error| fail(&error.to_string()))?, identity))
    }
}

/// Times that a digest is hashed, so that each guess at a short passage costs as many.
const ROUNDS: usize = 50_000;

/// Tells a training from others, and does not tell what it is about to who can only guess.
#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    salt: Sha256,
    digest: Sha256,
}

impl Identity {
    pub(super) fn new(text: &str, salt: Sha256) -> Self {
        let once = |digest: Sha256, _| Sha256::of(format!("{salt}\n{digest}"));
        let digest = (0..ROUNDS).fold(Sha256::of(format!("{salt}\n{text}")), once);
        Self { salt, digest }
    }
}
