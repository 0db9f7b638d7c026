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
    pub(super) passages: Order,
    pub(super) retain: Order,
    /// NLL a token of each sequence when it was last drawn.
    pub(super) seen: BTreeMap<usize, f64>,
    pub(super) retained: BTreeMap<usize, f64>,
    pub(super) path: Vec<PathPoint>,
    pub(super) stopped: Option<Stopped>,
    pub(super) steering: Steering,
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
