//! What a run achieved, as data before it is a sentence.

use serde::{Deserialize, Serialize};

/// What a user would say of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything that was asked for was measured and holds.
    Took,
    /// Some of it holds.
    TookInPart,
    /// None of it holds.
    DidNotTake,
    /// What no edit is about suffered more than the thresholds allow.
    Damaged,
    /// Nothing was measured that could tell.
    NotMeasured,
}

/// One measurement that decided the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Name of the row that shows the measurement, as `--require` takes it.
    pub measure: String,
    /// What was found.
    pub found: Option<f64>,
    /// The threshold that it was held against.
    pub limit: Option<f64>,
    /// A clause that a person can read.
    pub text: String,
}

/// The state of a run, the measurements behind it, and the sentence that follows from both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What a user would say.
    pub state: State,
    /// The measurements that decided it, the decisive one first.
    pub reasons: Vec<Reason>,
    /// One to three sentences that a person can repeat.
    pub sentence: String,
}
