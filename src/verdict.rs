//! The verdict on a run, as data from which its sentence is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::VerdictOptions;

/// The outcome of a run in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every edit was measured and took.
    Took,
    /// Some of the edits took.
    TookInPart,
    /// None of the edits took.
    DidNotTake,
    /// Unrelated behaviour suffered more than the thresholds allow.
    Damaged,
    /// Nothing was measured that could decide it.
    #[default]
    NotMeasured,
}

/// One measurement that decided the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Name of the row that shows the measurement, as `--require` takes it.
    pub measure: String,
    /// The measured value.
    pub found: Option<f64>,
    /// The threshold that it was compared with.
    pub limit: Option<f64>,
    /// A clause that a person can read.
    pub text: String,
}

/// The state of a run, the measurements behind it, and the sentence that follows from both.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The outcome in one word.
    pub state: State,
    /// The measurements that decided it, the decisive one first.
    pub reasons: Vec<Reason>,
    /// One to three sentences that a person can repeat.
    pub sentence: String,
}

/// The thresholds that a run must meet for its edit to count as taken; `[verdict]` in a spec
/// replaces each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Share of rewrite prompts whose whole target free decoding must say.
    pub said: f64,
    /// Share of paraphrases whose whole target free decoding must say, and of questions about learnt
    /// passages that must be answered.
    pub paraphrases: f64,
    /// Share of other subjects whose top answer must stay.
    pub background: f64,
    /// Share of near subjects, which end as the edited one does, whose top answer must stay.
    pub near: f64,
    /// Largest drift on general text, in nats a token.
    pub drift: f64,
    /// Largest perplexity on general text, relative to the base.
    pub perplexity: f64,
    /// NLL, in nats a token, above which an optimisation did not converge.
    pub nll: f64,
    /// Share of a passage said word for word that counts as learnt by heart.
    pub recital: f64,
    /// NLL of forgotten passages after the rest of them is learnt again, as a share of that under
    /// models that never saw them: the least at any step.
    pub relearn: f64,
    /// Share of the questions about forgotten passages that may be answered, and of the base's own
    /// statements about their subjects that may still be made, beyond the share where they were never seen.
    pub answered: f64,
    /// Share of the questions about retained passages answered before that must still be.
    pub kept: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            said: 1.,
            paraphrases: 0.5,
            background: 0.9,
            // Whether they matter depends on the subject: "Airbus A320", or "New Poland".
            near: 0.,
            drift: 0.1,
            perplexity: 1.1,
            nll: 1.,
            recital: 0.9,
            relearn: 0.9,
            answered: 0.1,
            kept: 0.9,
        }
    }
}

impl Thresholds {
    /// The defaults, where the user set no other.
    pub fn new(options: &VerdictOptions) -> Self {
        let default = Self::default();
        Self {
            said: options.said.unwrap_or(default.said),
            paraphrases: options.paraphrases.unwrap_or(default.paraphrases),
            background: options.background.unwrap_or(default.background),
            near: options.near.unwrap_or(default.near),
            drift: options.drift.unwrap_or(default.drift),
            perplexity: options.perplexity.unwrap_or(default.perplexity),
            nll: options.nll.unwrap_or(default.nll),
            recital: options.recital.unwrap_or(default.recital),
            relearn: options.relearn.unwrap_or(default.relearn),
            answered: options.answered.unwrap_or(default.answered),
            kept: options.kept.unwrap_or(default.kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_is_not_set_stays_at_its_default() {
        let options = VerdictOptions { drift: Some(0.5), ..VerdictOptions::default() };
        let expected = Thresholds { drift: 0.5, ..Thresholds::default() };
        assert_eq!(Thresholds::new(&options), expected);
    }
}
