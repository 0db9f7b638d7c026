//! The path of a training: what each step saw, and why the last one was the last.

use serde::{Deserialize, Serialize};

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// Forgotten as far as the hold-out.
    Holdout,
    /// Forgotten as far as the models that never saw the passages.
    Reference,
    /// Learnt.
    Learnt,
    /// The retain set suffered.
    Damage,
    /// All steps were taken.
    Steps,
}

/// One step of the path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PathPoint {
    /// From 1.
    pub step: u64,
    /// γ · forget + α · retain.
    pub loss: f64,
    /// NLL of the passages, nats a token: the mean over sequences of what was last seen.
    pub passages: f64,
    /// The same of the retain set.
    pub retain: Option<f64>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Indices of the passages that were drawn; beyond them, of what the model says in its own words.
    pub drawn: Vec<usize>,
    /// The same of the retain set.
    pub retained: Vec<usize>,
    /// Drift on general text that no step draws, when it was last measured, nats a token.
    pub drift: Option<f64>,
    /// Weight of the general text, λ.
    pub general_weight: Option<f64>,
    /// NLL of passages after others were learnt again, nats a token.
    pub relearnt: Option<f64>,
}

/// What progress shows of a step.
pub(super) fn describe(point: &PathPoint, holdout: Option<f64>) -> String {
    let retain = point.retain.map(|nll| format!(" retain {nll:.2}")).unwrap_or_default();
    let holdout = holdout.map(|nll| format!(" hold-out {nll:.2}")).unwrap_or_default();
    let drift = match (point.drift, point.general_weight) {
        (Some(drift), Some(weight)) => format!(" drift {drift:.3} weight {weight:.1}"),
        _ => String::new(),
    };
    let relearnt = point.relearnt.map(|nll| format!(" relearnt {nll:.2}")).unwrap_or_default();
    format!("nll {:.2}{relearnt}{retain}{holdout}{drift}", point.passages)
}
