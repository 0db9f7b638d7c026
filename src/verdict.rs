//! What a run achieved, as data before it is a sentence.

use serde::{Deserialize, Serialize};

/// What a user would say of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    #[default]
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// What a user would say.
    pub state: State,
    /// The measurements that decided it, the decisive one first.
    pub reasons: Vec<Reason>,
    /// One to three sentences that a person can repeat.
    pub sentence: String,
}

/// What a verdict is measured against: `[verdict]` in a spec, `--verdict-NAME` on the command line.
///
/// The one place where these numbers stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Share of the edited prompts whose whole target comes by free decoding.
    pub said: f64,
    /// The same of their paraphrases.
    pub paraphrases: f64,
    /// Share of other subjects under the same prompts whose top answer stays.
    pub background: f64,
    /// Drift on general text, nats a token.
    pub drift: f64,
    /// Perplexity on general text, after / before.
    pub perplexity: f64,
    /// NLL, nats a token, above which a value optimisation did not converge.
    pub nll: f64,
    /// Share of a passage said word for word that counts as known by heart.
    pub recital: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            said: 1.,
            paraphrases: 0.5,
            background: 0.9,
            drift: 0.1,
            perplexity: 1.1,
            nll: 1.,
            recital: 0.9,
        }
    }
}
