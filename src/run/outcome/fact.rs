//! What became of one fact that was to be written.

use serde::{Deserialize, Serialize};

use crate::plan::PlannedEdit;
use crate::rank_one::OptimisedValue;

/// The outcome of writing one fact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FactOutcome {
    /// The record's number, or the subject.
    pub id: String,
    /// The prompt with its subject.
    pub prompt: String,
    /// What the model should say.
    pub target_new: String,
    /// Whether the fact was erased, so that `target_new` is only a guess at what is said instead.
    pub is_erased: bool,
    /// Number of evaluations of the loss.
    pub steps: usize,
    /// Loss of each evaluation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<f64>,
    /// Loss at the end.
    pub loss: f64,
    /// The target's part of the loss, nats a token.
    pub nll: f64,
    /// Length of the value's change, ‖δ‖/‖v0‖.
    pub value_change: f64,
    /// The relative norm ‖ΔW‖/‖W‖ of the layer that changed most.
    pub relative_norm: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Why the fact was not written, where the others of its file were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritten: Option<String>,
}

impl FactOutcome {
    /// The outcome for an optimised value; the caller fills in norm and time.
    pub(in crate::run) fn new(id: &str, edit: &PlannedEdit, value: &OptimisedValue) -> Self {
        let norm = value.delta.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt();
        let last = value.steps.last();
        Self {
            id: id.to_owned(),
            prompt: edit.contexts[0].text.clone(),
            target_new: edit.target_new.clone(),
            is_erased: edit.erase.is_some(),
            steps: value.steps.len(),
            path: value.steps.iter().map(|step| step.loss).collect(),
            loss: last.map_or(f64::NAN, |step| step.loss),
            nll: last.map_or(f64::NAN, |step| step.nll),
            value_change: norm / value.value_norm,
            relative_norm: 0.,
            seconds: 0.,
            unwritten: None,
        }
    }

    /// The outcome of a fact that was left out of the model.
    pub(in crate::run) fn unwritten(id: &str, edit: &PlannedEdit, why: String) -> Self {
        Self {
            id: id.to_owned(),
            prompt: edit.contexts[0].text.clone(),
            target_new: edit.target_new.clone(),
            is_erased: edit.erase.is_some(),
            steps: 0,
            path: Vec::new(),
            loss: f64::NAN,
            nll: f64::NAN,
            value_change: 0.,
            relative_norm: 0.,
            seconds: 0.,
            unwritten: Some(why),
        }
    }
}
